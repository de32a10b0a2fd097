//! What bytes mean in a simple reading, which knows nothing of the server's: requests, answers, chunks.

use super::backend::Seen;

/// The end of a head.
pub const END: &[u8] = b"\r\n\r\n";

/// A request as a simple reading finds it, which knows nothing of the server's.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// As far as it came.
    pub body: Vec<u8>,
    pub is_whole: bool,
    /// What follows its head: a tunnel's bytes, if it becomes one.
    pub after: Vec<u8>,
}

pub fn requests(bytes: &[u8]) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut rest = bytes;
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        let Some(end) = find(rest, END).map(|at| at + END.len()) else { return asked };
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let body = &rest[end..];
        let (length, coding) = (field(&head, "content-length"), field(&head, "transfer-encoding"));
        let (data, length) = match (length, coding) {
            (None, None) => (Vec::new(), Some(0)),
            (Some(length), None) => match length.parse::<usize>().ok().filter(|length| *length <= body.len())
            {
                Some(length) => (body[..length].to_vec(), Some(length)),
                None => (body.to_vec(), None),
            },
            _ => unchunk(body),
        };
        let mut words = head.split(' ').map(str::to_string);
        asked.push(Asked {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            body: data,
            is_whole: length.is_some(),
            after: body.to_vec(),
        });
        let Some(length) = length else { return asked };
        rest = &body[length..];
    }
}

impl Asked {
    /// Whether the backend has seen this one.
    pub fn is(&self, seen: &Seen) -> bool {
        let target = self.target.split_once("://").map_or(&*self.target, |(_, rest)| {
            // In the absolute form.
            &rest[rest.find('/').unwrap_or(rest.len())..]
        });
        let target = if target.is_empty() { "/" } else { target };
        self.method == seen.method
            && (target == seen.target || seen.method == "OPTIONS")
            && match seen.is_whole {
                true => self.is_whole && self.body == seen.body,
                false if seen.method == "GET" => self.after.starts_with(&seen.body),
                false => self.body.starts_with(&seen.body),
            }
    }
}

/// An answer at the client.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// Its end is that of the connection, so it may be cut.
    pub may_be_cut: bool,
}

impl Reply {
    pub fn is(&self, body: &[u8]) -> bool {
        self.body == body || self.may_be_cut && body.starts_with(&self.body)
    }

    /// Whether the server may say this itself.
    pub fn is_own(&self, method: &str) -> bool {
        matches!(self.status, 400 | 404 | 405 | 408 | 411 | 413 | 414 | 417 | 421 | 426 | 431 | 501..=505)
            || self.status == 200 && method == "OPTIONS"
    }
}

/// The final answers in what the server has sent so far, and whether no other follows them.
pub fn replies(bytes: &[u8], asked: &[Asked]) -> (Vec<Reply>, bool) {
    let mut replies = Vec::new();
    let mut rest = bytes;
    while let Some(end) = find(rest, END) {
        let head = String::from_utf8_lossy(&rest[..end + END.len()]).into_owned();
        rest = &rest[end + END.len()..];
        let status: u16 = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        if status == 101 {
            replies.push(Reply { status, body: rest.to_vec(), may_be_cut: true });
            return (replies, true);
        }
        if status < 200 {
            continue;
        }
        let is_head = asked.get(replies.len()).is_some_and(|asked| asked.method == "HEAD");
        let (length, coding) = (field(&head, "content-length"), field(&head, "transfer-encoding"));
        assert!(length.is_none() || coding.is_none(), "framed twice: {head}");
        let mut may_be_cut = false;
        let body = match (length, coding) {
            _ if is_head || status == 204 || status == 304 => Vec::new(),
            (Some(length), _) => match rest.get(..length.parse().expect("a length")) {
                Some(body) => body.to_vec(),
                None => return (replies, false),
            },
            (None, Some(_)) => match unchunk(rest) {
                (body, Some(length)) => {
                    rest = &rest[length..];
                    replies.push(Reply { status, body, may_be_cut });
                    if field(&head, "connection").is_some_and(|connection| connection == "close") {
                        return (replies, true);
                    }
                    continue;
                }
                _ => return (replies, false),
            },
            (None, None) => {
                may_be_cut = true;
                rest.to_vec()
            }
        };
        rest = &rest[body.len()..];
        replies.push(Reply { status, body, may_be_cut });
        if may_be_cut || field(&head, "connection").is_some_and(|connection| connection == "close") {
            return (replies, true);
        }
    }
    (replies, false)
}

/// An answer of the backend as a simple reading finds it.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    Whole(u16, Vec<u8>),
    Cut,
}

/// What these bytes mean, whether the end of the answer is that of the connection, and where it is.
pub fn meant(bytes: &[u8], method: &str) -> (Meant, bool, usize) {
    let mut end = 0;
    loop {
        let cut = (Meant::Cut, true, bytes.len());
        let Some(length) = find(&bytes[end..], END) else { return cut };
        let head = String::from_utf8_lossy(&bytes[end..end + length]).into_owned();
        end += length + END.len();
        let rest = &bytes[end..];
        let Some(status) = head.get(9..12).and_then(|status| status.parse().ok()) else { return cut };
        match status {
            101 => return (Meant::Whole(101, rest.to_vec()), true, bytes.len()),
            100..=199 => continue,
            _ if method == "HEAD" || status == 204 || status == 304 => {
                return (Meant::Whole(status, Vec::new()), false, end)
            }
            _ => {}
        }
        let (coding, length) = (field(&head, "transfer-encoding"), field(&head, "content-length"));
        let ends_with_close = coding.is_none() && length.is_none();
        let (body, length) = match (coding, length) {
            (Some(_), _) => unchunk(rest),
            (None, Some(length)) => {
                let length = length.parse().ok().filter(|length| *length <= rest.len());
                (rest[..length.unwrap_or(0)].to_vec(), length)
            }
            (None, None) => (rest.to_vec(), Some(rest.len())),
        };
        return match length {
            Some(length) => (Meant::Whole(status, body), ends_with_close, end + length),
            None => (Meant::Cut, ends_with_close, bytes.len()),
        };
    }
}

/// Where the head of the final answer ends.
pub fn head_end(answer: &[u8]) -> usize {
    let mut end = 0;
    while let Some(at) = find(&answer[end..], END) {
        let is_interim = answer[end..].get(9) == Some(&b'1');
        end += at + END.len();
        if !is_interim {
            break;
        }
    }
    end
}

/// The data of a chunked body, and its length as it was sent, if its end is there.
pub fn unchunk(bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let mut data = Vec::new();
    let mut at = 0;
    let line =
        |at: usize| find(&bytes[at..], b"\r\n").map(|length| (&bytes[at..at + length], at + length + 2));
    while let Some((size, after)) = line(at) {
        let digits = size.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size else { return (data, None) };
        at = after;
        if size == 0 {
            while let Some((trailer, after)) = line(at) {
                at = after;
                if trailer.is_empty() {
                    return (data, Some(at));
                }
            }
            return (data, None);
        }
        let come = size.min(bytes.len() - at);
        data.extend_from_slice(&bytes[at..at + come]);
        at += come;
        if !bytes[at..].starts_with(b"\r\n") {
            return (data, None);
        }
        at += 2;
    }
    (data, None)
}

/// The value of the first field with this name.
pub fn field(head: &str, name: &str) -> Option<String> {
    let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_string())
}

pub fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
