//! Streams of events: every subscriber gets every event, once and in order, on the threads that are there anyway. A subscriber
//! that leaves, that does not read, or that comes back takes nothing from the others.

mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::Duration;

use lockgate::{Event, Feed, FeedBuilder, Limits, Published, Request, Response, Router};

use support::{await_lines, get, serve_within, Client, End, Gate, Serving, Shape, SAFETY};

/// A server with a feed at `/events`, what it wants only below `/events/{name}`, and a quick answer at `/quick`.
struct Site {
    feed: Feed,
    /// How many subscribers are left, each time that one has left.
    left: Receiver<usize>,
    serving: Serving,
}

impl Site {
    fn serve(settings: FeedBuilder) -> Site {
        Site::serve_within(settings, |_| {})
    }

    fn serve_within(settings: FeedBuilder, change: impl FnOnce(&mut Limits)) -> Site {
        let (tell, left) = channel();
        let feed = settings.on_leave(move |count| tell.send(count).unwrap_or_default()).build();
        let named = feed.clone();
        let router = Router::new()
            .get("/quick", |_: &mut Request| "quick")
            .get("/events", feed.handler())
            .get("/events/{name}", move |request: &mut Request| {
                let name = request.param("name").map(String::from);
                named.subscribe_where(request, move |event: &Published| {
                    assert_ne!(event.data(), "trap", "as the test wants it");
                    event.name() == name.as_deref()
                })
            });
        Site { feed, left, serving: serve_within(router, change) }
    }

    fn left(&self) -> usize {
        self.left.recv_timeout(SAFETY).expect("nobody has left")
    }

    fn subscribe(&self) -> Subscriber {
        self.subscribe_to("/events", "")
    }

    /// A subscriber that says this further field.
    fn subscribe_to(&self, path: &str, field: &str) -> Subscriber {
        let mut client = self.serving.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"));
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        Subscriber { client, head, stream: Vec::new() }
    }

    fn send(&self, numbers: impl IntoIterator<Item = usize>) {
        numbers.into_iter().for_each(|number| self.feed.send(Event::new(number.to_string())));
    }
}

struct Subscriber {
    client: Client,
    head: String,
    /// What has come and was not looked at.
    stream: Vec<u8>,
}

impl Subscriber {
    /// The next event or comment, with the empty line at its end; or how the stream ends. `None` is a whole stream.
    fn next(&mut self) -> Result<String, Option<End>> {
        let mut from = 0;
        loop {
            if let Some(at) = self.stream[from..].windows(2).position(|two| two == b"\n\n") {
                let rest = self.stream.split_off(from + at + 2);
                return Ok(String::from_utf8(std::mem::replace(&mut self.stream, rest)).unwrap());
            }
            let line = String::from_utf8(self.client.take_until(b"\r\n").map_err(Some)?).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let chunk = self.client.take(size + 2).map_err(Some)?;
            assert!(chunk.ends_with(b"\r\n"));
            from = self.stream.len().saturating_sub(1);
            self.stream.extend_from_slice(&chunk[..size]);
            if size == 0 {
                assert_eq!(String::from_utf8_lossy(&self.stream), "", "the stream ends within an event");
                return Err(None);
            }
        }
    }

    fn field(&mut self, name: &str) -> String {
        let event = self.next().unwrap_or_else(|end| panic!("the stream has ended: {end:?}"));
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {event:?}")).to_string()
    }

    fn data(&mut self) -> String {
        self.field("data")
    }

    /// Takes these events and nothing between them.
    fn expect(&mut self, numbers: impl IntoIterator<Item = usize>) {
        numbers.into_iter().for_each(|number| assert_eq!(self.data(), number.to_string()));
    }

    fn end(&mut self) -> Option<End> {
        loop {
            if let Err(end) = self.next() {
                return end;
            }
        }
    }
}

// What a subscriber gets.

