//! Commands and environment variables that switch the check of certificates off, in scripts, Dockerfiles, CI files, and in
//! strings of programs.

use crate::backports::Trim;
use crate::scan::hosts::{classify, parse, Host};
use crate::scan::languages::{Language, Languages};
use crate::scan::place::{contains, Place, Value};
use crate::scan::tokens::Kind;

/// The longest command that is read.
const MOST_BYTES: usize = 1000;

/// `NAME=0`, `ENV NAME 0`, `process.env.NAME = '0'`, and in Kubernetes `name: NAME` with `value: "0"` in the next line.
pub(in crate::scan) fn sets_zero(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, 120);
    let rest =
        after.iter().position(|byte| !b"\\'\"] ".contains(byte)).map_or(&after[..0], |at| &after[at..]);
    let next_line = after.trimmed_start();
    let is_listed = next_line.starts_with(b"value:");
    let value = match rest {
        [b'=', b'=', ..] => return false,
        [b'=' | b':' | b',', rest @ ..] => rest,
        [b'\n' | b'\r', ..] => match next_line.strip_prefix(b"value:") {
            Some(rest) => rest,
            None => return false,
        },
        [b'0', ..] if matches!(after.first(), Some(b' ')) => rest,
        _ => return false,
    };
    let start = value.iter().position(|byte| !b"\\'\" \t".contains(byte)).unwrap_or(value.len());
    match value[start..] {
        [b'0', next, ..] if next.is_ascii_alphanumeric() || next == b'.' => false,
        // The name of an environment variable is under `name:`.
        [b'0', ..] => is_listed || is_no_mention(place),
        _ => false,
    }
}

/// `NAME=`, `NAME=""`, `NAME: ''`, `environ["NAME"] = ""`: set to nothing, which turns the check off.
pub(in crate::scan) fn sets_nothing(place: &Place<'_>) -> bool {
    let after = place.source.line_after(place.word().1);
    let skipped = after.iter().position(|byte| !b"\\'\"]".contains(byte)).unwrap_or(after.len());
    let rest = after[skipped..].trimmed_start();
    if rest.starts_with(b"==") {
        return false;
    }
    let Some(value) = rest.strip_prefix(b"=").or(rest.strip_prefix(b":")) else { return false };
    let trimmed = value.trimmed();
    let is_empty = [&b"\"\""[..], b"''"].iter().any(|quotes| {
        trimmed
            .strip_prefix(*quotes)
            .is_some_and(|rest| rest.first().map_or(true, |byte| !byte.is_ascii_alphanumeric()))
    });
    let is_file_of_variables = place.source.language == Language::Ini && skipped == 0 && trimmed.is_empty();
    (is_empty || is_file_of_variables) && is_no_mention(place)
}

/// `CURL="curl -k"`, `CURL_OPTS=(-s --insecure)`, `OPTS="$CURL -k"`: a variable whose name says that it is for curl.
pub(in crate::scan) fn keeps_options_of_curl(place: &Place<'_>) -> bool {
    let source = place.source;
    let (start, end) = place.word();
    let before = source.line_before(start).trimmed_end();
    let begins =
        [&b""[..], b"export", b"local", b"readonly", b"ENV", b"ARG", b"declare", b"-", b";", b"&&", b"then"];
    if !(before.is_empty() || begins.iter().skip(1).any(|begin| before.ends_with(begin))) {
        return false;
    }
    let after = source.from(end);
    let after = after
        .strip_prefix(b" ?")
        .or(after.strip_prefix(b" :"))
        .or(after.strip_prefix(b" +"))
        .unwrap_or(after);
    let after =
        after.strip_prefix(b"?").or(after.strip_prefix(b":")).or(after.strip_prefix(b"+")).unwrap_or(after);
    let Some(value) = after.strip_prefix(b"=") else { return false };
    let value = &value[..value.len().min(MOST_BYTES)];
    let line = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_prefix(b"(").unwrap_or(line.trimmed_start());
    let words: Vec<Vec<u8>> = line
        .split(|byte| byte.is_ascii_whitespace() || b"\"')(".contains(byte))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    // Not `CURL_CA=/etc/k`, and not `$(curl -k …)`, which is a finding itself.
    let is_command = contains(line, "$(") || contains(line, "`");
    !is_command
        && words.first().is_some_and(|first| {
            first.starts_with(b"-") || first.ends_with(b"curl") || first.starts_with(b"$")
        })
        && has_the_option(&words)
}

