//! Serves a folder and takes uploads: `files PORT CERT KEY DIR`. `PUT /upload/{name}` saves the body as `DIR/uploads/{name}`; every
//! other path is a file below `DIR`. Compressed files beside others are used, and a folder without a page shows what is in it.

use std::fs;
use std::path::Path;

use lockgate::web::Files;
use lockgate::{Error, Identity, Limits, Request, Response, Router, Server, StatusCode};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, certificate, key, dir] = arguments.as_slice() else {
        return Err("usage: files PORT CERT KEY DIR".into());
    };
    let uploads = Path::new(dir).join("uploads");
    fs::create_dir_all(&uploads)?;
    let router = Router::new()
        .folder("/", Files::dir(dir).precompressed().listing().handler())
        .put("/upload/{name}", move |request: &mut Request| upload(request, &uploads));
    let mut limits = Limits::default();
    limits.body_bytes = 1 << 30;
    let server = Server::builder(router)
        .https(format!("127.0.0.1:{port}"))
        .identity(Identity::from_pem_files(certificate, key)?)
        .limits(limits)
        .bind()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}

/// Saves the body, and answers with its length and its SHA-256.
fn upload(request: &mut Request<'_>, uploads: &Path) -> Result<Response, Error> {
    let name: String = request.param_as("name")?;
    let saved = request.save_to(uploads, &name)?;
    let status = if saved.is_new() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Response::json(&json!({"name": name, "bytes": saved.bytes(), "sha256": saved.sha256_hex()}))
        .with_status(status)
        .with_header("repr-digest", saved.repr_digest()))
}
