//! A gateway for sensors, to be copied for an appliance: `gateway --https ADDR --http ADDR --state DIR [--origin ORIGIN]`.
//!
//! It makes its own certificate and tells its users on plain HTTP how to trust it. Its page is in the program. `/api/readings` is
//! JSON, checked and in pages; `/api/firmware` takes an image, also in pieces after a lost connection, and gives it back in ranges. A
//! page of one other origin, ORIGIN, may use the API too. SIGTERM ends it when all requests are answered.

use std::collections::hash_map::RandomState;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use lockgate::web::{Compression, Cors, FetchMetadata, Files, Received, Resumable, SecurityFields};
use lockgate::{
    Certificate, Device, Error, Identity, Method, Next, Problem, Request, Response, Router, Server,
    StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const MOST_READINGS: usize = 10_000;
const MOST_FIRMWARE_BYTES: u64 = 64 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option =
        |name: &str| arguments.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair.get(1)).cloned();
    let (Some(https), Some(http), Some(state)) = (option("--https"), option("--http"), option("--state"))
    else {
        return Err("usage: gateway --https ADDR --http ADDR --state DIR [--origin ORIGIN]".into());
    };
    let origin = option("--origin").unwrap_or_else(|| "https://app.example".to_string());

    let identity = Identity::device(&state)?;
    let in_clear = onboarding(&Device::new(&state).ca()?);
    let (cors, fields) = (cors(&origin)?, SecurityFields::new());
    let server = Server::builder(router(Path::new(&state), &origin)?)
        .https(https)
        .redirect_http(http)
        .http_router(in_clear)
        .identity(identity)
        // On what the server refuses by itself too, such as a body that is too large.
        .on_response(move |seen, response| {
            cors.add_to(seen, response);
            fields.add_to(seen, response);
        })
        .bind()?;
    println!("https {}", server.local_addr());
    server.redirect_addr().iter().for_each(|address| println!("http {address}"));

    let handle = server.handle();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || signals.forever().for_each(|_| handle.stop()));
    Ok(server.run()?)
}

/// What is answered on port 80 before a browser trusts the certificate.
fn onboarding(ca: &Certificate) -> Router {
    let print: String = ca.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
    let page = format!(
        "<!doctype html><title>Gateway</title><p>Install <a href=ca.crt>this authority</a>, {print}."
    );
    let ca = ca.der().to_vec();
    Router::new()
        .with(SecurityFields::new())
        .get("/", move |_: &mut Request| Response::html(page.as_str()))
        .get("/ca.crt", move |_: &mut Request| {
            Response::bytes(ca.as_slice()).with_header("content-type", "application/x-x509-ca-cert")
        })
}

fn router(state: &Path, origin: &str) -> Result<Router, Error> {
    let readings = Arc::new(Readings::default());
    let (listed, added) = (readings.clone(), readings);
    let api = Router::new()
        .get("/readings", move |request: &mut Request| listed.list(request))
        .post("/readings", move |request: &mut Request| added.add(request))
        .body_bytes(16 * 1024)
        .merge(firmware(state)?);
    let page = Files::embedded(
        lockgate::embed!("examples/gateway": "index.html", "style.css", "script.js", "icon.svg"),
    );
    // The first layer is the outermost.
    let router = Router::new()
        .with(request_id)
        .with(cors(origin)?)
        .with(FetchMetadata::new().trust([origin])?)
        .with(Compression::new())
        .nest("/api", api)
        .folder("/", page.handler());
    Ok(router)
}

fn cors(origin: &str) -> Result<Cors, Error> {
    Cors::new([origin])?.methods([Method::GET, Method::POST, Method::PUT]).expose(["x-request-id"])
}

/// Gives each request an id, or lets it keep the one that it has from a proxy.
fn request_id(request: &mut Request, next: Next) -> Response {
    let is_id = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let given = request.header("x-request-id").filter(is_id).map(String::from);
    let id = given.unwrap_or_else(|| format!("{:016x}", RandomState::new().build_hasher().finish()));
    let response = next.run(request);
    log::info!("{id} {} {} {}", request.method(), request.path(), response.status());
    response.with_header("x-request-id", id)
}

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

/// The number of the last one, and the latest ones.
#[derive(Default)]
struct Readings(Mutex<(u64, VecDeque<Reading>)>);

