//! The OpenAPI document of a router: what is in it, what is not, and that a validator finds nothing wrong with it. The validator is
//! installed by tests/install_openapi.sh; without it that test is left out, and says so.

#[allow(dead_code)]
#[path = "support_command/peers.rs"]
mod peers;

use std::collections::BTreeSet;
use std::fs;

use lockgate::{Json, Method, OpenApi, Operation, Request, Router, StatusCode};
use serde_json::{json, Value};
use tempfile::TempDir;

fn answer(_: &mut Request) -> &'static str {
    "on"
}

fn patch() -> Method {
    Method::PATCH
}

fn router() -> Router {
    let sensors = Router::new()
        .get("/", answer)
        .post("/", |_: &mut Request| (StatusCode::CREATED, Json(json!({"id": 7}))))
        .get("/{id}", answer)
        .route(patch(), "/{id}", answer)
        .delete("/{id}", answer)
        .get("/{id}/samples/{sample}", answer);
    Router::new()
        .nest("/api/sensors", sensors)
        .get("/", answer)
        .get("/ui/{page}", answer)
        .folder("/ui/assets", answer)
        .get("/uix", answer)
        .put("/files/{*path}", answer)
        .any("/echo", answer)
        .get("/ports/{port%2F}/state", answer)
        .get("/a/b_c", answer)
        .get("/a_b/c", answer)
        .get("/kitchen sink/ä", answer)
        .route(Method::from_bytes(b"PURGE").unwrap(), "/cache", answer)
        .route(Method::HEAD, "/", answer)
        .route(Method::OPTIONS, "/uix", answer)
}

fn api() -> OpenApi {
    let reading = json!({
        "type": "object",
        "properties": {"celsius": {"type": "number"}, "place": {"type": ["string", "null"]}},
        "required": ["celsius"],
    });
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
    OpenApi::new("Pump", "1.2.0")
        .description("The *pump* of the cellar.")
        .member("servers", json!([{"url": "/"}]))
        .member("components", json!({"securitySchemes": {"client": {"type": "mutualTLS"}}}))
        .schema("Reading", reading)
        .hide("/ui")
        .describe(
            Method::GET,
            "/api/sensors",
            Operation::new("The newest readings")
                .description("The newest first.")
                .id("list_readings")
                .query("limit", limit)
                .required_query("since", json!({"type": "string", "format": "date-time"}))
                .parameter(
                    json!({"name": "X-Unit", "in": "header", "schema": {"enum": ["celsius", "kelvin"]}}),
                )
                .json_response(
                    StatusCode::OK,
                    "Readings",
                    json!({"type": "array", "items": OpenApi::of("Reading")}),
                )
                .member("tags", json!(["sensors"])),
        )
        .describe(
            Method::POST,
            "/api/sensors",
            Operation::new("A new reading")
                .json_body(OpenApi::of("Reading"))
                .body("application/x-www-form-urlencoded", OpenApi::of("Reading"))
                .response(StatusCode::CREATED, "It is kept"),
        )
        .describe(
            Method::GET,
            "/api/sensors/{id}/samples/{sample}",
            Operation::new("One sample").path("sample", json!({"type": "integer"})).response_of(
                StatusCode::OK,
                "The sample",
                "image/png",
                json!({}),
            ),
        )
}

fn document(router: &Router) -> Value {
    router.check().unwrap();
    let response = router.call(&mut Request::get("/openapi.json"));
    assert_eq!(response.header("content-type").unwrap(), "application/json");
    serde_json::from_slice(&response.into_bytes().unwrap()).unwrap()
}

#[test]
fn all_routes_are_listed_but_those_that_openapi_cannot_say() {
    let document = document(&router().openapi("/openapi.json", api()));
    let mut listed = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        listed.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    let expected = [
        "delete /api/sensors/{id}",
        "get /",
        "get /a/b_c",
        "get /a_b/c",
        "get /api/sensors",
        "get /api/sensors/{id}",
        "get /api/sensors/{id}/samples/{sample}",
        "get /kitchen%20sink/%C3%A4",
        "get /ports/{port}/state",
        "get /uix",
        "head /",
        "options /uix",
        "patch /api/sensors/{id}",
        "post /api/sensors",
    ];
    assert_eq!(listed, expected.map(String::from).into());
    assert!(!document.to_string().contains("openapi.json"));
}

