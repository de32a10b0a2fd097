//! Several backends behind one proxy: which one gets a request, what follows when one fails, and who waits when all are busy.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use lockgate::{Limits, Proxy, Router, TargetHealth};

use super::backend::{ok, say, Act, Backend};
use super::node::{Manner, Node};
use super::support::{await_lines, get, lines, post, serve, serve_within, Client, Gate, Serving, SAFETY};
use super::until;

fn proxy(nodes: &[&Node]) -> Proxy {
    let mut nodes = nodes.iter();
    let first = Proxy::to(&nodes.next().unwrap().url()).unwrap();
    nodes.fold(first, |proxy, node| proxy.and_to(&node.url()).unwrap())
}

fn serve_proxy(proxy: &Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

fn health(proxy: &Proxy, index: usize) -> TargetHealth {
    proxy.health().targets.swap_remove(index)
}

/// Asks until this one answers. Every answer is good.
fn await_answer_of(client: &mut Client, name: &str) {
    until(|| {
        let reply = client.get("/");
        assert_eq!(reply.status, 200);
        reply.text() == name
    });
}

#[test]
fn idle_targets_take_turns_and_a_busy_one_is_spared() {
    let nodes = ["a", "b", "c"].map(Node::new);
    let proxy = proxy(&[&nodes[0], &nodes[1], &nodes[2]]);
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    let names: String = (0..9).map(|_| client.get("/").text().to_string()).collect();
    assert_eq!(names, "abcabcabc");
    // The next one is the first's turn, which holds it.
    let gate = Gate::new();
    nodes[0].behave(Manner::Hold(gate.clone()));
    let mut held = serving.connect();
    held.send(get("/held"));
    gate.wait_for(1);
    let names: String = (0..6).map(|_| client.get("/").text().to_string()).collect();
    assert_eq!(names, "bcbcbc");
    assert_eq!([0, 1, 2].map(|index| health(&proxy, index).in_flight), [1, 0, 0]);
    nodes[0].behave(Manner::Answer);
    gate.open();
    assert_eq!(held.reply().text(), "a");
    await_answer_of(&mut client, "a");
}

#[test]
fn a_target_that_is_gone_costs_no_client_anything_and_is_used_again_when_it_is_back() {
    let (mut a, b) = (Node::new("a"), Node::new("b"));
    let proxy = proxy(&[&a, &b]);
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "a");
    a.stop();
    for round in 0..20 {
        // Also what is not safe: nothing of it was sent.
        let reply = match round % 2 {
            0 => client.get("/"),
            _ => {
                client.send(post("/", b"body"));
                client.reply()
            }
        };
        assert_eq!((reply.status, reply.text()), (200, "b"));
    }
    let of_a = health(&proxy, 0);
    assert_eq!((of_a.failures.refused, of_a.failures_in_a_row), (3, 3), "{of_a:?}");
    assert!(of_a.ejected_until.is_some() && health(&proxy, 1).ejected_until.is_none());
    let of_a = |line: &str| line.contains(&a.url()) && line.contains("cannot be reached, 3 times in a row");
    assert_eq!(await_lines(1, of_a).len(), 1);
    a.start();
    await_answer_of(&mut client, "a");
    let is_back = |line: &str| line.contains(&a.url()) && line.contains("is back after");
    assert_eq!(await_lines(1, is_back).len(), 1);
    assert_eq!(health(&proxy, 0).failures_in_a_row, 0);
}

#[test]
fn a_target_that_breaks_its_answers_is_ejected_and_tried_again_by_one_request_at_a_time() {
    for (manner, pauses) in [(Manner::Close, true), (Manner::Garble, false), (Manner::Cut, false)] {
        let (a, b) = (Node::new("a"), Node::new("b"));
        a.behave(manner);
        let proxy = proxy(&[&a, &b]);
        let serving = serve_proxy(&proxy);
        let mut wrong = 0;
        for _ in 0..40 {
            let mut client = serving.connect();
            client.send(post("/", b"body"));
            match client.try_reply(super::support::Shape::WithBody) {
                Ok(reply) if reply.status == 200 => assert_eq!(reply.text(), "b"),
                Ok(reply) => {
                    assert_eq!(reply.status, 502);
                    wrong += 1;
                }
                Err(_) => wrong += 1,
            }
            if health(&proxy, 0).ejected_until.is_some() {
                break;
            }
        }
        assert_eq!((wrong, a.asked().len()), (3, 3), "each was sent once");
        // The pauses are the same for all of them.
        if !pauses {
            continue;
        }
        // Its first trial, after a pause, fails as well.
        let mut client = serving.connect();
        until(|| {
            client = serving.connect();
            client.send(get("/"));
            let _ = client.try_reply(super::support::Shape::WithBody);
            a.asked().len() > 3
        });
        assert_eq!(a.asked().len(), 4);
        a.behave(Manner::Answer);
        await_answer_of(&mut serving.connect(), "a");
    }
}

