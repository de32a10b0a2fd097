//! The server that is measured: `bench_server PORT CERT KEY`. Everything is as lockgate's defaults have it, unless
//! `BENCH_WORKERS` says how many workers there are: so many, and no reserve. It is built with the feature `post-quantum`, which
//! clients that do not offer that key exchange do not notice.

use std::io;
use std::thread;
use std::time::Duration;

use lockgate::{
    Error, HeaderName, HeaderValue, Identity, IntoResponse, Limits, Request, Response, Router, Server,
};
use serde_json::{json, Value};

const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, certificate, key] = arguments.as_slice() else {
        return Err("usage: bench_server PORT CERT KEY".into());
    };
    let large: &'static str = "x".repeat(1024 * 1024).leak();
    let router = Router::new()
        // A fixed text, as the servers give that it is compared with.
        .get("/api/data", |_| data())
        .get("/large", move |_: &mut Request| large)
        .post("/len", |request: &mut Request| -> Result<Response, Error> {
            let length = io::copy(request.body(), &mut io::sink())?;
            Ok(Response::json(&json!({"length": length})))
        })
        .post("/json", |request: &mut Request| -> Result<Response, Error> {
            let value: Value = request.json()?;
            Ok(Response::json(&json!({"members": value.as_object().map_or(0, |object| object.len())})))
        })
        .get("/block", |_| {
            thread::sleep(Duration::from_millis(1));
            data()
        });
    let mut limits = Limits::default();
    if let Ok(workers) = std::env::var("BENCH_WORKERS") {
        limits.workers = workers.parse()?;
        limits.reserve_workers = 0;
    }
    let server = Server::builder(router)
        .https(format!("127.0.0.1:{port}"))
        .identity(Identity::from_pem_files(certificate, key)?)
        .limits(limits)
        .bind()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}

fn data() -> Response {
    DATA.into_response()
        .with_header(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"))
}
