//! The program forgets that binding can fail.
use lockgate::{Error, Identity, Router, Server};

fn main() -> Result<(), Error> {
    let identity = Identity::from_pem_files("device.pem", "device.key")?;
    let server = Server::builder(Router::new()).https("[::]:443").identity(identity).bind(); //-
    //+ let server = Server::builder(Router::new()).https("[::]:443").identity(identity).bind()?;
    server.run()
}
//? no method named `run` found for enum `Result
//? `?`
