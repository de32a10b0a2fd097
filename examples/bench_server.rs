//! The server that is measured: `bench_server PORT CERT KEY`. Everything is as lockgate's defaults have it, unless
//! `BENCH_WORKERS` says how many workers there are: so many, and no reserve. `GET /api/events` subscribes to what `POST
//! /api/publish` sends. With `BENCH_FOLDER` it also serves the files of that folder, takes uploads into it, and compresses, at
//! gzip's level 1 or at `BENCH_GZIP_LEVEL`. With `BENCH_BACKEND`, a URL, it only passes everything on to the server there. It is
//! built with the feature `post-quantum`, which clients that do not offer that key exchange do not notice, with `compression` and
//! with `proxy`.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use lockgate::web::Files;
use lockgate::{
    Error, Event, Feed, HeaderName, HeaderValue, Identity, IntoResponse, Limits, Request, Response, Router,
    Server, StatusCode,
};
use serde_json::{json, Value};

/// The compiler makes it, so that no request looks the name up.
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;

const MOST_CONNECTIONS: usize = 16_384;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, certificate, key] = arguments.as_slice() else {
        return Err("usage: bench_server PORT CERT KEY".into());
    };
    let large: &'static str = "x".repeat(1024 * 1024).leak();
    let feed = Feed::new();
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
        .get("/api/events", feed.handler())
        .post("/api/publish", move |request: &mut Request| -> Result<StatusCode, Error> {
            feed.send(Event::new(request.text()?));
            Ok(StatusCode::NO_CONTENT)
        })
        .get("/block", |_| {
            thread::sleep(Duration::from_millis(1));
            data()
        });
    let folder = std::env::var_os("BENCH_FOLDER");
    let router = match &folder {
        Some(folder) => with_files(router, Path::new(folder))?,
        None => router,
    };
    #[cfg(feature = "proxy")]
    let router = match std::env::var("BENCH_BACKEND") {
        Ok(backend) => {
            Router::new().fallback(lockgate::Proxy::to(&backend)?.at_a_time(MOST_CONNECTIONS).handler())
        }
        Err(_) => router,
    };
    let mut limits = Limits::default();
    // As many idle connections and subscribers as are measured, and those that ask beside them.
    limits.connections = MOST_CONNECTIONS;
    if folder.is_some() {
        limits.body_bytes = 32 << 20;
    }
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
    DATA.into_response().with_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

/// A page of a folder, the same from memory, uploads, and an answer that is compressed.
fn with_files(router: Router, folder: &Path) -> io::Result<Router> {
    let page: &'static [u8] = fs::read(folder.join("files/page.html"))?.leak();
    let uploads = folder.join("uploads");
    let router = router
        .folder("/files", Files::dir(folder.join("files")).handler())
        .folder("/embedded", Files::embedded(&[("page.html", page)]).handler())
        .put("/uploads/{name}", move |request: &mut Request| -> Result<StatusCode, Error> {
            let name = request.param_as::<String>("name")?;
            let saved = request.save_to(&uploads, &name)?;
            Ok(if saved.is_new() { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
        });
    #[cfg(feature = "compression")]
    let router = {
        let report: &'static [u8] = fs::read(folder.join("report.json"))?.leak();
        let level = std::env::var("BENCH_GZIP_LEVEL").ok().and_then(|level| level.parse().ok());
        let compression = lockgate::web::Compression::new().level(level.unwrap_or(1));
        router.get("/report.json", move |request: &mut Request| {
            let response = Response::bytes(report).with_header("content-type", "application/json");
            compression.apply(request, response)
        })
    };
    Ok(router)
}
