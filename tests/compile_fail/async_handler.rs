//! The handler is an `async fn`, as in other frameworks.
use lockgate::{Request, Router};

async fn state(_: &mut Request<'_>) -> String { //-
//+ fn state(_: &mut Request<'_>) -> String {
    "on".to_string()
}

fn main() {
    let _ = Router::new().get("/state", state);
}
//? cannot be sent as a response
//? async
