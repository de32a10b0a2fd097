//! Every limit holds for every client. A client over a limit gets an HTTP answer if one is still possible, and the log names
//! the limit once.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate::{Error, Limits, Request, Response, Router};

use support::{
    assert_limit_named, chunked, get, lines, noise, post, serve_within, Client, End, Gate, Serving, Shape,
    SAFETY,
};

/// A timer that is to run out.
const SHORT: Duration = Duration::from_millis(400);

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/endless", |_: &mut Request| Response::reader(std::io::repeat(b'x')))
        .post("/", |request: &mut Request| -> Result<String, Error> {
            Ok(request.bytes()?.len().to_string())
        })
        .post("/unread", |_: &mut Request| "unread")
}

fn within(change: impl FnOnce(&mut Limits)) -> Serving {
    serve_within(router(), change)
}

fn in_chunks(path: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.into_bytes(), chunked(&vec![b'x'; length], 100)].concat()
}

/// The next answer is this refusal, the last one, and the limit is named.
fn assert_refused(client: &mut Client, status: u16, limit: &str) {
    let reply = client.reply();
    assert_eq!((reply.status, reply.closes()), (status, true), "{limit}: {reply:?}");
    reply.problem();
    client.expect_goodbye();
    client.assert_limit_named(limit);
}

/// The server closes without a word.
fn assert_closed(mut tcp: TcpStream, limit: &str) {
    let address = tcp.local_addr().unwrap();
    let mut answer = Vec::new();
    match tcp.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{limit}"),
    }
    assert!(answer.is_empty(), "{limit}: {answer:?}");
    assert_limit_named(address, limit);
}

#[test]
fn a_handshake_that_is_not_finished_is_closed() {
    let serving = within(|limits| limits.handshake_timeout = SHORT);
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut tcp = serving.connect_silently();
        tcp.write_all(bytes).unwrap();
        assert_closed(tcp, "handshake_timeout");
    }
    assert_eq!(serving.get("/").status, 200);
}

#[test]
fn a_head_that_is_not_finished_is_answered_with_408_and_silence_with_a_close() {
    let serving = within(|limits| limits.head_timeout = SHORT);
    let mut half = serving.connect();
    half.send("GET / HTTP/1.1\r\nHos");
    assert_refused(&mut half, 408, "head_timeout");

    let mut second = serving.connect();
    assert_eq!(second.get("/").status, 200);
    second.send("G");
    assert_refused(&mut second, 408, "head_timeout");

    let mut silent = serving.connect();
    silent.expect_goodbye();
    silent.wait_for_limit("head_timeout");
}

#[test]
fn a_head_that_drips_in_has_no_longer_than_one_that_stops() {
    let serving = within(|limits| limits.head_timeout = SHORT);
    let mut client = serving.connect();
    client.send("GET / HTTP/1.1\r\nX: ");
    let mut dripping = true;
    while dripping {
        dripping = client.try_send(b"x").is_ok() && client.stays_silent_for(Duration::from_millis(2));
    }
    assert_eq!(client.reply().status, 408);
    client.assert_limit_named("head_timeout");
}

#[test]
fn a_head_has_so_many_bytes_and_fields() {
    let serving = within(|limits| {
        limits.head_bytes = 300;
        limits.head_fields = 3;
    });
    let head = |target: usize, value: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "?".repeat(target), "x".repeat(value))
    };
    let rest = head(0, 0).len();
    assert_eq!(serving.connect().get("/").status, 200);
    for (bytes, expected) in [
        (head(300 - rest, 0), Ok(())),
        (head(0, 300 - rest), Ok(())),
        (head(301 - rest, 0), Err((431, "head_bytes"))),
        (head(0, 301 - rest), Err((431, "head_bytes"))),
        (head(0, 100_000), Err((431, "head_bytes"))),
        (head(300, 0), Err((414, "head_bytes"))),
        (head(100_000, 0), Err((414, "head_bytes"))),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n".into(), Ok(())),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n".into(), Err((431, "head_fields"))),
    ] {
        let mut client = serving.connect();
        client.send(&bytes);
        match expected {
            Ok(()) => assert_eq!(client.reply().status, 200, "{bytes}"),
            Err((status, limit)) => assert_refused(&mut client, status, limit),
        }
    }
}

