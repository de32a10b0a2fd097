//! `examples/gateway.rs` of lockgate, with axum 0.8 and tower-http: `axum-gateway --https ADDR --http ADDR --state DIR`. It has the
//! same routes and the same answers; the page is the same. What it does not have is in benches/README.md.

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LOCATION, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use axum_server::Handle;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::digest::{digest, Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{signal, SignalKind};
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::services::ServeFile;
use tower_http::set_header::SetResponseHeaderLayer;

const ORIGIN_ALLOWED: &str = "https://app.example";
const PAGE: &str = include_str!("../../../../examples/gateway/index.html");
const STYLE: &str = include_str!("../../../../examples/gateway/style.css");
const SCRIPT: &str = include_str!("../../../../examples/gateway/script.js");
const MOST_READINGS: usize = 10_000;
const MOST_JSON: usize = 16 * 1024;
const MOST_FIRMWARE: usize = 64 << 20;
const ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Serialize)]
struct Reading {
    id: u64,
    sensor: String,
    celsius: f64,
}

#[derive(Deserialize)]
struct NewReading {
    sensor: String,
    celsius: f64,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: u64,
    #[serde(default = "twenty")]
    limit: usize,
}

fn twenty() -> usize {
    20
}

#[derive(Clone)]
struct Gateway {
    readings: Arc<Mutex<(u64, VecDeque<Reading>)>>,
    state: PathBuf,
}

// Errors as problem documents.
struct Problem(StatusCode, String, serde_json::Value);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.0.canonical_reason();
        let body = json!({"status": self.0.as_u16(), "title": title, "detail": self.1, "errors": self.2});
        (self.0, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}

fn problem(status: StatusCode, detail: impl ToString) -> Problem {
    Problem(status, detail.to_string(), json!([]))
}

/// axum's own errors are text.
async fn as_problems(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_problem =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let detail = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let detail = String::from_utf8_lossy(&detail).into_owned();
    parts.headers.remove("content-length");
    let mut response = problem(status, detail).into_response();
    parts.headers.insert(CONTENT_TYPE, response.headers()[CONTENT_TYPE].clone());
    *response.headers_mut() = parts.headers;
    response
}

// Readings.
async fn list(State(gateway): State<Gateway>, Query(page): Query<Page>) -> Result<Response, Problem> {
    if !(1..=100).contains(&page.limit) {
        return Err(problem(StatusCode::BAD_REQUEST, "limit is from 1 to 100"));
    }
    let (_, readings) = &*gateway.readings.lock().unwrap();
    let mut found: Vec<&Reading> =
        readings.iter().filter(|reading| reading.id > page.after).take(page.limit + 1).collect();
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let next = found.last().filter(|_| has_more).map(|reading| reading.id);
    Ok(Json(json!({"readings": found, "next": next})).into_response())
}

async fn add(
    State(gateway): State<Gateway>,
    body: Result<Json<NewReading>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(new) = body.map_err(|rejection| problem(rejection.status(), rejection.body_text()))?;
    let mut faults = Vec::new();
    if !(1..=32).contains(&new.sensor.chars().count()) {
        faults.push(json!({"pointer": "#/sensor", "detail": "1 to 32 characters"}));
    }
    if !(-40.0..=125.0).contains(&new.celsius) {
        faults.push(json!({"pointer": "#/celsius", "detail": "from -40 to 125"}));
    }
    if !faults.is_empty() {
        let detail = "The reading is not valid.".to_string();
        return Err(Problem(StatusCode::UNPROCESSABLE_ENTITY, detail, faults.into()));
    }
    let (last, readings) = &mut *gateway.readings.lock().unwrap();
    *last += 1;
    let reading = Reading { id: *last, sensor: new.sensor, celsius: new.celsius };
    if readings.len() == MOST_READINGS {
        readings.pop_front();
    }
    readings.push_back(reading.clone());
    let location = format!("/api/readings?after={}&limit=1", reading.id - 1);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(reading)).into_response())
}

// Firmware: up, in one request.
async fn upload(State(gateway): State<Gateway>, body: Body) -> Result<Response, Problem> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => problem(StatusCode::INSUFFICIENT_STORAGE, "the disk is full"),
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be written"),
    };
    let part = gateway.state.join("firmware.part");
    let written = async {
        let mut file = tokio::fs::File::create(&part).await.map_err(failed)?;
        let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| problem(StatusCode::BAD_REQUEST, error))?;
            bytes += piece.len();
            if bytes > MOST_FIRMWARE {
                return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "at most 64 MiB"));
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.sync_all().await.map_err(failed)?;
        Ok((bytes, hash.finish()))
    };
    let (bytes, hash) = match written.await {
        Ok(written) => written,
        Err(problem) => {
            let _ = tokio::fs::remove_file(&part).await;
            return Err(problem);
        }
    };
    tokio::fs::rename(&part, gateway.state.join("firmware.bin")).await.map_err(failed)?;
    let sha256: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((StatusCode::CREATED, Json(json!({"bytes": bytes, "sha256": sha256}))).into_response())
}

