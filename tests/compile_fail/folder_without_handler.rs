//! Files are given to a folder without their handler, and to a router as a layer.
use lockgate::web::Files;
use lockgate::{Error, Router};

fn main() -> Result<(), Error> {
    let files = Files::dir("ui");
    let _ = Router::new().folder("/ui", files); //-
    //+ let _ = Router::new().folder("/ui", files.handler());
    Ok(())
}
//? `Files` is not a handler
//? handler()
