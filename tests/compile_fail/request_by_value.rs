//! The handler takes the request, not a reference to it.
use lockgate::{Request, Router};

fn hello(request: Request) -> String { //-
//+ fn hello(request: &mut Request) -> String {
    format!("Hello from {}", request.path())
}

fn main() {
    let _ = Router::new().get("/hello", hello);
}
//? for<'a, 'b> fn(&'a mut lockgate::Request<'b>)
//? &mut
