//! Where a request's body ends: Content-Length, Transfer-Encoding, and chunks with their trailers.

use super::{group, in_chunks, post, request, row, Closed, Ended, Group, Kept, Row, Step, Tls};

pub fn rows() -> Vec<Row> {
    [
        group(Group::ContentLength, content_lengths()),
        group(Group::TransferEncoding, transfer_encodings()),
        group(Group::Chunks, chunks()),
    ]
    .concat()
}

fn content_lengths() -> Vec<Row> {
    const LIST: &str = "equal values may be taken for one (RFC 9110 §8.6)";
    let length = |value: &str| post(&format!("Content-Length:{value}\r\n"), "abc");
    vec![
        row("a length", "9112 §6.2", length(" 3"), &[200], Kept).says("abc"),
        row("a length without a space before", "9112 §5.1", length("3"), &[200], Kept).says("abc"),
        row("a length after much white space", "9112 §5.1", length(" \t  3"), &[200], Kept).says("abc"),
        row("leading zeros", "9110 §8.6", length(" 003"), &[200], Kept).says("abc"),
        row("length 0", "9112 §6.2", post("Content-Length: 0\r\n", ""), &[200], Kept).says(""),
        row("no length", "9112 §6.3", post("", ""), &[200], Kept).says(""),
        row(
            "a body with GET",
            "9110 §9.3.1",
            [request("GET /", "Content-Length: 3\r\n"), b"abc".into()].concat(),
            &[200],
            Kept,
        )
        .says("root"),
        row(
            "a body with DELETE",
            "9110 §9.3.5",
            [request("DELETE /", "Content-Length: 3\r\n"), b"abc".into()].concat(),
            &[405],
            Kept,
        ),
        row(
            "a body that looks like a request",
            "9112 §6.3",
            [
                request("POST /unread", "Content-Length: 42\r\n"),
                b"GET /evil HTTP/1.1\r\nHost: localhost-evil\r\n\r\n"[..42].into(),
            ]
            .concat(),
            &[200],
            Kept,
        )
        .says("unread"),
        row(
            "a body for nobody",
            "9112 §6.3",
            [request("POST /missing", "Content-Length: 3\r\n"), b"abc".into()].concat(),
            &[404],
            Kept,
        ),
        row("a plus sign", "9110 §8.6", length(" +3"), &[400], Closed),
        row("a minus sign", "9110 §8.6", length(" -1"), &[400], Closed),
        row("minus zero", "9110 §8.6", length(" -0"), &[400], Closed),
        row("hexadecimal", "9110 §8.6", length(" 0x3"), &[400], Closed),
        row("hexadecimal without a prefix", "9110 §8.6", length(" a"), &[400], Closed),
        row("an exponent", "9110 §8.6", length(" 3e0"), &[400], Closed),
        row("a decimal point", "9110 §8.6", length(" 3.0"), &[400], Closed),
        row("a digit group", "9110 §8.6", length(" 3_0"), &[400], Closed),
        row("a length in quotes", "9110 §8.6", length(" \"3\""), &[400], Closed),
        row("a digit that is not ASCII", "9110 §8.6", length(" ٣"), &[400], Closed),
        row("white space after the length", "9110 §5.5", length(" 3 "), &[200], Kept).says("abc"),
        row("a tab after the length", "9110 §5.5", length(" 3\t"), &[200], Kept).says("abc"),
        row("tabs and spaces around the length", "9110 §5.5", length("\t 3 \t "), &[200], Kept).says("abc"),
        row("white space within the length", "9110 §8.6", length(" 3 0"), &[400], Closed),
        row("a vertical tab before the length", "9112 §5.1", length(" \x0b3"), &[400], Closed),
        row("an empty length", "9110 §8.6", length(""), &[400], Closed),
        row("a length of white space", "9110 §8.6", length("  "), &[400], Closed),
        row("a length of 20 digits", "9110 §8.6", length(" 00000000000000000003"), &[400], Closed)
            .strict("any number of digits is a length (RFC 9110 §8.6)"),
        row("a length over u64", "9110 §8.6", length(" 18446744073709551619"), &[400], Closed),
        row("a length that is 3 in 32 bits", "9110 §15.5.14", length(" 4294967299"), &[413], Closed),
        row("a length over i64", "9110 §15.5.14", length(" 9223372036854775808"), &[413], Closed),
        row("a list of lengths", "9110 §8.6", length(" 3, 3"), &[400], Closed).strict(LIST),
        row("a list of lengths that differ", "9112 §6.3", length(" 3, 4"), &[400], Closed),
        row("a length and a comma", "9110 §8.6", length(" 3,"), &[400], Closed),
        row("two lengths that differ", "9112 §6.3", length(" 3\r\nContent-Length: 4"), &[400], Closed),
        row("two lengths that agree", "9110 §8.6", length(" 3\r\nContent-Length: 3"), &[400], Closed)
            .strict(LIST),
        row("length 0 and then 3", "9112 §6.3", length(" 0\r\nContent-Length: 3"), &[400], Closed),
        row("length 3 and then none", "9112 §6.3", length(" 3\r\nContent-Length:"), &[400], Closed),
        row(
            "a space before the colon of a length",
            "9112 §5.1",
            post("Content-Length : 3\r\n", "abc"),
            &[400],
            Closed,
        ),
        row(
            "a length whose name has an underscore",
            "9112 §6.3",
            post("Content_Length: 3\r\n", ""),
            &[200],
            Kept,
        )
        .says(""),
    ]
}

