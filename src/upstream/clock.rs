//! Milliseconds: deadlines that fit into an atomic.
//!
//! On Linux it is the time of the kernel's last tick, which takes two nanoseconds to read instead of twenty-five, five
//! times a request. It lags by a tick, 10 ms at most: little beside the sweep's 100 ms, and beside what
//! [`haste`](super::haste) compares, which are guesses of 100 ms and more.

use std::time::Duration;

/// Now, or a tick ago.
#[cfg(target_os = "linux")]
pub(super) fn now() -> u64 {
    read(rustix::time::ClockId::MonotonicCoarse)
}

#[cfg(target_os = "linux")]
fn read(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds * 1_000 + nanoseconds / 1_000_000
}

/// Now.
#[cfg(not(target_os = "linux"))]
pub(super) fn now() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(START.elapsed())
}

/// A deadline before this has passed, however late the clock was when the deadline was made.
pub(super) fn surely_past() -> u64 {
    now().saturating_sub(LAG)
}

/// A span, rounded down.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The longest tick there is (`CONFIG_HZ=100`), and what rounding takes.
const LAG: u64 = 11;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_and_is_never_ahead() {
        let began = now();
        while now() == began {
            assert!(now() <= read(rustix::time::ClockId::Monotonic));
        }
        assert!(now() > began);
        assert!(surely_past() < now());
    }
}
