//! The memory of failures: what went wrong last, and when asking again makes sense (DESIGN.md section 3).
//!
//! A dead authorization server is not asked by each caller in turn, and a wrong password does not lock an account.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Failure, Moment, TokenError, jitter};

/// Remembers failures since the last success.
#[derive(Default)]
pub(super) struct Backoff {
    last: Option<Remembered>,
    /// How many failures of each kind there were since the last success.
    transient: u32,
    permanent: u32,
}

struct Remembered {
    error: Arc<TokenError>,
    /// When the next attempt may be made.
    due: Moment,
    /// When it was last checked whether something has changed.
    looked: Moment,
}

impl Backoff {
    /// Remembers a failure.
    pub(super) fn remember(&mut self, error: TokenError, now: Moment) -> Failure {
        let wait = if error.is_transient() {
            self.transient = self.transient.saturating_add(1);
            transient_wait(self.transient).max(error.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER))
        } else {
            self.permanent = self.permanent.saturating_add(1);
            doubled(FIRST_PERMANENT, self.permanent).min(LONGEST_PERMANENT)
        };
        let last = Remembered { error: Arc::new(error), due: now.after(wait), looked: now };
        let failure = last.failure(now);
        self.last = Some(last);
        failure
    }

    /// A success: everything is forgotten.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Something that an attempt is made of has changed: the next may be made now, and counts as the first.
    pub(super) fn forgive(&mut self, now: Moment) {
        self.permanent = 0;
        if let Some(last) = &mut self.last {
            last.due = now;
        }
    }

    /// Why no attempt may be made now, if none may.
    pub(super) fn denial(&self, now: Moment) -> Option<Failure> {
        self.last.as_ref().filter(|last| !now.reached(last.due)).map(|last| last.failure(now))
    }

    /// Whether it is time to check if something has changed; remembers that it was done.
    ///
    /// After a permanent refusal only, and once a second: it looks at files.
    pub(super) fn should_look(&mut self, now: Moment) -> bool {
        match &mut self.last {
            Some(last) if !last.error.is_transient() && now.reached(last.looked.after(LOOK_EVERY)) => {
                last.looked = now;
                true
            }
            _ => false,
        }
    }

    /// When whoever tries again in the background should wake: the next attempt, or the next look at what may have
    /// changed.
    pub(super) fn wake_at(&self, now: Moment) -> Option<Instant> {
        self.last.as_ref().map(|last| match last.error.is_transient() {
            true => last.due.monotonic,
            false => last.due.monotonic.min(now.monotonic + LOOK_IN_BACKGROUND),
        })
    }

    /// What failed last, unless an attempt has succeeded since.
    pub(super) fn last_error(&self) -> Option<&TokenError> {
        self.last.as_ref().map(|last| &*last.error)
    }
}

impl Remembered {
    fn failure(&self, now: Moment) -> Failure {
        let retry_after = now.until(self.due).max(Duration::from_millis(1));
        Failure { error: Arc::clone(&self.error), retry_after }
    }
}

/// 1 s, 2 s, 4 s … 60 s, each a fifth more or less, but never outside of these bounds.
fn transient_wait(failures: u32) -> Duration {
    let wait = doubled(FIRST_TRANSIENT, failures).min(LONGEST_TRANSIENT);
    (wait * 4 / 5 + jitter::up_to(wait * 2 / 5)).clamp(FIRST_TRANSIENT, LONGEST_TRANSIENT)
}

/// `first`, doubled with each failure after the first.
fn doubled(first: Duration, failures: u32) -> Duration {
    // Ten doublings exceed every bound there is here.
    first * (1 << failures.saturating_sub(1).min(10))
}

const FIRST_TRANSIENT: Duration = Duration::from_secs(1);
const LONGEST_TRANSIENT: Duration = Duration::from_secs(60);
const FIRST_PERMANENT: Duration = Duration::from_secs(60);
const LONGEST_PERMANENT: Duration = Duration::from_secs(15 * 60);

