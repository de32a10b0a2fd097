//! What holds for every event: a client gets what was put in, and nothing else, wherever the network splits the stream. The
//! client here reads as WHATWG HTML §9.2.6 says.

use super::Event;

/// A client of a stream of events.
#[derive(Debug, Default)]
struct Client {
    line: Vec<u8>,
    after_cr: bool,
    has_begun: bool,
    name: String,
    data: String,
    id: String,
    events: Vec<(String, String, String)>,
}

impl Client {
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\n' => self.end_line(),
                b'\r' => {
                    self.end_line();
                    self.after_cr = true;
                }
                byte => {
                    self.after_cr = false;
                    self.line.push(byte);
                }
            }
        }
    }

    fn end_line(&mut self) {
        let mut line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if !std::mem::replace(&mut self.has_begun, true) && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        if line.is_empty() {
            let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            if data.pop().is_some() {
                self.events.push((name, data, self.id.clone()));
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_string(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_string(),
            _ => {}
        }
    }
}

/// The first byte says how the rest is split. What follows are a name, an id and data, with a 0xFF between them, for event after
/// event.
pub(crate) fn hold(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let mut parts = rest.split(|&byte| byte == 0xff).map(|part| String::from_utf8_lossy(part).into_owned());
    let mut client = Client::default();
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    let mut number = 0;
    while let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) {
        number += 1;
        let event = Event::new(&data).name(&*name).id(&*id);
        let may_be_sent = !name.contains(['\r', '\n'])
            && !id.contains(['\r', '\n', '\0'])
            && !id.starts_with([' ', '\t'])
            && !id.ends_with([' ', '\t']);
        assert_eq!(event.fault().is_none(), may_be_sent, "{event:?}");
        let encoded = if may_be_sent { event.encode() } else { Event::new(&data).encode() };
        let Ok(mut published) = encoded else { panic!("an event without a fault was refused") };
        published.finish(|| format!("{number}"));
        let Ok(mut comment) = Event::comment(&data).encode() else { panic!("a comment was refused") };
        comment.finish(|| unreachable!("a comment has no id"));
        stream.extend_from_slice(comment.bytes());
        stream.extend_from_slice(published.bytes());
        let data = data.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(published.data(), data);
        let (name, id) = if may_be_sent { (name, id) } else { (String::new(), number.to_string()) };
        assert_eq!((published.name().unwrap_or_default(), published.id()), (&*name, &*id));
        expected.push((name, data, id));
    }
    let mut rest = &stream[..];
    let mut size = usize::from(first);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((size % 7 + 1).min(rest.len()));
        client.read(piece);
        rest = behind;
        size = size.wrapping_mul(31).wrapping_add(17);
    }
    assert_eq!(client.events, expected);
}

#[cfg(test)]
#[test]
fn they_hold_for_many_events() {
    let pieces =
        &["a", "\r", "\n", "\r\n", "data: ", "id: 1\n", "event: x", ": ", " ", "\u{feff}", "ä", "\n\n"];
    for (at, mut input) in crate::fuzzing::inputs(20_000, pieces).enumerate() {
        // Some of the separators between names, ids and data.
        for step in 1..4 {
            let at = (at * 7 + step * 3) % (input.len() + 1);
            input.insert(at, 0xff);
        }
        hold(&input);
    }
}
