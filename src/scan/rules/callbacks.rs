//! Code that replaces a library's check of certificates: the conditions on the text around a word.

use super::bodies::{body_after, braces, method_body, without_comments, BODY};
use crate::backports::Trim;
use crate::scan::place::{contains, is_of_name, Place};
use crate::scan::tokens::Kind;

/// `requests`, `httpx` and the like, not the signature of a token.
pub(in crate::scan) fn is_about_requests(place: &Place<'_>) -> bool {
    const LIBRARIES: &[&str] = &[
        "requests",
        "httpx",
        "niquests",
        "Session",
        "session",
        "hvac",
        "http",
        "boto3",
        "botocore",
        "TLSConfig",
        "urllib",
    ];
    const OTHERS: &[&str] = &[
        "jwt",
        "decode",
        "token",
        "jws",
        "load",
        "save",
        "backup",
        "hash",
        "signature",
        "password",
        "checksum",
        "copy",
        "download_file",
        "unpack",
        "parse",
    ];
    let call = place.source.call_around(place.at).unwrap_or_default().to_ascii_lowercase();
    // The default of a parameter counts only beside a request.
    let is_a_parameter = place.source.from(place.end).starts_with(b": bool")
        || place.source.from(place.end).starts_with(b": Optional[bool]");
    let is_known = if is_a_parameter {
        place.source.mentions(&["requests", "httpx", "niquests"])
    } else {
        place.source.mentions(LIBRARIES)
    };
    is_known
        && !OTHERS.iter().any(|other| contains(&call, other))
        && !is_a_parameter_of_another(place)
        && !is_chosen(place)
}

/// Python: one of two branches, `if is_secure: verify = True` and `else: verify = False`, or the branch for connections
/// without TLS.
fn is_chosen(place: &Place<'_>) -> bool {
    let source = place.source;
    let line = source.line_before(place.at);
    if !line.trimmed().is_empty() {
        return false;
    }
    let above = source.before(place.at - line.len(), 400);
    let mut lines = above.rsplit(|byte| *byte == b'\n').map(Trim::trimmed).filter(|line| !line.is_empty());
    let (condition, other) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let word = source.bytes.get(place.at..place.end).unwrap_or_default();
    let is_for_plain = contains(condition, "'http:") || contains(condition, "\"http:");
    let is_branch = condition.starts_with(b"else") || condition.starts_with(b"elif");
    is_for_plain || is_branch && other.starts_with(word) && other.ends_with(b"True")
}

/// `def shorten(text, verify=False)`: a parameter of a function that connects to nothing.
fn is_a_parameter_of_another(place: &Place<'_>) -> bool {
    const OF_CONNECTIONS: &[&str] = &[
        "url", "uri", "host", "session", "timeout", "header", "auth", "cert", "addr", "server", "port",
        "__init__", "self",
    ];
    let line = place.source.line_before(place.at);
    let is_definition =
        [&b"def "[..], b"async def "].iter().any(|start| line.trimmed_start().starts_with(start));
    let whole = [line, place.source.line_after(place.at)].concat().to_ascii_lowercase();
    is_definition && !OF_CONNECTIONS.iter().any(|word| contains(&whole, word))
}

/// `ssl=False` for a request or a connector of aiohttp; elsewhere it means that there is no TLS at all.
pub(in crate::scan) fn is_about_aiohttp(place: &Place<'_>) -> bool {
    const CALLS: &[&[u8]] = &[
        b"get",
        b"post",
        b"put",
        b"patch",
        b"delete",
        b"head",
        b"options",
        b"request",
        b"_request",
        b"ws_connect",
        b"TCPConnector",
        b"fetch",
    ];
    let call = place.source.call_around(place.at).unwrap_or_default();
    // A session of unknown type that is passed in: of the sessions that are awaited, only those of aiohttp have this
    // option.
    let is_handed_in = place.source.mentions(&["await "])
        && String::from_utf8_lossy(call).to_ascii_lowercase().contains("session.");
    if !place.source.mentions(&["aiohttp"]) && !is_handed_in {
        return false;
    }
    CALLS.contains(&call.rsplit(|byte| *byte == b'.').next().unwrap_or_default())
}

