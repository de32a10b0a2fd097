//! A whole exchange with a backend that answers with any bytes, in any pieces: the client gets the backend's answer as a simple
//! reading finds it, or a 502, or an answer that is cut; and the next client gets its own.
//!
//! An input's first byte says which method is asked with (from `0` on: GET, HEAD, POST) and, times three, whether the backend
//! closes the connection at the end. In the bytes that follow, 0xfe ends a piece, which is sent by itself.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use lockgate::{Proxy, Request, Response, Router};

/// After which the proxy is taken to hang.
const SAFETY: Duration = Duration::from_secs(20);

/// What the backend does about the next request for `/fuzz`.
#[derive(Default)]
struct Script {
    pieces: Vec<Vec<u8>>,
    closes: bool,
}

struct World {
    router: Router,
    script: Arc<Mutex<Script>>,
    /// Says that a script was played.
    played: Mutex<Receiver<()>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // Rust's own main would have the signal ignored, which comes of writing to a closed socket; libFuzzer's does not.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).unwrap();
    let path = std::env::temp_dir().join(format!("lockgate-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let script: Arc<Mutex<Script>> = Arc::default();
    let (sender, played) = sync_channel(64);
    let shared = script.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, shared, sender) = (stream.unwrap(), shared.clone(), sender.clone());
            std::thread::spawn(move || backend(stream, &shared, &sender));
        }
    });
    let proxy = Proxy::to(&format!("unix:{}", path.display())).unwrap();
    let proxy = proxy.answer_timeout(SAFETY).silence_timeout(SAFETY);
    World { router: Router::new().fallback(proxy.handler()), script, played: Mutex::new(played) }
});

fn backend(mut stream: UnixStream, script: &Mutex<Script>, played: &SyncSender<()>) {
    let mut come = Vec::new();
    loop {
        while !come.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece) {
                Ok(read) if read > 0 => come.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
        let is_next = come.starts_with(b"GET /next ");
        come.clear();
        if is_next {
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown").is_err() {
                return;
            }
            continue;
        }
        let script = script.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in &script.pieces {
            // A proxy that has heard enough closes.
            let _ = stream.write_all(piece);
            std::thread::yield_now();
        }
        let closes = script.closes;
        drop(script);
        // Before the end, so that the answer comes behind it also when the proxy has asked twice.
        let _ = played.try_send(());
        if closes {
            return;
        }
    }
}

/// An answer as a simple reading finds it.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    Whole(u16, Vec<u8>),
    Cut,
}

/// Reads what a backend has sent before it has closed, and whether the end of the answer is that of the connection.
fn meant(mut rest: &[u8], method: &str) -> (Meant, bool) {
    loop {
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (Meant::Cut, true);
        };
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        rest = &rest[end + 4..];
        let Some(status) = head.get(9..12).and_then(|status| status.parse().ok()) else {
            return (Meant::Cut, true);
        };
        if (100..200).contains(&status) {
            continue;
        }
        let value = |name: &str| {
            let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
            fields.find(|(known, _)| *known == name).map(|(_, value)| value.trim().to_string())
        };
        if method == "HEAD" || status == 204 || status == 304 {
            return (Meant::Whole(status, Vec::new()), false);
        }
        let (coding, length) = (value("transfer-encoding"), value("content-length"));
        let ends_with_close = coding.is_none() && length.is_none();
        // Whatever the backend adds to it, the client gets none of it (RFC 9110 §15.3.6).
        if status == 205 {
            return (Meant::Whole(status, Vec::new()), ends_with_close);
        }
        let body = match (coding, length) {
            (Some(_), _) => unchunk(rest),
            (None, Some(length)) => {
                length.parse().ok().and_then(|length| rest.get(..length)).map(<[u8]>::to_vec)
            }
            (None, None) => Some(rest.to_vec()),
        };
        return (body.map_or(Meant::Cut, |body| Meant::Whole(status, body)), ends_with_close);
    }
}

/// The data of a chunked body whose end is there.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    let line = |rest: &[u8]| rest.windows(2).position(|two| two == b"\r\n");
    loop {
        let end = line(rest)?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split([';', ' ', '\t']).next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        data.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let end = line(rest)?;
        rest = &rest[end + 2..];
        if end == 0 {
            return Some(data);
        }
    }
}

/// What the client gets: the status, and the body unless it is cut.
fn ask(method: &str, pieces: Vec<Vec<u8>>, closes: bool) -> (u16, Option<Vec<u8>>) {
    let played = WORLD.played.lock().unwrap_or_else(PoisonError::into_inner);
    while played.try_recv().is_ok() {}
    *WORLD.script.lock().unwrap_or_else(PoisonError::into_inner) = Script { pieces, closes };
    let mut request = match method {
        "HEAD" => Request::new(lockgate::Method::HEAD, "/fuzz"),
        "POST" => Request::post("/fuzz"),
        _ => Request::get("/fuzz"),
    };
    let response = WORLD.router.call(&mut request);
    let status = response.status().as_u16();
    for (name, value) in response.headers() {
        assert!(
            !name.as_str().is_empty()
                && !value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        );
        assert!(!["connection", "keep-alive", "transfer-encoding", "upgrade", "te"].contains(&name.as_str()));
    }
    let body = response.into_bytes().ok();
    // What the backend says later than the next request nobody can tell from its answer.
    played.recv_timeout(SAFETY).expect("the backend has played its script");
    (status, body)
}

fn is_own(response: Response) -> bool {
    response.status() == 200 && response.into_bytes().is_ok_and(|body| body == b"own")
}

fuzz_target!(|input: &[u8]| {
    let Some((plan, script)) = input.split_first() else { return };
    let plan = plan.wrapping_sub(b'0');
    let method = ["GET", "HEAD", "POST"][usize::from(plan % 3)];
    let whole: Vec<u8> = script.iter().copied().filter(|byte| *byte != 0xfe).collect();
    let pieces: Vec<Vec<u8>> = script.split(|byte| *byte == 0xfe).map(<[u8]>::to_vec).collect();
    let (expected, ends_with_close) = meant(&whole, method);
    // A backend that keeps the connection and does not end its answer is waited for.
    let closes = plan / 3 % 2 == 0 || expected == Meant::Cut || ends_with_close;
    let mut outcomes = Vec::new();
    for pieces in [vec![whole.clone()], pieces] {
        let (status, body) = ask(method, pieces, closes);
        match (&expected, &body) {
            // The proxy has found it wrong.
            (_, Some(_)) if status == 502 => {}
            (Meant::Whole(known, data), Some(body)) => {
                assert!(*known == status && data == body, "{expected:?} {status} {body:?}")
            }
            (Meant::Cut, Some(body)) => panic!("completed: {status} {body:?}"),
            (_, None) => {}
        }
        outcomes.push((status != 502 && body.is_some(), status, body));
        assert!(is_own(WORLD.router.call(&mut Request::get("/next"))));
    }
    let [at_once, in_pieces] = &outcomes[..] else { unreachable!() };
    assert_eq!(at_once.0, in_pieces.0, "{at_once:?} {in_pieces:?}");
});
