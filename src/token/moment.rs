//! Now, on both clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// An instant on the monotonic and on the wall clock.
///
/// A token ends when either clock says so: the monotonic clock stands still while a laptop sleeps, the wall clock can
/// be set back.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic clock; a paused one in tests.
    pub monotonic: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Moment {
    /// Reads both clocks, the wall clock as it was at the kernel's last tick (at most 10 ms ago).
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: wall_clock() }
    }

    /// This much later, on both clocks. Saturates far in the future.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let span = span.min(FAR);
        Self { monotonic: self.monotonic + span, wall: self.wall + span }
    }

    /// This much earlier, on both clocks; or as early as they can say.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_sub(span).unwrap_or(self.monotonic),
            wall: self.wall.checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }

    /// The wall clock now that the monotonic one says that so much has passed. It is looked at after a second only:
    /// it may have been set, or the machine may have slept.
    #[must_use]
    pub fn wall_after(self, passed: Duration) -> SystemTime {
        if passed < Duration::from_secs(1) { self.wall + passed } else { SystemTime::now() }
    }

    /// Whether either clock has reached `other`.
    #[must_use]
    pub fn reached(self, other: Self) -> bool {
        self.monotonic >= other.monotonic || self.wall >= other.wall
    }

    /// How long until `other`, by the clock that gets there first; zero once it has been reached.
    #[must_use]
    pub fn until(self, other: Self) -> Duration {
        let monotonic = other.monotonic.saturating_duration_since(self.monotonic);
        let wall = other.wall.duration_since(self.wall).unwrap_or_default();
        monotonic.min(wall)
    }
}

/// What a request needs twice, for its token's end and its line in the log, should not cost it the twenty-five nanoseconds
/// that the exact time takes.
#[cfg(target_os = "linux")]
fn wall_clock() -> SystemTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    SystemTime::UNIX_EPOCH + Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A hundred years: no token lives longer, and no clock overflows.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_instant_is_reached_by_whichever_clock_is_first() {
        let now = Moment::now();
        let later = now.after(MINUTE);
        assert!(!now.reached(later));
        assert!(later.reached(later));
        assert!(Moment { monotonic: later.monotonic, wall: now.wall }.reached(later));
        assert!(Moment { monotonic: now.monotonic, wall: later.wall }.reached(later));
    }

    #[test]
    fn what_remains_is_what_remains_by_the_clock_that_is_ahead() {
        let now = Moment::now();
        let later = now.after(MINUTE);
        assert_eq!(now.until(later), MINUTE);
        assert_eq!(Moment { monotonic: now.monotonic + MINUTE / 2, wall: now.wall }.until(later), MINUTE / 2);
        assert_eq!(Moment { monotonic: now.monotonic, wall: now.wall + MINUTE / 3 }.until(later), MINUTE * 2 / 3);
        assert_eq!(Moment { monotonic: now.monotonic, wall: now.wall + MINUTE * 2 }.until(later), Duration::ZERO);
        // Set back by a day: the monotonic clock decides.
        assert_eq!(Moment { monotonic: now.monotonic, wall: now.wall - MINUTE * 1440 }.until(later), MINUTE);
    }

    #[test]
    fn the_wall_clock_is_looked_at_again_when_much_has_passed() {
        let before = Moment { monotonic: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        assert_eq!(before.wall_after(Duration::from_millis(999)), before.wall + Duration::from_millis(999));
        assert!(before.wall_after(Duration::from_secs(1)) > before.wall + MINUTE);
    }

    #[test]
    fn the_far_future_does_not_overflow() {
        let far = Moment::now().after(Duration::MAX);
        assert!(!Moment::now().reached(far));
    }
}
