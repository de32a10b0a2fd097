use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::Identity;

const NOW: i64 = 1_800_000_000;
const LIFE: i64 = LIFETIME.as_secs() as i64;

fn keys() -> TicketKeys {
    TicketKeys::generate().unwrap()
}

fn ticketer(keys: &TicketKeys, scope: u8) -> Ticketer {
    let scope = Scope([scope; 32]);
    let [next, current, last] = keys.keys.map(|key| ListenerKey::derive(&key, &scope));
    Ticketer { keys: [current, next, last] }
}

#[test]
fn a_file_is_read_as_it_is_written() {
    let keys = keys();
    let text = keys.to_file_text();
    let read = TicketKeys::parse(&text).unwrap();
    assert_eq!((&*read.keys, read.rotated), (&*keys.keys, keys.rotated));
    // By hand, on another system, and without the time.
    let other: Vec<_> = text.lines().filter(|line| !line.starts_with("rotated")).collect();
    let read = TicketKeys::parse(&format!("\r\n{}\r\n", other.join("\r\n").replace(' ', "\t "))).unwrap();
    assert_eq!((&*read.keys, read.rotated), (&*keys.keys, None));
    let shown = format!("{keys:?}");
    for key in &*keys.keys {
        assert!(!shown.contains(&hex(key)) && !keys.id().contains(&hex(key)[..4]), "{shown}");
    }
}

#[test]
fn a_file_that_is_not_whole_or_not_of_this_kind_is_an_error_that_names_the_line() {
    let text = keys().to_file_text();
    let lines: Vec<&str> = text.lines().collect();
    let without = |role: &str| {
        let rest: Vec<_> = lines.iter().filter(|line| !line.starts_with(role)).copied().collect();
        rest.join("\n")
    };
    let key =
        |role: &str| lines.iter().find(|line| line.starts_with(role)).unwrap().split_once(' ').unwrap().1;
    let cases = [
        (String::new(), "has no line version 1"),
        (without("version"), "has no line version 1"),
        (without("next"), "has no key next"),
        (without("last"), "has no key last"),
        // Cut off while it was copied.
        (text[..text.len() - 2].to_string(), "line 7 has no key of 64 hexadecimal digits"),
        (text.replace("version 1", "version 2"), "line 3 names a version that is not known here"),
        (text.replace("current", "currant"), "line 6 has a name that is none of"),
        (format!("{text}last {}\n", key("next")), "line 8 says again"),
        (format!("{}\nlast {}\n", without("last"), key("next")), "has the same key twice"),
        (format!("{}\nlast {}\n", without("last"), "00".repeat(32)), "line 7 has no key"),
        (format!("{}\nlast {}\n", without("last"), "é".repeat(32)), "line 7 has no key"),
        (text.replace("rotated 2", "rotated 3x"), "line 4 has no time"),
        (format!("{text}rotated 2026-02-30T00:00:00Z\n"), "line 8 has no time"),
        // What other servers have: one key in base64 and nothing else.
        ("3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".into(), "line 1 is not a name and a value"),
    ];
    for (text, what) in cases {
        let found = TicketKeys::parse(&text).unwrap_err();
        assert!(found.starts_with(what), "{found}, not {what}");
        for secret in ["next", "current", "last"].map(key) {
            assert!(!found.contains(secret), "{found}");
        }
    }
}

#[test]
fn an_error_names_the_file_and_the_way_out() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("keys");
    let said = || TicketKeys::read(&file).unwrap_err().to_string();
    let begin = format!("ticket_keys: {}: ", file.display());
    for (contents, what, out) in [
        (None, "there is no such file", "lockgate ticket-keys new "),
        (Some(&b""[..]), "has no line version 1", "keys.bad && lockgate ticket-keys new "),
        (Some(b"\xff\xfe"), "cannot be read: it is not UTF-8", "give the path of a file that"),
        (Some(&[b'#'; 20_000]), "cannot be read: it is larger than", "give the path of a file that"),
    ] {
        if let Some(contents) = contents {
            fs::write(&file, contents).unwrap();
        }
        let said = said();
        assert!(said.starts_with(&begin) && said.contains(what) && said.contains(out), "{said}");
    }
    // As an editor may save it.
    fs::write(&file, format!("\u{feff}{}", keys().to_file_text())).unwrap();
    assert!(TicketKeys::read(&file).is_ok());
    let said = TicketKeys::read(dir.path()).unwrap_err().to_string();
    assert!(said.contains("is a directory; give the path of a file that"), "{said}");
}

#[test]
fn servers_with_the_file_before_and_after_an_exchange_read_each_others_tickets() {
    let before = keys();
    let after = before.rotated().unwrap();
    let later = after.rotated().unwrap();
    let sealed = |keys: &TicketKeys| ticketer(keys, 1).seal(b"session", NOW).unwrap();
    let opens = |keys: &TicketKeys, ticket: &[u8]| ticketer(keys, 1).open(ticket, NOW).is_some();
    for keys in [&before, &after] {
        assert!(opens(&before, &sealed(keys)) && opens(&after, &sealed(keys)));
    }
    // A ticket is good for one exchange, and for the second if its server was the first with the file.
    assert!(!opens(&later, &sealed(&before)) && opens(&later, &sealed(&after)));
    assert!(!opens(&keys(), &sealed(&before)));
    assert_eq!(before.id(), before.clone().id());
    assert_ne!(before.id(), after.id());
}

