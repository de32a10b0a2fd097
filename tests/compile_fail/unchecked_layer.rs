//! What makes a layer can fail, and the program forgets that.
use lockgate::web::Cors;
use lockgate::{Error, Router};

fn router() -> Result<Router, Error> {
    Ok(Router::new().with(Cors::new(["https://app.example"]))) //-
    //+ Ok(Router::new().with(Cors::new(["https://app.example"])?))
}

fn main() {
    router().unwrap();
}
//? is not a layer
//? what makes a layer may fail
