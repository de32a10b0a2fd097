//! A layer takes only the request, and a handler takes more than that.
use lockgate::{Next, Request, Response, Router};

fn main() {
    let _ = Router::new()
        .with(|request: &mut Request| Response::text(request.path())) //-
        .get("/", |request: &mut Request, next: Next| next.run(request)); //-
        //+ .with(|request: &mut Request, next: Next| next.run(request))
        //+ .get("/", |request: &mut Request| Response::text(request.path()));
}
//? expected to take 2 arguments, but it takes 1
//? expected to take 1 argument, but it takes 2