#[test]
fn a_body_over_the_limit_is_413_however_it_is_framed_and_kept() {
    // Kept in memory whole, and read by the handler as it comes.
    for buffer in [64 * 1024, 100] {
        let serving = within(|limits| {
            limits.body_bytes = 1000;
            limits.body_buffer_bytes = buffer;
        });
        for length in [999, 1000] {
            for request in [post("/", &noise(length)), in_chunks("/", length)] {
                let mut client = serving.connect();
                client.send(request);
                assert_eq!(client.reply().text(), length.to_string());
                assert_eq!(client.get("/").status, 200);
            }
        }
        for request in [post("/", &noise(1001)), in_chunks("/", 1001), in_chunks("/", 100_000)] {
            let mut client = serving.connect();
            client.send(request);
            assert_refused(&mut client, 413, "body_bytes");
        }
        let mut announced = serving.connect();
        announced.send(post("/unread", &noise(1001)));
        assert_refused(&mut announced, 413, "body_bytes");
    }
    // Who reads nothing of a body that was not kept answers as it likes, and the connection ends with it.
    let serving = within(|limits| {
        limits.body_bytes = 1000;
        limits.body_buffer_bytes = 100;
    });
    let mut unread = serving.connect();
    unread.send(in_chunks("/unread", 100_000));
    let reply = unread.reply();
    assert_eq!((reply.text(), reply.closes()), ("unread", true));
    unread.expect_goodbye();
}

#[test]
fn a_body_that_comes_too_slowly_is_408() {
    for buffer in [64 * 1024, 10] {
        let serving = within(|limits| {
            limits.body_timeout = SHORT;
            limits.body_min_rate = 1_000_000;
            limits.body_buffer_bytes = buffer;
        });
        let (fixed, coded) = (post("/", &noise(1000)), in_chunks("/", 1000));
        for request in [&fixed, &coded] {
            let mut client = serving.connect();
            client.send(&request[..request.len() - 10]);
            assert_refused(&mut client, 408, "body_timeout");
        }
    }
}

#[test]
fn a_kept_connection_is_closed_when_it_was_idle_for_too_long() {
    let serving = within(|limits| limits.idle_timeout = SHORT);
    let mut client = serving.connect();
    assert_eq!(client.get("/").status, 200);
    client.expect_goodbye();
    client.assert_limit_named("idle_timeout");
}

#[test]
fn a_response_that_nobody_reads_is_cut() {
    let serving = within(|limits| limits.write_timeout = SHORT);
    let mut client = serving.connect();
    client.send(get("/endless"));
    client.wait_for_limit("write_timeout");
    let (_, end) = client.rest();
    assert!(matches!(end, End::Cut | End::Reset), "{end:?}");
}