#[test]
fn every_operation_has_an_id_of_its_own_and_all_its_parameters() {
    let document = document(&router().openapi("/openapi.json", api()));
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_string()), "{operation}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
            let names: Vec<_> =
                path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(
                of_path.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect::<Vec<_>>(),
                names
            );
            assert!(of_path.iter().all(|parameter| parameter["required"] == true));
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
        }
    }
    for id in ["list_readings", "get_a_b_c", "get_a_b_c_2", "get", "head", "delete_api_sensors_id"] {
        assert!(ids.contains(id), "{id}: {ids:?}");
    }
    let sample = &document["paths"]["/api/sensors/{id}/samples/{sample}"]["get"]["parameters"];
    assert_eq!(
        (&sample[0]["schema"]["type"], &sample[1]["schema"]["type"]),
        (&json!("string"), &json!("integer"))
    );
    let list = &document["paths"]["/api/sensors"]["get"];
    assert_eq!(list["parameters"].as_array().unwrap().len(), 3);
    assert_eq!(list["tags"], json!(["sensors"]));
    assert!(
        document["components"]["securitySchemes"].is_object()
            && document["components"]["schemas"]["Reading"].is_object()
    );
}

#[test]
fn nothing_is_published_unless_it_is_asked_for() {
    assert_eq!(router().call(&mut Request::get("/openapi.json")).status(), 404);
    // And the layer that guards the rest guards it.
    let guarded = router()
        .openapi("/openapi.json", api())
        .with(|_: &mut Request, _: lockgate::Next| StatusCode::UNAUTHORIZED);
    assert_eq!(guarded.call(&mut Request::get("/openapi.json")).status(), 401);
}

#[test]
fn a_description_that_is_for_no_route_is_a_fault() {
    let fault = |method: Method, pattern: &str, operation: Operation| {
        let router = router().openapi("/openapi.json", api().describe(method, pattern, operation));
        router.check().unwrap_err().to_string()
    };
    let purge = Method::from_bytes(b"PURGE").unwrap();
    let of = Operation::new;
    for (said, expected) in [
        (
            fault(Method::GET, "/api/sensor", of("a")),
            "route GET /api/sensor: it is described, but not declared",
        ),
        (fault(Method::PUT, "/uix", of("a")), "route PUT /uix: it is described, but not declared"),
        (fault(Method::GET, "/echo", of("a")), "route GET /echo: it is described, but not declared"),
        (fault(Method::GET, "/api/sensors", of("a")), "route GET /api/sensors: it is described twice"),
        (fault(Method::PUT, "/files/{*path}", of("a")), "several segments"),
        (fault(purge, "/cache", of("a")), "no such method"),
        (fault(Method::GET, "/uix", of("a").id("list_readings")), "the same operationId"),
        (fault(Method::GET, "/uix", of("a").path("id", json!({}))), "its pattern does not have"),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_validator_finds_nothing_wrong() {
    let test = "a_validator_finds_nothing_wrong";
    let dir = TempDir::new().unwrap();
    let check = |name: &str, document: &Value| -> Option<(bool, String)> {
        let file = dir.path().join(name);
        fs::write(&file, document.to_string()).unwrap();
        let out = peers::openapi_validator(test, &[file.to_str().unwrap()])?.output().unwrap();
        Some((
            out.status.success(),
            String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap(),
        ))
    };
    let document = document(&router().openapi("/openapi.json", api()));
    for (name, document) in [
        ("full.json", document.clone()),
        ("plain.json", self::document(&router().openapi("/openapi.json", OpenApi::new("Pump", "1")))),
        ("empty.json", self::document(&Router::new().openapi("/openapi.json", OpenApi::new("", "")))),
    ] {
        let Some((is_good, said)) = check(name, &document) else { return };
        assert!(is_good, "{name}: {said}");
    }
    // It does find what is wrong.
    let mut wrong = document;
    wrong["paths"]["/uix"]["get"]["operationId"] = json!("list_readings");
    let Some((is_good, said)) = check("wrong.json", &wrong) else { return };
    assert!(!is_good, "{said}");
}
