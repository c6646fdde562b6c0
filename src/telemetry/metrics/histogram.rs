//! Durations in fixed buckets.

use std::time::Duration;

use super::figures::{Counter, Writers};

/// How often durations fell between which bounds, and their sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// One for each of [`BOUNDS`], and one for what is longer than all.
    buckets: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

impl Histogram {
    pub(super) fn observe(&self, writers: Writers, duration: Duration) {
        // Saturates after 584 years.
        let seconds = duration.as_secs().saturating_mul(SECOND);
        let nanoseconds = seconds.saturating_add(u64::from(duration.subsec_nanos()));
        // One after the other: most answers are quick, and what one took is likely what the next one takes.
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add_among(writers, 1);
        }
        self.nanoseconds.add_among(writers, nanoseconds);
    }

    /// Adds what `other` has counted.
    pub(super) fn add(&self, other: &Self) {
        self.buckets.iter().zip(&other.buckets).for_each(|(to, from)| to.add(from.value()));
        self.nanoseconds.add(other.nanoseconds.value());
    }

    /// Upper bounds in seconds, and how many fell under each but not under the one before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64()).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(Counter::value)).collect()
    }

    /// In seconds.
    pub(super) fn sum(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.value()).as_secs_f64()
    }
}

/// In nanoseconds: from what a proxy beside the API takes to the default `timeouts.response_head`.
pub(super) const BOUNDS: [u64; 16] = [
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &Histogram) -> Vec<u64> {
        histogram.buckets().into_iter().map(|(_, count)| count).collect()
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted());
        let histogram = Histogram::default();
        assert_eq!(histogram.buckets().first().unwrap().0, 0.0005);
        assert_eq!(histogram.buckets().last().unwrap().0, f64::INFINITY);
    }

    #[test]
    fn a_duration_counts_under_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::default();
        histogram.observe(Writers::Many, Duration::ZERO);
        histogram.observe(Writers::Many, Duration::from_micros(500));
        histogram.observe(Writers::Many, Duration::from_nanos(500_001));
        histogram.observe(Writers::Many, Duration::from_secs(60));
        histogram.observe(Writers::Many, Duration::from_nanos(60_000_000_001));
        histogram.observe(Writers::Many, Duration::from_secs(86_400));
        let mut expected = vec![0; 17];
        (expected[0], expected[1], expected[15], expected[16]) = (2, 1, 1, 2);
        assert_eq!(counts(&histogram), expected);
        assert_eq!(histogram.sum(), 86_520.001_000_002);
    }
}
