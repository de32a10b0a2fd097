//! An OpenAPI document of a router's routes: what the router knows of them, and what the program says of them. Knows methods and
//! patterns, and builds JSON. [`Router::openapi`](crate::Router::openapi) calls it; a program without it links nothing of it.

use std::collections::BTreeSet;
use std::fmt::Write;

use ::http::{Method, StatusCode};
use serde_json::{json, Map, Value};

/// The version of the specification.
const VERSION: &str = "3.1.0";
/// The methods that a path can have in a document (OpenAPI 3.1, "Path Item Object").
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// What an OpenAPI 3.1 document says of a program's interface beside its routes. [`Router::openapi`](crate::Router::openapi)
/// makes the document of it, and serves it.
///
/// ```
/// use lockgate::{Json, Method, OpenApi, Operation, Request, Router, StatusCode};
/// use serde_json::{json, Value};
///
/// let reading = json!({"type": "object", "properties": {"celsius": {"type": "number"}}, "required": ["celsius"]});
/// let api = OpenApi::new("Pump", "1.2.0")
///     .schema("Reading", reading)
///     .describe(
///         Method::GET,
///         "/api/sensors/{id}",
///         Operation::new("The newest reading of a sensor")
///             .path("id", json!({"type": "integer", "minimum": 1}))
///             .query("unit", json!({"enum": ["celsius", "kelvin"]}))
///             .json_response(StatusCode::OK, "The reading", OpenApi::of("Reading")),
///     );
/// let router = Router::new()
///     .get("/api/sensors/{id}", |_: &mut Request| Json(json!({"celsius": 21.5})))
///     .get("/api/state", |_: &mut Request| "on")
///     .openapi("/openapi.json", api);
/// router.check().unwrap();
///
/// let document = router.call(&mut Request::get("/openapi.json")).into_bytes().unwrap();
/// let document: Value = serde_json::from_slice(&document).unwrap();
/// let get = &document["paths"]["/api/sensors/{id}"]["get"];
/// assert_eq!(get["operationId"], "get_api_sensors_id");
/// assert_eq!(get["parameters"][0]["schema"]["minimum"], 1);
/// assert_eq!(document["paths"]["/api/state"]["get"]["operationId"], "get_api_state"); // it has no description
/// ```
///
/// The document lists all routes, with or without a description, and their parameters as text unless it is said what they are.
/// HEAD and OPTIONS, which lockgate answers by itself, are not listed. Left out is also what OpenAPI cannot say: patterns with
/// `{*rest}`, [`any`](crate::Router::any), and methods that no specification knows. Every operation has the response `default`:
/// a problem document (RFC 9457).
#[derive(Debug, Clone)]
pub struct OpenApi {
    members: Map<String, Value>,
    info: Map<String, Value>,
    schemas: Map<String, Value>,
    described: Vec<(Method, String, Operation)>,
    hidden: Vec<String>,
}

/// What a document says of one method of one path.
#[derive(Debug, Clone, Default)]
pub struct Operation {
    members: Map<String, Value>,
    /// The schemas of the path's parameters, by name.
    path: Map<String, Value>,
    parameters: Vec<Value>,
    content: Map<String, Value>,
    responses: Map<String, Value>,
}

impl OpenApi {
    /// A document for the interface of this name and version; both are free text (`info` in the document).
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> OpenApi {
        let mut info = Map::new();
        info.insert("title".into(), Value::String(title.into()));
        info.insert("version".into(), Value::String(version.into()));
        OpenApi { members: Map::new(), info, schemas: Map::new(), described: Vec::new(), hidden: Vec::new() }
    }

    /// Says what the interface is for. It may hold CommonMark.
    pub fn description(mut self, text: impl Into<String>) -> OpenApi {
        self.info.insert("description".into(), Value::String(text.into()));
        self
    }

    /// Describes a route, by its method and its pattern as the outermost router has it: behind the prefixes that it is nested
    /// under.
    ///
    /// A route that the router does not have, or that OpenAPI cannot say, is a fault, which [`check`](crate::Router::check)
    /// reports.
    pub fn describe(mut self, method: Method, pattern: &str, operation: Operation) -> OpenApi {
        self.described.push((method, pattern.to_string(), operation));
        self
    }

    /// Leaves out the routes whose pattern is this, or is below it: `"/ui"` leaves out `/ui` and `/ui/{page}`.
    pub fn hide(mut self, pattern: &str) -> OpenApi {
        self.hidden.push(pattern.trim_end_matches('/').to_string());
        self
    }