#[test]
fn a_stream_or_a_tunnel_shows_that_a_target_does_not_cut_its_answers_any_more() {
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let tunnel = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let upgrade = "GET /long HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (request, answer) in [(get("/long"), events), (upgrade.to_string(), tunnel)] {
        let gate = Gate::new();
        let held = gate.clone();
        let a = Backend::new(move |_, seen| match seen.line() {
            "POST /cut HTTP/1.1" => {
                [say("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"), vec![Act::Close]].concat()
            }
            "GET /long HTTP/1.1" => [say(answer), vec![Act::Wait(held.clone())]].concat(),
            _ => ok("a"),
        });
        let b = Node::new("b");
        let proxy = Proxy::to(&a.url()).unwrap().and_to(&b.url()).unwrap();
        let serving = serve_proxy(&proxy);
        until(|| {
            let mut client = serving.connect();
            client.send(post("/cut", b"body"));
            let _ = client.try_reply(super::support::Shape::WithBody);
            health(&proxy, 0).ejected_until.is_some()
        });
        let mut streams = Vec::new();
        until(|| {
            let mut client = serving.connect();
            client.send(&request);
            let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
            streams.push(client);
            !head.to_ascii_lowercase().contains("content-length")
        });
        // While it lasts. A request goes there when the other has as many.
        assert!(health(&proxy, 0).ejected_until.is_none());
        let second = Gate::new();
        b.behave(Manner::Hold(second.clone()));
        let mut held = serving.connect();
        held.send(get("/held"));
        second.wait_for(1);
        assert_eq!(serving.get("/").text(), "a");
        second.open();
        gate.open();
    }
}

#[test]
fn a_safe_request_without_an_answer_goes_to_another_target() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    a.behave(Manner::Close);
    let proxy = proxy(&[&a, &b]);
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "b");
    }
    assert_eq!(a.asked().len(), 3);
    assert_eq!(health(&proxy, 0).failures.closed, 3);
}

#[test]
fn a_target_that_accepts_and_never_answers_is_ejected() {
    // As the kernel does for a process that is stopped.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let b = Node::new("b");
    let proxy = Proxy::to(&format!("http://{}", frozen.local_addr().unwrap())).unwrap();
    let proxy = proxy.and_to(&b.url()).unwrap().answer_timeout(Duration::from_millis(100));
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    let statuses: Vec<_> = (0..6).map(|_| client.get("/").status).collect();
    assert_eq!(statuses, [504, 200, 504, 200, 504, 200]);
    let of_frozen = health(&proxy, 0);
    assert_eq!(of_frozen.failures.answer_timeout, 3);
    assert!(of_frozen.ejected_until.is_some());
    assert_eq!(client.get("/").text(), "b");
    // The last of these requests is still there. Its answer shows that the target is not frozen any more.
    let mut asked: Vec<_> = (0..3).map(|_| frozen.accept().unwrap().0).collect();
    let mut late = asked.pop().unwrap();
    for mut closed in asked {
        assert!(closed.read_to_end(&mut Vec::new()).unwrap() > 0);
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        late.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    late.set_nonblocking(true).unwrap();
    assert!(late.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    late.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").unwrap();
    let _a = Backend::on(frozen, |_, _| ok("a"));
    until(|| client.get("/").text() == "a");
}

#[test]
fn a_request_that_breaks_the_only_target_does_not_shut_out_the_others() {
    let a = Node::new("a");
    let proxy = proxy(&[&a]);
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    for manner in [Manner::Close, Manner::Garble] {
        for _ in 0..10 {
            a.behave(manner.clone());
            client.send(post("/bad", b"body"));
            assert_eq!(client.reply().status, 502);
        }
        assert!(health(&proxy, 0).ejected_until.is_none());
        a.behave(Manner::Answer);
        assert_eq!(client.get("/good").text(), "a");
    }
}

#[test]
fn a_client_that_leaves_tells_nothing_of_the_target() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let gate = Gate::new();
    [&a, &b].iter().for_each(|node| node.behave(Manner::Hold(gate.clone())));
    let proxy = proxy(&[&a, &b]);
    let serving = serve_proxy(&proxy);
    for number in 1..=12 {
        let mut client = serving.connect();
        client.send(get("/"));
        gate.wait_for(number);
        match number % 2 {
            0 => client.leave(),
            _ => client.reset(),
        }
        until(|| health(&proxy, 0).in_flight + health(&proxy, 1).in_flight == 0);
    }
    for index in [0, 1] {
        let target = health(&proxy, index);
        assert_eq!((target.failures_in_a_row, target.failures), (0, Default::default()));
    }
    gate.open();
}

#[test]
fn when_no_target_is_left_the_client_is_told_to_come_again_and_the_first_that_is_back_answers() {
    let (mut a, mut b) = (Node::stopped("a"), Node::stopped("b"));
    let proxy = proxy(&[&a, &b]);
    let serving = serve_proxy(&proxy);
    let mut client = serving.connect();
    // This one waits for them.
    let reply = client.get("/");
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
    reply.problem();
    assert_eq!(client.get("/").status, 503);
    b.start();
    assert_eq!(client.get("/").text(), "b");
    // Known to be gone again, they are waited for again.
    b.stop();
    client.send(post("/", b"body"));
    until(|| proxy.health().waiting == 1);
    a.start();
    assert_eq!(client.reply().text(), "a");
}

#[test]
fn a_name_that_cannot_be_looked_up_does_not_keep_a_device_from_starting() {
    // RFC 6761 §6.4: it never has an address.
    let b = Node::new("b");
    let proxy = Proxy::to("http://backend.invalid:3000").unwrap();
    assert_eq!(serve_proxy(&proxy).get("/").status, 502);
    assert!(!await_lines(1, |line| line.contains("backend.invalid:3000")).is_empty());
    // It keeps nobody from the others.
    let proxy = proxy.and_to(&b.url()).unwrap();
    let serving = serve_proxy(&proxy);
    (0..6).for_each(|_| assert_eq!(serving.get("/").text(), "b"));
}

#[test]
fn a_backend_that_starts_again_under_load_fails_no_safe_request() {
    let mut a = Node::new("a");
    let proxy = proxy(&[&a]);
    let serving = serve_proxy(&proxy);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = serving.connect();
                    (0..60).for_each(|_| assert_eq!(client.get("/").text(), "a"));
                })
            })
            .collect();
        for _ in 0..3 {
            let before = a.asked().len();
            until(|| a.asked().len() > before + 20 || clients.iter().all(|client| client.is_finished()));
            a.stop();
            until(|| proxy.health().waiting > 0 || clients.iter().all(|client| client.is_finished()));
            a.start();
        }
    });
}