#[test]
fn the_head_comes_at_once_and_keeps_proxies_from_holding_events_back() {
    let site = Site::serve(Feed::builder());
    let subscriber = site.subscribe();
    for line in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store, no-transform\r\n",
        "x-accel-buffering: no\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        assert!(subscriber.head.contains(line), "{line:?} is not in {}", subscriber.head);
    }
    assert!(!subscriber.head.contains("content-encoding"), "{}", subscriber.head);
    assert_eq!(site.feed.subscribers(), 1);
}

#[test]
fn every_subscriber_gets_every_event_once_and_in_the_same_order() {
    let site = Site::serve(Feed::builder());
    let mut subscribers: Vec<_> = (0..20).map(|_| site.subscribe()).collect();
    assert_eq!(site.feed.subscribers(), 20);
    thread::scope(|scope| {
        for sender in 0..4 {
            let feed = &site.feed;
            scope.spawn(move || {
                (0..100).for_each(|number| feed.send(Event::new(format!("{sender} {number}"))));
            });
        }
    });
    let first: Vec<String> = (0..400).map(|_| subscribers[0].data()).collect();
    for sender in 0..4 {
        let of_it: Vec<_> = first.iter().filter(|data| data.starts_with(&format!("{sender} "))).collect();
        let sent: Vec<String> = (0..100).map(|number| format!("{sender} {number}")).collect();
        assert!(of_it.into_iter().eq(&sent), "{first:?}");
    }
    for subscriber in &mut subscribers[1..] {
        let data: Vec<String> = (0..400).map(|_| subscriber.data()).collect();
        assert_eq!(data, first);
    }
}

/// In other servers a stream takes a thread, and some streams take all of them.
#[test]
fn more_subscribers_than_threads_leave_the_threads_to_others() {
    let site = Site::serve_within(Feed::builder(), |limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
    });
    let mut subscribers: Vec<_> = (0..50).map(|_| site.subscribe()).collect();
    assert_eq!(site.serving.get("/quick").text(), "quick");
    site.send(0..3);
    assert_eq!(site.serving.get("/quick").text(), "quick");
    subscribers.iter_mut().for_each(|subscriber| subscriber.expect(0..3));
}

#[test]
fn events_come_while_all_workers_are_inside_handlers() {
    let feed = Feed::new();
    let gate = Gate::new();
    let waits = gate.clone();
    let router = Router::new().get("/events", feed.handler()).get("/wait", move |_: &mut Request| {
        waits.pass();
        "waited"
    });
    let serving = serve_within(router, |limits| {
        limits.workers = 1;
        limits.reserve_workers = 1;
    });
    let site = Site { feed, left: channel().1, serving };
    let mut subscriber = site.subscribe();
    let mut blocked: Vec<_> = (0..2).map(|_| site.serving.connect()).collect();
    for (at, client) in blocked.iter_mut().enumerate() {
        client.send(get("/wait"));
        gate.wait_for(at + 1);
    }
    site.send(0..3);
    subscriber.expect(0..3);
    gate.open();
    assert!(blocked.iter_mut().all(|client| client.reply().text() == "waited"));
}

#[test]
fn an_event_larger_than_every_buffer_comes_whole_between_others() {
    let site = Site::serve(Feed::builder());
    let mut subscribers: Vec<_> = (0..3).map(|_| site.subscribe()).collect();
    let large: String = (0..100_000).map(|number| format!("{number} ")).collect();
    site.send([1]);
    site.feed.send(Event::new(&large));
    site.send([2]);
    for subscriber in &mut subscribers {
        subscriber.expect([1]);
        assert!(subscriber.data() == large);
        subscriber.expect([2]);
    }
}

