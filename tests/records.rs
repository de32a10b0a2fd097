//! TLS records without request data: alerts, empty records, key updates. The connection goes on or ends as each of them says.

mod support;

use std::time::Duration;

use lockgate::{Limits, Request, Router};

use support::{get, serve_within, Serving};

/// Longer than any test: nothing here happens because a deadline came up.
const NEVER: Duration = Duration::from_secs(3600);

fn serving() -> Serving {
    let router = Router::new().get("/", |_: &mut Request| "root");
    serve_within(router, |limits: &mut Limits| {
        limits.idle_timeout = NEVER;
        limits.head_timeout = NEVER;
        limits.write_timeout = NEVER;
    })
}

#[test]
fn a_goodbye_right_behind_a_request_is_heard_though_tcp_stays_open() {
    let serving = serving();
    for requests in [0, 1, 3] {
        let mut client = serving.connect();
        client.send_last(get("/").repeat(requests));
        for _ in 0..requests {
            assert_eq!(client.reply().text(), "root");
        }
        client.expect_goodbye();
    }
}

#[test]
fn a_change_of_keys_between_two_requests_disturbs_nothing() {
    let serving = serving();
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "root");
    for _ in 0..3 {
        client.update_keys();
        assert_eq!(client.get("/").text(), "root");
    }
}
