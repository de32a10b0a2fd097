//! A handler returns the error of another library.
use lockgate::{Request, Router};
//+ use lockgate::{Error, StatusCode};

fn rpm(request: &mut Request) -> Result<String, Box<dyn std::error::Error>> { //-
    let speed: u16 = request.text()?.parse()?; //-
    //+ fn rpm(request: &mut Request) -> Result<String, Error> {
    //+ let speed: u16 = request.text()?.parse().map_err(|error| Error::answer(StatusCode::BAD_REQUEST, error))?;
    Ok(format!("{speed} rpm"))
}

fn main() {
    let _ = Router::new().post("/rpm", rpm);
}
//? cannot be sent as a response
//? an error of another library gets a status