/// Not where it becomes the default of every connection, which is a finding of its own.
pub(in crate::scan) fn is_used_for_one_context(place: &Place<'_>) -> bool {
    place.region.kind == Kind::Code
        && !contains(place.source.line_before(place.at), "_create_default_https_context")
        && !is_conditional(place)
        && !place.is_imported_or_declared()
}

/// One of two values that a condition chooses: `a if c else WORD`, `WORD if c else a`, `c ? a : WORD`, `instanceof WORD`.
pub(in crate::scan) fn is_conditional(place: &Place<'_>) -> bool {
    let (before, after) = (place.source.line_before(place.at), place.source.line_after(place.word().1));
    let has_both = |one: &str, other: &str| {
        memchr::memmem::find(before, one.as_bytes())
            .is_some_and(|at| memchr::memmem::find(&before[at..], other.as_bytes()).is_some())
    };
    let rest = after.trimmed_start();
    let rest = rest.strip_prefix(b"()").unwrap_or(rest).trimmed_start();
    has_both(" if ", " else ")
        || rest.starts_with(b"if ") && contains(rest, " else ")
        || contains(before, " ? ")
        || before.trimmed_end().ends_with(b"instanceof")
}

/// As an argument, or assigned: neither a label nor the declaration of a constant.
pub(in crate::scan) fn is_given(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    let trimmed = line.trimmed();
    !trimmed.is_empty()
        && !trimmed.starts_with(b"case")
        && !contains(line, "enum")
        && !trimmed.starts_with(b"#")
        && !is_conditional(place)
}

/// `name(`, and neither declared nor imported.
pub(in crate::scan) fn is_called(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at).trimmed_start();
    let is_declared =
        ["void ", "int ", "bool ", "extern ", "static "].iter().any(|word| line.starts_with(word.as_bytes()));
    place.source.from(place.word().1).starts_with(b"(") && !is_declared && !place.is_imported_or_declared()
}

/// Whether an argument of a call, counted from 0, is one of these words.
pub(in crate::scan) fn has_argument(place: &Place<'_>, index: usize, words: &[&str]) -> bool {
    let after = place.source.after(place.word().1, BODY);
    let Some(arguments) =
        after.strip_prefix(b"(").and_then(|rest| rest.split(|byte| b");".contains(byte)).next())
    else {
        return false;
    };
    let argument = arguments.split(|byte| *byte == b',').nth(index).unwrap_or_default().trimmed();
    words.iter().any(|word| word.as_bytes() == argument) && is_called(place)
}

/// GLib: `"property", FALSE`.
pub(in crate::scan) fn is_followed_by_false(place: &Place<'_>) -> bool {
    let after = place.source.line_after(place.end);
    let Some(value) = after.strip_prefix(b"\",") else { return false };
    value.trimmed_start().starts_with(b"FALSE")
}

/// LDAP: the client asks for no certificate, or accepts any.
pub(in crate::scan) fn asks_for_no_certificate(place: &Place<'_>) -> bool {
    let after = place.source.line_after(place.word().1);
    let value = after.split(|byte| *byte == b')').next().unwrap_or_default();
    ["OPT_X_TLS_NEVER", "OPT_X_TLS_ALLOW"].iter().any(|never| contains(value, never))
        || value.starts_with(b", &never")
}