/// `Retry-After` is obeyed up to here. A server that says "tomorrow" is likelier wrong than away until tomorrow.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// How often a caller may cause a look at the files of secrets.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the background looks at them while a token is wanted.
const LOOK_IN_BACKGROUND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refused() -> TokenError {
        TokenError::Refused { code: "invalid_client".to_owned(), description: None }
    }

    fn unavailable(retry_after: Option<Duration>) -> TokenError {
        TokenError::Unavailable { status: 503, description: None, retry_after }
    }

    #[test]
    fn transient_failures_wait_one_second_doubling_to_sixty_with_jitter() {
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            let now = Moment::now();
            for nominal in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
                let wait = backoff.remember(TokenError::TimedOut, now).retry_after;
                assert!(wait >= (seconds(nominal) * 4 / 5).max(seconds(1)), "{nominal} s: {wait:?}");
                assert!(wait <= (seconds(nominal) * 6 / 5).min(seconds(60)), "{nominal} s: {wait:?}");
            }
        }
    }

    #[test]
    fn permanent_refusals_wait_a_minute_doubling_to_a_quarter_of_an_hour() {
        let mut backoff = Backoff::default();
        let now = Moment::now();
        let waits: Vec<_> = (0..7).map(|_| backoff.remember(refused(), now).retry_after.as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 900, 900, 900]);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff { last: None, transient: u32::MAX, permanent: u32::MAX };
        assert!(backoff.remember(TokenError::TimedOut, Moment::now()).retry_after <= seconds(60));
        assert_eq!(backoff.remember(refused(), Moment::now()).retry_after, seconds(900));
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let now = Moment::now();
        let wait = |asked| Backoff::default().remember(unavailable(asked), now).retry_after;
        assert_eq!(wait(Some(seconds(120))), seconds(120));
        assert_eq!(wait(Some(seconds(86_400))), seconds(900));
        // Sooner than we would ask anyway: our own wait stands.
        assert!(wait(Some(Duration::ZERO)) >= seconds(1));
    }

    #[test]
    fn an_attempt_is_denied_until_it_is_due_by_either_clock() {
        let mut backoff = Backoff::default();
        let now = Moment::now();
        assert!(backoff.denial(now).is_none());
        backoff.remember(refused(), now);

        let denial = backoff.denial(now.after(seconds(59))).unwrap();
        assert_eq!(denial.retry_after, seconds(1));
        assert_eq!(denial.error.code(), "invalid_client");
        assert!(backoff.denial(now.after(seconds(60))).is_none());
        assert!(backoff.denial(Moment { wall: now.wall + seconds(60), ..now }).is_none());
    }

    #[test]
    fn success_forgets_everything() {
        let mut backoff = Backoff::default();
        let now = Moment::now();
        for _ in 0..5 {
            backoff.remember(refused(), now);
            backoff.remember(TokenError::TimedOut, now);
        }
        backoff.forget();
        assert!(backoff.denial(now).is_none() && backoff.last_error().is_none());
        assert!(backoff.remember(TokenError::TimedOut, now).retry_after < seconds(2));
        assert_eq!(backoff.remember(refused(), now).retry_after, seconds(60));
    }

    #[test]
    fn a_change_forgives_a_refusal_and_its_doubling() {
        let mut backoff = Backoff::default();
        let now = Moment::now();
        backoff.remember(refused(), now);
        backoff.remember(refused(), now);
        backoff.forgive(now);
        assert!(backoff.denial(now).is_none());
        assert_eq!(backoff.last_error().unwrap().code(), "invalid_client", "it has not succeeded yet");
        assert_eq!(backoff.remember(refused(), now).retry_after, seconds(60));
    }

    #[test]
    fn changes_are_looked_for_once_a_second_and_after_a_permanent_refusal_only() {
        let mut backoff = Backoff::default();
        let now = Moment::now();
        assert!(!backoff.should_look(now));
        backoff.remember(TokenError::TimedOut, now);
        assert!(!backoff.should_look(now.after(seconds(5))));

        backoff.remember(refused(), now);
        assert!(!backoff.should_look(now));
        assert!(backoff.should_look(now.after(seconds(1))));
        assert!(!backoff.should_look(now.after(seconds(1))));
        assert!(backoff.should_look(now.after(seconds(2))));
    }
}