impl Readings {
    fn list(&self, request: &Request) -> Result<Response, Problem> {
        let after: u64 = request.parse_optional_query("after")?.unwrap_or(0);
        let limit: usize = request.parse_optional_query("limit")?.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            return Err(Problem::new(StatusCode::BAD_REQUEST).detail("The limit is from 1 to 100."));
        }
        let readings = &self.0.lock().unwrap().1;
        let found: Vec<&Reading> =
            readings.iter().filter(|reading| reading.id > after).take(limit + 1).collect();
        let page = &found[..found.len().min(limit)];
        let next = page.last().filter(|_| found.len() > limit).map(|reading| reading.id);
        Ok(Response::json(&json!({"readings": page, "next": next})))
    }

    fn add(&self, request: &mut Request) -> Result<Response, Problem> {
        let NewReading { sensor, celsius } = request.json()?;
        let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail("The reading is not valid.");
        if !(1..=32).contains(&sensor.chars().count()) {
            problem = problem.error("/sensor", "1 to 32 characters");
        }
        if !(-40.0..=125.0).contains(&celsius) {
            problem = problem.error("/celsius", "from -40 to 125");
        }
        if problem.has_errors() {
            return Err(problem);
        }
        let (last, readings) = &mut *self.0.lock().unwrap();
        *last += 1;
        let reading = Reading { id: *last, sensor, celsius };
        if readings.len() == MOST_READINGS {
            readings.pop_front();
        }
        readings.push_back(reading.clone());
        let location = format!("/api/readings?after={}&limit=1", reading.id - 1);
        Ok(Response::json(&reading).with_status(StatusCode::CREATED).with_header("location", location))
    }
}

/// One image, whole or not at all. [`lockgate::web::Update`] checks a signature too, and goes back when the new one does not start.
fn firmware(state: &Path) -> Result<Router, Error> {
    let image = state.join("firmware.bin");
    let received = |_: &mut Request, image: Received| -> Result<Response, Error> {
        let saved = image.save_as("firmware.bin")?;
        let told = json!({"bytes": saved.bytes(), "sha256": saved.sha256_hex()});
        Ok(Response::json(&told).with_status(StatusCode::CREATED))
    };
    let upload = Resumable::in_dir(state).max_bytes(MOST_FIRMWARE_BYTES).handler(received)?;
    let router = Router::new()
        .get("/firmware", move |request: &mut Request| Response::file(request, &image))
        .put("/firmware", upload.clone())
        .route(Method::HEAD, "/firmware/{upload}", upload.clone())
        .patch("/firmware/{upload}", upload.clone())
        .delete("/firmware/{upload}", upload)
        .body_bytes(MOST_FIRMWARE_BYTES);
    Ok(router)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const APP: &str = "https://app.example";

    /// A gateway without a socket.
    fn gateway() -> (tempfile::TempDir, Router) {
        let state = tempfile::tempdir().unwrap();
        let router = router(state.path(), APP).unwrap();
        (state, router)
    }

    fn json(response: Response) -> Value {
        serde_json::from_slice(&response.into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn readings_come_in_pages() {
        let (_state, router) = gateway();
        for celsius in 1..=3 {
            let body = json!({"sensor": "kitchen", "celsius": celsius});
            assert_eq!(router.call(&mut Request::post("/api/readings").with_json(&body)).status(), 201);
        }
        let page = json(router.call(&mut Request::get("/api/readings?limit=2")));
        assert_eq!((&page["readings"][1]["celsius"], &page["next"]), (&json!(2.0), &json!(2)));
        let page = json(router.call(&mut Request::get("/api/readings?limit=2&after=2")));
        assert_eq!((&page["readings"][0]["id"], &page["next"]), (&json!(3), &Value::Null));
        assert_eq!(router.call(&mut Request::get("/api/readings?limit=0")).status(), 400);
    }

    #[test]
    fn what_is_wrong_with_a_reading_is_told_and_the_app_can_read_it() {
        let (_state, router) = gateway();
        let body = json!({"sensor": "", "celsius": 400});
        let response =
            router.call(&mut Request::post("/api/readings").with_json(&body).with_header("origin", APP));
        assert_eq!(response.status(), 422);
        assert_eq!(response.header("access-control-allow-origin").unwrap(), APP);
        assert_eq!(json(response)["errors"][1]["pointer"], "#/celsius");
    }

    #[test]
    fn firmware_goes_in_and_comes_out_in_ranges() {
        let (_state, router) = gateway();
        let mut put = Request::new(Method::PUT, "/api/firmware").with_body("0123456789");
        assert_eq!(json(router.call(&mut put))["bytes"], 10);
        let part = router.call(&mut Request::get("/api/firmware").with_header("range", "bytes=2-4"));
        assert_eq!((part.status().as_u16(), part.into_bytes().unwrap()), (206, b"234".to_vec()));
        let evil = Request::new(Method::PUT, "/api/firmware").with_header("sec-fetch-site", "cross-site");
        assert_eq!(router.call(&mut evil.with_body("evil")).status(), 403);
    }
}
