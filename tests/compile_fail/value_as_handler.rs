//! A value, or what a handler has returned, stands in the place of a handler.
use lockgate::{Request, Router};

fn state(_: &mut Request) -> &'static str {
    "on"
}

fn main() {
    let mut request = Request::get("/");
    let _ = &mut request;
    let _ = Router::new()
        .get("/version", "1.2") //-
        .get("/state", state(&mut request)); //-
        //+ .get("/version", |_: &mut Request| "1.2")
        //+ .get("/state", state);
}
//? `&str` is not a handler
//? is given by its name, without calling it
