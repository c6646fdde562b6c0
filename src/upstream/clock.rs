//! Milliseconds since the process began to look at the clock: deadlines that fit into an atomic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now.
pub(super) fn now() -> u64 {
    millis(START.elapsed())
}

/// A span, rounded down.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
