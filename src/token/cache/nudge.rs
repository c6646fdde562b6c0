//! Keeps the crowd of requests away from the lock while a renewal is due.
//!
//! A renewal that is due is usually under way already, or has failed and waits. One request a second looks whether
//! that is so; it matters when the timer does not see to it: the token was not used before, or the machine slept.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::super::Moment;

/// Lets one caller a second pass.
pub(super) struct Nudge {
    start: Instant,
    /// Milliseconds after `start`.
    next: AtomicU64,
}

impl Nudge {
    /// The first caller passes at once.
    pub(super) fn new(now: Moment) -> Self {
        Self { start: now.monotonic, next: AtomicU64::new(0) }
    }

    /// Whether this caller may look.
    pub(super) fn passes(&self, now: Moment) -> bool {
        let now = u64::try_from(now.monotonic.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        // Whoever loses the exchange was overtaken by one who looks.
        now >= next && self.next.compare_exchange(next, now.saturating_add(EACH_MILLIS), Relaxed, Relaxed).is_ok()
    }
}

const EACH_MILLIS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_caller_a_second_passes() {
        let now = Moment::now();
        let nudge = Nudge::new(now);
        let passed = |millis| (0..100).filter(|_| nudge.passes(now.after(Duration::from_millis(millis)))).count();
        assert_eq!([0, 1, 999, 1_000, 1_500, 2_000].map(passed), [1, 0, 0, 1, 0, 1]);
    }
}