    /// Names a schema (JSON Schema 2020-12), so that others can refer to it by [`of`](OpenApi::of).
    pub fn schema(mut self, name: &str, schema: Value) -> OpenApi {
        self.schemas.insert(name.to_string(), schema);
        self
    }

    /// A reference to a named schema. `Problem` is there without being named: a problem document (RFC 9457).
    pub fn of(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// Sets another member of the document, such as `servers` or `security`. Those that this type makes (`paths`, `info`,
    /// `components.schemas`) stay as they are.
    pub fn member(mut self, name: &str, value: Value) -> OpenApi {
        self.members.insert(name.to_string(), value);
        self
    }

    /// The document for routes, each with its method (`None` for all of them) and its pattern. `fault` gets each description that
    /// is for none of them, and a clause that says why.
    pub(super) fn document(
        self,
        routes: &[(Option<&Method>, &str)],
        fault: &mut dyn FnMut(&Method, &str, &'static str),
    ) -> Value {
        let OpenApi { mut members, info, mut schemas, mut described, hidden } = self;
        let mut ids = BTreeSet::new();
        for (at, (method, pattern, operation)) in described.iter().enumerate() {
            if let Some(why) = cannot_describe(routes, method, pattern) {
                fault(method, pattern, why);
            }
            if described[..at].iter().any(|(of, at, _)| of == method && at == pattern) {
                fault(method, pattern, "it is described twice");
            }
            let has =
                |name: &String| pattern.split('/').filter_map(parameter_name).any(|known| known == name);
            if !operation.path.keys().all(has) {
                fault(method, pattern, "a parameter of the path is described that its pattern does not have");
            }
            if let Some(Value::String(id)) = operation.members.get("operationId") {
                if !ids.insert(id.clone()) {
                    fault(method, pattern, "two operations have the same operationId");
                }
            }
        }
        let is_hidden = |pattern: &str| {
            hidden.iter().any(|hidden| {
                pattern.strip_prefix(&**hidden).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let mut paths = Map::new();
        for (method, pattern) in routes {
            let Some(method) = method.filter(|method| METHODS.contains(&method.as_str())) else { continue };
            if is_hidden(pattern) || has_rest(pattern) {
                continue;
            }
            let at = described.iter().position(|(of, at, _)| of == *method && at == pattern);
            let operation = at.map(|at| described.swap_remove(at).2).unwrap_or_default();
            let methods = paths.entry(path(pattern)).or_insert_with(|| json!({}));
            let written = operation.written(pattern, || free_id(method, pattern, &mut ids));
            if let Value::Object(methods) = methods {
                methods.insert(method.as_str().to_ascii_lowercase(), written);
            }
        }
        schemas.entry("Problem").or_insert_with(problem);
        let components = members.entry("components").or_insert_with(|| json!({}));
        if let Value::Object(components) = components {
            components.insert("schemas".into(), Value::Object(schemas));
        }
        members.insert("openapi".into(), VERSION.into());
        members.insert("info".into(), Value::Object(info));
        members.insert("paths".into(), Value::Object(paths));
        Value::Object(members)
    }
}

impl Operation {
    /// An operation, in a few words.
    pub fn new(summary: impl Into<String>) -> Operation {
        Operation::default().member("summary", Value::String(summary.into()))
    }

    /// Says more than the summary. It may hold CommonMark.
    pub fn description(self, text: impl Into<String>) -> Operation {
        self.member("description", Value::String(text.into()))
    }

    /// The name that generated clients call the operation by, in place of one made of method and path, such as
    /// `get_api_sensors_id`. No two operations have the same.
    pub fn id(self, id: &str) -> Operation {
        self.member("operationId", id.into())
    }

    /// What a parameter of the path is (JSON Schema); text unless it is said.
    pub fn path(mut self, name: &str, schema: Value) -> Operation {
        self.path.insert(name.to_string(), schema);
        self
    }

    /// A parameter of the query, which may be missing.
    pub fn query(self, name: &str, schema: Value) -> Operation {
        self.parameter(json!({"name": name, "in": "query", "schema": schema}))
    }

    /// A parameter of the query, which must be there.
    pub fn required_query(self, name: &str, schema: Value) -> Operation {
        self.parameter(json!({"name": name, "in": "query", "required": true, "schema": schema}))
    }

    /// Any parameter, as a Parameter Object of OpenAPI: a field, or one with an example.
    pub fn parameter(mut self, parameter: Value) -> Operation {
        self.parameters.push(parameter);
        self
    }

    /// The request's body, as JSON of this schema. It must be there.
    pub fn json_body(self, schema: Value) -> Operation {
        self.body("application/json", schema)
    }

    /// The request's body, in this media type. Called several times, the client may choose. For bytes the schema is `{}`.
    pub fn body(mut self, media_type: &str, schema: Value) -> Operation {
        self.content.insert(media_type.to_string(), json!({"schema": schema}));
        self
    }

    /// A response without content, or whose content is not described.
    pub fn response(mut self, status: StatusCode, description: &str) -> Operation {
        self.responses.insert(status.as_u16().to_string(), json!({"description": description}));
        self
    }

    /// A response with JSON of this schema.
    pub fn json_response(self, status: StatusCode, description: &str, schema: Value) -> Operation {
        self.response_of(status, description, "application/json", schema)
    }

    /// A response in this media type. For bytes the schema is `{}`.
    pub fn response_of(
        mut self,
        status: StatusCode,
        description: &str,
        media_type: &str,
        schema: Value,
    ) -> Operation {
        let content = Map::from_iter([(media_type.to_string(), json!({"schema": schema}))]);
        let response = json!({"description": description, "content": content});
        self.responses.insert(status.as_u16().to_string(), response);
        self
    }

    /// Sets another member of the Operation Object, such as `tags`, `security` or `deprecated`.
    pub fn member(mut self, name: &str, value: Value) -> Operation {
        self.members.insert(name.to_string(), value);
        self
    }

    fn written(mut self, pattern: &str, id: impl FnOnce() -> String) -> Value {
        let mut parameters = Vec::new();
        for name in pattern.split('/').filter_map(parameter_name) {
            let schema = self.path.remove(name).unwrap_or_else(|| json!({"type": "string"}));
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
        parameters.extend(self.parameters);
        let mut members = self.members;
        if !parameters.is_empty() {
            members.insert("parameters".into(), parameters.into());
        }
        if !self.content.is_empty() {
            members.insert("requestBody".into(), json!({"required": true, "content": self.content}));
        }
        self.responses.entry("default").or_insert_with(|| {
            json!({
                "description": "Anything else, and every error: a problem document (RFC 9457)",
                "content": {"application/problem+json": {"schema": OpenApi::of("Problem")}},
            })
        });
        members.insert("responses".into(), Value::Object(self.responses));
        members.entry("operationId").or_insert_with(|| id().into());
        Value::Object(members)
    }
}

/// Why a description is for no route of a document.
fn cannot_describe(
    routes: &[(Option<&Method>, &str)],
    method: &Method,
    pattern: &str,
) -> Option<&'static str> {
    if !METHODS.contains(&method.as_str()) {
        Some("OpenAPI has no such method, so the route cannot be described")
    } else if has_rest(pattern) {
        Some("OpenAPI has no parameter with several segments, so a route with {*name} cannot be described")
    } else if routes.iter().any(|(of, at)| *of == Some(method) && *at == pattern) {
        None
    } else {
        Some("it is described, but not declared")
    }
}

fn has_rest(pattern: &str) -> bool {
    pattern.rsplit('/').next().is_some_and(|segment| segment.starts_with("{*"))
}

/// The name in a segment of a pattern that is a parameter.
fn parameter_name(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(name.strip_suffix("%2F").unwrap_or(name))
}

/// A pattern as a path of a document: parameters as `{name}`, and all else as it stands in a URL (RFC 3986 §3.3).
fn path(pattern: &str) -> String {
    let mut path = String::new();
    for segment in pattern.split('/').skip(1) {
        path.push('/');
        if let Some(name) = parameter_name(segment) {
            // Writing to a string does not fail.
            let _ = write!(path, "{{{name}}}");
            continue;
        }
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// An operationId that none has yet: `get_api_sensors_id`, or with a number behind it.
fn free_id(method: &Method, pattern: &str, ids: &mut BTreeSet<String>) -> String {
    let mut id = method.as_str().to_ascii_lowercase();
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        id.push('_');
        let name = parameter_name(segment).unwrap_or(segment);
        id.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    }
    let mut free = id.clone();
    let mut number = 1;
    while !ids.insert(free.clone()) {
        number += 1;
        free = format!("{id}_{number}");
    }
    free
}

/// RFC 9457, as lockgate writes it.
fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 100, "maximum": 599},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"detail": {"type": "string"}, "pointer": {"type": "string"}},
                },
            },
        },
    })
}
