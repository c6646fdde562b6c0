//! The time of a line: RFC 3339, UTC, with milliseconds. The text of a second is made once.

use std::time::{SystemTime, UNIX_EPOCH};

/// Remembers the second it last told.
#[derive(Default)]
pub(super) struct Clock {
    second: u64,
    /// `2026-11-21T22:05:11.`
    text: [u8; 20],
}

/// A moment as text.
#[derive(Clone, Copy)]
pub(super) struct Time<'a> {
    /// `2026-11-21T22:05:11.`
    pub(super) second: &'a [u8; 20],
    /// To be written as three digits and a `Z`.
    pub(super) millis: u32,
}

impl Clock {
    /// This moment; before 1970 it is 1970.
    pub(super) fn at(&mut self, now: SystemTime) -> Time<'_> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Zero is also what no clock has told yet.
        if since.as_secs() != self.second || self.second == 0 {
            self.second = since.as_secs();
            self.text = text(self.second);
        }
        Time { second: &self.text, millis: since.subsec_millis() }
    }
}

fn text(second: u64) -> [u8; 20] {
    let (year, month, day) = date(second / 86_400);
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let mut text = *b"0000-00-00T00:00:00.";
    let written = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.");
    for (to, from) in text.iter_mut().zip(written.bytes()) {
        *to = from;
    }
    text
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. A year is counted from March, so that the leap
/// day is its last.
fn date(day: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01; an era is the 400 years after which the calendar repeats.
    let days = day + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    match month {
        0..=9 => (era * 400 + year, month + 3, of_month),
        _ => (era * 400 + year + 1, month - 9, of_month),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(clock: &mut Clock, millis: u64) -> String {
        let time = clock.at(UNIX_EPOCH + Duration::from_millis(millis));
        format!("{}{:03}Z", std::str::from_utf8(time.second).unwrap(), time.millis)
    }

    #[test]
    fn moments_are_told_as_rfc_3339_writes_them() {
        let mut clock = Clock::default();
        // `date -u -d @… +%FT%T`
        assert_eq!(told(&mut clock, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(told(&mut clock, 951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(told(&mut clock, 951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(told(&mut clock, 1_709_251_199_500), "2024-02-29T23:59:59.500Z");
        assert_eq!(told(&mut clock, 1_709_251_200_000), "2024-03-01T00:00:00.000Z");
        assert_eq!(told(&mut clock, 1_795_298_711_123), "2026-11-21T22:05:11.123Z");
        assert_eq!(told(&mut clock, 4_102_444_799_000), "2099-12-31T23:59:59.000Z");
        assert_eq!(told(&mut clock, 4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn the_second_is_kept_while_it_lasts() {
        let mut clock = Clock::default();
        assert_eq!(told(&mut clock, 1_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(told(&mut clock, 1_999), "1970-01-01T00:00:01.999Z");
        assert_eq!(told(&mut clock, 2_000), "1970-01-01T00:00:02.000Z");
    }
}