#[test]
fn a_client_of_http_1_0_gets_events_until_the_end_of_the_connection() {
    let site = Site::serve(Feed::builder());
    let mut client = site.serving.connect();
    client.send("GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.contains("connection: close\r\n") && !head.contains("chunked"), "{head}");
    site.feed.send(Event::new("1").id("x"));
    assert_eq!(client.take_until(b"\n\n").unwrap(), b"data: 1\nid: x\n\n");
    site.feed.send(Event::new("2").id("y"));
    site.feed.close();
    assert_eq!(client.rest(), (b"data: 2\nid: y\n\n".to_vec(), End::Goodbye));
}

#[test]
fn head_is_answered_without_a_subscription() {
    let site = Site::serve(Feed::builder());
    let mut client = site.serving.connect();
    client.send("HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let reply = client.try_reply(Shape::HeadOnly).unwrap();
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("text/event-stream")));
    assert_eq!(site.feed.subscribers(), 0);
    assert_eq!(client.get("/quick").text(), "quick");
}

#[test]
fn a_subscriber_with_a_filter_gets_only_what_it_wants() {
    let site = Site::serve(Feed::builder());
    let (mut all, mut some) = (site.subscribe(), site.subscribe_to("/events/even", ""));
    // More in a row than are passed over in one turn.
    for number in 0..1_000 {
        let name = if number % 300 == 0 { "even" } else { "odd" };
        site.feed.send(Event::new(number.to_string()).name(name));
    }
    some.expect([0, 300, 600, 900]);
    all.expect(0..1_000);
}

#[test]
fn a_panic_in_a_filter_cuts_its_subscriber_alone() {
    let site = Site::serve(Feed::builder());
    let (mut all, mut some) = (site.subscribe(), site.subscribe_to("/events/a", ""));
    site.feed.send(Event::new("trap").name("a"));
    assert_eq!(some.end(), Some(End::Cut));
    assert_eq!(site.left(), 1);
    site.send([7]);
    assert_eq!(all.data(), "trap");
    all.expect([7]);
    assert_eq!(site.serving.get("/quick").text(), "quick");
}

