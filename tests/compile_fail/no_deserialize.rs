//! The handler reads JSON into a type that serde cannot read.
use lockgate::{Error, Request, Router};

struct Reading { //-
    celsius: f32, //-
} //-
//+ use lockgate::serde_json::Value;

fn boiler(request: &mut Request) -> Result<String, Error> {
    let reading: Reading = request.json()?; //-
    Ok(reading.celsius.to_string()) //-
    //+ let reading: Value = request.json()?;
    //+ Ok(reading["celsius"].to_string())
}

fn main() {
    let _ = Router::new().post("/boiler", boiler);
}
//? Reading
//? Deserialize
