//! Which content a response may have, by its status. The response's head uses it for framing, and a response that a test sees
//! without a server.

use ::http::StatusCode;

/// What a status allows (RFC 9110 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Any,
    /// No content, and a length of 0 is sent, because clients would otherwise wait for content (RFC 9110 §15.3.6).
    Empty,
    /// No content, and no length is sent.
    None,
}

impl Content {
    pub(crate) fn of(status: StatusCode) -> Content {
        match status {
            StatusCode::RESET_CONTENT => Content::Empty,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Content::None,
            status if status.is_informational() => Content::None,
            _ => Content::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_kinds_of_status_have_no_content() {
        let content = |code| Content::of(StatusCode::from_u16(code).unwrap());
        for code in [100, 103, 199, 204, 304] {
            assert_eq!(content(code), Content::None, "{code}");
        }
        assert_eq!(content(205), Content::Empty);
        for code in [200, 201, 206, 303, 400, 500, 999] {
            assert_eq!(content(code), Content::Any, "{code}");
        }
    }
}
