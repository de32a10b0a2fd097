//! What a client gets when the backend fails.

use std::net::TcpListener;
use std::time::Duration;

use lockgate::{Limits, Proxy, Router};

use super::answers::final_reply;
use super::backend::{free_address, ok, say, Act, Backend};
use super::support::{await_lines, get, post, serve, serve_within, Gate, SAFETY};
use super::{in_front_of, in_front_with};

#[test]
fn an_answer_that_is_no_right_answer_becomes_a_502_and_its_connection_is_not_used_again() {
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(40_000));
    for answer in [
        "garbage\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x0a",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "<html>old</html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        &flood,
        &long,
    ] {
        let answer = answer.to_string();
        let said = answer.clone();
        let backend = Backend::new(move |_, seen| match seen.line() {
            "GET /bad HTTP/1.1" => say(&said),
            _ => ok("good"),
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        client.send(get("/bad"));
        let reply = final_reply(&mut client);
        assert_eq!(reply.status, 502, "{answer:.60?}");
        reply.problem();
        assert_eq!(client.get("/good").text(), "good", "{answer:.60?}");
        assert_eq!(backend.connections(), 2);
    }
}

#[test]
fn bytes_behind_an_answer_are_never_taken_for_the_next_one() {
    for stray in ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "x", "\r\n"] {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
        ] {
            let backend = Backend::new(move |_, seen| match seen.line() {
                "GET /first HTTP/1.1" => say(format!("{answer}{stray}")),
                _ => ok("second"),
            });
            let serving = in_front_of(&backend);
            let mut client = serving.connect();
            assert_ne!(client.get("/first").text(), "evil");
            assert_eq!(client.get("/second").text(), "second", "{answer:?} {stray:?}");
            assert_eq!(backend.connections(), 2);
        }
    }
    // The body of an answer that has none.
    let backend = Backend::new(|_, seen| match seen.line() {
        "HEAD /first HTTP/1.1" => {
            say("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
        _ => ok("second"),
    });
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    client.send("HEAD /first HTTP/1.1\r\nHost: a\r\n\r\n");
    client.try_reply(super::support::Shape::HeadOnly).unwrap();
    assert_eq!(client.get("/second").text(), "second");
}

#[test]
fn a_kept_connection_that_the_backend_has_closed_is_no_error_for_the_client() {
    for end in [Act::Close, Act::Reset] {
        // It closes when the second request has come, before it answers.
        let ends = end.clone();
        let backend = Backend::new(move |number, _| if number == 0 { ok("yes") } else { vec![ends.clone()] });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        for _ in 0..4 {
            assert_eq!(client.get("/").text(), "yes");
        }
        assert_eq!(backend.connections(), 4);
    }
    // It has closed before.
    let backend = Backend::new(|_, _| [ok("yes"), vec![Act::Close]].concat());
    let serving = in_front_of(&backend);
    let mut client = serving.connect();
    for _ in 0..4 {
        client.send(post("/", b"body"));
        assert_eq!(client.reply().text(), "yes");
        backend.await_open(0);
    }
}

#[test]
fn a_request_that_is_not_safe_is_never_sent_twice_and_a_safe_one_at_most_twice() {
    for (method, times) in [("POST", 1), ("PUT", 1), ("DELETE", 1), ("PATCH", 1), ("GET", 2), ("OPTIONS", 2)]
    {
        for end in [Act::Close, Act::Reset] {
            let backend = Backend::new(move |_, _| vec![end.clone()]);
            let serving = in_front_of(&backend);
            let mut client = serving.connect();
            client.send(format!("{method} /once HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
            assert_eq!(client.reply().status, 502, "{method}");
            assert_eq!(backend.seen().len(), times, "{method}");
        }
    }
    // Not after a part of the answer has come.
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
    for part in ["HTTP/1.1 200 OK\r\nA", "HTTP/1.1 102 Processing\r\n\r\n", hint] {
        let backend = Backend::new(move |_, _| [say(part), vec![Act::Close]].concat());
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        client.send(get("/"));
        assert_eq!(final_reply(&mut client).status, 502);
        assert_eq!(backend.seen().len(), 1, "{part:?}");
    }
}

#[test]
fn a_safe_request_that_was_lost_with_a_kept_connection_survives_one_more_loss() {
    // As while a backend ends: the kept connection, and then one that has waited in its queue.
    for end in [Act::Close, Act::Reset] {
        let backend = Backend::new(move |number, seen| match (seen.connection, number) {
            (0, 0) | (2, _) => ok("yes"),
            _ => vec![end.clone()],
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        assert_eq!(client.get("/").text(), "yes");
        assert_eq!(client.get("/").text(), "yes");
        assert_eq!((backend.connections(), backend.seen().len()), (3, 4));
    }
}

#[test]
fn a_backend_that_is_not_there_is_waited_for_once_and_taken_when_it_comes() {
    let address = free_address();
    let serving = serve(Router::new().fallback(Proxy::to(&format!("http://{address}")).unwrap().handler()));
    let mut client = serving.connect();
    let reply = client.get("/");
    assert_eq!((reply.status, reply.field("retry-after")), (502, Some("1")));
    reply.problem();
    // Known to be down: not waited for, and said in the log.
    assert_eq!(client.get("/").status, 502);
    let named = |line: &str| line.contains(&address.to_string()) && line.contains("cannot be reached");
    assert!(!await_lines(1, named).is_empty());
    let backend = Backend::on(TcpListener::bind(address).unwrap(), |_, _| ok("here"));
    assert_eq!(client.get("/").text(), "here");
    drop(backend);
}

#[test]
fn a_backend_that_starts_again_is_waited_for() {
    let address = free_address();
    let serving = serve(Router::new().fallback(Proxy::to(&format!("http://{address}")).unwrap().handler()));
    let mut client = serving.connect();
    client.send(post("/", b"body"));
    std::thread::sleep(super::backend::A_MOMENT);
    let _backend = Backend::on(TcpListener::bind(address).unwrap(), |_, _| ok("here"));
    assert_eq!(client.reply().text(), "here");
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_a_504_and_one_that_stops_within_its_answer_is_cut() {
    let gate = Gate::new();
    let (held, gone) = (gate.clone(), Gate::new());
    let closed = gone.clone();
    let backend = Backend::new(move |_, seen| match seen.line() {
        "GET /half HTTP/1.1" => {
            [say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), vec![Act::Wait(held.clone())]].concat()
        }
        _ => vec![Act::AwaitEnd(closed.clone())],
    });
    let short = Duration::from_millis(200);
    let serving = in_front_with(&backend, |proxy| proxy.answer_timeout(short).silence_timeout(short));
    let reply = serving.get("/");
    assert_eq!(reply.status, 504);
    reply.problem();
    // And the backend knows that nobody waits any more.
    gone.wait_for(1);
    let mut client = serving.connect();
    client.send(get("/half"));
    client.take_until(b"abc").unwrap();
    let (rest, _) = client.rest();
    assert!(rest.is_empty());
    gate.open();
}

#[test]
fn a_backend_that_accepts_nothing_is_a_504() {
    // Its queue is full.
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address: std::net::SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let mut queued = Vec::new();
    while let Ok(tcp) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(tcp);
    }
    let proxy = Proxy::to(&format!("http://{address}")).unwrap().connect_timeout(Duration::from_millis(200));
    assert_eq!(serve(Router::new().fallback(proxy.handler())).get("/").status, 504);
}

#[test]
fn a_client_that_leaves_ends_its_request_at_the_backend() {
    for (answered, resets) in [(false, false), (false, true), (true, false), (true, true)] {
        let gone = Gate::new();
        let here = Gate::new();
        let (closed, came) = (gone.clone(), here.clone());
        let backend = Backend::new(move |_, _| {
            came.open();
            came.pass();
            let end = Act::AwaitEnd(closed.clone());
            match answered {
                false => vec![end],
                true => {
                    [say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"), vec![end]]
                        .concat()
                }
            }
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        client.send(get("/"));
        here.wait_for(1);
        if answered {
            client.take_until(b"data: 1\n\n").unwrap();
        }
        match resets {
            true => client.reset(),
            false => client.leave(),
        }
        gone.wait_for(1);
    }
}

#[test]
fn no_worker_waits_for_a_backend() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::new(move |_, seen| match seen.line() {
        "GET /slow HTTP/1.1" => [vec![Act::Wait(held.clone())], ok("slow")].concat(),
        _ => ok("quick"),
    });
    let proxy = Proxy::to(&backend.url()).unwrap();
    let change = |limits: &mut Limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
    };
    let serving = serve_within(Router::new().fallback(proxy.handler()), change);
    let mut clients: Vec<_> = (0..50).map(|_| serving.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/slow")));
    gate.wait_for(50);
    assert_eq!(serving.get("/quick").text(), "quick");
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().text(), "slow"));
}

#[test]
fn whatever_a_backend_does_a_client_gets_its_own_answer_or_an_error_and_nobody_elses() {
    let backend = Backend::new(|number, seen| {
        // The same in every run, and different for each request.
        let sum =
            seen.head.bytes().fold(number as u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let path = seen.line().split(' ').nth(1).unwrap().to_string();
        let chunk = format!("{:x}\r\n{path}\r\n", path.len());
        let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        match sum >> 8 & 15 {
            0 => vec![Act::Close],
            1 => vec![Act::Reset],
            2 => [say("HTTP/1.1 200"), vec![Act::Reset]].concat(),
            3 => [say(format!("{begun}{chunk}")), vec![Act::Close]].concat(),
            4 => [say(format!("{begun}{chunk}")), vec![Act::Reset]].concat(),
            5 => say("garbage\r\n\r\n"),
            // At once: what comes later than the next request nobody can tell from its answer.
            6 => say(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers",
                path.len()
            )),
            7 => [ok(&path), vec![Act::Close]].concat(),
            8 => say(format!("HTTP/1.1 100 Continue\r\n\r\n{begun}{chunk}0\r\n\r\n")),
            9 => [say(format!("HTTP/1.1 200 OK\r\n\r\n{path}")), vec![Act::Close]].concat(),
            10 => say(format!("{begun}{chunk}0\r\nT: 1\r\n\r\nx")),
            _ => ok(&path),
        }
    });
    let serving = in_front_of(&backend);
    let (mut right, mut wrong) = (0, 0);
    std::thread::scope(|scope| {
        let clients = (0..4).map(|number| {
            let serving = &serving;
            scope.spawn(move || {
                let (mut right, mut wrong) = (0, 0);
                let mut client = serving.connect();
                for round in 0..150 {
                    let path = format!("/{number}/{round}/{}", "x".repeat(round % 7));
                    match round % 5 {
                        0 => client.send(post(&path, b"body")),
                        _ => client.send(get(&path)),
                    }
                    match client.try_reply(super::support::Shape::WithBody) {
                        Ok(reply) if reply.status == 200 => {
                            assert_eq!(reply.text(), path);
                            right += 1;
                        }
                        Ok(reply) => {
                            assert_eq!(reply.status, 502);
                            wrong += 1;
                        }
                        // A cut answer.
                        Err(_) => {
                            wrong += 1;
                            client = serving.connect();
                        }
                    }
                }
                (right, wrong)
            })
        });
        for client in clients.collect::<Vec<_>>() {
            let (some, others) = client.join().unwrap();
            right += some;
            wrong += others;
        }
    });
    assert!(right > 300 && wrong > 50, "{right} right, {wrong} wrong");
}

#[test]
fn requests_beyond_the_bound_are_told_to_come_again() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = Backend::new(move |_, _| [vec![Act::Wait(held.clone())], ok("yes")].concat());
    let serving = in_front_with(&backend, |proxy| proxy.at_a_time(2).queue(0));
    let mut clients = [serving.connect(), serving.connect()];
    clients.iter_mut().for_each(|client| client.send(get("/")));
    gate.wait_for(2);
    let reply = serving.get("/");
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().text(), "yes"));
    // Their places are free again.
    assert_eq!(serving.get("/").text(), "yes");
    assert!(SAFETY > Duration::ZERO);
}
