//! Typed input: what a handler asks for in the path, the query, a form and JSON, what it is given, and what a client is told that
//! sends something else. Without a socket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use lockgate::{Error, IntoResponse, Json, Method, Problem, Request, Response, Router, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

/// What a client reads of an answer.
fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_bytes().unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8(bytes).unwrap().into()))
}

fn post(media_type: &str, body: &str) -> Request<'static> {
    Request::post("/").with_header("content-type", media_type).with_body(body)
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f32,
    #[serde(default)]
    samples: Vec<u8>,
    place: Option<Place>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    floor: i8,
    #[serde(default)]
    kind: Kind,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Room,
    Cellar,
}

/// The status, and the pointers and details in `errors`.
fn errors(mut request: Request) -> (u16, Vec<(String, String)>) {
    let (status, problem) = read(request.json::<Reading>().unwrap_err().into_response());
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_string();
    let listed = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    (status, listed.iter().map(|error| (text(error, "pointer"), text(error, "detail"))).collect())
}

#[test]
fn a_json_error_points_to_the_field() {
    for (body, pointer, word) in [
        (r#"{"sensor": 7, "celsius": 1}"#, "#/sensor", "expected a string"),
        (r#"{"sensor": "a", "celsius": "x"}"#, "#/celsius", "expected f32"),
        (r#"{"sensor": "a"}"#, "#", "missing field `celsius`"),
        (r#"{"celsius": 1, "samples": [1, 300]}"#, "#/samples/1", "expected u8"),
        (r#"{"celsius": 1, "samples": [[1], 300]}"#, "#/samples/0", "expected u8"),
        (r#"{"celsius": 1, "samples": [1, [2]]}"#, "#/samples/1", "expected u8"),
        (r#"{"celsius": 1, "samples": [1,2,{"a":[]}]}"#, "#/samples/2", "expected u8"),
        (r#"{"celsius": 1, "samples": {}}"#, "#/samples", "expected a sequence"),
        (r#"{"celsius": 1, "samples": null}"#, "#/samples", "expected a sequence"),
        ("{\n\"celsius\": 1,\n\"place\": {\n\"floor\":\t128}}", "#/place/floor", "expected i8"),
        (r#"{"place": {"floor": 1, "kind": "attic"}}"#, "#/place/kind", "unknown variant `attic`"),
        (r#"{"place": {"kind": "room"}, "celsius": 1}"#, "#/place", "missing field `floor`"),
        (r#"{"place": {"floor": 1, "a/b~c d%": 2}}"#, "#/place/a~1b~0c%20d%25", "unknown field"),
        (r#"{"place": {"floor": 1, "\u00e4\"": 2}}"#, "#/place/%C3%A4%22", "unknown field"),
        (r#"{"a":{"b":[[],{"c":"}"}]},"sensor":null}"#, "#/sensor", "expected a string"),
        (r#"["a", 1, 2]"#, "#/2", "expected a sequence"),
        ("[]", "#", "invalid length 0"),
        ("7", "#", "expected struct Reading"),
        ("\u{feff}\"x\"", "#", "expected struct Reading"),
    ] {
        let (status, errors) = errors(post("application/json", body));
        assert_eq!(status, 422, "{body}");
        assert_eq!(errors.len(), 1, "{body}");
        assert_eq!(errors[0].0, pointer, "{body}: {errors:?}");
        assert!(errors[0].1.contains(word) && !errors[0].1.contains("column"), "{body}: {errors:?}");
    }
    // What is no JSON at all has a line and a column, and no field.
    for body in ["", "{", "{\"sensor\": \"a\",}", "[\"a\" 1]", "nul", "{\"celsius\": 01}"] {
        let (status, errors) = errors(post("application/json", body));
        assert_eq!((status, errors.len()), (400, 0), "{body}");
    }
}

#[test]
fn what_a_client_sends_comes_back_only_in_part() {
    let long = "x".repeat(100_000);
    let deep = format!("{{\"{long}\": {{\"{long}\": 1}}}}");
    for body in [
        format!("{{\"celsius\": \"{long}\"}}"),
        format!("{{\"place\": {{\"floor\": 1, \"{long}\": 1}}}}"),
        format!("{{\"place\": {deep}}}"),
    ] {
        let response = post("application/json", &body).json::<Reading>().unwrap_err().into_response();
        assert!(response.into_bytes().unwrap().len() < 2000);
        let (_, errors) = errors(post("application/json", &body));
        assert!(errors[0].0.starts_with("#/"), "{errors:?}");
    }
    // Brackets without end do not fill the memory, nor the stack.
    let nested = format!("{{\"ignored\": {}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(
        errors(post("application/json", &nested)),
        (422, vec![("#".into(), "missing field `sensor`".into())])
    );

    let router = Router::new().get("/{id}", |request: &mut Request| -> Result<String, Error> {
        Ok(request.parse_param::<u16>("id")?.to_string())
    });
    let (status, problem) = read(router.call(&mut Request::get(&format!("/{long}"))));
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().len() < 300);
    // And nothing that a terminal or a page would take for more than text.
    let error = Request::get("/?id=a%1b%5B31m%e2%80%ae").parse_query::<u8>("id").unwrap_err();
    let (_, problem) = read(error.into_response());
    assert!(problem["detail"].as_str().unwrap().contains(r"'a\u{1b}[31m\u{202e}'"), "{problem}");
}

#[test]
fn json_is_taken_only_with_its_own_type() {
    let status = |fields: &[(&str, &str)]| {
        let mut request = Request::post("/");
        for (name, value) in fields {
            request = request.with_header(name, value);
        }
        match request.with_body("[1]").json::<Vec<u8>>() {
            Ok(_) => 200,
            Err(error) => error.into_response().status().as_u16(),
        }
    };
    let typed = |value: &str| status(&[("content-type", value)]);
    for good in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json;",
        "application/json; version=1; q=\"a;b\"",
        "application/merge-patch+json",
        "application/vnd.api+json; charset=utf8",
        "application/x-amz-json-1.1+json",
    ] {
        assert_eq!(typed(good), 200, "{good}");
    }
    // A page of another site can send each of these without its browser asking first, or they are not what they say.
    for bad in [
        "",
        "text/plain",
        "text/plain; application/json",
        "text/plain; a=\"application/json\"",
        "text/plain;+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=+json",
        "text/plain, application/json",
        "application/json, text/plain",
        "application/foo/bar+json",
        "application/+json",
        "+json",
        "/json",
        "json",
        "application/jsonp",
        "application/x-amz-json-1.1",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset",
        "application/json; charset=\"utf-8",
        "application/json charset=utf-8",
        "ä",
    ] {
        assert_eq!(typed(bad), 415, "{bad}");
    }
    assert_eq!(status(&[]), 415);
    assert_eq!(status(&[("content-type", "application/json"), ("content-type", "text/plain")]), 415);
    assert_eq!(status(&[("content-type", "text/plain"), ("content-type", "application/json")]), 415);
    let refused = Request::post("/").with_body("[1]").json::<Vec<u8>>().unwrap_err().into_response();
    assert_eq!(refused.header("accept").unwrap(), "application/json");
    let (_, problem) = read(refused);
    assert!(problem["detail"].as_str().unwrap().contains("Content-Type: application/json"), "{problem}");
}

#[test]
fn a_form_is_taken_only_with_its_own_type() {
    let status = |media_type: &str| match post(media_type, "a=1").form::<BTreeMap<String, u8>>() {
        Ok(_) => 200,
        Err(error) => error.into_response().status().as_u16(),
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    for good in [FORM.to_string(), format!("{FORM}; charset=utf-8"), format!("{FORM};charset=\"UTF-8\"")] {
        assert_eq!(status(&good), 200, "{good}");
    }
    for bad in [format!("{FORM}; charset=iso-8859-1"), format!("{FORM}, {FORM}"), "text/plain".to_string()] {
        assert_eq!(status(&bad), 415, "{bad}");
    }
    let twice = post(FORM, "a=1").with_header("content-type", "text/plain").form::<BTreeMap<String, u8>>();
    assert_eq!(twice.unwrap_err().into_response().status(), 415);
}

#[test]
fn a_parameter_of_the_path_is_read_as_what_is_asked_for() {
    let router = Router::new()
        .get("/ports/{port}", |request: &mut Request| -> Result<String, Error> {
            Ok(request.parse_param::<u16>("port")?.to_string())
        })
        .get("/peers/{ip}", |request: &mut Request| -> Result<String, Problem> {
            Ok(request.parse_param::<IpAddr>("ip")?.to_string())
        })
        .get("/typo/{ip}", |request: &mut Request| -> Result<String, Error> { request.parse_param("id") });
    let get = |target: &str| read(router.call(&mut Request::get(target)));
    assert_eq!(get("/ports/502"), (200, json!(502)));
    assert_eq!(get("/peers/::1"), (200, json!("::1")));
    for bad in ["65536", "-1", "x", "1.0", "%201", "0x10"] {
        let (status, problem) = get(&format!("/ports/{bad}"));
        let given = bad.replace("%20", " ");
        let detail =
            format!("the path's parameter 'port' is '{given}'; expected a whole number from 0 to 65535");
        assert_eq!(
            (status, &problem["detail"], &problem["parameter"]),
            (400, &json!(detail), &json!("port"))
        );
        assert_eq!(problem["title"], "Bad Request");
    }
    assert_eq!(
        get("/peers/1.2.3").1["detail"],
        "the path's parameter 'ip' is '1.2.3'; expected an IP address"
    );
    // A fault of the program, not of the client.
    assert_eq!(get("/typo/x").0, 404);
}

#[derive(Debug)]
struct Serial(u32);

impl FromStr for Serial {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Serial, &'static str> {
        let number = text.strip_prefix("SN-").and_then(|digits| digits.parse().ok());
        number.map(Serial).ok_or("a serial number looks like SN-1234")
    }
}

#[test]
fn a_parameter_of_the_query_is_read_as_what_is_asked_for() {
    fn limit(target: &str) -> Result<u32, (u16, String)> {
        Request::get(target).parse_query("limit").map_err(told)
    }
    fn told(error: Error) -> (u16, String) {
        let (status, problem) = read(error.into_response());
        (status, problem["detail"].as_str().unwrap().to_string())
    }
    assert_eq!(limit("/?limit=50"), Ok(50));
    assert_eq!(limit("/?a=b&limit=%35%30&c"), Ok(50));
    let number = "expected a whole number from 0 to 4294967295";
    for (target, detail) in [
        ("/", format!("the query has no parameter 'limit'; {number}")),
        ("/?Limit=1", format!("the query has no parameter 'limit'; {number}")),
        ("/?limit", format!("the query's parameter 'limit' is ''; {number}")),
        ("/?limit=", format!("the query's parameter 'limit' is ''; {number}")),
        ("/?limit=+5", format!("the query's parameter 'limit' is ' 5'; {number}")),
        ("/?limit=%zz", format!("the query's parameter 'limit' is '%zz'; {number}")),
        ("/?limit=%ff", format!("the query's parameter 'limit' is '\u{fffd}'; {number}")),
        ("/?limit=1&limit=2", "the query has the parameter 'limit' twice".to_string()),
    ] {
        assert_eq!(limit(target), Err((400, detail)), "{target}");
    }
    let optional = |target: &str| Request::get(target).parse_optional_query::<u32>("limit").map_err(told);
    assert_eq!(optional("/?limit=50"), Ok(Some(50)));
    assert_eq!(optional("/"), Ok(None));
    // A browser sends a field that nobody has filled in.
    assert_eq!(optional("/?limit="), Ok(None));
    assert_eq!(optional("/?limit=x").unwrap_err().0, 400);
    assert_eq!(optional("/?limit=1&limit=1").unwrap_err().0, 400);

    let serial = |target: &str| Request::get(target).parse_query::<Serial>("sn").map(|serial| serial.0);
    assert_eq!(serial("/?sn=SN-7").unwrap(), 7);
    let detail = told(serial("/?sn=7").unwrap_err()).1;
    assert_eq!(detail, "the query's parameter 'sn' is '7': a serial number looks like SN-1234");
    // The name of a type of the program is nobody's business.
    assert_eq!(told(serial("/").unwrap_err()).1, "the query has no parameter 'sn'");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Page {
    limit: u8,
    after: Option<u64>,
    #[serde(default)]
    kind: Vec<Kind>,
    text: Option<String>,
}

#[test]
fn a_whole_query_is_read_into_a_type() {
    let page = |target: &str| Request::get(target).query_as::<Page>();
    let first = Page { limit: 20, after: None, kind: Vec::new(), text: None };
    assert_eq!(page("/?limit=20").unwrap(), first);
    // Empty is nothing, as browsers send it.
    assert_eq!(page("/?text=&after=&limit=20&unknown=1").unwrap(), first);
    let full = page("/?kind=room&limit=1&kind=cellar&after=18446744073709551615&text=a+b%26").unwrap();
    let kind = vec![Kind::Room, Kind::Cellar];
    assert_eq!(full, Page { limit: 1, after: Some(u64::MAX), kind, text: Some("a b&".into()) });
    for (target, parameter, detail) in [
        ("/?limit=256", "limit", "is '256'; expected a whole number from 0 to 255"),
        ("/?limit=", "limit", "is ''; expected a whole number from 0 to 255"),
        ("/?limit=1&limit=2", "limit", "is there twice"),
        ("/?limit=1&after=x", "after", "is 'x'; expected a whole number from 0 to 18446744073709551615"),
        ("/?limit=1&kind=attic", "kind", "unknown variant `attic`, expected `room` or `cellar`"),
    ] {
        let (status, problem) = read(page(target).unwrap_err().into_response());
        assert_eq!((status, &problem["parameter"]), (400, &json!(parameter)), "{target}: {problem}");
        let told = problem["detail"].as_str().unwrap();
        assert!(told.contains(detail) && told.contains(parameter), "{target}: {told}");
    }
    let (status, problem) = read(page("/").unwrap_err().into_response());
    assert_eq!((status, &problem["parameter"]), (400, &Value::Null));
    assert!(problem["detail"].as_str().unwrap().contains("missing field `limit`"), "{problem}");
    // No query is an empty query, for types that are content with it.
    assert!(Request::get("/").query_as::<BTreeMap<String, String>>().unwrap().is_empty());
    assert!(Request::get("/?").query_as::<Option<BTreeMap<String, String>>>().unwrap().unwrap().is_empty());
    let many = format!("/?{}", "a=1&".repeat(1001));
    assert_eq!(
        read(Request::get(&many).query_as::<BTreeMap<String, Vec<u8>>>().unwrap_err().into_response()).0,
        400
    );
}

#[test]
fn a_form_error_points_to_the_field() {
    let form = |body: &str| post("application/x-www-form-urlencoded", body).form::<Page>();
    assert_eq!(form("limit=5").unwrap().limit, 5);
    let (status, problem) = read(form("limit=500").unwrap_err().into_response());
    assert_eq!(status, 422);
    let error = json!([{"detail": "is '500'; expected a whole number from 0 to 255", "pointer": "#/limit"}]);
    assert_eq!(problem["errors"], error);
}

#[test]
fn errors_become_problems_and_tell_no_more_than_before() {
    fn device() -> Result<String, Error> {
        Ok(std::fs::read_to_string("/nonexistent/secret-name")?)
    }
    let router = Router::new()
        .post("/", |request: &mut Request| -> Result<Json<Reading>, Problem> {
            let reading: Reading = request.json()?;
            if reading.celsius < -273.15 {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY);
                return Err(problem.error("/celsius", "is below absolute zero"));
            }
            Ok(Json(reading))
        })
        .get("/io", |_: &mut Request| -> Result<String, Problem> { Ok(device()?) })
        .get("/both", |_: &mut Request| -> Result<String, Error> {
            Err(Problem::new(StatusCode::CONFLICT).member("retry", 30))?
        })
        .get("/back", |_: &mut Request| -> Result<String, Problem> {
            let error: Error = Problem::new(StatusCode::CONFLICT).member("retry", 30).into();
            Err(error)?
        })
        .get("/answer", |_: &mut Request| -> Result<String, Problem> {
            Err(Error::answer(StatusCode::BAD_GATEWAY, "the pump's password is wrong"))?
        });
    let call = |mut request: Request| read(router.call(&mut request));
    let reading = json!({"sensor": "a", "celsius": 1.5, "samples": [], "place": null});
    assert_eq!(call(Request::post("/").with_json(&reading)), (200, reading));
    let (status, problem) = call(Request::post("/").with_json(&json!({"sensor": "a", "celsius": -300})));
    assert_eq!(status, 422);
    assert_eq!(problem["errors"], json!([{"detail": "is below absolute zero", "pointer": "#/celsius"}]));
    assert_eq!(call(Request::post("/").with_body("{}")).0, 415);
    let refused = router.call(
        &mut Request::post("/")
            .with_header("content-type", "application/json")
            .with_header("content-encoding", "gzip"),
    );
    assert_eq!(refused.header("accept-encoding").unwrap(), "identity");
    for target in ["/io", "/answer"] {
        let (status, problem) = call(Request::get(target));
        assert_eq!(status, if target == "/io" { 500 } else { 502 });
        assert_eq!(problem.get("detail"), None, "{problem}");
    }
    for target in ["/both", "/back"] {
        let (status, problem) = call(Request::get(target));
        assert_eq!((status, &problem["retry"]), (409, &json!(30)));
    }
}

#[test]
fn a_problem_lists_what_is_wrong_and_where() {
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!problem.has_errors());
    for (pointer, expected) in [
        ("/name", "#/name"),
        ("", "#"),
        ("/samples/3/celsius", "#/samples/3/celsius"),
        // RFC 6901 §6.
        ("/c%d", "#/c%25d"),
        ("/e^f", "#/e%5Ef"),
        ("/ ", "#/%20"),
        ("/m~0n", "#/m~0n"),
        ("/a~1b", "#/a~1b"),
        ("/ä", "#/%C3%A4"),
        ("name", "#/name"),
    ] {
        problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY).error(pointer, "is wrong");
        assert!(problem.has_errors());
        let (_, document) = read(problem.clone().into_response());
        assert_eq!(document["errors"][0]["pointer"], expected);
    }
    for number in 0..1000 {
        problem = problem.error(format!("/{number}"), "is wrong");
    }
    let (_, document) = read(problem.into_response());
    assert_eq!(document["errors"].as_array().unwrap().len(), 100);
    let text = Problem::new(StatusCode::CONFLICT).detail("It is being calibrated.").to_string();
    assert_eq!(text, "409 Conflict: It is being calibrated.");
}

#[test]
fn a_body_without_a_type_is_still_there_for_a_program_that_wants_it() {
    let router =
        Router::new().route(Method::PUT, "/", |request: &mut Request| -> Result<Json<usize>, Error> {
            let list: Vec<u8> = serde_json::from_slice(&request.bytes()?)
                .map_err(|error| Error::answer(StatusCode::BAD_REQUEST, error))?;
            Ok(Json(list.len()))
        });
    assert_eq!(read(router.call(&mut Request::new(Method::PUT, "/").with_body("[1,2]"))), (200, json!(2)));
}

#[test]
fn what_is_read_into_memory_has_a_limit_of_its_own() {
    const MIB: usize = 1 << 20;
    let spaces = |count: usize| " ".repeat(count);
    let status = |error: Error| error.into_response().status().as_u16();
    let json = |length: usize| post("application/json", &(spaces(length - 1) + "1"));
    let form =
        |length: usize| post("application/x-www-form-urlencoded", &("a=".to_string() + &spaces(length - 2)));
    let text = |length: usize| Request::post("/").with_body(spaces(length));
    assert_eq!(json(MIB).json::<u8>().unwrap(), 1);
    assert_eq!(form(MIB).form::<BTreeMap<String, String>>().unwrap()["a"].len(), MIB - 2);
    assert_eq!(text(MIB).text().unwrap().len(), MIB);
    assert_eq!(status(json(MIB + 1).json::<u8>().unwrap_err()), 413);
    assert_eq!(status(form(MIB + 1).form::<Value>().unwrap_err()), 413);
    assert_eq!(status(text(MIB + 1).text().unwrap_err()), 413);
    assert_eq!(json(2 * MIB).json_up_to::<u8>(2 * MIB as u64).unwrap(), 1);
    assert_eq!(status(json(11).json_up_to::<u8>(10).unwrap_err()), 413);
    assert_eq!(
        form(2 * MIB).form_up_to::<BTreeMap<String, String>>(2 * MIB as u64).unwrap()["a"].len(),
        2 * MIB - 2
    );
    assert_eq!(status(form(11).form_up_to::<Value>(10).unwrap_err()), 413);
    assert_eq!(text(2 * MIB).text_up_to(u64::MAX).unwrap().len(), 2 * MIB);
}

#[test]
fn text_is_utf_8() {
    let text = |media_type: &str, body: &[u8]| {
        let mut request = Request::post("/").with_header("content-type", media_type).with_body(body);
        request.text().map_err(|error| error.into_response().status().as_u16())
    };
    assert_eq!(text("text/plain", "Küche".as_bytes()).unwrap(), "Küche");
    assert_eq!(text("text/plain; charset=UTF-8", b"").unwrap(), "");
    assert_eq!(text("anything", b"a").unwrap(), "a");
    assert_eq!(text("text/plain; charset=iso-8859-1", b"K\xfcche"), Err(415));
    assert_eq!(text("text/plain", b"K\xfcche"), Err(400));
}