#[test]
fn requests_that_wait_go_on_in_the_order_of_their_arrival() {
    let a = Node::new("a");
    let gate = Gate::new();
    a.behave(Manner::Hold(gate.clone()));
    let proxy = proxy(&[&a]).at_a_time(1);
    let serving = serve_proxy(&proxy);
    let mut clients: Vec<_> = (0..8).map(|_| serving.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{number}")));
        match number {
            0 => gate.wait_for(1),
            _ => until(|| proxy.health().waiting == number),
        }
    }
    // Two of them leave.
    clients.remove(5).reset();
    clients.remove(1).leave();
    until(|| proxy.health().waiting == 5);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().text(), "a"));
    assert_eq!(a.asked(), ["GET /0", "GET /2", "GET /3", "GET /4", "GET /6", "GET /7"]);
    assert_eq!(proxy.health().waiting, 0);
}

#[test]
fn who_finds_the_queue_full_is_told_to_come_again() {
    let a = Node::new("a");
    let gate = Gate::new();
    a.behave(Manner::Hold(gate.clone()));
    let proxy = proxy(&[&a]).at_a_time(1).queue(1).queue_timeout(SAFETY);
    let serving = serve_proxy(&proxy);
    let [mut held, mut waits] = [(); 2].map(|()| serving.connect());
    held.send(get("/held"));
    gate.wait_for(1);
    waits.send(get("/waits"));
    until(|| proxy.health().waiting == 1);
    let refused = serving.get("/refused");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    refused.problem();
    gate.open();
    assert_eq!(held.reply().text(), "a");
    assert_eq!(waits.reply().text(), "a");
    assert_eq!(a.asked(), ["GET /held", "GET /waits"]);
    let refused = proxy.health().refused;
    assert_eq!((refused.queue_full, refused.queue_timeout, refused.unreachable), (1, 0, 0));
    let said = |words: &str| lines(|line| line.contains(&a.url()) && line.contains(words)).len();
    assert_eq!([said("may wait for it are waiting"), said("no room for a further request")], [1, 0]);
}