/// C#: `new SslStream(stream, false, (a, b, c, d) => true)`.
pub(in crate::scan) fn is_made_with_a_yes(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY);
    if !after.starts_with(b"(") {
        return false;
    }
    let mut depth = 0_usize;
    let close = after.iter().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let arguments = &after[..close.unwrap_or(after.len())];
    if let Some(at) = memchr::memmem::find(arguments, b"delegate") {
        let brace = arguments[at..].iter().position(|byte| *byte == b'{');
        return brace.and_then(|brace| braces(&arguments[at + brace..])).is_some_and(is_yes);
    }
    let Some(at) = memchr::memmem::find(arguments, b"=>") else { return false };
    let body = arguments[at + 2..].trimmed_start();
    if body.starts_with(b"{") {
        return braces(body).is_some_and(is_yes);
    }
    let end = body.iter().position(|byte| b",)".contains(byte)).unwrap_or(body.len());
    is_yes(&body[..end])
}

/// `x = NAME`, `x: NAME`, `x => NAME`, with a qualified name; neither compared nor in a condition.
pub(in crate::scan) fn is_assigned(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    let name = line.iter().rev().take_while(|byte| is_of_name(**byte) || b".:".contains(byte)).count();
    let mut before = line[..line.len() - name].trimmed_end();
    if let Some(outside) = before.strip_suffix(b"\"").or(before.strip_suffix(b"'")) {
        before = outside.trimmed_end();
    }
    // `verify_mode: OpenSSL::SSL::VERIFY_NONE`: without a space the colon was read as a part of the name.
    let is_set = before.ends_with(b"=>")
        || before.ends_with(b":")
        || before.ends_with(b"=") && !before.ends_with(b"==") && !before.ends_with(b"!=");
    let after = place.source.line_after(place.end).trimmed_start();
    let is_conditional = [&b"if "[..], b"unless ", b": ", b"else ", b"or ", b"and "]
        .iter()
        .any(|word| after.starts_with(word))
        || is_conditional(place);
    is_set && !is_conditional
}

/// As an argument, or assigned; not compared.
pub(in crate::scan) fn is_passed(place: &Place<'_>) -> bool {
    let after = place.source.from(place.end).first().copied().unwrap_or_default();
    b");,".contains(&after)
        && !contains(place.source.line_before(place.at), "==")
        && !is_conditional(place)
        && !place.is_imported_or_declared()
}

/// `object.name(` or `object->name(`.
pub(in crate::scan) fn is_a_call(place: &Place<'_>) -> bool {
    let before = place.source.before(place.at, 2);
    before.ends_with(b".") || before.ends_with(b"->")
}

/// `urllib3.disable_warnings(`.
pub(in crate::scan) fn silences(place: &Place<'_>) -> bool {
    place.source.from(place.end).starts_with(b"(")
        && !place.is_imported_or_declared()
        && place.source.mentions(&["urllib3", "requests", "InsecureRequestWarning"])
}

/// A filter that ignores the warning.
pub(in crate::scan) fn is_filtered(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    (contains(line, "filterwarnings(") || contains(line, "simplefilter(")) && contains(line, "ignore")
}

/// Go: neither VerifyConnection nor VerifyPeerCertificate is nearby.
pub(in crate::scan) fn has_no_check_of_its_own(place: &Place<'_>) -> bool {
    let around = [place.source.before(place.at, 600), place.source.after(place.end, 600)];
    // A WebSocket server has an option of that name for the origin of requests.
    let is_of_accept = contains(place.source.before(place.at, 120), "AcceptOptions");
    !is_of_accept
        && !around
            .iter()
            .any(|text| contains(text, "VerifyConnection") || contains(text, "VerifyPeerCertificate"))
}

/// Rust: the function does nothing but return the assertion.
pub(in crate::scan) fn asserts_at_once(place: &Place<'_>) -> bool {
    let before = place.source.before(place.at, 200);
    let path = before.iter().rev().take_while(|byte| is_of_name(**byte) || **byte == b':').count();
    let before = before[..before.len() - path].trimmed_end();
    let before = before.strip_suffix(b"Ok(").unwrap_or(before).trimmed_end();
    let before = before.strip_suffix(b"return").unwrap_or(before).trimmed_end();
    before.ends_with(b"{")
}

