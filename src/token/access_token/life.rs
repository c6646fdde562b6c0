//! A token's spans: issued, due for renewal, no longer fresh, expired (DESIGN.md section 3).
//!
//! Arithmetic alone. Settings that would have a token renewed all the time (a margin longer than its life) are
//! bounded here, because the lifetime is known only when the token is.

use std::time::Duration;

use super::super::{Moment, jitter};

/// Until when a token may be used, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// When renewal in the background begins.
    pub(super) renew_at: Moment,
    /// Before it, a token may be sent without thinking of renewal.
    pub(super) fresh_until: Moment,
    /// Before it, a token may be sent.
    pub(super) expires: Moment,
}

impl Life {
    /// The spans of a token that was issued then and lives this long; `margin` and `ahead` as in
    /// [`AccessToken::new`](super::AccessToken::new).
    pub(super) fn new(issued: Moment, lifetime: Duration, margin: Option<Duration>, ahead: Option<Duration>) -> Self {
        let lifetime = lifetime.min(LONGEST);
        let margin = match margin {
            Some(margin) => margin.min(lifetime / 2),
            None => MARGIN.min(lifetime / 4),
        };
        let fresh = lifetime.saturating_sub(margin);
        Self {
            renew_at: issued.after(renew_after(fresh, ahead)),
            fresh_until: issued.after(fresh),
            expires: issued.after(lifetime),
        }
    }
}

/// How long after its issue a token is renewed that is fresh this long.
fn renew_after(fresh: Duration, ahead: Option<Duration>) -> Duration {
    let ahead = ahead.unwrap_or(fresh / 5).min(fresh / 2);
    // Three percent either way: enough that a fleet started together drifts apart. Never past the end of freshness.
    let jitter = (fresh * 3 / 100).min(ahead / 2);
    let earliest = fresh.saturating_sub(ahead).saturating_sub(jitter);
    (earliest + jitter::up_to(jitter * 2)).max(SOONEST)
}

/// Covers clock skew and the request's own travel.
const MARGIN: Duration = Duration::from_secs(30);

/// Some servers hand out the same token again with what is left of its life, which near its end is nothing: renewing
/// must not become a busy loop.
const SOONEST: Duration = Duration::from_millis(500);

/// A hundred years, as [`Moment::after`]: what is longer has no end.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn spans(lifetime: Duration, margin: Option<Duration>, ahead: Option<Duration>) -> (Duration, Duration, Duration) {
        let issued = Moment::now();
        let life = Life::new(issued, lifetime, margin, ahead);
        (issued.until(life.renew_at), issued.until(life.fresh_until), issued.until(life.expires))
    }

    #[test]
    fn the_margin_is_thirty_seconds_or_a_quarter_of_a_short_life() {
        assert_eq!(spans(seconds(3600), None, None).1, seconds(3570));
        assert_eq!(spans(seconds(120), None, None).1, seconds(90));
        assert_eq!(spans(seconds(60), None, None).1, seconds(45));
        assert_eq!(spans(seconds(4), None, None).1, seconds(3));
    }

    #[test]
    fn a_margin_of_the_file_is_used_up_to_half_the_life() {
        assert_eq!(spans(seconds(3600), Some(seconds(300)), None).1, seconds(3300));
        assert_eq!(spans(seconds(300), Some(seconds(600)), None).1, seconds(150));
        assert_eq!(spans(seconds(300), Some(Duration::ZERO), None).1, seconds(300));
    }

    #[test]
    fn renewal_begins_at_eighty_percent_of_the_fresh_span_give_or_take_three() {
        for _ in 0..500 {
            let (renew, fresh, _) = spans(seconds(1030), None, None);
            assert_eq!(fresh, seconds(1000));
            assert!(renew >= seconds(770) && renew <= seconds(830), "{renew:?}");
        }
    }

    #[test]
    fn a_fleet_does_not_renew_in_step() {
        let all: std::collections::BTreeSet<_> = (0..50).map(|_| spans(seconds(1030), None, None).0).collect();
        assert!(all.len() > 25);
    }

    #[test]
    fn ahead_of_the_file_overrides_the_fifth() {
        for _ in 0..100 {
            let (renew, ..) = spans(seconds(1030), None, Some(seconds(400)));
            assert!(renew >= seconds(570) && renew <= seconds(630), "{renew:?}");
            assert_eq!(spans(seconds(1030), None, Some(Duration::ZERO)).0, seconds(1000));
        }
    }

    #[test]
    fn no_setting_makes_renewal_a_busy_loop() {
        for lifetime in [0, 1, 2, 5, 300] {
            let (renew, ..) = spans(seconds(lifetime), Some(seconds(9999)), Some(seconds(9999)));
            assert!(renew >= SOONEST);
        }
    }

    #[test]
    fn the_longest_span_there_is_does_not_overflow() {
        let (renew, fresh, expires) = spans(Duration::MAX, Some(Duration::MAX), Some(Duration::MAX));
        assert!(renew <= fresh && fresh <= expires);
    }

    fn spans_of_any_length() -> impl Strategy<Value = Duration> {
        (0_u64..=400 * 24 * 3600 * 1000).prop_map(Duration::from_millis)
    }

    proptest! {
        #[test]
        fn a_token_is_renewed_while_fresh_and_fresh_while_live(
            lifetime in spans_of_any_length(),
            margin in proptest::option::of(spans_of_any_length()),
            ahead in proptest::option::of(spans_of_any_length()),
        ) {
            let (renew, fresh, expires) = spans(lifetime, margin, ahead);
            prop_assert_eq!(expires, lifetime);
            prop_assert!(fresh <= expires && fresh >= lifetime / 2);
            prop_assert!(renew >= SOONEST);
            prop_assert!(renew <= fresh.max(SOONEST));
            // At least 47 % of the fresh span pass before renewal, whatever the file says.
            prop_assert!(renew >= fresh * 47 / 100);
        }

        #[test]
        fn the_defaults_are_those_of_the_design(lifetime in spans_of_any_length()) {
            let (renew, fresh, _) = spans(lifetime, None, None);
            prop_assert_eq!(fresh, lifetime - MARGIN.min(lifetime / 4));
            prop_assert!(renew >= fresh * 77 / 100 || renew == SOONEST);
            prop_assert!(renew <= (fresh * 83 / 100 + Duration::from_nanos(100)).max(SOONEST));
        }
    }
}