/// `OPTS+=(--insecure)`, `EXTRA_ARGS="--insecure"`: in a variable for a command that fetches.
pub(in crate::scan) fn is_an_option_for_later(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else { return false };
    let name = line[..equals].trimmed().strip_suffix(b"+").unwrap_or(line[..equals].trimmed());
    let name = name.rsplit(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let is_of_options = ["opt", "arg", "flag", "curl", "wget"].iter().any(|word| name.contains(word));
    let value = line[equals + 1..].trimmed_start();
    let is_a_command = contains(value, "$(") || contains(value, "curl ");
    is_of_options && !is_a_command && is_no_mention(place) && place.source.mentions(&["curl", "CURL"])
}

/// `echo insecure >> ~/.curlrc`.
pub(in crate::scan) fn is_written_to_curls_file(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    contains(line, ">") && ["insecure", "\"-k\"", "'-k'", " -k "].iter().any(|word| contains(line, word))
}

/// A command whose option is `--insecure` or `-insecure`.
pub(in crate::scan) fn has_insecure(place: &Place<'_>) -> bool {
    let words =
        words_of_a_command(place.source.after(place.word().1, MOST_BYTES), place.region.kind == Kind::String);
    words.iter().any(|word| word == b"--insecure" || word == b"-insecure")
        && begins_a_command(place)
        && is_no_mention(place)
        && !words.iter().any(|word| word.starts_with(b"localhost") || word.starts_with(b"127."))
}

/// The lines of curl's own file of options that switch the check off, each with its place.
pub(in crate::scan) fn insecure_lines_of_curlrc(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    bytes.split(|byte| *byte == b'\n').filter_map(move |line| {
        let start = at + line.len() - line.trimmed_start().len();
        at += line.len() + 1;
        let option = line.trimmed();
        let name = option
            .split(|byte| byte.is_ascii_whitespace() || b"=:".contains(byte))
            .next()
            .unwrap_or_default();
        [&b"insecure"[..], b"--insecure", b"-k", b"proxy-insecure"]
            .contains(&name)
            .then_some((start, start + name.len()))
    })
}

/// Not in a line that only prints the command.
pub(in crate::scan) fn is_no_mention(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    if Languages::SHELLS.has(place.source.language) && prints(line) {
        return false;
    }
    if place.region.kind != Kind::String || place.is_quoted() {
        return !is_prose_of_a_document(place, line);
    }
    if is_printed(place) {
        return false;
    }
    // In a string of a program: not in a sentence.
    let before = place.source.bytes.get(place.region.start..place.at).unwrap_or_default();
    let words = before.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let is_plain_word = |word: &&[u8]| word.iter().all(u8::is_ascii_alphabetic) && !is_command_word(word);
    !is_prose_of_a_document(place, line) && words.filter(is_plain_word).count() < 2
}

/// `Serial.printf("ex: curl --insecure …")`: a program shows the command.
fn is_printed(place: &Place<'_>) -> bool {
    const CALLS: &[&str] = &[
        "print",
        "println",
        "printf",
        "fprintf",
        "puts",
        "log",
        "info",
        "debug",
        "warn",
        "warning",
        "error",
        "writeline",
        "write_line",
        "echo",
        "eprintln",
        "logger",
    ];
    let call = place.source.call_around(place.region.from).unwrap_or_default();
    let last = call.rsplit(|byte| b".:>".contains(byte)).next().unwrap_or_default();
    CALLS.contains(&String::from_utf8_lossy(last).to_ascii_lowercase().as_str())
}

/// In YAML at the place of a key, or as an argument (`uri: url=… validate_certs=no`); in other languages anywhere.
pub(super) fn is_a_key(place: &Place<'_>) -> bool {
    if place.source.language != Language::Yaml {
        return true;
    }
    let line = place.source.line_before(place.word().0);
    let before = line.trimmed();
    let ends = [&b"{"[..], b",", b"\"", b"'", b"-"].iter().any(|end| before.ends_with(end));
    !is_prose_of_a_document(place, line) && (before.is_empty() || ends || before.contains(&b'='))
}

/// Bytes of a command line besides options.
fn is_command_word(word: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"curl", b"wget", b"sudo", b"git", b"npm", b"yarn", b"pnpm", b"pip", b"install", b"config", b"set",
        b"run", b"exec", b"docker", b"podman", b"kubectl", b"helm", b"clone", b"global", b"export", b"env",
        b"node", b"python", b"sh", b"bash", b"http", b"aws", b"apply", b"get", b"POST", b"GET", b"PUT",
        b"DELETE",
    ];
    WORDS.contains(&word)
}