// Firmware: down. ServeFile knows ranges and Last-Modified, and no ETag.
async fn download(State(gateway): State<Gateway>, request: Request) -> Response {
    let file = ServeFile::new(gateway.state.join("firmware.bin"));
    match file.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

// The page.
fn asset(kind: &'static str, text: &'static str) -> axum::routing::MethodRouter<Gateway> {
    let hash: String =
        digest(&SHA256, text.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    get(move |headers: HeaderMap| async move {
        if headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
        }
        ([(CONTENT_TYPE, kind.to_string()), (ETAG, etag)], text).into_response()
    })
}

// Pages of other origins change nothing.
async fn guard(request: Request, next: Next) -> Response {
    if is_foreign_write(request.method(), request.headers()) {
        return problem(StatusCode::FORBIDDEN, "a page of another origin may not do this").into_response();
    }
    next.run(request).await
}

fn is_foreign_write(method: &Method, headers: &HeaderMap) -> bool {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return false;
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(&HeaderName::from_static("sec-fetch-site")), text(&ORIGIN)) {
        (_, Some(ORIGIN_ALLOWED)) => false,
        (Some(site), _) => site != "same-origin" && site != "none",
        (None, Some(origin)) => origin.strip_prefix("https://") != text(&HOST),
        (None, None) => false,
    }
}

// Request ids.
#[derive(Clone)]
struct Random;

impl MakeRequestId for Random {
    fn make_request_id<B>(&mut self, _: &axum::http::Request<B>) -> Option<RequestId> {
        let number: [u8; 8] = ring::rand::generate(&ring::rand::SystemRandom::new()).ok()?.expose();
        HeaderValue::try_from(format!("{:016x}", u64::from_be_bytes(number))).ok().map(RequestId::new)
    }
}

fn router(state: &Path) -> Router {
    let gateway = Gateway { readings: Arc::default(), state: state.to_path_buf() };
    let set = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let cors = CorsLayer::new()
        .allow_origin([HeaderValue::from_static(ORIGIN_ALLOWED)])
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([CONTENT_TYPE])
        .expose_headers([ID])
        .max_age(Duration::from_secs(7200));
    Router::new()
        .route("/", asset("text/html; charset=utf-8", PAGE))
        .route("/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/script.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/api/readings", get(list).post(add).layer(DefaultBodyLimit::max(MOST_JSON)))
        .route("/api/firmware", put(upload).get(download))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(as_problems))
        .layer(cors)
        .layer(set(CONTENT_SECURITY_POLICY, "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors 'none'"))
        .layer(set(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(REFERRER_POLICY, "same-origin"))
        .layer(PropagateRequestIdLayer::new(ID))
        .layer(SetRequestIdLayer::new(ID, Random))
        .with_state(gateway)
}

// The device's own authority, and a certificate of it for this start.
fn identity(state: &Path) -> Result<(String, String, String), Box<dyn std::error::Error>> {
    let (ca_file, key_file) = (state.join("ca.pem"), state.join("ca-key.pem"));
    if !ca_file.exists() {
        let key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name.push(DnType::CommonName, "Gateway");
        fs::write(&key_file, key.serialize_pem())?;
        fs::write(&ca_file, ca.self_signed(&key)?.pem())?;
    }
    let ca = fs::read_to_string(&ca_file)?;
    let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?)?;
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.distinguished_name.push(DnType::CommonName, "Gateway");
    let issuer = Issuer::new(ca_params, key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["localhost", "gateway.local", "127.0.0.1"].map(String::from))?;
    let leaf = leaf.signed_by(&key, &issuer)?;
    Ok((ca, leaf.pem(), key.serialize_pem()))
}

// Port 80: the authority's certificate to install, and a redirect.
fn onboarding(ca: String, https: u16) -> Router {
    let ca = Bytes::from(ca);
    let file = get(move || async move { ([(CONTENT_TYPE, "application/x-x509-ca-cert")], ca) });
    Router::new().route("/ca.crt", file).fallback(move |request: Request| async move {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let host = host.split(':').next().unwrap_or_default();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Redirect::permanent(&format!("https://{host}:{https}{path}"))
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [_, https, _, http, _, state] = arguments.as_slice() else {
        return Err("usage: axum-gateway --https ADDR --http ADDR --state DIR".into());
    };
    let state = Path::new(state);
    fs::create_dir_all(state)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (ca, certificate, key) = identity(state)?;
    let config = RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes()).await?;
    let [https, http] = [https, http].map(|address| -> std::io::Result<TcpListener> {
        let listener = TcpListener::bind(address.parse::<SocketAddr>().map_err(std::io::Error::other)?)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let (https, http) = (https?, http?);
    println!("https {}\nhttp {}", https.local_addr()?, http.local_addr()?);
    // Graceful stop.
    let handle = Handle::new();
    let stop = handle.clone();
    tokio::spawn(async move {
        if let (Ok(mut term), Ok(mut int)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        }
        stop.graceful_shutdown(Some(Duration::from_secs(10)));
    });
    let port = https.local_addr()?.port();
    let plain =
        axum_server::from_tcp(http)?.handle(handle.clone()).serve(onboarding(ca, port).into_make_service());
    let secure =
        axum_server::from_tcp_rustls(https, config)?.handle(handle).serve(router(state).into_make_service());
    tokio::try_join!(plain, secure)?;
    Ok(())
}
