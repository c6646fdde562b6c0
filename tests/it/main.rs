//! What bearer-proxy promises, shown over real sockets with exact bytes on both sides. A module per promise.

#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::as_conversions, reason = "tests count small things")]

mod forwarding;
mod request_framing;
mod support;
