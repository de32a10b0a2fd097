//! Fields as proxies write them, and as their clients do. Several were how clients chose their address elsewhere: the leftmost of a
//! list that was believed, the first of several fields, and the field that the proxy does not write.

use super::*;

const PEER: &str = "10.0.0.1:4711";

fn trusted() -> Vec<Cidr> {
    ["10.0.0.0/8", "2001:db8:a::/48"].iter().map(|network| network.parse().unwrap()).collect()
}

fn of<'r>(pairs: &[(&str, &'r str)]) -> Fields<'r> {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        if let Some(values) = fields.named(name.as_bytes()) {
            values.push(value.as_bytes());
        }
    }
    fields
}

fn told(pairs: &[(&str, &str)]) -> Option<(Forwarded, Option<Doubt>)> {
    read(&of(pairs), PEER.parse().unwrap(), &trusted())
}

fn client(pairs: &[(&str, &str)]) -> (String, Option<Doubt>) {
    let (forwarded, doubt) = told(pairs).unwrap();
    (forwarded.client().to_string(), doubt)
}

const XFF: &str = "X-Forwarded-For";

#[test]
fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    for (value, expected) in [
        ("192.0.2.7", "192.0.2.7:0"),
        ("192.0.2.7:50514", "192.0.2.7:50514"),
        ("2001:db8::7", "[2001:db8::7]:0"),
        ("[2001:db8::7]", "[2001:db8::7]:0"),
        ("[2001:db8::7]:50514", "[2001:db8::7]:50514"),
        ("::ffff:192.0.2.7", "192.0.2.7:0"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.7:1"),
        // Forged by the client, before the proxy has added the real one.
        ("127.0.0.1, 192.0.2.7", "192.0.2.7:0"),
        ("10.0.0.9, 192.0.2.7", "192.0.2.7:0"),
        ("garbage, \", 192.0.2.7", "192.0.2.7:0"),
        ("192.0.2.7, 10.0.0.2, 10.0.0.3", "192.0.2.7:0"),
        ("198.51.100.1, 10.0.0.9, 192.0.2.7, 10.0.0.2", "192.0.2.7:0"),
        ("192.0.2.7,10.0.0.2 ,\t10.0.0.3", "192.0.2.7:0"),
        ("192.0.2.7, , 10.0.0.2,", "192.0.2.7:0"),
        ("192.0.2.7, 2001:db8:a::1", "192.0.2.7:0"),
        // All are trusted: a client among the proxies.
        ("10.0.0.9:1, 10.0.0.2", "10.0.0.9:1"),
        // Hidden on purpose: the last trusted proxy.
        ("unknown", PEER),
        ("Unknown, 10.0.0.2", "10.0.0.2:0"),
        ("192.0.2.7, unknown, 10.0.0.2", "10.0.0.2:0"),
        ("_gate, 10.0.0.2:5", "10.0.0.2:5"),
        ("_gate:_p", PEER),
        // A claim of this machine's own address.
        ("127.0.0.1", "127.0.0.1:0"),
    ] {
        assert_eq!(client(&[(XFF, value)]), (expected.to_string(), None), "{value}");
    }
}

#[test]
fn a_value_that_cannot_be_read_ends_the_search_at_the_last_trusted_proxy() {
    for (value, expected) in [
        ("garbage", PEER),
        ("192.0.2.7, garbage", PEER),
        ("192.0.2.7, garbage, 10.0.0.2", "10.0.0.2:0"),
        ("192.0.2.256", PEER),
        ("192.0.2.07", PEER),
        ("192.0.2.7:", PEER),
        ("192.0.2.7:x", PEER),
        ("192.0.2.7:+1", PEER),
        ("192.0.2.7:65536", PEER),
        ("192.0.2.7:1:2", PEER),
        ("[2001:db8::7", PEER),
        ("[2001:db8::7]1", PEER),
        ("[192.0.2.7]", PEER),
        ("fe80::1%eth0", PEER),
        ("192.0.2.7;", PEER),
        ("192.0.2.7 198.51.100.1", PEER),
        ("\"192.0.2.7\"", PEER),
        ("for=192.0.2.7", PEER),
        ("\u{e4}", PEER),
        ("_", PEER),
    ] {
        assert_eq!(client(&[(XFF, value)]), (expected.to_string(), Some(Doubt::Malformed)), "{value}");
    }
}

