//! Figures that each thread counts for itself, so that no two wait for each other's cache lines.

use std::sync::OnceLock;

use super::figures::Writers;
use crate::telemetry::slot::slot;

/// One `T` for each of a few threads, and a few more that all others share. Made when such a thread first comes by: of
/// 10,000 routes few are used.
#[derive(Debug)]
pub(super) struct Shards<T> {
    own: [OnceLock<Box<Apart<T>>>; OWN],
    shared: [OnceLock<Box<Apart<T>>>; SHARED],
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Apart<T>(T);

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Self { own: std::array::from_fn(|_| OnceLock::new()), shared: std::array::from_fn(|_| OnceLock::new()) }
    }
}

impl<T: Default> Shards<T> {
    /// This thread's, and who else counts there.
    #[inline]
    pub(super) fn mine(&self) -> (&T, Writers) {
        self.at(slot())
    }

    #[inline]
    fn at(&self, slot: usize) -> (&T, Writers) {
        let (shard, writers) = match self.own.get(slot) {
            Some(own) => (own, Writers::One),
            None => {
                let [first, ..] = &self.shared;
                (self.shared.get(slot % SHARED).unwrap_or(first), Writers::Many)
            }
        };
        (&shard.get_or_init(Box::default).0, writers)
    }

    /// All there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.own.iter().chain(&self.shared).filter_map(OnceLock::get).map(|shard| &shard.0)
    }
}

/// So many threads never meet. Each costs a route that it has used half a KiB, and any route 16 bytes.
const OWN: usize = 8;

/// The same for so many that the others share.
const SHARED: usize = 8;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::telemetry::metrics::figures::Counter;

    const SLOTS: usize = OWN + 2 * SHARED;

    #[test]
    fn who_has_a_shard_alone_has_it_alone() {
        let shards = Shards::<Counter>::default();
        let of = |slot| std::ptr::from_ref(shards.at(slot).0);
        for slot in 0..SLOTS {
            let with = (0..SLOTS).filter(|other| of(*other) == of(slot)).count();
            let (writers, sharing) = if slot < OWN { (Writers::One, 1) } else { (Writers::Many, 2) };
            assert_eq!((shards.at(slot).1, with), (writers, sharing), "slot {slot}");
        }
        assert_eq!(shards.iter().count(), OWN + SHARED);
    }

    #[test]
    fn nothing_is_lost_with_more_threads_than_shards() {
        const EACH: u64 = 20_000;
        let shards = Shards::<Counter>::default();
        thread::scope(|scope| {
            for slot in 0..SLOTS {
                let (counter, writers) = shards.at(slot);
                scope.spawn(move || (0..EACH).for_each(|_| counter.add_among(writers, 1)));
            }
        });
        let counted: u64 = shards.iter().map(Counter::value).sum();
        assert_eq!(counted, u64::try_from(SLOTS).unwrap() * EACH);
    }
}
