//! What a request did that no request may do.

use http::StatusCode;

/// Why a request is refused, in words for whoever sent it. Nothing of the request is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Violation {
    /// What the downstream gets.
    pub status: StatusCode,
    /// What was wrong.
    pub detail: &'static str,
}

impl Violation {
    pub(super) const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail }
    }
}

/// A 400.
pub(super) const fn bad(detail: &'static str) -> Violation {
    Violation::new(StatusCode::BAD_REQUEST, detail)
}
