//! Tunnels that are silent, and clients that leave in each stage of a request.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate::{Proxy, Router};

use super::support::{await_lines, get, reset, serve, Client, Serving, NEVER};
use super::tap::{Tap, Tapped};
use super::until;

fn in_front(proxy: Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

fn opened(tap: &Tap, serving: &Serving) -> (Client, Tapped) {
    let mut client = serving.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut tapped = tap.accept();
    tapped.head();
    tapped.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    client.take_until(b"\r\n\r\n").unwrap();
    (client, tapped)
}

#[test]
fn a_tunnel_that_is_silent_in_both_directions_is_closed_in_time() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy().tunnel_timeout(Duration::from_millis(1_200)));
    let (mut client, mut tapped) = opened(&tap, &serving);
    client.send("there");
    tapped.expect("there");
    tapped.say("and back");
    assert_eq!(client.take(8).unwrap(), b"and back");
    client.expect_goodbye();
    assert_eq!(tapped.rest(), b"");
}

#[test]
fn a_tunnel_is_not_closed_before_its_time() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, mut tapped) = opened(&tap, &serving);
    assert!(client.stays_silent_for(Duration::from_millis(1_500)));
    tapped.say("late");
    assert_eq!(client.take(4).unwrap(), b"late");
}

#[test]
fn a_client_that_leaves_gives_up_its_place_at_a_backend_that_takes_no_connections() {
    // Its queue is full.
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let mut queued = Vec::new();
    while let Ok(tcp) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(tcp);
    }
    let proxy = Proxy::to(&format!("http://{address}")).unwrap().connect_timeout(NEVER);
    let serving = in_front(proxy.clone());
    let at_backend = || proxy.health().targets[0].in_flight;
    for resets in [false, true] {
        let mut client = serving.connect();
        client.send(get("/"));
        until(|| at_backend() == 1);
        match resets {
            true => client.reset(),
            false => client.leave(),
        }
        until(|| at_backend() == 0);
    }
}

#[test]
fn a_client_that_leaves_within_an_answer_ends_it_at_the_backend() {
    for request in
        [get("/"), "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".into()]
    {
        for begins in
            ["", "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
        {
            for resets in [false, true] {
                let tap = Tap::new();
                let serving = in_front(tap.proxy());
                let mut client = serving.connect();
                client.send(&request);
                let mut tapped = tap.accept();
                tapped.head();
                tapped.say(begins);
                if !begins.is_empty() {
                    client.take_until(b"\r\n\r\n").unwrap();
                }
                match resets {
                    true => client.reset(),
                    false => client.leave(),
                }
                assert_eq!(tapped.rest(), b"", "{request:?} {begins:?}");
            }
        }
    }
}

#[test]
fn the_log_says_which_backend_has_broken_a_tunnel() {
    let tap = Tap::new();
    let serving = in_front(tap.proxy());
    let (mut client, tapped) = opened(&tap, &serving);
    reset(tapped.tcp);
    client.rest();
    let said = |line: &str| line.contains("a tunnel to the backend") && line.contains(&tap.url());
    assert_eq!(await_lines(1, said).len(), 1);
}