/// A connection that is taken in and served as soon as another makes room. The server may not have parked one yet whose
/// answer has been read already; then it has none to close, and refuses at first.
fn served_when_there_is_room(serving: &Serving) -> Client {
    let deadline = Instant::now() + SAFETY;
    // It comes ever less often, because each refusal is a line of the log, which has 20 in a minute.
    let mut pause = Duration::from_millis(5);
    while Instant::now() < deadline {
        if let Ok(mut client) = Client::connect(serving.address) {
            assert_eq!(client.get("/").status, 200);
            return client;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    panic!("no room is made");
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let serving = within(|limits| {
        limits.connections = 2;
        // So that a connection is parked before the next one is served.
        limits.workers = 1;
        limits.reserve_workers = 0;
    });
    let mut clients: Vec<Client> = (0..6).map(|_| served_when_there_is_room(&serving)).collect();
    for client in &mut clients[..4] {
        client.expect_goodbye();
    }
    for client in &mut clients[4..] {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_connection_that_is_busy_or_has_just_come_makes_no_room() {
    let gate = Gate::new();
    let inside = gate.clone();
    let router = router().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let serving = serve_within(router, |limits| {
        limits.connections = 5;
        limits.stall_timeout = Duration::from_secs(3_600);
    });
    let mut silent = serving.connect_silently();
    let mut unserved = serving.connect();
    unserved.send("GET / HTTP/1.1\r\n");
    let mut busy = serving.connect();
    busy.send(get("/wait"));
    gate.wait_for(1);
    // The answer says that the head which has begun behind it was seen, too.
    let mut begun = serving.connect();
    begun.send(get("/") + "GET / HTTP/1.1\r\n");
    assert_eq!(begun.reply().status, 200);
    let mut idle = serving.connect();
    assert_eq!(idle.get("/").status, 200);

    let mut last = served_when_there_is_room(&serving);
    idle.expect_goodbye();
    last.send(get("/wait"));
    gate.wait_for(2);
    assert_closed(serving.connect_silently(), "connections");

    for client in [&mut unserved, &mut begun] {
        client.send("Host: localhost\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
    silent.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(silent.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    gate.open();
    assert_eq!((busy.reply().text(), last.reply().text()), ("waited", "waited"));
}

#[test]
fn a_head_that_has_stalled_makes_room_before_who_is_idle_be_it_the_first_or_a_later_one() {
    let serving = within(|limits| {
        limits.connections = 3;
        limits.stall_timeout = Duration::from_millis(1);
        // So that nobody is closed for anything else.
        limits.handshake_timeout = SAFETY * 2;
        limits.head_timeout = SAFETY * 2;
    });
    let mut later = serving.connect();
    later.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: local");
    assert_eq!(later.reply().status, 200);
    let mut silent = serving.connect_silently();
    let mut idle = served_when_there_is_room(&serving);
    let mut next = served_when_there_is_room(&serving);
    later.expect_goodbye();
    let mut last = served_when_there_is_room(&serving);
    assert_eq!(silent.read(&mut [0; 64]).unwrap(), 0);
    for client in [&mut idle, &mut next, &mut last] {
        assert_eq!(client.get("/").status, 200);
    }
}

/// Closed to make room for another, and the log says so.
fn assert_made_room(client: &Client) {
    client.assert_limit_named("connections");
}

#[test]
fn a_place_that_is_held_by_a_slow_body_or_a_slow_reader_makes_room_after_the_idle_ones() {
    const PLACES: usize = 8;
    let gate = Gate::new();
    let inside = gate.clone();
    let router = router().get("/wait", move |_: &mut Request| {
        inside.pass();
        "waited"
    });
    let serving = serve_within(router, |limits| {
        limits.connections = PLACES;
        limits.stall_timeout = Duration::from_millis(1);
        limits.body_timeout = SAFETY * 2;
        limits.write_timeout = SAFETY * 2;
        limits.idle_timeout = SAFETY * 2;
    });
    let mut held: Vec<Client> = Vec::new();
    for number in 0..PLACES - 1 {
        let mut client = serving.connect();
        match number % 3 {
            0 => client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nx"),
            1 => client
                .send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
            _ => client.send(get("/endless")),
        }
        held.push(client);
    }
    let mut idle = served_when_there_is_room(&serving);
    // Every place is taken; as many as there are come, and stay.
    let mut come: Vec<Client> = Vec::new();
    for number in 1..=PLACES {
        let mut client = served_when_there_is_room(&serving);
        client.send(get("/wait"));
        gate.wait_for(number);
        come.push(client);
    }
    idle.expect_goodbye();
    assert_made_room(&idle);
    for (number, client) in held.iter_mut().enumerate() {
        let (rest, end) = client.rest();
        let is_response = number % 3 == 2;
        assert_eq!(rest.is_empty(), !is_response, "{number}");
        // Part of a response must not look like the whole.
        let expected: &[End] = if is_response { &[End::Cut, End::Reset] } else { &[End::Goodbye] };
        assert!(expected.contains(&end), "{number}: {end:?}");
        assert_made_room(client);
    }
    gate.open();
    for client in &mut come {
        assert_eq!(client.reply().text(), "waited");
    }
}

#[test]
fn a_reader_below_the_least_rate_is_cut_whatever_progress_it_makes() {
    let serving = within(|limits| {
        limits.write_timeout = SHORT;
        limits.write_min_rate = 1_000_000_000;
    });
    let mut client = serving.connect();
    client.send(get("/endless"));
    let deadline = Instant::now() + SAFETY;
    // It reads all the time, and so makes progress, but not at such a rate.
    let end = loop {
        assert!(Instant::now() < deadline, "it is never cut");
        if let Err(end) = client.receive() {
            break end;
        }
        client.forget();
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(matches!(end, End::Cut | End::Reset), "{end:?}");
    client.wait_for_limit("write_min_rate");
}

#[test]
fn what_is_refused_without_its_body_is_answered_from_the_head_at_once() {
    for body_buffer_bytes in [16, 64 * 1024] {
        let serving = within(|limits| limits.body_buffer_bytes = body_buffer_bytes);
        for (request, status) in
            [("POST /missing", 404), ("PUT /", 405), ("GET /missing", 404), ("DELETE /endless", 405)]
        {
            let mut client = serving.connect();
            client.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\na"));
            let reply = client.reply();
            assert_eq!((reply.status, reply.closes()), (status, false), "{request}");
            // The rest of the body is no request, and the next one is served.
            client.send("bcdeGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(client.reply().text(), "root", "{request}");

            let answered_after = |beginning: &str| {
                let mut client = serving.connect();
                let head =
                    format!("{request} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
                client.send(head + beginning);
                assert_eq!(client.reply().status, status, "{request}");
                client
            };
            let mut client = answered_after("3\r\na");
            client.send("bc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(client.reply().text(), "root", "{request}");

            // What is no chunk ends the connection, and so does more than a body may have.
            let mut client = answered_after("3\r\na");
            client.send("bcd");
            client.expect_goodbye();
            let mut client = answered_after("");
            client.send(chunked(&vec![b'x'; 1024 * 1024 + 1_000], 100_000));
            client.expect_goodbye();
        }
    }
}

#[test]
fn the_rest_of_an_unwanted_body_is_no_request_when_its_answer_waits_for_the_client() {
    let served = Arc::new(AtomicUsize::new(0));
    let counts = served.clone();
    // With the answer behind it there is more than is kept back, and so that goes out in the middle of an exchange.
    let router = Router::new().get("/quick", |_: &mut Request| "quick").get("/", move |_: &mut Request| {
        counts.fetch_add(1, Ordering::SeqCst);
        "x".repeat(16_000)
    });
    let serving = serve_within(router, |limits| limits.workers = 1);
    let (mut client, mut other) = (serving.connect(), serving.connect());
    // The answers are more than the system keeps for a client that does not read.
    let pairs = 1_500;
    client.send([get("/").into_bytes(), in_chunks("/missing", 5)].concat().repeat(pairs));
    // While the socket takes more, each answer to the other client stands between two turns of the first.
    let (mut before, mut unchanged) = (0, 0);
    while unchanged < 20 {
        assert_eq!(other.get("/quick").status, 200);
        let now = served.load(Ordering::SeqCst);
        unchanged = if now == before && now > 0 { unchanged + 1 } else { 0 };
        before = now;
    }
    assert!(before < pairs, "the server waits for the client");
    for number in 0..pairs {
        assert_eq!(client.reply().status, 200, "{number}");
        assert_eq!(client.reply().status, 404, "{number}");
    }
}

#[test]
fn a_place_that_is_held_by_the_rest_of_an_unwanted_body_makes_room() {
    let serving = within(|limits| {
        limits.connections = 20;
        limits.workers = 1;
        limits.reserve_workers = 0;
    });
    let mut held: Vec<Client> = (0..20).map(|_| serving.connect()).collect();
    for client in &mut held {
        client.send("POST /missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nx");
        assert_eq!(client.reply().status, 404);
    }
    let mut come: Vec<Client> = (0..20).map(|_| served_when_there_is_room(&serving)).collect();
    for client in &mut come {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn an_address_has_so_many_connections() {
    let serving = within(|limits| {
        limits.connections_per_address = 2;
        limits.count_loopback = true;
    });
    let first = serving.connect();
    let mut second = serving.connect();
    assert_closed(serving.connect_silently(), "connections_per_address");
    drop(first);
    let mut third = served_when_there_is_room(&serving);
    assert_eq!((second.get("/").status, third.get("/").status), (200, 200));

    let uncounted = within(|limits| limits.connections_per_address = 2);
    let mut clients: Vec<Client> = (0..5).map(|_| uncounted.connect()).collect();
    assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
}

#[test]
fn an_address_has_so_many_requests_a_second() {
    let serving = within(|limits| {
        limits.requests_per_address = 3;
        limits.count_loopback = true;
    });
    let mut client = serving.connect();
    client.send(get("/").repeat(20));
    let replies: Vec<_> = (0..20).map(|_| client.reply()).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(refused.len() <= 17 && !refused.is_empty(), "{}", refused.len());
    for reply in refused {
        assert_eq!((reply.status, reply.closes()), (429, false));
        assert!(reply.field("retry-after").is_some());
        reply.problem();
    }
    client.assert_each_limit_named("requests_per_address");
}

#[test]
fn all_bodies_together_have_so_much_memory() {
    let serving = within(|limits| {
        // Room for one, with what a vector takes ahead, and not for two.
        limits.body_memory_bytes = 100_000;
        limits.workers = 1;
        limits.reserve_workers = 0;
    });
    let body = post("/", &noise(60_000));
    let mut first = serving.connect();
    first.send(&body[..50_000]);
    // What is answered after it has been sent has seen it come.
    assert_eq!(serving.get("/").status, 200);
    let mut second = serving.connect();
    second.send(&body[..50_000]);
    let reply = second.reply();
    assert_eq!((reply.status, reply.field("retry-after"), reply.closes()), (503, Some("1"), true));
    second.expect_goodbye();
    second.assert_limit_named("body_memory_bytes");
    first.send(&body[50_000..]);
    assert_eq!(first.reply().text(), "60000");
    let mut third = serving.connect();
    third.send(&body);
    assert_eq!(third.reply().text(), "60000");
}

/// A server whose handler waits at the gate and then reads the body, which is always too large to be kept.
fn uploads(gate: &Arc<Gate>, change: impl FnOnce(&mut Limits)) -> Serving {
    let gate = gate.clone();
    let router = Router::new().post("/", move |request: &mut Request| -> Result<String, Error> {
        gate.pass();
        Ok(request.bytes()?.len().to_string())
    });
    serve_within(router, |limits| {
        limits.body_buffer_bytes = 100;
        limits.queue_timeout = SHORT;
        change(limits);
    })
}

#[test]
fn so_many_handlers_read_large_bodies_at_a_time() {
    let gate = Gate::new();
    let serving = uploads(&gate, |limits| limits.streaming_bodies = 1);
    let mut first = serving.connect();
    first.send(post("/", &noise(100_000)));
    gate.wait_for(1);
    let mut second = serving.connect();
    second.send(post("/", &noise(100_000)));
    let reply = second.try_reply(Shape::WithBody).unwrap();
    assert_eq!((reply.status, reply.field("retry-after"), reply.closes()), (503, Some("1"), true));
    second.expect_goodbye();
    second.assert_limit_named("streaming_bodies");

    gate.open();
    assert_eq!(first.reply().text(), "100000");
    let mut small = serving.connect();
    small.send(post("/", &noise(100)));
    assert_eq!(small.reply().text(), "100");
    small.send(post("/", &noise(100_000)));
    assert_eq!(small.reply().text(), "100000");
}

#[test]
fn an_address_has_so_many_large_bodies_at_a_time() {
    let gate = Gate::new();
    let serving = uploads(&gate, |limits| {
        limits.streaming_bodies_per_address = 2;
        limits.count_loopback = true;
    });
    let mut held = [serving.connect(), serving.connect()];
    for (index, client) in held.iter_mut().enumerate() {
        client.send(post("/", &noise(100_000)));
        gate.wait_for(index + 1);
    }
    let mut third = serving.connect();
    third.send(post("/", &noise(100_000)));
    let reply = third.reply();
    assert_eq!((reply.status, reply.field("retry-after"), reply.closes()), (429, Some("1"), true));
    reply.problem();
    third.expect_goodbye();
    third.assert_limit_named("streaming_bodies_per_address");

    gate.open();
    for client in &mut held {
        assert_eq!(client.reply().text(), "100000");
    }
    // The places are given back.
    for _ in 0..3 {
        let mut later = serving.connect();
        later.send(post("/", &noise(100_000)));
        assert_eq!(later.reply().text(), "100000");
    }
}

#[test]
fn refusals_leave_a_few_lines_and_a_sum_however_many_they_are() {
    let serving = within(|_| {});
    let mut addresses = Vec::new();
    for _ in 0..77 {
        let mut client = serving.connect();
        client.send("GET / HTTP/1.1\n");
        assert_eq!(client.reply().status, 400);
        addresses.push(format!("{}: 400 ", client.address()));
    }
    let said = lines(|line| addresses.iter().any(|address| line.starts_with(address)));
    assert_eq!(said.len(), 20, "{said:?}");
    // Others of their own kind have theirs still.
    let mut client = serving.connect();
    client.send("GET / HTTP/2.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().status, 505);
    let start = format!("{}: 505 ", client.address());
    assert_eq!(lines(|line| line.starts_with(&start)).len(), 1);

    serving.handle.stop();
    serving.join().unwrap();
    let sums =
        lines(|line| line.starts_with("… and 57 more in the last ") && line.ends_with(" (Bad Request)"));
    assert_eq!(sums.len(), 1, "{sums:?}");
}

#[cfg(feature = "operations")]
mod replaced {
    use super::*;

    fn replace(serving: &Serving, change: impl FnOnce(&mut Limits)) -> Vec<&'static str> {
        let mut limits = serving.handle.limits();
        change(&mut limits);
        serving.handle.replace_limits(limits).unwrap()
    }

    fn post_of(length: usize) -> Vec<u8> {
        post("/", &vec![b'x'; length])
    }

    #[test]
    fn an_open_connection_has_the_new_limits_at_its_next_request() {
        let serving = within(|_| {});
        let mut client = serving.connect();
        client.send(post_of(100));
        assert_eq!(client.reply().status, 200);
        assert!(replace(&serving, |limits| {
            limits.body_bytes = 99;
            limits.idle_timeout = Duration::from_secs(10);
        })
        .is_empty());
        client.send(post_of(99));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.fields.contains(&("keep-alive".into(), "timeout=9".into()))),
            (200, true),
            "{reply:?}"
        );
        client.send(post_of(100));
        assert_eq!(client.reply().status, 413);
        replace(&serving, |limits| limits.body_bytes = 100);
        let mut client = serving.connect();
        client.send(post_of(100));
        assert_eq!(client.reply().status, 200);
        replace(&serving, |limits| limits.head_fields = 1);
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\n");
        assert_eq!(client.reply().status, 431);
    }

    #[test]
    fn a_rate_can_begin_and_end_and_addresses_are_counted_anew() {
        let serving = within(|limits| limits.count_loopback = true);
        let mut client = serving.connect();
        let statuses = |client: &mut Client| {
            client.send(get("/").repeat(9));
            (0..9).map(|_| client.reply().status).collect::<Vec<u16>>()
        };
        assert_eq!(statuses(&mut client), [200; 9]);
        replace(&serving, |limits| limits.requests_per_address = 1);
        let refused = statuses(&mut client);
        assert!(refused[0] == 200 && refused[1..].contains(&429), "{refused:?}");
        replace(&serving, |limits| limits.requests_per_address = 1_000_000);
        assert_eq!(statuses(&mut client), [200; 9]);
        replace(&serving, |limits| limits.requests_per_address = 0);
        assert_eq!(statuses(&mut client), [200; 9]);

        replace(&serving, |limits| limits.connections_per_address = 1);
        let further = TcpStream::connect(serving.address).unwrap();
        further.set_read_timeout(Some(SAFETY)).unwrap();
        assert!(matches!((&further).read(&mut [0]), Ok(0) | Err(_)), "one is open already");
        client.send(get("/"));
        assert_eq!(client.reply().status, 200, "and it stays");
        replace(&serving, |limits| limits.count_loopback = false);
        assert_eq!(serving.get("/").status, 200);
    }

    #[test]
    fn a_smaller_number_of_connections_makes_further_ones_replace_others() {
        let serving = within(|_| {});
        let mut first = serving.connect();
        first.send(get("/"));
        assert_eq!(first.reply().status, 200);
        replace(&serving, |limits| {
            limits.connections = 1;
            limits.stall_timeout = Duration::from_millis(1);
        });
        assert_eq!(serving.handle.health().most_connections, 1);
        served_when_there_is_room(&serving);
        first.expect_goodbye();
    }

    #[test]
    fn what_has_its_size_from_the_start_stays_and_is_named_and_a_wrong_limit_changes_nothing() {
        let serving = within(|limits| limits.workers = 2);
        let before = serving.handle.limits();
        let stay = replace(&serving, |limits| {
            limits.workers = 3;
            limits.reserve_workers = 1;
            limits.queue_requests = 1;
            limits.queue_timeout = Duration::from_secs(9);
            limits.head_bytes = 1_000;
            limits.redirect_connections = 9;
            limits.idle_timeout = Duration::from_secs(9);
        });
        let fixed = [
            "redirect_connections",
            "workers",
            "reserve_workers",
            "queue_requests",
            "queue_timeout",
            "head_bytes",
        ];
        assert_eq!(stay, fixed);
        let now = serving.handle.limits();
        let mut expected = before;
        expected.idle_timeout = Duration::from_secs(9);
        assert_eq!(format!("{now:?}"), format!("{expected:?}"));
        let mut wrong = now.clone();
        (wrong.head_fields, wrong.idle_timeout) = (257, SHORT);
        let fault = serving.handle.replace_limits(wrong).unwrap_err().to_string();
        assert!(fault.starts_with("head_fields: 257 is out of range"), "{fault}");
        assert_eq!(format!("{:?}", serving.handle.limits()), format!("{now:?}"));
    }
}