#[test]
fn a_panic_in_on_leave_takes_nothing_from_the_subscriber_that_leaves() {
    let feed = Feed::builder().on_leave(|_| panic!("as the test wants it")).build();
    let serving = serve_within(Router::new().get("/events", feed.handler()), |_| {});
    let mut client = serving.connect();
    client.send(get("/events"));
    client.take_until(b"\r\n\r\n").unwrap();
    feed.send(Event::new("last"));
    feed.close();
    let mut subscriber = Subscriber { client, head: String::new(), stream: Vec::new() };
    assert_eq!(subscriber.data(), "last");
    assert_eq!(subscriber.end(), None);
    let address = subscriber.client.address().to_string();
    let told = await_lines(1, |line| line.contains(&address) && line.contains("as the test wants it"));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_faulty_event_is_not_sent() {
    let site = Site::serve(Feed::builder().history_bytes(4096));
    let mut subscriber = site.subscribe();
    site.feed.send(Event::new("a").name("x\ndata: forged"));
    site.feed.send(Event::new("a").id("x\0"));
    site.feed.send(Event::new("x".repeat(4096)));
    site.send([1]);
    subscriber.expect([1]);
}

// Those that come back.

#[test]
fn a_client_that_comes_back_gets_what_it_has_missed_and_nothing_twice() {
    let site = Site::serve(Feed::builder().history(50));
    site.send(0..3);
    let mut first = site.subscribe();
    site.send(3..5);
    first.expect([3]);
    let last = first.field("id");
    drop(first);
    site.send(5..8);
    let mut again = site.subscribe_to("/events", &format!("Last-Event-ID: {last}\r\n"));
    site.send(8..10);
    again.expect(5..10);
    // It has all.
    site.send([10]);
    let last = again.field("id");
    let mut again = site.subscribe_to("/events", &format!("Last-Event-ID: {last}\r\n"));
    site.send(11..13);
    again.expect(11..13);
}

#[test]
fn a_client_that_was_away_for_too_long_gets_what_is_left() {
    let site = Site::serve(Feed::builder().history(5));
    let mut first = site.subscribe();
    site.send([0]);
    let last = first.field("id");
    site.send(1..100);
    let mut again = site.subscribe_to("/events", &format!("Last-Event-ID: {last}\r\n"));
    again.expect(95..100);
}

/// Of an id that the feed does not know, all that it keeps is newer: another run of the program has given it.
#[test]
fn a_client_of_an_earlier_run_gets_all_that_is_kept() {
    let site = Site::serve(Feed::builder().history(5));
    site.send(0..8);
    for last in ["00000000-7", "abc", "-", "17", "\u{e4}\u{f6}", "ffffffff-18446744073709551615"] {
        let mut subscriber = site.subscribe_to("/events", &format!("Last-Event-ID: {last}\r\n"));
        subscriber.expect(3..8);
    }
}

#[test]
fn an_id_from_the_future_gets_what_is_new() {
    let site = Site::serve(Feed::builder());
    let mut first = site.subscribe();
    site.send([0]);
    let id = first.field("id");
    let (run, _) = id.split_once('-').unwrap();
    for number in ["9", "18446744073709551615"] {
        let mut subscriber = site.subscribe_to("/events", &format!("Last-Event-ID: {run}-{number}\r\n"));
        site.send([1]);
        subscriber.expect([1]);
    }
}

#[test]
fn ids_of_the_program_s_own_work_after_a_restart_too() {
    for _run in 0..2 {
        let site = Site::serve(Feed::builder());
        (10..15).for_each(|number| site.feed.send(Event::new(number.to_string()).id(format!("n{number}"))));
        let mut subscriber = site.subscribe_to("/events", "Last-Event-ID: n12\r\n");
        subscriber.expect([13, 14]);
    }
}

/// Some servers send all that they keep to every new client, which then has some of it twice.
#[test]
fn a_new_client_gets_old_events_only_when_the_feed_says_so() {
    for (settings, first) in [(Feed::builder(), 3), (Feed::builder().replay_to_all(), 0)] {
        let site = Site::serve(settings);
        site.send(0..3);
        for field in ["", "Last-Event-ID: \r\n", "Last-Event-ID:\r\n"] {
            let mut subscriber = site.subscribe_to("/events", field);
            site.send([3]);
            assert_eq!(subscriber.data(), first.to_string());
            site.feed.send(Event::comment("so that the next one finds the same"));
        }
    }
}

// Those that leave, and those that do not read.

/// In other servers a client that leaves is found when something is sent to it, or never.
#[test]
fn a_client_that_leaves_is_noticed_although_nothing_is_sent() {
    let site = Site::serve(Feed::builder());
    let [mut finishes, mut leaves, resets] = [(); 3].map(|()| site.subscribe());
    let mut stays = site.subscribe();
    finishes.client.finish();
    assert_eq!(site.left(), 3);
    leaves.client.leave();
    assert_eq!(site.left(), 2);
    resets.client.reset();
    assert_eq!(site.left(), 1);
    assert_eq!(site.feed.subscribers(), 1);
    site.send([1]);
    stays.expect([1]);
}

#[test]
fn nothing_is_left_of_many_that_come_and_go() {
    let site = Site::serve(Feed::builder());
    for round in 0..20 {
        let subscribers: Vec<_> = (0..10).map(|_| site.subscribe()).collect();
        for (at, subscriber) in subscribers.into_iter().enumerate() {
            if at % 2 == 0 {
                subscriber.client.reset();
            } else {
                drop(subscriber);
            }
            if (round + at) % 3 == 0 {
                site.send([at]);
            }
        }
        while site.left() > 0 {}
    }
    assert_eq!(site.feed.subscribers(), 0);
    let mut last = site.subscribe();
    site.send([1]);
    last.expect([1]);
}

#[test]
fn a_silent_stream_has_a_heartbeat() {
    let site = Site::serve(Feed::builder().heartbeat(Duration::from_secs(1)));
    let mut subscriber = site.subscribe();
    for number in 0..2 {
        assert_eq!(subscriber.next().unwrap(), ":\n\n");
        site.send([number]);
        subscriber.expect([number]);
    }
}

/// It is woken all the time, and gets nothing.
#[test]
fn a_subscriber_that_wants_nothing_of_all_that_is_sent_has_a_heartbeat_too() {
    let site = Site::serve(Feed::builder().heartbeat(Duration::from_secs(1)));
    let mut subscriber = site.subscribe_to("/events/none", "");
    let done = Gate::new();
    let (feed, sends) = (site.feed.clone(), done.clone());
    let sender = thread::spawn(move || {
        while !sends.have_come(1, Duration::from_millis(50)) {
            feed.send(Event::new("x").name("other"));
        }
    });
    assert_eq!(subscriber.next().unwrap(), ":\n\n");
    done.open();
    done.pass();
    sender.join().unwrap();
}

/// More than the system takes for a subscriber that does not read, in few events, because each waits for a reader that other
/// programs may hold up.
const MANY: usize = 40;
const LARGE: usize = 512 * 1024;

fn large(number: usize) -> Event {
    Event::new(format!("{number} {}", "x".repeat(LARGE)))
}

/// A feed of large events with a subscriber that does not read, and one that reads.
fn stuck_and_reading(
    settings: FeedBuilder,
    change: impl FnOnce(&mut Limits),
) -> (Site, Subscriber, Subscriber) {
    let site = Site::serve_within(settings, |limits| {
        // On a busy machine the test takes long.
        limits.write_timeout = Duration::from_secs(3_600);
        change(limits);
    });
    let stuck = site.subscribe();
    let reads = site.subscribe();
    (site, stuck, reads)
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_and_the_others_miss_nothing() {
    let (site, mut stuck, mut reads) =
        stuck_and_reading(Feed::builder().history(2).history_bytes(1 << 30), |_| {});
    for number in 0..MANY {
        site.feed.send(large(number));
        assert!(reads.data().starts_with(&format!("{number} ")));
    }
    // It is noticed when there is room for it again.
    assert_ne!(stuck.client.rest().1, End::Goodbye);
    assert_eq!(site.left(), 1);
    site.send([7]);
    reads.expect([7]);
}

#[test]
fn a_subscriber_that_takes_nothing_is_cut_by_the_limit_for_sending() {
    let settings = Feed::builder().history(100_000).history_bytes(1 << 30);
    let (site, _stuck, mut reads) =
        stuck_and_reading(settings, |limits| limits.write_timeout = Duration::from_millis(500));
    for number in 0..10 * MANY {
        site.feed.send(large(number));
        assert!(reads.data().starts_with(&format!("{number} ")));
        if site.feed.subscribers() == 1 {
            break;
        }
    }
    assert_eq!(site.left(), 1);
    site.send([7]);
    reads.expect([7]);
}

/// All of it is sent for the server, and only the system knows that the subscriber takes nothing.
#[test]
fn a_subscriber_that_takes_nothing_of_what_the_system_holds_is_cut_by_the_same_limit() {
    let settings = Feed::builder().history_bytes(1 << 30);
    let site = Site::serve_within(settings, |limits| limits.write_timeout = Duration::from_millis(500));
    let stuck = site.subscribe();
    rustix::net::sockopt::set_socket_recv_buffer_size(stuck.client.tcp(), 4096).unwrap();
    site.feed.send(large(0));
    assert_eq!(site.left(), 0);
    stuck.client.wait_for_limit("write_timeout");
}

#[test]
fn a_feed_of_the_latest_gives_a_slow_subscriber_the_newest_and_keeps_it() {
    let (site, mut slow, mut reads) =
        stuck_and_reading(Feed::builder().latest_only().history_bytes(1 << 30), |_| {});
    for number in 0..MANY {
        site.feed.send(large(number).name(format!("{}", number % 2)));
        assert!(reads.data().starts_with(&format!("{number} ")));
    }
    assert_eq!(site.feed.subscribers(), 2);
    let mut got = Vec::new();
    while got.last() != Some(&(MANY - 1)) {
        got.push(slow.data().split_once(' ').unwrap().0.parse::<usize>().unwrap());
    }
    assert!(got.windows(2).all(|two| two[0] < two[1]), "{got:?}");
    assert!(got.len() < MANY, "it has missed none of {MANY}");
    assert_eq!(got[got.len() - 2], MANY - 2, "the newest of each name");
    site.send([7]);
    slow.expect([7]);
}

// The end.

#[test]
fn a_stop_ends_streams_cleanly_and_spreads_the_clients_that_come_back() {
    let site = Site::serve(Feed::builder().reconnect_within(Duration::from_secs(8)));
    let mut subscribers: Vec<_> = (0..20).map(|_| site.subscribe()).collect();
    site.send(0..3);
    site.serving.handle.stop();
    let mut waits = BTreeSet::new();
    for subscriber in &mut subscribers {
        subscriber.expect(0..3);
        waits.insert(subscriber.field("retry").parse::<u64>().unwrap());
        assert_eq!(subscriber.end(), None);
        subscriber.client.expect_goodbye();
    }
    assert!(waits.iter().all(|wait| (2_000..=8_000).contains(wait)), "{waits:?}");
    assert!(waits.len() > 10, "{waits:?}");
    site.serving.join().unwrap();
}

#[test]
fn a_closed_feed_ends_its_streams_and_tells_clients_not_to_come_back() {
    let site = Site::serve(Feed::builder());
    let mut subscriber = site.subscribe();
    subscriber.client.send(get("/quick"));
    site.send([1]);
    site.feed.close();
    site.send([2]);
    subscriber.expect([1]);
    assert_eq!(subscriber.end(), None);
    assert_eq!(subscriber.client.reply().text(), "quick", "the request that came meanwhile");
    assert_eq!(subscriber.client.get("/events").status, 204);
}

#[test]
fn a_feed_can_have_subscribers_of_two_servers() {
    let site = Site::serve(Feed::builder());
    let other = serve_within(Router::new().get("/events", site.feed.handler()), |_| {});
    let other = Site { feed: site.feed.clone(), left: channel().1, serving: other };
    let (mut here, mut there) = (site.subscribe(), other.subscribe());
    assert_eq!(site.feed.subscribers(), 2);
    site.send(0..3);
    here.expect(0..3);
    there.expect(0..3);
    other.serving.handle.stop();
    assert_eq!(there.end(), None);
    other.serving.join().unwrap();
    assert_eq!(site.left(), 1);
    site.send([3]);
    here.expect([3]);
}

#[test]
fn a_test_without_a_server_reads_the_events_so_far() {
    let feed = Feed::builder().replay_to_all().build();
    feed.send(Event::new("1").id("a"));
    let router = Router::new().get("/events", feed.handler());
    let response: Response = router.call(&mut Request::get("/events"));
    assert_eq!(response.into_bytes().unwrap(), b"data: 1\nid: a\n\n");
}

#[test]
fn a_read_without_room_gives_nothing_and_ends() {
    let feed = Feed::builder().replay_to_all().build();
    feed.send(Event::new("1").id("a"));
    let (_, _, mut body) = feed.subscribe(&Request::get("/")).into_parts();
    let (tell, read) = channel();
    thread::spawn(move || {
        let none = body.read(&mut []).unwrap();
        let mut rest = String::new();
        body.read_to_string(&mut rest).unwrap();
        tell.send((none, rest)).unwrap();
    });
    assert_eq!(read.recv_timeout(SAFETY).expect("it reads for ever"), (0, "data: 1\nid: a\n\n".to_string()));
}