fn transfer_encodings() -> Vec<Row> {
    const BOTH: &str = "the coding may be taken and the length ignored (§6.3)";
    const LIST: &str = "other codings, and lists that end in chunked, may be understood (§6.1)";
    const BODY: &str = "3\r\nabc\r\n0\r\n\r\n";
    let coding = |value: &str| post(&format!("Transfer-Encoding:{value}\r\n"), BODY);
    vec![
        row("chunked", "9112 §6.1", coding(" chunked"), &[200], Kept).says("abc"),
        row("chunked without a space before", "9112 §5.1", coding("chunked"), &[200], Kept).says("abc"),
        row("chunked in capitals", "9112 §7", coding(" CHUNKED"), &[200], Kept).says("abc"),
        row(
            "chunked in a name in capitals",
            "9110 §5.1",
            post("TRANSFER-ENCODING: chunked\r\n", BODY),
            &[200],
            Kept,
        )
        .says("abc"),
        row(
            "chunks with GET",
            "9110 §9.3.1",
            [request("GET /", "Transfer-Encoding: chunked\r\n"), BODY.into()].concat(),
            &[200],
            Kept,
        )
        .says("root"),
        row("a coding and a length", "9112 §6.3", coding(" chunked\r\nContent-Length: 3"), &[400], Closed)
            .strict(BOTH),
        row(
            "a length and a coding",
            "9112 §6.3",
            coding(" chunked\r\nX: a\r\nContent-Length: 13"),
            &[400],
            Closed,
        )
        .strict(BOTH),
        row(
            "a length before a coding",
            "9112 §6.3",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", BODY),
            &[400],
            Closed,
        )
        .strict(BOTH),
        row("a coding and length 0", "9112 §6.3", coding(" chunked\r\nContent-Length: 0"), &[400], Closed)
            .strict(BOTH),
        row(
            "a space before the colon of a coding",
            "9112 §5.1",
            post("Transfer-Encoding : chunked\r\n", BODY),
            &[400],
            Closed,
        ),
        row(
            "a tab before the colon of a coding",
            "9112 §5.1",
            post("Transfer-Encoding\t: chunked\r\n", BODY),
            &[400],
            Closed,
        ),
        row("identity", "9112 §7", coding(" identity"), &[501], Closed),
        row("gzip", "9112 §6.1", coding(" gzip"), &[501], Closed),
        row("gzip, chunked", "9112 §6.1", coding(" gzip, chunked"), &[501], Closed).strict(LIST),
        row("chunked, gzip", "9112 §6.1", coding(" chunked, gzip"), &[501], Closed),
        row("chunked, chunked", "9112 §6.1", coding(" chunked, chunked"), &[501], Closed),
        row("xchunked", "9112 §7", coding(" xchunked"), &[501], Closed),
        row("chunkedx", "9112 §7", coding(" chunkedx"), &[501], Closed),
        row("half of chunked", "9112 §7", coding(" chunk"), &[501], Closed),
        row("chunked, identity", "9112 §6.1", coding(" chunked, identity"), &[501], Closed),
        row("identity, chunked", "9112 §6.1", coding(" identity, chunked"), &[501], Closed).strict(LIST),
        row("chunked and a comma", "9110 §5.6.1", coding(" chunked,"), &[501], Closed)
            .strict("empty elements of a list may be ignored (RFC 9110 §5.6.1)"),
        row("a comma and chunked", "9110 §5.6.1", coding(" , chunked"), &[501], Closed)
            .strict("empty elements of a list may be ignored (RFC 9110 §5.6.1)"),
        row("chunked with a parameter", "9112 §7.1", coding(" chunked;q=1"), &[501], Closed)
            .strict("a parameter of chunked should be treated as an error (§7.1)"),
        row("chunked in quotes", "9112 §7", coding(" \"chunked\""), &[501], Closed),
        row("chunked in brackets", "9112 §7", coding(" [chunked]"), &[501], Closed),
        row("an empty coding", "9112 §6.1", coding(""), &[501], Closed),
        row("chunked and a space", "9110 §5.5", coding(" chunked "), &[200], Kept).says("abc"),
        row("chunked and a tab", "9110 §5.5", coding(" chunked\t"), &[200], Kept).says("abc"),
        row("tabs and spaces around chunked", "9110 §5.5", coding("\t chunked \t "), &[200], Kept)
            .says("abc"),
        row("chunked and a vertical tab", "9110 §5.5", coding(" chunked\x0b"), &[400], Closed),
        row("chunked after a vertical tab", "9112 §5.1", coding(" \x0bchunked"), &[400], Closed),
        row("chunked after NUL", "9110 §5.5", coding(" \0chunked"), &[400], Closed),
        row("chunked with a CR", "9112 §2.2", coding(" chunked\r"), &[400], Closed),
        row(
            "chunked that ends in LF",
            "9112 §2.2",
            post("Transfer-Encoding: chunked\n", BODY),
            &[400],
            Closed,
        ),
        row("chunked on the next line", "9112 §5.2", coding("\r\n chunked"), &[400], Closed),
        row("two codings", "9112 §6.1", coding(" chunked\r\nTransfer-Encoding: chunked"), &[400], Closed),
        row(
            "two codings that differ",
            "9112 §6.1",
            coding(" chunked\r\nTransfer-Encoding: identity"),
            &[400],
            Closed,
        ),
        row(
            "two codings, the first unknown",
            "9112 §6.1",
            coding(" identity\r\nTransfer-Encoding: chunked"),
            &[501],
            Closed,
        ),
        row(
            "a coding whose name has an underscore",
            "9112 §6.3",
            post("Transfer_Encoding: chunked\r\n", ""),
            &[200],
            Kept,
        )
        .says(""),
        row(
            "a coding asked for by TE",
            "9110 §10.1.4",
            request("GET /", "TE: trailers, chunked\r\nConnection: TE\r\n"),
            &[200],
            Kept,
        ),
        row(
            "a coding of the content",
            "9110 §8.4",
            post("Content-Encoding: chunked\r\nContent-Length: 3\r\n", "abc"),
            &[415],
            Kept,
        ),
        row(
            "no coding of the content, said so",
            "9110 §12.5.3",
            post("Content-Encoding:\t identity \t\r\nContent-Length: 3\r\n", "abc"),
            &[200],
            Kept,
        )
        .says("abc"),
    ]
}

