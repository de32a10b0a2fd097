//! The page of `lockgate demo`, in Chromium: it shows the load of the machine as it changes, what protects the connection and an
//! echo, for everybody, and it comes back after the connection was lost.

// A part of each is used here.
#[allow(dead_code)]
#[path = "support_command/devtools.rs"]
mod devtools;
mod support_command;

use std::fs;

use lockgate::serde_json::{json, Value};
use rustls::pki_types::{pem::PemObject, CertificateDer};
use tempfile::TempDir;

use devtools::Browser;
use support_command::client::Client;
use support_command::peers;
use support_command::{lockgate, text, Server, BODY};

/// Here nothing else takes the port of a demo that ends and begins again.
const HOST: &str = "127.0.0.5";

/// The demo, and a browser that shows its page.
struct Shown {
    server: Server,
    port: u16,
    dir: TempDir,
    browser: Browser,
}

impl Shown {
    fn open(test: &str) -> Option<Shown> {
        let dir = TempDir::new().unwrap();
        let mut server = demo(&dir, HOST, 0);
        let port = server.https_port();
        let mut browser = Browser::open(test, dir.path(), &format!("MAP * {HOST}"))?;
        let watch =
            "globalThis.violations = []; document.addEventListener('securitypolicyviolation', (event) => \
                     violations.push(event.effectiveDirective + ' ' + event.blockedURI));";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": watch}));
        browser.go(&format!("https://localhost:{port}/"));
        browser.until("document.body.className === 'live'");
        Some(Shown { server, port, dir, browser })
    }

    /// How many measurements the chart shows.
    fn points(&mut self) -> u64 {
        self.browser.value(POINTS).as_u64().unwrap()
    }

    fn says(&mut self, message: &str) {
        self.browser.until("!document.querySelector('#send button').disabled");
        self.browser.value(&format!(
            "document.getElementById('text').value = '{message}'; document.getElementById('send').requestSubmit()"
        ));
        self.browser
            .until(&format!("document.querySelector('#answers li span')?.textContent === '{message}'"));
    }
}

const POINTS: &str = "(document.getElementById('line').getAttribute('d') ?? '').split('L').length - 1";

fn demo(dir: &TempDir, host: &str, port: u16) -> Server {
    let https = format!("{host}:{port}");
    Server::spawn(lockgate(&["demo", "--dir", text(dir.path()), "--https", &https, "--http", "off"]))
}

