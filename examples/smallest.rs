//! The smallest program that serves HTTPS: `smallest ADDRESS CERT KEY`. Built with
//! `cargo build --profile small --example smallest` it shows what lockgate adds to a firmware image.

use lockgate::{Error, Identity, Router, Server};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().unwrap_or_default();
    let (address, certificate, key) = (argument(), argument(), argument());
    let router = Router::new().get("/api/data", |_| "Secure data over HTTPS");
    Server::builder(router).https(address).identity(Identity::from_pem_files(certificate, key)?).bind()?.run()
}
