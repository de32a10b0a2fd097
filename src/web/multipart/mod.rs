//! Reads forms with files (`multipart/form-data`, RFC 7578) part by part, as they come. Knows requests and uploads; handlers call
//! it through [`Request::multipart`](crate::Request::multipart).

mod delimited;
mod head;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use self::delimited::{Delimited, Follows};
use self::head::Head;
use super::digest::Digester;
use super::form_fault::FormFault;
use super::upload::{check_name, Received, Saved, Upload};
use crate::error::Error;
use crate::http::request::Request;

/// The most bytes before the first boundary and after the last. They are for readers of mail, and clients send none.
const MOST_OUTSIDE_BYTES: usize = 8 * 1024;

/// A form with files, read part by part in the order in which the client sends them.
///
/// ```
/// use lockgate::{Error, Request, Router};
///
/// fn save(request: &mut Request) -> Result<String, Error> {
///     let mut form = request.multipart()?;
///     let (mut comment, mut bytes) = (String::new(), 0);
///     while let Some(part) = form.next_part()? {
///         match part.name() {
///             "comment" => comment = part.text()?,
///             "image" => bytes = part.save_to("/data/uploads", "image.bin")?.bytes(),
///             _ => {} // skipped
///         }
///     }
///     Ok(format!("{bytes} bytes: {comment}"))
/// }
/// # let body = "--b\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nnew\r\n--b--\r\n";
/// # let mut request = Request::post("/").with_header("content-type", "multipart/form-data; boundary=b").with_body(body);
/// # assert_eq!(save(&mut request).unwrap(), "0 bytes: new");
/// ```
///
/// Reading takes 32 KiB of memory, whatever the form holds. A form may have 100 parts, 8 KiB in the head of each, and 64 KiB in
/// a part that is read as text; the methods change that. The whole form has at most
/// [`Limits::body_bytes`](crate::Limits::body_bytes).
///
/// The rules of RFC 7578 and RFC 2046 are kept to the letter: lines end with CR LF, each part has a `Content-Disposition` with
/// one name, a part is never a form of its own or coded (`Content-Transfer-Encoding`), and `filename*` is ignored. In names
/// `%22`, `%0D` and `%0A` are a quote and a line end, as browsers write them (WHATWG HTML §4.10.21.8). Text is UTF-8. A form
/// that breaks these rules, or ends too soon, is an error, and so is reading on after an error.
pub struct Multipart<'r> {
    stream: Delimited<'r>,
    state: State,
    parts: usize,
    most_parts: usize,
    most_head_bytes: usize,
    most_text_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Begin,
    /// In a part, or at its end.
    Part,
    /// The form has been read to its end.
    End,
    /// The form is broken, and what follows means nothing.
    Failed,
}

/// A part of a form: a field's value, or a file. What is not read of it is skipped.
///
/// It implements [`Read`]. An error while reading is an [`Error`] inside the [`io::Error`], and `?` takes it out again. A part
/// that is cut short is always an error, never an end.
pub struct Part<'m, 'r> {
    form: &'m mut Multipart<'r>,
    head: Head,
}