/// Each has a good head and a body in chunks; so the redirect sends all of them on.
fn chunks() -> Vec<Row> {
    const LF: &str = "LF alone may end a line of a message (§2.2)";
    const EXTENSION: &str = "extensions that are not known are ignored, within a bound (§7.1.1)";
    const SPACE: &str = "white space between any two parts was implied once (RFC 2616 §2.1)";
    let chunk = |size: &str| in_chunks(&format!("{size}\r\nabc\r\n0\r\n\r\n"));
    let trailer = |trailer: &str| in_chunks(&format!("3\r\nabc\r\n0\r\n{trailer}\r\n"));
    let good = |name, rfc, sent: Vec<u8>| row(name, rfc, sent, &[200], Kept).at_redirect(&[308]);
    let bad = |name, rfc, sent: Vec<u8>| row(name, rfc, sent, &[400], Closed).at_redirect(&[308]);
    vec![
        good("one chunk", "9112 §7.1", chunk("3")).says("abc"),
        good("several chunks", "9112 §7.1", in_chunks("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")).says("abc"),
        good("no chunk but the last", "9112 §7.1", in_chunks("0\r\n\r\n")).says(""),
        good("a last chunk of many zeros", "9112 §7.1", in_chunks("3\r\nabc\r\n000\r\n\r\n")).says("abc"),
        good("a size with leading zeros", "9112 §7.1", chunk("0000000000000003")).says("abc"),
        good("a size in capitals", "9112 §7.1", in_chunks("A\r\n0123456789\r\n0\r\n\r\n")).says("0123456789"),
        good("a size in small letters", "9112 §7.1", in_chunks("a\r\n0123456789\r\n0\r\n\r\n"))
            .says("0123456789"),
        good("data that looks like framing", "9112 §7.1", in_chunks("5\r\n0\r\n\r\n\r\n0\r\n\r\n"))
            .says("0\r\n\r\n"),
        good("an extension", "9112 §7.1.1", chunk("3;a")).says("abc"),
        good("an extension with a value", "9112 §7.1.1", chunk("3;a=b")).says("abc"),
        good("an extension with a quoted value", "9112 §7.1.1", chunk("3;a=\"b;c\"")).says("abc"),
        good("an extension with white space", "9112 §7.1.1", chunk("3;a = b")).says("abc"),
        good("an extension of the last chunk", "9112 §7.1.1", in_chunks("3\r\nabc\r\n0;a\r\n\r\n"))
            .says("abc"),
        bad("a size over u64", "9112 §7.1", chunk("10000000000000003")),
        bad("a size of 17 digits", "9112 §7.1", chunk("00000000000000003"))
            .strict("any number of digits is a size (§7.1)"),
        bad("a size below zero", "9112 §7.1", chunk("-2")),
        bad("a size with a plus", "9112 §7.1", chunk("+3")),
        bad("a size with a prefix", "9112 §7.1", chunk("0x3")),
        bad("a size that is no number", "9112 §7.1", chunk("g")),
        bad("a size with an underscore", "9112 §7.1", chunk("0_3")),
        bad("an empty size", "9112 §7.1", chunk("")),
        bad("an extension without a size", "9112 §7.1", chunk(";a")),
        bad("a space before a size", "9112 §7.1", chunk(" 3")).strict(SPACE),
        bad("a space after a size", "9112 §7.1", chunk("3 ")).strict(SPACE),
        bad("a tab after a size", "9112 §7.1", chunk("3\t")).strict(SPACE),
        bad("white space before an extension", "9112 §7.1.1", chunk("3 ;a"))
            .strict("bad white space has to be read past (RFC 9110 §5.6.3); but readers have disagreed where a size ends"),
        bad("a huge extension", "9112 §7.1.1", chunk(&format!("3;{}", "x".repeat(4_096)))).strict(EXTENSION),
        bad(
            "many extensions",
            "9112 §7.1.1",
            in_chunks(&format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(90))),
        )
        .strict(EXTENSION),
        bad("NUL in an extension", "9112 §7.1.1", chunk("3;a\0")),
        bad("CR in an extension", "9112 §7.1.1", chunk("3;a\rb")),
        bad("a size line that ends in LF", "9112 §7.1", in_chunks("3\nabc\r\n0\r\n\r\n")).strict(LF),
        bad("an extension that ends in LF", "9112 §7.1.1", in_chunks("3;a\nabc\r\n0\r\n\r\n")).strict(LF),
        bad("a size line that ends in CR", "9112 §7.1", in_chunks("3\rabc\r\n0\r\n\r\n")),
        bad("a size line that ends in CR CR LF", "9112 §7.1", in_chunks("3\r\r\nabc\r\n0\r\n\r\n")),
        bad("data that ends in LF", "9112 §7.1", in_chunks("3\r\nabc\n0\r\n\r\n")).strict(LF),
        bad("data that ends in CR", "9112 §7.1", in_chunks("3\r\nabc\r0\r\n\r\n")),
        bad("data that ends in another two bytes", "9112 §7.1", in_chunks("3\r\nabcxy0\r\n\r\n")),
        bad("data without an end", "9112 §7.1", in_chunks("3\r\nabc0\r\n\r\n")),
        bad("data that is too long", "9112 §7.1", in_chunks("3\r\nabcd\r\n0\r\n\r\n")),
        bad("data that is too short", "9112 §7.1", in_chunks("3\r\nab\r\n0\r\n\r\n")),
        bad("a last chunk that ends in LF", "9112 §7.1", in_chunks("0\n\n")).strict(LF),
        bad("an empty line after the last chunk in LF", "9112 §7.1", in_chunks("0\r\n\n")).strict(LF),
        bad("data after the last chunk", "9112 §7.1.2", in_chunks("3\r\nabc\r\n0\r\nabc\r\n\r\n")),
        row(
            "chunks where there are none",
            "9112 §6.3",
            post("Content-Length: 3\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            &[200, 400],
            Closed,
        )
        .at_redirect(&[308]),
        good("a trailer", "9112 §7.1.2", trailer("X: 1\r\n")).says("abc"),
        good("several trailers", "9112 §7.1.2", trailer("X: 1\r\nY:\r\nX: 2\r\n")).says("abc"),
        good("a trailer that would be a length", "9110 §6.5.1", trailer("Content-Length: 99\r\n"))
            .says("abc"),
        good("a trailer that would be a coding", "9110 §6.5.1", trailer("Transfer-Encoding: chunked\r\n"))
            .says("abc"),
        good("a trailer that would be another host", "9110 §6.5.1", trailer("Host: evil\r\nHost: evil\r\n"))
            .says("abc"),
        good("a trailer that would close", "9110 §6.5.1", trailer("Connection: close\r\n")).says("abc"),
        row(
            "trailers are no fields",
            "9110 §6.5.1",
            [
                request("POST /fields", "Trailer: X-Admin\r\nTransfer-Encoding: chunked\r\n"),
                b"3\r\nabc\r\n0\r\nX-Admin: yes\r\n\r\n".into(),
            ]
            .concat(),
            &[200],
            Kept,
        )
        .says("3 host trailer transfer-encoding"),
        bad("a trailer that ends in LF", "9112 §7.1.2", trailer("X: 1\n")).strict(LF),
        bad("a trailer that ends in CR", "9112 §7.1.2", trailer("X: 1\r")),
        bad("a folded trailer", "9112 §5.2", trailer("X: 1\r\n 2\r\n"))
            .strict("a folded line may be joined by spaces (§5.2)"),
        bad("a trailer after white space", "9112 §7.1.2", trailer(" X: 1\r\n")),
        bad("a trailer without a colon", "9112 §7.1.2", trailer("X\r\n")),
        bad("a trailer without a name", "9112 §7.1.2", trailer(": 1\r\n")),
        bad("a trailer with a space before the colon", "9112 §5.1", trailer("X : 1\r\n")),
        bad("NUL in a trailer", "9110 §5.5", trailer("X: \0\r\n")),
        bad("a request in place of a trailer", "9112 §7.1.2", trailer("GET /evil HTTP/1.1\r\n")),
        bad("a huge trailer", "9110 §5.4", trailer(&format!("X: {}\r\n", "x".repeat(5_000)))),
        bad("many trailers", "9110 §5.4", trailer(&"X: 1\r\n".repeat(1_000))),
        row(
            "chunks for nobody",
            "9112 §6.3",
            [request("POST /missing", "Transfer-Encoding: chunked\r\n"), b"3\r\nabc\r\n0\r\n\r\n".into()]
                .concat(),
            &[404],
            Kept,
        ),
        row(
            "bad chunks for nobody",
            "9112 §7.1",
            [request("POST /missing", "Transfer-Encoding: chunked\r\n"), b"3\r\nabcd\r\n0\r\n\r\n".into()]
                .concat(),
            &[404],
            Ended,
        )
        .at_redirect(&[308]),
        row("a size that is 3 in 32 bits", "9112 §7.1", in_chunks("100000003\r\nabc\r\n0\r\n\r\n"), &[], Closed)
            .then(Step::Finish)
            .only(Tls),
        row("a size that is no overflow", "9112 §7.1", in_chunks("ffffffffffffffff\r\nabc"), &[], Closed)
            .then(Step::Finish)
            .only(Tls),
    ]
}
