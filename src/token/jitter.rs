//! Chance, so that a fleet of proxies does not ask in step.
//!
//! Good enough to spread, never used where somebody must not guess.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A span drawn evenly from zero to `limit`, both included.
pub(super) fn up_to(limit: Duration) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX - 1);
    // Each `RandomState` is keyed anew, so the hash of nothing is a random number without a crate for it.
    Duration::from_nanos(RandomState::new().build_hasher().finish() % nanos.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_within_its_limit_and_varies() {
        let limit = Duration::from_millis(100);
        let drawn: Vec<_> = (0..1_000).map(|_| up_to(limit)).collect();
        assert!(drawn.iter().all(|span| *span <= limit));
        assert!(drawn.iter().any(|span| *span < limit / 4));
        assert!(drawn.iter().any(|span| *span > limit * 3 / 4));
    }

    #[test]
    fn no_room_for_chance_is_no_chance() {
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}