impl<'r> Multipart<'r> {
    pub(super) fn of(request: &'r mut Request<'_>) -> Result<Multipart<'r>, Error> {
        request.check_content_coding()?;
        let boundary = head::boundary(request.header("content-type").unwrap_or_default())?.to_string();
        Ok(Multipart::new(request.body(), &boundary))
    }

    fn new(source: &'r mut dyn Read, boundary: &str) -> Multipart<'r> {
        Multipart {
            stream: Delimited::new(source, boundary),
            state: State::Begin,
            parts: 0,
            most_parts: 100,
            most_head_bytes: 8 * 1024,
            most_text_bytes: 64 * 1024,
        }
    }

    /// The most parts: 413. Defaults to 100.
    pub fn max_parts(mut self, most: usize) -> Self {
        self.most_parts = most;
        self
    }

    /// The most bytes in the head of a part: 413. Defaults to 8 KiB; more than 31 KiB has no effect.
    pub fn max_head_bytes(mut self, most: usize) -> Self {
        self.most_head_bytes = most;
        self
    }

    /// The most bytes in a part that is read by [`Part::text`]: 413. Defaults to 64 KiB.
    pub fn max_text_bytes(mut self, most: usize) -> Self {
        self.most_text_bytes = most;
        self
    }

    /// The next part, or `None` after the last. What was not read of the part before is skipped.
    ///
    /// # Errors
    /// [`Error::Answer`] with a [`FormFault`]: 400 when the form breaks the rules or ends too soon, 413 over a limit, 415 when
    /// it says that it is in another charset than UTF-8 (`_charset_`, RFC 7578 §4.6). [`Error::Body`] as
    /// [`Request::bytes`].
    pub fn next_part(&mut self) -> Result<Option<Part<'_, 'r>>, Error> {
        match self.advance() {
            Ok(Some(head)) => Ok(Some(Part { form: self, head })),
            Ok(None) => Ok(None),
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
        }
    }

    /// Goes to the next part that is the program's business.
    fn advance(&mut self) -> Result<Option<Head>, Error> {
        loop {
            let follows = match self.state {
                State::Begin => {
                    self.stream.skip(MOST_OUTSIDE_BYTES as u64, "bytes before the first boundary")?
                }
                State::Part => self.stream.skip(u64::MAX, "bytes")?,
                State::End => return Ok(None),
                State::Failed => return Err(FormFault::Malformed("it was broken before").into()),
            };
            if follows == Follows::End {
                self.stream.finish(MOST_OUTSIDE_BYTES)?;
                self.state = State::End;
                return Ok(None);
            }
            self.state = State::Part;
            self.parts += 1;
            if self.parts > self.most_parts {
                return Err(FormFault::TooMuch { what: "parts", limit: self.most_parts }.into());
            }
            let head = head::read(self.stream.head(self.most_head_bytes)?)?;
            self.stream.pass_empty_line()?;
            if head.name != "_charset_" {
                return Ok(Some(head));
            }
            let charset = self.read_within(16)?;
            if !std::str::from_utf8(&charset).is_ok_and(head::is_name_of_utf8) {
                return Err(FormFault::Charset.into());
            }
        }
    }

    /// The whole rest of the part.
    fn read_within(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.stream.data(usize::MAX)?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            if bytes.len() + piece.len() > most {
                return Err(FormFault::TooMuch { what: "bytes in a part", limit: most }.into());
            }
            bytes.extend_from_slice(piece);
        }
    }

    /// Runs a step of reading a part. The form is broken after an error.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.state == State::Failed {
            return Err(FormFault::Malformed("it was broken before").into());
        }
        let result = step(self);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }
}

impl Part<'_, '_> {
    /// The name of the field.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name that the file has on the client's side, as the client says; it may be empty. It may hold anything, slashes too:
    /// to use it as a name here, give it to [`save_to`](Part::save_to), which refuses names that lead elsewhere.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The value of the part's `Content-Type`, if it has one. A browser guesses it from the file's name.
    pub fn media_type(&self) -> Option<&str> {
        self.head.media_type.as_deref()
    }

    /// The part as text.
    ///
    /// # Errors
    /// [`Error::Answer`] with a [`FormFault`]: 413 over [`max_text_bytes`](Multipart::max_text_bytes), 415 when the part is in
    /// another charset than UTF-8, and the errors of [`next_part`](Multipart::next_part).
    pub fn text(self) -> Result<String, Error> {
        let Part { form, head } = self;
        if !head::is_utf8(head.media_type.as_deref()) {
            return Err(FormFault::Charset.into());
        }
        let most = form.most_text_bytes;
        let bytes = form.guarded(|form| form.read_within(most))?;
        String::from_utf8(bytes).map_err(|_| FormFault::Charset.into())
    }

    /// Saves the part as the file `name` in the folder `dir`, as [`Request::save_to`] saves a body. The file stays when the form
    /// breaks off after this part; where the whole form counts, use [`receive`](Part::receive).
    ///
    /// # Errors
    /// Those of [`Upload::save`] and of [`next_part`](Multipart::next_part).
    pub fn save_to(self, dir: impl AsRef<Path>, name: &str) -> Result<Saved, Error> {
        check_name(name)?;
        self.receive(Upload::to(dir))?.save_as(name)
    }

    /// Receives the part into a file that has no name yet, with the options of `upload`. When the form has been read to its end,
    /// [`Received::save_as`] gives it its name.
    ///
    /// # Errors
    /// Those of [`Upload::receive`] and of [`next_part`](Multipart::next_part).
    pub fn receive(mut self, upload: Upload<'_>) -> Result<Received, Error> {
        upload.receive_from(&mut self, None, Digester::new(Vec::new()))
    }
}

