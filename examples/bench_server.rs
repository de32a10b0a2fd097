//! The server that is measured: `bench_server PORT CERT KEY`. Everything is as lockgate's defaults have it.

use std::io;
use std::time::Duration;

use lockgate::{
    Error, HeaderName, HeaderValue, Identity, IntoResponse, Request, Response, Router, Server, StatusCode,
};
use serde_json::{json, Value};

const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, certificate, key] = arguments.as_slice() else {
        return Err("usage: bench_server PORT CERT KEY".into());
    };
    let large: &'static [u8] = Box::leak(vec![b'x'; 1024 * 1024].into_boxed_slice());
    let router = Router::new()
        // A fixed text, as the servers give that it is compared with.
        .get("/api/data", |_| {
            DATA.into_response().with_header(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("application/json"),
            )
        })
        .post("/api/data", |request: &mut Request| -> Result<Response, Error> {
            let value: Value = request.json()?;
            Ok(Response::json(&json!({"members": value.as_object().map_or(0, |object| object.len())})))
        })
        .get("/large", move |_: &mut Request| Response::reader_with_length(large, large.len() as u64))
        .post("/len", |request: &mut Request| -> Result<Response, Error> {
            let length = io::copy(request.body(), &mut io::sink())?;
            Ok(Response::json(&json!({"length": length})))
        })
        .get("/sleep/{ms}", |request: &mut Request| match request.param("ms").parse() {
            Ok(ms @ 0..=10_000) => {
                std::thread::sleep(Duration::from_millis(ms));
                StatusCode::OK
            }
            _ => StatusCode::BAD_REQUEST,
        });
    let server = Server::builder(router)
        .https(format!("127.0.0.1:{port}"))
        .identity(Identity::from_pem_files(certificate, key)?)
        .bind()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}
