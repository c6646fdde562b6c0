//! Figures that each thread counts for itself, so that no two wait for each other's cache lines.

use std::sync::OnceLock;

use crate::telemetry::slot::slot;

/// One `T` for each of a few threads, made when such a thread first comes by: of 10,000 routes few are used.
///
/// Beyond [`COUNT`] threads share, so what is counted must bear it.
#[derive(Debug)]
pub(super) struct Shards<T>([OnceLock<Box<Apart<T>>>; COUNT]);

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Apart<T>(T);

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T: Default> Shards<T> {
    /// This thread's.
    #[inline]
    pub(super) fn mine(&self) -> &T {
        let [first, ..] = &self.0;
        &self.0.get(slot() % COUNT).unwrap_or(first).get_or_init(Box::default).0
    }

    /// All there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(|shard| &shard.0)
    }
}

/// Eight threads that never meet are enough for sixty that seldom do; each costs a used route half a KiB.
const COUNT: usize = 8;