#[test]
fn a_ticket_is_read_by_its_own_listener_and_only_whole() {
    let keys = keys();
    let ticketer = |scope| ticketer(&keys, scope);
    let ticket = ticketer(1).seal(b"session", NOW).unwrap();
    assert_eq!(ticketer(1).open(&ticket, NOW).unwrap(), b"session");
    assert_eq!(ticketer(2).open(&ticket, NOW), None);
    // Also when it is not refused by its name already.
    let renamed = [&ticketer(2).keys[0].name[..], &ticket[NAME_BYTES..]].concat();
    assert_eq!(ticketer(2).open(&renamed, NOW), None);
    for length in 0..ticket.len() {
        assert_eq!(ticketer(1).open(&ticket[..length], NOW), None, "{length}");
        let mut changed = ticket.clone();
        changed[length] ^= 1;
        assert_eq!(ticketer(1).open(&changed, NOW), None, "{length}");
    }
    let long = ticketer(1).seal(&vec![0; MOST_TICKET_BYTES], NOW).unwrap();
    assert_eq!(ticketer(1).open(&long, NOW), None);
    assert_ne!(ticketer(1).seal(b"session", NOW), ticketer(1).seal(b"session", NOW));
}

#[test]
fn a_ticket_lives_for_twelve_hours_also_by_a_clock_that_is_behind() {
    let ticketer = ticketer(&keys(), 1);
    assert_eq!(i64::from(ticketer.lifetime()), LIFE);
    let ticket = ticketer.seal(b"session", NOW).unwrap();
    for (now, is_good) in [
        (NOW + LIFE, true),
        (NOW + LIFE + 1, false),
        (NOW - 3600, true),
        (NOW - LIFE - 1, false),
        (i64::MIN, false),
        (i64::MAX, false),
    ] {
        assert_eq!(ticketer.open(&ticket, now).is_some(), is_good, "{now}");
    }
}

#[test]
fn keys_are_old_after_a_month() {
    let mut keys = keys();
    keys.rotated = Some(NOW);
    let days = |days: i64| keys.days_if_old(from_unix(NOW + days * 86_400));
    assert_eq!((days(0), days(30), days(31), days(-1)), (None, None, Some(31), None));
    assert_eq!(keys.rotated_at(), Some(from_unix(NOW)));
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// With a key of its own.
    fn issue(&self, names: &[&str], with_root: bool) -> Identity {
        self.issue_with(names, with_root, true)
    }

    fn issue_with(&self, names: &[&str], with_root: bool, has_key_id: bool) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = has_key_id;
        let mut pem = params.signed_by(&key, &self.0).unwrap().pem();
        if with_root {
            pem += &self.0.pem();
        }
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

#[test]
fn servers_agree_by_the_names_and_the_authority_of_their_certificates_and_by_their_rules() {
    let (ours, other) = (Authority::new(), Authority::new());
    let scope = |identities: &[Identity]| Scope::of(identities, None).0;
    let one = |names: &[&str]| scope(&[ours.issue(names, false)]);
    let same = one(&["a.example", "192.0.2.1"]);
    assert_eq!(same, one(&["192.0.2.1", "A.example"]), "each with a key of its own");
    assert_ne!(same, one(&["a.example"]));
    assert_ne!(same, one(&["a.example", "192.0.2.2"]));
    assert_ne!(same, scope(&[other.issue(&["a.example", "192.0.2.1"], false)]));
    // Both have the same name. Without the identifier of its key, nobody knows which of them has signed.
    let [unclear, namesake, again] =
        [&ours, &other, &ours].map(|authority| [authority.issue_with(&["a.example"], false, false)]);
    assert_ne!(scope(&unclear), scope(&namesake));
    assert_ne!(scope(&unclear), scope(&again));
    assert_eq!(scope(&unclear), scope(&unclear));
    let root = |authority: &Authority| scope(&[authority.issue(&["a.example"], true)]);
    assert_eq!(root(&ours), root(&ours));
    assert_ne!(root(&ours), root(&other));
    let alone = |key: &KeyPair| {
        let certificate =
            CertificateParams::new(["a.example".to_string()]).unwrap().self_signed(key).unwrap();
        Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let (key, key2) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    assert_eq!(scope(&[alone(&key)]), scope(&[alone(&key)]));
    assert_ne!(scope(&[alone(&key)]), scope(&[alone(&key2)]), "clients trust the key itself");
    // The first is the default, for clients that ask for none by its name.
    let [a, b, c] = ["a.example", "b.example", "c.example"].map(|name| ours.issue(&[name], false));
    let three = scope(&[a.clone(), b.clone(), c.clone()]);
    assert_eq!(three, scope(&[a.clone(), c.clone(), b.clone()]));
    assert_ne!(three, scope(&[b.clone(), a.clone(), c]));
    assert_ne!(three, scope(&[a.clone(), b]));
    let a = [a];
    let by = |rules: Option<u8>| Scope::of(&a, rules.map(|rules| [rules; 32]).as_ref()).0;
    let [none, one, other] = [None, Some(0), Some(1)].map(by);
    assert!(none != one && none != other && one != other);
}