/// In YAML and JSON: under a key whose value is for people.
fn is_prose_of_a_document(place: &Place<'_>, line: &[u8]) -> bool {
    if !Languages::CONFIGURATION.has(place.source.language) {
        return false;
    }
    let key = line.trimmed_start();
    let key = key.strip_prefix(b"- ").unwrap_or(key);
    let key = key.strip_prefix(b"\"").unwrap_or(key);
    ["description", "title", "summary", "message", "name:", "name\"", "help", "comment", "label"]
        .iter()
        .any(|word| key.starts_with(word.as_bytes()))
}

/// Whether a command line begins with a command that prints.
pub(in crate::scan) fn prints(line: &[u8]) -> bool {
    let line = line.trimmed_start();
    let line = line.strip_prefix(b"@").unwrap_or(line);
    let line = [&b"- "[..], b"run: ", b"RUN "]
        .iter()
        .fold(line, |line, start| line.strip_prefix(*start).unwrap_or(line).trimmed_start());
    let begins: &[&[u8]] = &[
        b"echo ", b"printf ", b"print ", b"say ", b"die ", b"warn ", b"info ", b"log ", b"error ", b"fail ",
        b"usage", b"einfo ", b"ewarn ", b"elog ", b"msg ",
    ];
    begins.iter().any(|begin| line.starts_with(begin))
        && !contains(line, "|")
        && !contains(line, "$(")
        && !contains(line, "&&")
        && !contains(line, ";")
}

/// `NSAllowsArbitraryLoads`: `<key>…</key> <true/>`, or a plain true.
pub(in crate::scan) fn is_true_in_a_property_list(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, 80);
    match after.strip_prefix(b"</key>") {
        Some(rest) => rest.trimmed_start().starts_with(b"<true"),
        None => place.value() == Value::True,
    }
}

/// `--trusted-host HOST`, `trusted-host = HOST`, if the host is not this machine.
pub(in crate::scan) fn trusts_a_host(place: &Place<'_>) -> bool {
    let (start, end) = place.word();
    let is_option = place.source.from(start).starts_with(b"-");
    let after = place.source.after(end, 200);
    let skipped = after.iter().position(|byte| !b"\"', \t=:".contains(byte)).unwrap_or(after.len());
    let separator = &after[..skipped];
    let rest = &after[skipped..];
    let length = rest
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || b"\"',:;|&)]".contains(byte))
        .unwrap_or(rest.len());
    let Ok(host) = std::str::from_utf8(&rest[..length]) else { return false };
    // In files of settings the name has no dashes.
    let is_set = is_option && skipped > 0
        || !is_option && place.source.language == Language::Ini && contains(separator, "=")
        || !is_option && contains(place.source.line_before(place.at), "pip config");
    is_set
        && !host.is_empty()
        && classify(&host.to_ascii_lowercase()) != Host::Loopback
        && is_no_mention(place)
}

/// `curl -k`, `curl -fsSLk`, `curl --insecure`, and `["curl", "-k", …]`, to another machine.
pub(in crate::scan) fn curl_does_not_check(place: &Place<'_>) -> bool {
    let source = place.source;
    let before = source.before(place.at, 1).first().copied().unwrap_or(b' ');
    let after = source.from(place.end).first().copied().unwrap_or(b' ');
    if before.is_ascii_alphanumeric()
        || b"_-.".contains(&before)
        || !(after == b' ' || after == b'\t' || after == before && b"\"'".contains(&after))
    {
        return false;
    }
    let words = if b"\"'".contains(&after) {
        words_of_a_list(source.after(place.end + 1, MOST_BYTES))
    } else {
        let limit = if place.region.kind == Kind::String {
            place.region.end.saturating_sub(place.end)
        } else {
            MOST_BYTES
        };
        words_of_a_command(source.after(place.end, limit.min(MOST_BYTES)), place.region.kind == Kind::String)
    };
    has_the_option(&words)
        && !asks_only_this_machine(&words)
        && !words
            .iter()
            .any(|word| word.starts_with(b"--unix-socket") || word.starts_with(b"--abstract-unix-socket"))
        && begins_a_command(place)
        && is_no_mention(place)
}