/// C and C++: a file that connects.
pub(in crate::scan) fn is_of_a_client(place: &Place<'_>) -> bool {
    const CLIENT: &[&str] = &[
        "SSL_connect",
        "client_method",
        "SSL_set_tlsext_host_name",
        "BIO_new_ssl_connect",
        "MBEDTLS_SSL_IS_CLIENT",
    ];
    is_passed(place) && place.source.mentions(CLIENT)
}

/// Swift and Objective-C: nothing evaluates the trust before the credential is made from it.
pub(in crate::scan) fn evaluates_nothing(place: &Place<'_>) -> bool {
    let before = place.source.before(place.at, 3000);
    let function = ["func ", "\n- ("]
        .iter()
        .filter_map(|start| memchr::memmem::rfind(before, start.as_bytes()))
        .max()
        .unwrap_or(0);
    let body = &before[function..];
    ![
        "SecTrustEvaluate",
        "evaluate(",
        "SecTrustSetAnchor",
        "SecTrustCopy",
        "SecTrustGetCertificate",
        "evaluateServerTrust",
        "pinned",
        "trusted",
    ]
    .iter()
    .any(|word| contains(body, word))
}

/// A function or a lambda that follows returns true and does nothing else.
pub(in crate::scan) fn returns_true(place: &Place<'_>) -> bool {
    !place.is_imported_or_declared() && body_after(place).is_some_and(is_yes)
}

/// Java and Kotlin: `verify(String host, SSLSession session) { return true; }`.
pub(in crate::scan) fn says_yes_to_a_session(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY);
    let Some(open) = after.strip_prefix(b"(") else { return false };
    let Some(parameters) = open.split(|byte| *byte == b')').next() else { return false };
    contains(parameters, "SSLSession") && method_body(after).is_some_and(is_yes)
}

/// C#: `bool Name(…, SslPolicyErrors errors) { return true; }`.
pub(in crate::scan) fn is_last_parameter_of_a_yes(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY).trimmed_start();
    let name = after.iter().take_while(|byte| is_of_name(**byte)).count();
    let after = after[name..].trimmed_start();
    if name == 0 || !after.starts_with(b")") {
        return false;
    }
    let after = after[1..].trimmed_start();
    match after.strip_prefix(b"=>") {
        // For a lambda the finding is at the callback's name.
        Some(value) => after_is_a_method(place) && value.trimmed_start().starts_with(b"true;"),
        None => {
            braces(after).is_some_and(is_yes)
                && !contains(place.source.line_before(place.at), "CertificateValidationCallback")
        }
    }
}

fn after_is_a_method(place: &Place<'_>) -> bool {
    contains(place.source.line_before(place.at), "bool ")
}

/// Java and Kotlin: a method without a statement.
pub(in crate::scan) fn has_an_empty_body(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY);
    if !after.starts_with(b"(") || place.region.kind == Kind::String {
        return false;
    }
    match method_body(after) {
        Some(body) => {
            let body = without_comments(body);
            let body = body.trimmed();
            body.is_empty() || body == b"return;" || body == b"return" || body == b"Unit"
        }
        None => false,
    }
}

/// Android: the method's first statement is `handler.proceed()`.
pub(in crate::scan) fn proceeds(place: &Place<'_>) -> bool {
    let after = place.source.after(place.end, BODY);
    let Some(body) = method_body(after) else { return false };
    let body = without_comments(body);
    let first = body.trimmed();
    let name = first.iter().take_while(|byte| is_of_name(**byte) || b"?!.".contains(byte)).count();
    first[..name].ends_with(b".proceed") && first[name..].starts_with(b"()")
}

fn is_yes(body: &[u8]) -> bool {
    let body = without_comments(body);
    let body = body.trimmed();
    let body = body.strip_prefix(b"return").unwrap_or(body).trimmed_start();
    let body = body
        .strip_prefix(b"@")
        .map_or(body, |label| label.split(|byte| *byte == b' ').nth(1).unwrap_or_default());
    let body = body.strip_suffix(b";").unwrap_or(body).trimmed_end();
    body == b"true"
}