#[test]
fn several_fields_are_one_list() {
    // HAProxy adds a field of its own behind the client's.
    assert_eq!(client(&[(XFF, "198.51.100.1"), (XFF, "192.0.2.7")]).0, "192.0.2.7:0");
    assert_eq!(
        client(&[(XFF, "192.0.2.7"), (XFF, "10.0.0.2"), ("x-forwarded-for", "10.0.0.3")]).0,
        "192.0.2.7:0"
    );
    assert_eq!(client(&[("Forwarded", "for=198.51.100.1"), ("forwarded", "for=192.0.2.7")]).0, "192.0.2.7:0");
    // Other names are other fields.
    assert_eq!(
        told(&[
            ("X_Forwarded_For", "192.0.2.7"),
            ("X-Forwarded-Fo", "192.0.2.7"),
            ("X-Real-IP", "192.0.2.7")
        ]),
        None
    );
    assert_eq!(told(&[]), None);
}

#[test]
fn forwarded_is_read_as_its_rfc_has_it() {
    for (value, expected) in [
        ("for=192.0.2.7", "192.0.2.7:0"),
        ("For=\"192.0.2.7:50514\"", "192.0.2.7:50514"),
        ("FOR=\"[2001:db8::7]\";proto=https;by=203.0.113.43", "[2001:db8::7]:0"),
        ("for=\"[2001:db8::7]:50514\"", "[2001:db8::7]:50514"),
        ("for=[2001:db8::7]:50514", "[2001:db8::7]:50514"),
        ("for=192.0.2.7; proto=http , for=10.0.0.2", "192.0.2.7:0"),
        ("for=\"192.0.2\\.7\"", "192.0.2.7:0"),
        // A comma and a semicolon in quotes separate nothing.
        ("for=198.51.100.1;x=\"a, for=198.51.100.2;\", for=192.0.2.7;y=\"b,\\\",c\"", "192.0.2.7:0"),
        ("for=192.0.2.7;by=_gate, , for=10.0.0.2", "192.0.2.7:0"),
        ("for=_hidden", PEER),
        ("for=\"_hidden:_port\"", PEER),
        ("for=unknown", PEER),
        ("for=198.51.100.1, for=unknown, for=10.0.0.2", "10.0.0.2:0"),
    ] {
        assert_eq!(client(&[("Forwarded", value)]), (expected.to_string(), None), "{value}");
    }
    for value in [
        "for",
        "for=",
        "=192.0.2.7",
        "for = 192.0.2.7",
        "for=192.0.2.7;for=198.51.100.1",
        "for=\"192.0.2.7",
        "for=\"192.0.2.7\"x",
        "for=192.0.2.7 198.51.100.1",
        "for=192.0.2.7;proto",
        "192.0.2.7",
        "for=198.51.100.1, for=\"",
        "for=\"a\"b\"",
    ] {
        let (found, doubt) = client(&[("Forwarded", value)]);
        assert_eq!((&*found, doubt), (PEER, Some(Doubt::Malformed)), "{value}");
    }
    let many: String = (0..MOST_PARAMETERS).map(|at| format!("p{at}=1;")).collect();
    assert_eq!(client(&[("Forwarded", &format!("{many}for=192.0.2.7"))]).1, Some(Doubt::Malformed));
}

#[test]
fn both_kinds_have_to_name_the_same_client() {
    let both = |forwarded: &str, x_for: &str| client(&[("Forwarded", forwarded), (XFF, x_for)]);
    assert_eq!(both("for=192.0.2.7", "192.0.2.7"), ("192.0.2.7:0".into(), None));
    assert_eq!(both("for=\"[::ffff:192.0.2.7]:1\", for=10.0.0.2", "192.0.2.7"), ("192.0.2.7:1".into(), None));
    for (forwarded, x_for) in [
        // The proxy writes one of them, and the other is the client's own.
        ("for=198.51.100.1", "192.0.2.7"),
        ("for=192.0.2.7", "198.51.100.1"),
        ("for=10.0.0.9", "192.0.2.7"),
        ("for=garbage\"", "192.0.2.7"),
        ("for=unknown", "192.0.2.7"),
        ("for=192.0.2.7", "garbage"),
    ] {
        assert_eq!(both(forwarded, x_for), (PEER.into(), Some(Doubt::Differ)), "{forwarded} {x_for}");
        let (told, _) = told(&[("Forwarded", &*format!("{forwarded};proto=http")), (XFF, x_for)]).unwrap();
        assert_eq!((told.scheme(), told.proxies()), (None, &[][..]));
    }
    // One that names nobody does not stand against the other.
    assert_eq!(both("proto=https", "192.0.2.7"), ("192.0.2.7:0".into(), None));
    assert_eq!(both("", "192.0.2.7"), ("192.0.2.7:0".into(), None));
    assert_eq!(both("for=192.0.2.7", " , "), ("192.0.2.7:0".into(), None));
}

