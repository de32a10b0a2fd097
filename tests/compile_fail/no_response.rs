//! The handler returns a type that cannot be sent.
use lockgate::{Request, Response, Router};

struct Celsius(f32);

fn boiler(_: &mut Request) -> Celsius { //-
//+ fn boiler(_: &mut Request) -> Response {
    let celsius = Celsius(61.5);
    celsius //-
    //+ Response::text(celsius.0.to_string())
}

fn main() {
    let _ = Response::text(Celsius(0.0).0.to_string());
    let _ = Router::new().get("/boiler", boiler);
}
//? `Celsius` cannot be sent as a response
//? implement `IntoResponse`
