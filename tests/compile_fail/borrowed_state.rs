//! The handler borrows state of a function that ends before the server does.
use lockgate::{Request, Router};

fn router(name: String) -> Router {
    Router::new().get("/name", |_: &mut Request| name.clone()) //-
    //+ Router::new().get("/name", move |_: &mut Request| name.clone())
}

fn main() {
    router("pump".to_string());
}
//? use the `move` keyword