/// Whether a command can begin here, because the text before it is not a sentence.
fn begins_a_command(place: &Place<'_>) -> bool {
    if place.region.kind != Kind::String {
        return place.source.language != Language::Json;
    }
    let before = place.source.bytes.get(place.region.start..place.at).unwrap_or_default();
    let before = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().trimmed_end();
    let ends: &[&[u8]] = &[
        b"", b"sudo", b"&&", b";", b"|", b"(", b"`", b"{", b"=", b"-c", b"/bin/", b"exec", b"then", b"do",
        b"!", b"if", b"time", b"'", b"\"", b"@", b"run:", b":", b"while", b"until", b"not", b"eval",
    ];
    before.is_empty() || ends.iter().skip(1).any(|end| before.ends_with(end))
}

fn has_the_option(words: &[Vec<u8>]) -> bool {
    /// The short options of curl that take a value.
    const WITH_VALUE: &[u8] = b"AbcCdDeEFhHKmoPQrtTuUwxXyYz";
    let mut is_value = false;
    for word in words {
        if std::mem::take(&mut is_value) {
            continue;
        }
        match word.as_slice() {
            b"--insecure" => return true,
            [b'-', b'-', ..] => {}
            [b'-', letters @ ..] => {
                for (index, letter) in letters.iter().enumerate() {
                    if *letter == b'k' {
                        return true;
                    }
                    if WITH_VALUE.contains(letter) {
                        is_value = index + 1 == letters.len();
                        break;
                    }
                    if !letter.is_ascii_alphanumeric() && *letter != b'#' {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// Whether the rest of a command after an option names only this machine.
pub(in crate::scan) fn asks_only_this_machine_after(place: &Place<'_>) -> bool {
    asks_only_this_machine(&words_of_a_command(
        place.source.line_after(place.word().1),
        place.region.kind == Kind::String,
    ))
}

/// Whether an option is part of a command that contacts another machine.
pub(in super::super) fn asks_others(place: &Place<'_>) -> bool {
    let in_string = place.region.kind == Kind::String;
    let mut words = words_of_a_command(place.source.line_before(place.word().0), in_string);
    words.extend(words_of_a_command(place.source.line_after(place.word().1), in_string));
    is_no_mention(place) && !asks_only_this_machine(&words)
}

fn asks_only_this_machine(words: &[Vec<u8>]) -> bool {
    let mut hosts = words.iter().filter_map(|word| {
        // `--endpoint-url=https://…`.
        let value = memchr::memmem::find(word, b"=https:").map_or(&word[..], |equals| &word[equals + 1..]);
        let rest = value.strip_prefix(b"https")?;
        let url = [b"http", rest].concat();
        let url = parse(&url);
        Some(
            !url.is_built
                && std::str::from_utf8(url.host)
                    .is_ok_and(|host| classify(&host.to_ascii_lowercase()) == Host::Loopback),
        )
    });
    hosts.next().is_some_and(|first| first && hosts.all(|host| host))
}

/// The words of a command line to its end, without quotes. `in_string`: quotes may have a backslash in front.
fn words_of_a_command(text: &[u8], in_string: bool) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match (quote, byte) {
            (_, b'\\') => match text.get(at) {
                Some(b'\n') => {
                    at += 1;
                    words.extend(word.take());
                }
                Some(b'\r') => {}
                // `\n` in a string ends the line, like a line end.
                Some(b'n') if in_string && quote.is_none() => break,
                Some(&next) if in_string && (next == b'"' || next == b'\'') => {}
                Some(&next) => {
                    at += 1;
                    word.get_or_insert_with(Default::default).push(next);
                }
                None => {}
            },
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), byte) => word.get_or_insert_with(Default::default).push(byte),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                word.get_or_insert_with(Default::default);
            }
            (None, b'\n' | b';' | b'|' | b'`') => break,
            // A comment.
            (None, b'#') if word.is_none() => break,
            (None, b'&') if text.get(at) == Some(&b'&') || text.get(at) == Some(&b' ') => break,
            (None, b')') if word.is_none() => break,
            (None, b' ' | b'\t' | b'\r') => words.extend(word.take()),
            (None, byte) => word.get_or_insert_with(Default::default).push(byte),
        }
    }
    words.extend(word);
    words
}

/// The strings of a list, to its end.
fn words_of_a_list(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' | b'\'' => {
                let rest = &text[at..];
                let length = rest.iter().position(|end| *end == byte).unwrap_or(rest.len());
                words.push(rest[..length].to_vec());
                at += length + 1;
            }
            b']' | b')' | b';' | b'}' => break,
            _ => {}
        }
    }
    words
}