#[test]
fn the_page_shows_the_load_the_connection_and_an_echo() {
    let Some(mut shown) = Shown::open("the_page_shows_the_load_the_connection_and_an_echo") else { return };
    // The chart is not empty at first, and grows.
    let first = shown.points();
    assert!(first > 0);
    shown.browser.until(&format!("{POINTS} >= {}", first + 2));
    let busy = shown.browser.value("document.getElementById('busy').textContent");
    assert!(busy.as_str().unwrap().ends_with(" %"), "{busy}");
    let average = shown.browser.value("Number(document.getElementById('fifteen').textContent)");
    assert!(average.is_number(), "{average}");

    shown.browser.until("document.querySelectorAll('#facts dd').length === 5");
    let facts =
        shown.browser.value("[...document.querySelectorAll('#facts dd')].map((fact) => fact.textContent)");
    let fact = |at: usize| facts[at].as_str().unwrap();
    assert!(fact(0).starts_with("TLSv1.3"), "{facts}");
    assert!(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
        .contains(&fact(1)));
    assert!(fact(2).starts_with('x') || fact(2).starts_with('X'), "{facts}");
    assert_eq!(fact(3), "localhost, 127.0.0.1, ::1");
    // Within the certificate's first second all of its days are left.
    assert!(["89 days, until ", "90 days, until "].iter().any(|said| fact(4).starts_with(said)), "{facts}");

    shown.says("over and <b>out</b>");
    shown.says("ä€😀");

    // Nothing that the page does is against its policy, and nothing but its own files may run.
    assert_eq!(shown.browser.value("violations"), json!([]));
    shown.browser.value(
        "const script = document.createElement('script'); script.textContent = 'globalThis.ran = true'; \
         document.body.append(script); document.body.setAttribute('onclick', 'globalThis.ran = true'); \
         document.body.click()",
    );
    assert_eq!(shown.browser.value("globalThis.ran"), Value::Null);
    shown.browser.until("violations.length === 2");
    let log = shown.server.stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn the_page_says_so_when_the_demo_is_gone_and_comes_back_with_it() {
    let test = "the_page_says_so_when_the_demo_is_gone_and_comes_back_with_it";
    let Some(mut shown) = Shown::open(test) else { return };
    shown.says("before");
    shown.browser.until(&format!("{POINTS} >= 3"));
    shown.server.stop();
    shown.browser.until("document.body.className === 'lost'");
    let state = shown.browser.value("document.getElementById('state').textContent");
    assert_eq!(state, "connection lost, trying again…");
    shown.browser.until("document.querySelector('#send button').disabled");
    let before = shown.points();
    shown.server = demo(&shown.dir, HOST, shown.port);
    shown.browser.until("document.body.className === 'live'");
    // What was shown is still there, and is joined by what comes.
    shown.browser.until(&format!("{POINTS} > {before}"));
    shown.says("after");
    shown.server.stop();
}

#[test]
fn a_page_that_comes_back_has_no_gap_and_no_point_twice() {
    let test = "a_page_that_comes_back_has_no_gap_and_no_point_twice";
    let Some(mut shown) = Shown::open(test) else { return };
    // Nobody sees it, so it holds no connection, of which a browser has six for all tabs of a site.
    shown.browser.value(
        "globalThis.closes = 0; const close = EventSource.prototype.close; \
         EventSource.prototype.close = function () { closes += 1; close.call(this) }; \
         globalThis.see = (is) => { Object.defineProperty(document, 'hidden', {value: !is, configurable: true}); \
             document.dispatchEvent(new Event('visibilitychange')) }; see(false)",
    );
    assert_eq!(shown.browser.value("closes"), 1);
    let before = shown.points();
    let another = "globalThis.came = 0; const another = new EventSource('api/load'); \
                   another.addEventListener('load', () => { came += 1 })";
    shown.browser.value(another);
    shown.browser.until(&format!("came >= {}", before + 3));
    assert_eq!(shown.points(), before);
    shown.browser.value("see(true)");
    shown.browser.until(&format!("{POINTS} >= {}", before + 3));
    // One piece.
    let pieces =
        shown.browser.value("document.getElementById('line').getAttribute('d').split('M').length - 1");
    assert_eq!(pieces, 1);
    let xs = shown
        .browser
        .value("document.getElementById('line').getAttribute('d').match(/[\\d.]+(?= )/g).map(Number)");
    let xs: Vec<f64> = xs.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    // A time without measurements ends where the next begins, and so may be there twice.
    let again = xs.windows(2).filter(|two| two[1] - two[0] < 0.3).count();
    assert!(again <= 1, "{xs:?}");
}

#[test]
fn the_page_is_for_keyboards_and_screen_readers_and_narrow_and_dark_screens() {
    let test = "the_page_is_for_keyboards_and_screen_readers_and_narrow_and_dark_screens";
    let Some(mut shown) = Shown::open(test) else { return };
    let browser = &mut shown.browser;
    // What is reached by the Tab key, in its order.
    let mut reached = Vec::new();
    for _ in 0..3 {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            browser.call("Input.dispatchKeyEvent", key);
        }
        reached.push(browser.value("document.activeElement.tagName"));
    }
    assert_eq!(reached, ["SUMMARY", "INPUT", "BUTTON"]);
    // What a screen reader is told.
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes: Vec<(String, String)> = tree["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["ignored"] != true)
        .map(|node| {
            let part = |part: &str| node[part]["value"].as_str().unwrap_or_default().to_string();
            (part("role"), part("name"))
        })
        .collect();
    for (role, name) in [
        ("heading", "lockgate demo"),
        ("region", "Load of this machine"),
        ("image", "Processors busy in the last two minutes: "),
        ("region", "This connection"),
        ("region", "Echo"),
        ("textbox", "Message"),
        ("button", "Send"),
        ("log", "Echo"),
        ("status", ""),
        ("main", ""),
    ] {
        let is_it = |(known, named): &(String, String)| known == role && named.starts_with(name);
        assert!(nodes.iter().any(is_it), "{role} {name:?}: {nodes:?}");
    }
    // The values of the chart, for those who do not see it.
    browser.value("document.getElementById('values').open = true");
    browser.until("document.querySelectorAll('#table tr').length > 0");
    let row = browser.value("document.querySelector('#table tr').textContent");
    assert!(row.as_str().unwrap().ends_with(" %"), "{row}");
    browser.value("document.getElementById('values').open = false");

    for (width, scheme) in [(320, "light"), (320, "dark"), (1000, "dark"), (1000, "light")] {
        let size = json!({"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.call("Emulation.setEmulatedMedia", media);
        let fits = browser.value("document.scrollingElement.scrollWidth <= innerWidth");
        assert_eq!(fits, true, "{width}");
        for (element, least) in CONTRASTS {
            let ratio = browser.value(&format!("({CONTRAST})(document.querySelector('{element}'))"));
            assert!(ratio.as_f64().unwrap() >= least, "{scheme}: {element}: {ratio}");
        }
    }
    // For pictures/demo.png, when the page has changed.
    shown.says("Hello");
    shown.browser.value("document.activeElement.blur()");
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/demo.png.base64");
    fs::write(file, shown.browser.picture()).unwrap();
}

/// WCAG 2.2, 1.4.3: text needs 4.5.
const CONTRASTS: [(&str, f64); 5] =
    [("#busy", 4.5), ("dt", 4.5), (".how", 4.5), ("#state", 4.5), ("button", 4.5)];
/// The contrast of an element's text, by the definition of WCAG 2.2.
const CONTRAST: &str = "(element) => {
    const light = (color) => {
        const parts = color.match(/[\\d.]+/g).map(Number).slice(0, 3).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let under = element;
    while (getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
    const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(under).backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}";

#[test]
fn what_the_demo_answered_before_is_as_it_was() {
    let dir = TempDir::new().unwrap();
    let mut server = demo(&dir, "127.0.0.1", 0);
    let port = server.https_port();
    let line = server.stdout.expect("Or in a browser: ");
    assert!(line.starts_with(&format!("Or in a browser: https://localhost:{port}/ ")), "{line}");
    let ca = fs::read(dir.path().join("ca.pem")).unwrap();
    let mut client = Client::connect(port, &CertificateDer::from_pem_slice(&ca).unwrap());
    let mut ask = |request: &str| {
        client.send(&format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        client.response()
    };
    let (head, body) = ask("GET /api/data");
    assert_eq!(body, BODY);
    assert!(!head.contains("content-security-policy"), "{head}");
    for (request, status) in
        [("GET /none", 404), ("POST /api/data", 405), ("POST /none", 404), ("POST /", 405)]
    {
        let (head, _) = ask(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/demo.css", "text/css; charset=utf-8"),
        ("/demo.js", "text/javascript; charset=utf-8"),
        ("/demo.svg", "image/svg+xml"),
        ("/api/connection", "application/json"),
    ] {
        let (head, body) = ask(&format!("GET {path}"));
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        for field in [
            &format!("content-type: {kind}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{path}: {field}: {head}");
        }
        // Nothing from elsewhere but the name of a namespace.
        let others = body.matches("//").count() - body.matches("// ").count();
        let known = body.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(others, known, "{path}");
    }
}
