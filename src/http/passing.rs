//! How a request's body goes on to another server as it comes: what has come when its handler is called, and who takes the rest.
//! Knows no socket and no framing. A handler takes a body over here, and the server passes the rest to its response.

/// A request's body that is still on its way.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    /// What has come already.
    pub come: Vec<u8>,
    /// The length of the whole body, in bytes, if the client has told it.
    pub length: Option<u64>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
}

/// More of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Come<'c> {
    Data(&'c [u8]),
    /// The body is whole.
    End,
}

/// What takes the rest of a request's body. When the body is cut or refused, it is dropped without [`Come::End`].
pub(crate) trait TakesBody {
    /// How many bytes it takes now. Nothing is read from the client while that is 0; it wakes its connection when it takes more.
    fn room(&self) -> usize;

    /// Takes more of the body, at most as many bytes as there is room for. Never waits, and sends nothing yet.
    fn take(&mut self, come: Come<'_>);
}
