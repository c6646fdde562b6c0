//! The strict reader: what stands between a socket and hyper's HTTP/1 server connection.
//!
//! hyper is liberal in what it accepts (a bare LF for a line end, `Content-Length` beside `Transfer-Encoding`, a missing
//! `Host`), and answers its own errors with an empty 400. A proxy must not be: what two readers could understand
//! differently is how a request is smuggled past one of them (RFC 9112 §11.2). So the [`Guard`] lets hyper see complete
//! heads that passed [`check`] and body bytes that are framed as they should be, and nothing after the first
//! [`Violation`]. It changes no byte that it lets through. What it found, and what the connection is waiting for, the
//! [`Handle`] tells.

mod body;
mod field;
mod guard;
mod handle;
mod head;
mod host;
mod known;
mod messages;
mod parking;
mod span;
mod target;
mod violation;

#[cfg(test)]
mod tests;

use hyper::server::conn::http1;

use super::settings::ListenerLimits;

pub use guard::Guard;
pub use handle::{Handle, Waiting};
pub use head::{Body, Framing, check};
pub use parking::Parking;
pub use violation::Violation;

/// How much of a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head.
    head: usize,
    /// Its fields.
    fields: usize,
}

impl Limits {
    /// Sets hyper's own limits high enough that ours are met first: only then does our answer go out.
    pub fn configure(self, builder: &mut http1::Builder) {
        // hyper holds trailers to the same limit as heads.
        builder.max_header_size(self.head.max(body::TRAILERS_MAX) + SLACK);
        if self.fields > HYPER_FIELDS {
            builder.max_headers(self.fields);
        }
        if self.head + SLACK > HYPER_BUFFER {
            builder.max_buf_size(self.head + SLACK);
        }
    }
}

impl From<&ListenerLimits> for Limits {
    fn from(limits: &ListenerLimits) -> Self {
        Self { head: limits.request_head, fields: limits.headers.min(FIELDS_MAX) }
    }
}

/// `http::HeaderMap` takes no more than 24,576 and panics; nobody needs a tenth.
const FIELDS_MAX: usize = 2_000;

/// How many fields hyper parses without an allocation; any other number costs one.
const HYPER_FIELDS: usize = 100;

/// How much hyper buffers by default.
const HYPER_BUFFER: usize = 8 * 1024 + 100 * 4096;

const SLACK: usize = 8 * 1024;