#[test]
fn who_waits_too_long_is_told_to_come_again() {
    let a = Node::new("a");
    let gate = Gate::new();
    a.behave(Manner::Hold(gate.clone()));
    let proxy = proxy(&[&a]).at_a_time(1).queue(1).queue_timeout(Duration::from_millis(1));
    let serving = serve_proxy(&proxy);
    let [mut held, mut waits] = [(); 2].map(|()| serving.connect());
    held.send(get("/held"));
    gate.wait_for(1);
    let late = waits.get("/waits");
    assert_eq!((late.status, late.field("retry-after")), (503, Some("1")));
    gate.open();
    assert_eq!(held.reply().text(), "a");
    assert_eq!(waits.get("/again").text(), "a");
    assert_eq!(a.asked(), ["GET /held", "GET /again"]);
    let refused = proxy.health().refused;
    assert_eq!((refused.queue_full, refused.queue_timeout, refused.unreachable), (0, 1, 0));
    let said = |words: &str| lines(|line| line.contains(&a.url()) && line.contains(words)).len();
    assert_eq!([said("may wait for it are waiting"), said("no room for a further request")], [0, 1]);
}

#[test]
fn requests_that_wait_for_room_go_to_an_ejected_target_when_its_pause_ends_or_it_is_back() {
    for is_stopped in [false, true] {
        let (mut a, b) = (Node::new("a"), Node::new("b"));
        let gate = Gate::new();
        let proxy = proxy(&[&a, &b]).at_a_time(1).queue_timeout(SAFETY);
        let serving = serve_proxy(&proxy);
        let mut client = serving.connect();
        assert_eq!(client.get("/").text(), "a");
        b.behave(Manner::Hold(gate.clone()));
        let mut held = serving.connect();
        held.send(get("/held"));
        gate.wait_for(1);
        let mut clients: Vec<_> = (0..4).map(|_| serving.connect()).collect();
        if is_stopped {
            a.stop();
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(get("/"));
                until(|| proxy.health().waiting == number + 1);
            }
            assert!(health(&proxy, 0).ejected_until.is_some());
            a.start();
        } else {
            a.behave(Manner::Close);
            while health(&proxy, 0).ejected_until.is_none() {
                client.send(post("/", b"body"));
                assert_eq!(client.reply().status, 502);
            }
            a.behave(Manner::Answer);
            clients.iter_mut().for_each(|client| client.send(get("/")));
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.reply().text(), "a"));
        assert_eq!(health(&proxy, 1).in_flight, 1);
        gate.open();
        assert_eq!(held.reply().text(), "b");
    }
}

#[test]
fn a_request_that_finds_a_full_listener_goes_on_with_the_place_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None);
    let listener = listener.unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = UnixListener::from(listener);
    let _queued = UnixStream::connect(&path).unwrap();
    let proxy = Proxy::to(&format!("unix:{}", path.display())).unwrap().at_a_time(1);
    let serving = serve_proxy(&proxy.clone());
    let mut client = serving.connect();
    client.send(post("/", b"body"));
    until(|| proxy.health().targets[0].in_flight == 1);
    // The place in the listener's queue is free again.
    listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut accepted = None;
    until(|| {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (mut socket, _) = accepted.unwrap();
    socket.set_nonblocking(false).unwrap();
    let mut come = Vec::new();
    while !come.ends_with(b"body") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        come.push(byte[0]);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert_eq!(client.reply().text(), "ok");
    // One that finds it full for too long does not wait for ever.
    let _queued = UnixStream::connect(&path).unwrap();
    let proxy = proxy.queue_timeout(Duration::from_millis(300));
    assert_eq!(serve_proxy(&proxy).get("/").status, 502);
}

#[test]
fn who_waits_holds_no_worker() {
    let a = Node::new("a");
    let gate = Gate::new();
    a.behave(Manner::Hold(gate.clone()));
    let proxy = proxy(&[&a]).at_a_time(1).queue_timeout(SAFETY);
    let router = Router::new().get("/state", |_: &mut lockgate::Request| "on").fallback(proxy.handler());
    let serving = serve_within(router, |limits: &mut Limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
    });
    let mut clients: Vec<_> = (0..100).map(|_| serving.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    until(|| proxy.health().waiting == 99);
    assert_eq!(serving.get("/state").text(), "on");
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().text(), "a"));
    assert_eq!(a.asked().len(), 100);
}

#[test]
fn requests_of_tests_and_of_plain_http_wait_as_well() {
    let a = Node::new("a");
    let gate = Gate::new();
    a.behave(Manner::Hold(gate.clone()));
    let proxy = proxy(&[&a]).at_a_time(1);
    let router = Router::new().fallback(proxy.handler());
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| router.call(&mut lockgate::Request::get("/")).into_bytes().unwrap()))
            .collect();
        until(|| proxy.health().waiting == 2);
        gate.open();
        calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), b"a"));
    });
}
