//! The handler returns a reference into the request.
use lockgate::{Request, Router};

fn name<'r>(request: &'r mut Request) -> Option<&'r str> { //-
    request.param("name") //-
//+ fn name(request: &mut Request) -> Option<String> {
    //+ request.param("name").map(String::from)
}

fn main() {
    let _ = Router::new()
        .get("/a/{name}", name)
        .get("/b/{name}", |request: &mut Request| request.param("name")); //-
        //+ .get("/b/{name}", |request: &mut Request| request.param("name").map(String::from));
}
