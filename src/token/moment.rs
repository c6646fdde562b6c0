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
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// This much later, on both clocks. Saturates far in the future.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let span = span.min(FAR);
        Self { monotonic: self.monotonic + span, wall: self.wall + span }
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

/// A hundred years: no token lives longer, and no clock overflows.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