impl Read for Part<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let read = self.form.guarded(|form| {
            let piece = form.stream.data(out.len())?;
            out[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        });
        read.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

impl fmt::Debug for Multipart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart")
            .field("parts", &self.parts)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Part<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("head", &self.head).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The contents of the parts of a form with the boundary `b`, or the status and the text of the error.
    fn read(body: &[u8]) -> Result<Vec<String>, (u16, String)> {
        let parts = properties::read(body, "b", properties::Pieces::Whole).1?;
        Ok(parts.iter().map(|(_, content)| String::from_utf8_lossy(content).into_owned()).collect())
    }

    fn values(body: &str) -> Vec<String> {
        read(body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body:?}"))
    }

    const HEAD: &str = "Content-Disposition: form-data; name=\"a\"\r\n\r\n";

    #[test]
    fn parts_end_at_their_boundary_and_nowhere_else() {
        for content in
            ["", "x", "\r\n", "\r\n\r\n", "\r\r\n-\r\n--\r\n--\u{e4}", "x--b--", "\n--b\n", "x\r\n--a--\r\n"]
        {
            for end in ["--b--", "--b--\r\n", "--b-- \t", "--b--\r\nepilogue", "--b \t\r\n"] {
                let end =
                    if end.contains("--b--") { end.to_string() } else { format!("{end}{HEAD}\r\n--b--") };
                let form = format!("--b\r\n{HEAD}{content}\r\n{end}");
                assert_eq!(values(&form)[0], content, "{form:?}");
            }
        }
    }

    #[test]
    fn what_stands_before_the_first_boundary_is_skipped() {
        for preamble in ["", "\r\n", "\r\n\r\n", "This is a form.\r\n", "--\r\n", "x--b\r\n"] {
            assert_eq!(values(&format!("{preamble}--b\r\n{HEAD}x\r\n--b--\r\n")), ["x"], "{preamble:?}");
        }
        assert_eq!(values("--b--\r\n"), [""; 0]);
        assert_eq!(values("--b--"), [""; 0]);
    }

    /// RFC 2046 §5.1.1 lets a part without content leave the empty line out.
    #[test]
    fn a_part_may_have_no_content_at_all() {
        for rest in
            ["\r\n--b--", "--b--", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--b--"]
        {
            let form = format!("--b\r\n{HEAD}{rest}");
            assert!(values(&form).iter().all(String::is_empty), "{form:?}");
        }
    }

    #[test]
    fn a_form_that_is_cut_off_anywhere_is_an_error() {
        let form = format!("pre\r\n--b\r\n{HEAD}x\r\n--b\r\n{HEAD}y\r\n--b--");
        assert_eq!(values(&form), ["x", "y"]);
        for length in 0..form.len() {
            let (status, text) = read(&form.as_bytes()[..length]).expect_err(&form[..length]);
            assert_eq!(
                (status, &*text),
                (400, "the form ends before its last boundary"),
                "{}",
                &form[..length]
            );
        }
    }

    /// Each of these has broken a reader of forms somewhere.
    #[test]
    fn what_is_no_form_is_an_error() {
        for (form, status) in [
            // Line ends that are LF alone.
            (format!("--b\n{HEAD}x\n--b--\n"), 400),
            (format!("--b\r\n{}x\r\n--b--", HEAD.replace("\r\n", "\n")), 400),
            // Another boundary than the head's; the last line cut; a space in it.
            (format!("--c\r\n{HEAD}x\r\n--c--"), 400),
            (
                "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\"\r\n\r\n\r\n--"
                    .to_string(),
                400,
            ),
            (format!("--b\r\n{HEAD}test\r\n- --b--\r\n"), 400),
            // Something stands behind the boundary.
            (format!("--b\r\n{HEAD}x\r\n--bc\r\n"), 400),
            (format!("--b\r\n{HEAD}x\r\n--b--{}\r\n", "-".repeat(1_000_000)), 400),
            (format!("--b\r\n{HEAD}x\r\n--b-\r\n"), 400),
            (format!("--b\r\n{HEAD}x\r\n--b{}\r\n--b--", " ".repeat(300)), 400),
            // A part without a head, or with a head that the boundary ends.
            ("--b\r\n\r\nx\r\n--b--".to_string(), 400),
            ("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n--b--".to_string(), 400),
            ("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n--b\r\n\r\n\r\n--b--".to_string(), 400),
            ("--b\r\n--b--\r\n".to_string(), 400),
            // More than a form has.
            (format!("--b\r\n{HEAD}x") + &format!("\r\n--b\r\n{HEAD}x").repeat(100) + "\r\n--b--", 413),
            (format!("--b\r\nX: {}\r\n{HEAD}x\r\n--b--", "y".repeat(9_000)), 413),
            (format!("--b\r\n{}{HEAD}x\r\n--b--", "X: y\r\n".repeat(16)), 413),
            (format!("{}\r\n--b--", "x".repeat(9_000)), 413),
            (format!("--b--\r\n{}", "x".repeat(9_000)), 413),
            // Other charsets.
            (
                "--b\r\nContent-Disposition: form-data; name=\"_charset_\"\r\n\r\nutf-7\r\n--b--".to_string(),
                415,
            ),
        ] {
            let (found, text) = read(form.as_bytes()).expect_err(&form);
            assert_eq!(found, status, "{text}: {:?}", &form[..form.len().min(200)]);
        }
        let utf8 = "--b\r\nContent-Disposition: form-data; name=\"_charset_\"\r\n\r\nUTF-8\r\n--b--";
        assert_eq!(values(utf8), [""; 0]);
    }

    #[test]
    fn a_hundred_parts_are_accepted_and_all_of_a_large_one() {
        let form = format!("--b\r\n{HEAD}x") + &format!("\r\n--b\r\n{HEAD}x").repeat(99) + "\r\n--b--";
        assert_eq!(values(&form).len(), 100);
        // What made other readers slow: many line ends, and one line end that megabytes follow.
        for content in
            ["\r\n".repeat(500_000), format!("\r{}", "x".repeat(1_000_000)), "\r\n--".repeat(250_000)]
        {
            assert!(values(&format!("--b\r\n{HEAD}{content}\r\n--b--")) == [content]);
        }
    }

    #[test]
    fn text_is_bounded_and_utf_8() {
        let text = |head: &str, content: &[u8], most: usize| {
            let form = [format!("--b\r\n{head}").as_bytes(), content, b"\r\n--b--"].concat();
            let mut source = Cursor::new(form);
            let mut form = Multipart::new(&mut source, "b").max_text_bytes(most);
            let text = form.next_part().unwrap().unwrap().text();
            let is_over = form.next_part().is_ok_and(|next| next.is_none());
            (text.map_err(|error| properties::told(&error).0), is_over)
        };
        assert_eq!(text(HEAD, "ä".as_bytes(), 2), (Ok("ä".to_string()), true));
        // After an error of the form nothing more is read of it; text in another charset is no such error.
        assert_eq!(text(HEAD, b"abc", 2), (Err(413), false));
        assert_eq!(text(HEAD, b"\xff", 2), (Err(415), true));
        let latin = format!("Content-Type: text/plain; charset=latin1\r\n{HEAD}");
        assert_eq!(text(&latin, b"a", 2), (Err(415), true));
    }

    #[test]
    fn an_error_stays_an_error() {
        let mut source = Cursor::new(format!("--b\r\n{HEAD}xyz"));
        let mut form = Multipart::new(&mut source, "b");
        let mut part = form.next_part().unwrap().unwrap();
        let mut content = Vec::new();
        let error = Error::from(part.read_to_end(&mut content).unwrap_err());
        assert_eq!(properties::told(&error).0, 400);
        for _ in 0..3 {
            assert!(part.read(&mut [0; 3]).is_err());
        }
        assert!(form.next_part().is_err() && form.next_part().is_err());
    }

    /// What only begins like the boundary is in the file, or the file is cut: which of the two, nobody knows.
    #[test]
    fn a_part_never_ends_at_a_line_that_only_begins_like_the_boundary() {
        for rest in ["\r\n--bc\r\n", "\r\n--b-", "\r\n--b", "\r\n--b \rx", "\r\n--b--x"] {
            let mut source = Cursor::new(format!("--b\r\n{HEAD}xyz{rest}"));
            let mut form = Multipart::new(&mut source, "b");
            let mut content = Vec::new();
            let mut part = form.next_part().unwrap().unwrap();
            assert!(part.read_to_end(&mut content).is_err(), "{rest:?}");
            assert_eq!(content, b"xyz");
        }
    }

    #[test]
    fn what_is_left_of_a_part_is_skipped() {
        let mut source = Cursor::new(format!("--b\r\n{HEAD}xyz\r\n--b\r\n{HEAD}second\r\n--b--"));
        let mut form = Multipart::new(&mut source, "b");
        let mut part = form.next_part().unwrap().unwrap();
        assert_eq!(part.read(&mut [0; 2]).unwrap(), 2);
        assert_eq!(form.next_part().unwrap().unwrap().text().unwrap(), "second");
        assert!(form.next_part().unwrap().is_none() && form.next_part().unwrap().is_none());
    }
}
