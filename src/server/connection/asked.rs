//! A request before its handler is called: its head, the meaning of the head, and what is known of a head that could not be
//! read. Plain values that the other files of this folder pass on.

use ::http::Method;

use crate::http::request_head::{self, Line};
use crate::http::span::Field;

/// A request's head, and what was read from it.
pub(crate) struct Asked<'a> {
    pub head: &'a [u8],
    pub fields: &'a [Field],
    pub line: Line,
}

impl<'a> Asked<'a> {
    pub(crate) fn told(&self) -> Told<'_> {
        Told::Line(self.head, &self.line)
    }

    /// The path as it came, percent-encoded.
    pub(crate) fn raw_path(&self) -> &'a [u8] {
        self.line.target.path.of(self.head)
    }
}

/// The known part of a request, for its answer and for the access log.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    /// Nothing is known: the client does not speak HTTP over TLS.
    Nothing,
    /// A head, or the beginning of one, that could not be read.
    Head(&'a [u8]),
    /// A head and what it says.
    Line(&'a [u8], &'a Line),
}

impl<'a> Told<'a> {
    /// The method, as far as the answer depends on it: an answer to HEAD has no body.
    pub(crate) fn framing(self) -> Method {
        match self {
            Told::Nothing => Method::GET,
            Told::Head(head) => request_head::method(head),
            Told::Line(_, line) => line.method.clone(),
        }
    }

    /// The bytes of the head, as far as they have come.
    pub(crate) fn head(self) -> &'a [u8] {
        match self {
            Told::Nothing => &[],
            Told::Head(head) | Told::Line(head, _) => head,
        }
    }

    pub(crate) fn method_and_path(self) -> (Option<Method>, Option<&'a [u8]>) {
        match self {
            Told::Nothing => (None, None),
            Told::Head(head) => request_head::asked(head),
            Told::Line(head, line) => (Some(line.method.clone()), Some(line.target.path.of(head))),
        }
    }
}

/// A head that is kept while its request's body comes.
pub(crate) struct Held {
    head: Vec<u8>,
    fields: Vec<Field>,
    line: Line,
}

impl Held {
    pub(crate) fn new(asked: Asked<'_>) -> Held {
        Held { head: asked.head.to_vec(), fields: asked.fields.to_vec(), line: asked.line }
    }

    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { head: &self.head, fields: &self.fields, line: self.line.clone() }
    }

    pub(crate) fn told(&self) -> Told<'_> {
        Told::Line(&self.head, &self.line)
    }
}
