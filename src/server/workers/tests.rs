//! Tests of the workers with a fake service. They use no sockets and do not depend on time: each test waits for events.

use super::*;
use crate::server::fake_service::Fake;

const LONG: Millis = Millis::MAX;

#[test]
fn one_worker_serves_one_after_the_other_what_is_ready() {
    let mut fake = Fake::start(1, 4, LONG, 8);
    let mut clients = [(); 3].map(|()| fake.connect());
    for _ in 0..3 {
        for client in &mut clients {
            client.say(b'q');
            let (key, what, me) = fake.told();
            assert_eq!((key, what), (client.key, "quick"));
            assert!(me.is_some());
        }
    }
    clients[0].say(b'c');
    let (key, what, _) = fake.told();
    assert_eq!((key, what), (0, "closed"));
    fake.until(|places| places.open == 2);
    assert_eq!(fake.stop(), 0);
    let mut ended = [fake.told().0, fake.told().0];
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
}

#[test]
fn a_worker_that_blocks_loses_its_permit_to_one_of_the_reserve() {
    let fake = Fake::start(1, 2, LONG, 8);
    let [mut blocked, mut quick] = [(); 2].map(|()| fake.connect());
    blocked.say(b'b');
    assert_eq!(fake.told(), (blocked.key, "entered", Some(0)));
    assert_eq!(fake.served.workers().busy(), (1, 2));
    quick.say(b'q');
    assert_eq!(fake.told(), (quick.key, "quick", Some(1)));
    assert!(!fake.served.workers().has_permit(Some(0)) && fake.served.workers().has_permit(Some(1)));
    fake.let_go();
    assert_eq!(fake.told(), (blocked.key, "left", Some(0)));
    assert_eq!(fake.served.workers().busy(), (0, 2));
    // One of the two workers has the permit, and the other one sleeps.
    for _ in 0..10 {
        blocked.say(b'q');
        quick.say(b'q');
        let both = [fake.told(), fake.told()];
        assert!(both.iter().all(|event| event.1 == "quick" && event.2.is_some()), "{both:?}");
    }
    // The same again with the sleeping worker.
    blocked.say(b'b');
    let (_, what, Some(first)) = fake.told() else { panic!("not by a worker") };
    assert_eq!(what, "entered");
    quick.say(b'q');
    assert_eq!(fake.told(), (quick.key, "quick", Some(1 - first)));
    fake.let_go();
}

#[test]
fn what_a_worker_without_a_permit_leaves_is_taken_by_the_one_that_watches() {
    let fake = Fake::start(1, 2, LONG, 8);
    let mut client = fake.connect();
    client.say(b's');
    assert_eq!(fake.told(), (client.key, "entered", Some(0)));
    fake.until(|places| places.watching);
    let watches = fake.served.poller().lock().watches;
    // This comes while worker 0 has the connection and the other worker watches.
    client.say(b'q');
    fake.until(|places| places.watching && places.watches > watches);
    fake.let_go();
    assert_eq!(fake.told(), (client.key, "left", Some(0)));
    assert_eq!(fake.told(), (client.key, "quick", Some(1)));
}

#[test]
fn a_handler_that_says_that_it_will_block_gives_its_permit_up_at_once() {
    let fake = Fake::start(1, 3, LONG, 8);
    let mut clients = [(); 3].map(|()| fake.connect());
    for (number, client) in clients.iter_mut().enumerate() {
        client.say(b's');
        assert_eq!(fake.told(), (client.key, "entered", Some(number)));
        assert!(!fake.served.workers().has_permit(Some(number)));
    }
    assert_eq!(fake.served.workers().busy(), (3, 3));
    (0..3).for_each(|_| fake.let_go());
    let mut left = [fake.told(), fake.told(), fake.told()];
    left.sort_unstable();
    assert_eq!(left.map(|event| event.1), ["left"; 3]);
}

#[test]
fn a_handler_that_was_slow_lately_is_called_without_a_permit() {
    let fake = Fake::start(1, 2, LONG, 8);
    let workers = fake.served.workers();
    fake.until(|places| places.watching);
    assert!(!workers.expects_slow(0));
    (0..2).for_each(|_| workers.leave_handler(Some(1), Some(0), Duration::from_secs(1)));
    assert!(workers.expects_slow(0));
    let mut client = fake.connect();
    client.say(b'b');
    assert_eq!(fake.told(), (client.key, "entered", Some(0)));
    assert!(!fake.served.workers().has_permit(Some(0)));
    fake.let_go();
}

