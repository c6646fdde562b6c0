//! Durations in fixed buckets.

use std::time::Duration;

use super::figures::Counter;

/// How often durations fell between which bounds, and their sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// One for each of [`BOUNDS`], and one for what is longer than all.
    buckets: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        // All are compared: cheaper than a branch that cannot be foreseen.
        let bucket = BOUNDS.iter().filter(|bound| duration > **bound).count();
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add(1);
        }
        self.nanoseconds.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Upper bounds in seconds, and how many fell under each but not under the one before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter().map(Counter::value)).collect()
    }

    /// In seconds.
    pub(super) fn sum(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.value()).as_secs_f64()
    }
}

/// From what a proxy beside the API takes to the default `timeouts.response_head`.
pub(super) const BOUNDS: [Duration; 16] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

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
        histogram.observe(Duration::ZERO);
        histogram.observe(Duration::from_micros(500));
        histogram.observe(Duration::from_nanos(500_001));
        histogram.observe(Duration::from_secs(60));
        histogram.observe(Duration::from_nanos(60_000_000_001));
        histogram.observe(Duration::from_secs(86_400));
        let mut expected = vec![0; 17];
        (expected[0], expected[1], expected[15], expected[16]) = (2, 1, 1, 2);
        assert_eq!(counts(&histogram), expected);
        assert_eq!(histogram.sum(), 86_520.001_000_002);
    }
}