#[test]
fn scheme_and_host_are_of_the_proxy_that_names_the_client() {
    let said = |pairs: &[(&str, &str)]| {
        let (told, _) = told(pairs).unwrap();
        (told.scheme(), told.host().map(String::from))
    };
    let some = |scheme: &'static str, host: &str| (Some(scheme), Some(host.to_string()));
    let forwarded = |value: &str| said(&[("Forwarded", value)]);
    let two = "for=192.0.2.7;proto=HTTP;host=\"api.example:8080\", for=10.0.0.2;proto=https;host=inner";
    assert_eq!(forwarded(two), some("http", "api.example:8080"));
    assert_eq!(
        forwarded(&format!("for=198.51.100.1;proto=https;host=evil, {two}")),
        some("http", "api.example:8080")
    );
    assert_eq!(forwarded("for=192.0.2.7, for=10.0.0.2;proto=https;host=inner"), (None, None));
    assert_eq!(forwarded("proto=https;host=api.example"), some("https", "api.example"));
    let x = |x_for: &str, proto: &str, host: &str| {
        said(&[(XFF, x_for), ("X-Forwarded-Proto", proto), ("X-Forwarded-Host", host)])
    };
    assert_eq!(x("192.0.2.7", "https", "[2001:db8::1]:8443"), some("https", "[2001:db8::1]:8443"));
    assert_eq!(x("192.0.2.7, 10.0.0.2", "http, https", "a, b"), some("http", "a"));
    assert_eq!(x("192.0.2.7, 10.0.0.2", "http", "a"), some("http", "a"));
    assert_eq!(x("198.51.100.1, 192.0.2.7", "https, http", "evil, a"), some("http", "a"));
    // Neither one nor one of each: nobody can say whose they are.
    assert_eq!(x("192.0.2.7", "http, https", "a, b"), (None, None));
    for (proto, host) in
        [("wss", "a b"), ("https\u{e4}", "a/b"), ("", "a:x"), ("javascript", "user@a"), ("h", "[::1")]
    {
        assert_eq!(x("192.0.2.7", proto, host), (None, None), "{proto} {host}");
    }
    // What the two do not agree on is not known.
    let (told, _) = told(&[
        ("Forwarded", "for=192.0.2.7;proto=https;host=a"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "a"),
    ])
    .unwrap();
    assert_eq!((told.scheme(), told.host()), (None, Some("a")));
}

#[test]
fn the_proxies_are_told_in_the_order_of_the_way_and_what_the_client_has_forged_is_not() {
    let (told, _) = told(&[(XFF, "198.51.100.1, 192.0.2.7, 10.0.0.3, 10.0.0.2")]).unwrap();
    let proxies: Vec<String> = told.proxies().iter().map(|proxy| proxy.to_string()).collect();
    assert_eq!(
        (told.client().to_string(), proxies.join(" ")),
        ("192.0.2.7:0".into(), "10.0.0.3 10.0.0.2 10.0.0.1".into())
    );
}

#[test]
fn a_thousand_proxies_are_not_followed() {
    let all: Vec<String> = (0..1_000).map(|at| format!("10.1.{}.{}", at / 200, at % 200)).collect();
    let (told, doubt) = told(&[(XFF, &format!("192.0.2.7, {}", all.join(", ")))]).unwrap();
    assert_eq!((told.proxies().len(), doubt), (MOST_PROXIES, None));
    assert_eq!(told.client().ip().to_string(), all[1_000 - MOST_PROXIES]);
    // As few as that are parsed.
    let elements = vec!["for=10.0.0.9"; 1_000].join(",");
    assert_eq!(client(&[("Forwarded", &elements)]).0, "10.0.0.9:0");
}