#[test]
fn a_worker_stands_in_for_one_inside_a_reader_whose_client_is_gone_and_retires_after() {
    let fake = Fake::start(1, 1, LONG, 8);
    let [mut reads, mut quick, mut waits] = [(); 3].map(|()| fake.connect());
    reads.say(b'r');
    assert_eq!(fake.told(), (reads.key, "reads", Some(0)));
    quick.say(b'q');
    assert_eq!(fake.told(), (quick.key, "quick", None), "only the supervisor is left");
    let gone = crate::server::turn::Signals { gone: true, ..Default::default() };
    fake.served.poller().lock().begin_watch();
    fake.served.poller().lock().signal(reads.key, gone, 0, &mut Vec::new());
    quick.say(b'b');
    loop {
        match fake.told() {
            (key, "entered", me) => break assert_eq!((key, me), (quick.key, Some(1))),
            other => assert_eq!(other, (quick.key, "deferred", None)),
        }
    }
    // The reader returns, and there is one worker too many.
    fake.let_go();
    fake.let_go();
    let mut left = [fake.told().1, fake.told().1];
    left.sort_unstable();
    assert_eq!(left, ["has read", "left"]);
    fake.until(|places| places.permits.running() == 1);
    waits.say(b'q');
    assert_eq!(fake.told().0, waits.key);
}

#[test]
fn a_response_goes_on_when_another_reader_has_returned() {
    let fake = Fake::start(2, 4, LONG, 8);
    let [mut first, mut second] = [(); 2].map(|()| fake.connect());
    first.say(b'R');
    assert_eq!(fake.told().1, "reads");
    second.say(b'r');
    let (key, what, _) = fake.told();
    assert_eq!((key, what), (second.key, "waits"));
    // A place is given back when the connection has settled where it waits.
    fake.until(|places| places.watching && places.ready.is_empty() && places.queue.is_empty());
    fake.let_go();
    let mut next = [fake.told(), fake.told()].map(|event| (event.0, event.1));
    next.sort_unstable();
    assert_eq!(next, [(first.key, "has read"), (second.key, "reads")], "the first goes on with its response");
    fake.let_go();
    fake.let_go();
    assert_eq!(fake.told().1, "has read");
}

#[test]
fn a_refused_thread_is_told_and_its_worker_tried_again_later() {
    let sizes = Sizes { permits: 1, most: 2, readers: 0, queue_timeout: LONG, queue_requests: 8 };
    let fake = Fake::new(sizes);
    let (workers, poller) = (fake.served.workers(), fake.served.poller());
    let call = workers.call(&mut poller.lock(), 0);
    assert_eq!(call, Call::Start(0));
    assert!(fake.served.workers().has_permit(Some(0)));
    workers.refused(&fake.served, 0, "has no threads left");
    assert!(!fake.served.workers().has_permit(Some(0)));
    let faults = std::mem::take(&mut *fake.served.faults.lock().unwrap());
    assert_eq!(
        faults,
        ["a thread refused: the system refused another worker thread; going on with 0 of them, and trying again: \
          it has no threads left"]
    );
    let now = poller.millis(Instant::now());
    assert_eq!(workers.call(&mut poller.lock(), now), Call::Nobody);
    assert_eq!(workers.call(&mut poller.lock(), now + 1_001), Call::Start(0));
    workers.perform(&fake.served, Call::Start(0));
    fake.until(|places| places.watching);
}

#[test]
fn what_comes_back_after_a_stop_is_ended() {
    let mut fake = Fake::start(1, 2, LONG, 8);
    let mut client = fake.connect();
    client.say(b'b');
    assert_eq!(fake.told().1, "entered");
    assert_eq!(fake.stop(), 0);
    assert_eq!(fake.told().1, "left");
    assert_eq!(fake.told(), (client.key, "ended", None));
    assert_eq!(fake.served.poller().wait_empty(Instant::now()), 0);
}

#[test]
fn there_is_a_number_for_every_worker_and_for_each_that_stands_in() {
    let sizes = Sizes { permits: 1, most: 2, readers: 3, queue_timeout: LONG, queue_requests: 8 };
    let workers = Workers::new(sizes, 0);
    assert_eq!(workers.all.len(), 5);
    assert_eq!(workers.busy(), (0, 2));
    assert!(!workers.expects_slow(0));
}
