//! The handler answers with JSON of a type that serde cannot write.
use lockgate::{Json, Request, Router};

struct Reading { //-
    celsius: f32, //-
} //-
//+ use lockgate::serde_json::{json, Value};

fn boiler(_: &mut Request) -> Json<Reading> { //-
    Json(Reading { celsius: 61.5 }) //-
//+ fn boiler(_: &mut Request) -> Json<Value> {
    //+ Json(json!({"celsius": 61.5}))
}

fn main() {
    let _ = Router::new().get("/boiler", boiler);
}
//? Reading
//? serde
