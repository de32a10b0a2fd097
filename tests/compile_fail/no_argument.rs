//! The handler has no argument.
use lockgate::{Request, Router};

fn state() -> &'static str { //-
//+ fn state(_: &mut Request) -> &'static str {
    "on"
}

fn main() {
    let _: Option<&Request> = None;
    let _ = Router::new()
        .get("/state", state)
        .get("/off", || "off"); //-
        //+ .get("/off", |_| "off");
}
//? expected to take 1 argument
