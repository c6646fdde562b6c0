//! The cold side of a cache: who may start an attempt, what happens when it lands, and when the next one begins.
//!
//! Renewal goes on in the background only while somebody uses the token. An idle credential is left alone: a login
//! every few minutes for nobody is a nuisance, and with a password a danger.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, debug_span};

use super::super::{AccessToken, Failure, Moment, TokenError};
use super::TokenCache;
use super::allowance::Allowance;
use super::backoff::Backoff;
use super::flight::{Flight, Outcome, Seat, ask, expired};
use super::report::{Report, Serving};
use super::status::Tally;
use super::task::Task;

/// What a request with a live token does not need to know.
#[derive(Default)]
pub(super) struct Renewal {
    flight: Option<Flight>,
    /// Begins the next attempt.
    timer: Option<Task>,
    /// Forced renewals that may be made.
    allowance: Allowance,
    report: Report,
    /// Nothing is begun ahead of need any more.
    resting: bool,
    /// There is to be a first token although nobody has used one yet.
    pub(super) wanted: bool,
    pub(super) backoff: Backoff,
    pub(super) tally: Tally,
}

impl Renewal {
    /// Begins nothing ahead of need from now on; the seat is for the attempt under way.
    pub(super) fn rest(&mut self) -> Option<Seat> {
        self.resting = true;
        self.timer = None;
        self.seat()
    }

    fn seat(&self) -> Option<Seat> {
        self.flight.as_ref().filter(|flight| flight.is_under_way()).map(Flight::join)
    }
}

/// Why a token is wanted.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// There was no live one.
    Missing,
    /// The upstream refused this one.
    Refused(&'a Arc<AccessToken>),
    /// The current one is due for renewal, or the last attempt failed; nobody waits.
    Ahead,
}

impl Purpose<'_> {
    /// Whether a live current token will do after all: another caller may have been faster.
    fn is_served_by(self, current: &Arc<AccessToken>, last: &Backoff, now: Moment) -> bool {
        match self {
            Self::Missing => true,
            Self::Refused(refused) => !Arc::ptr_eq(current, refused),
            // A failure since it was obtained: it was due, or refused.
            Self::Ahead => !current.is_due(now) && last.last_error().is_none(),
        }
    }
}

/// How somebody who wants a token gets it.
pub(super) enum Boarding {
    /// It is there.
    Served(Arc<AccessToken>),
    /// It is on its way.
    Seat(Seat),
}

/// Why there is no attempt, and whether a look at what may have changed could lead to one.
struct Denial {
    failure: Failure,
    look: bool,
}

impl TokenCache {
    /// Joins the attempt under way, or starts one if it makes sense now.
    pub(super) fn board(self: &Arc<Self>, purpose: Purpose<'_>, now: Moment) -> Result<Boarding, Failure> {
        let denial = match self.try_board(purpose, now) {
            Ok(boarding) => return Ok(boarding),
            Err(denial) => denial,
        };
        // Without the lock: it looks at files.
        if !denial.look || !self.source.has_changed() {
            return Err(denial.failure);
        }
        debug!(credential = self.name, "what the last refusal was about has changed");
        self.renewal().backoff.forgive(now);
        if let Some(common) = &self.common {
            common.forgive(now);
        }
        self.try_board(purpose, now).map_err(|denial| denial.failure)
    }

    fn try_board(self: &Arc<Self>, purpose: Purpose<'_>, now: Moment) -> Result<Boarding, Denial> {
        let mut renewal = self.renewal();
        let current = self.current.load_full().filter(|current| current.is_live(now));
        if let Some(current) = current.as_ref().filter(|current| purpose.is_served_by(current, &renewal.backoff, now)) {
            return Ok(Boarding::Served(Arc::clone(current)));
        }
        if let Some(seat) = renewal.seat() {
            return Ok(Boarding::Seat(seat));
        }
        if let Some(failure) = renewal.backoff.denial(now) {
            return Err(Denial { failure, look: renewal.backoff.should_look(now) });
        }
        if let Some((failure, look)) = self.common.as_ref().and_then(|common| common.denial(now)) {
            return Err(Denial { failure, look });
        }
        match (purpose, current) {
            (Purpose::Refused(_), Some(_)) => self.take_allowance(&mut renewal, now)?,
            // Somebody may still wait for a missing one while we shut down, but nobody for the next.
            (Purpose::Ahead, Some(current)) if renewal.resting => return Ok(Boarding::Served(current)),
            (Purpose::Refused(_) | Purpose::Ahead | Purpose::Missing, _) => {}
        }
        let flight = self.take_off();
        let seat = flight.join();
        renewal.flight = Some(flight);
        Ok(Boarding::Seat(seat))
    }

    /// A renewal of a live token costs some of the allowance.
    fn take_allowance(&self, renewal: &mut Renewal, now: Moment) -> Result<(), Denial> {
        let Err(retry_after) = renewal.allowance.take(now) else {
            renewal.report.not_limited();
            return Ok(());
        };
        let error = TokenError::RenewedTooOften;
        renewal.report.limited(&self.name, &error);
        Err(Denial { failure: Failure { error: Arc::new(error), retry_after }, look: false })
    }

    fn take_off(self: &Arc<Self>) -> Flight {
        let (cache, source) = (Arc::downgrade(self), Arc::clone(&self.source));
        let limit = LONGEST_ATTEMPT.max(self.settings.wait.saturating_mul(MOST_STEPS));
        // Of no request: it is made for all of them.
        let span = debug_span!(parent: None, "token.fetch", credential = self.name);
        let attempt = async move {
            let result = ask(source, limit).await;
            // A cache that went away has no use for it.
            cache.upgrade().map(|cache| cache.land(result))
        };
        Flight::start(&self.runtime, attempt.instrument(span))
    }

    /// Takes in what an attempt brought, and sees to the next.
    fn land(self: &Arc<Self>, result: Result<AccessToken, TokenError>) -> Outcome {
        let now = Moment::now();
        let result = result.and_then(|token| if token.is_live(now) { Ok(Arc::new(token)) } else { Err(expired()) });
        let mut renewal = self.renewal();
        renewal.flight = None;
        match result {
            Ok(token) => {
                self.publish(&mut renewal, &token, now);
                Ok(token)
            }
            Err(error) => Err(self.remember(&mut renewal, error, now)),
        }
    }

    fn publish(self: &Arc<Self>, renewal: &mut Renewal, token: &Arc<AccessToken>, now: Moment) {
        self.current.store(Some(Arc::clone(token)));
        renewal.wanted = false;
        renewal.backoff.forget();
        match &self.common {
            Some(common) => common.success(),
            None => {
                renewal.tally.success();
                renewal.report.success(&self.name, (!token.is_endless()).then(|| token.expires_in(now)));
            }
        }
        renewal.timer = None;
        if let Some(at) = token.renew_at() {
            self.schedule(renewal, at.monotonic);
        }
    }

    fn remember(self: &Arc<Self>, renewal: &mut Renewal, error: TokenError, now: Moment) -> Failure {
        if let Some(common) = &self.common {
            let failure = common.failure(&self.name, error, now);
            return failure.map_or_else(|of_all| of_all, |error| renewal.backoff.remember(error, now));
        }
        renewal.tally.failure(error.code());
        let failure = renewal.backoff.remember(error, now);
        let serving = match self.current.load().as_ref() {
            Some(current) if current.is_live(now) => Serving::Yes,
            Some(_) | None => Serving::No,
        };
        renewal.report.failure(&self.name, &failure.error, failure.retry_after, serving);
        // Looked for until somebody has logged in: with a readiness check in front, nobody else would ask.
        renewal.wanted |= matches!(*failure.error, TokenError::NeedsLogin { .. });
        if self.is_wanted(renewal, now)
            && let Some(at) = renewal.backoff.wake_at(now)
        {
            self.schedule(renewal, at);
        }
        failure
    }

    /// Whether an attempt in the background is of use to anybody.
    fn is_wanted(&self, renewal: &Renewal, now: Moment) -> bool {
        let current = self.current.load();
        renewal.wanted || current.as_ref().is_some_and(|current| current.is_live(now) && current.is_used())
    }

    /// Has the next attempt begin then, and no other.
    fn schedule(self: &Arc<Self>, renewal: &mut Renewal, at: Instant) {
        // With one timer for each subject, whoever called once would be logged in again for nobody.
        if renewal.resting || self.common.is_some() {
            return;
        }
        let cache = Arc::downgrade(self);
        renewal.timer = Some(Task::spawn(&self.runtime, async move {
            sleep_until(at).await;
            // No await may come after: what follows sets the next timer, and thereby stops this task.
            if let Some(cache) = cache.upgrade() {
                cache.wake(Moment::now());
            }
        }));
    }

    fn wake(self: &Arc<Self>, now: Moment) {
        if !self.is_wanted(&self.renewal(), now) {
            debug!(credential = self.name, "nobody uses this token: it is not renewed");
            return;
        }
        if self.board(Purpose::Ahead, now).is_ok() {
            return;
        }
        let mut renewal = self.renewal();
        if let Some(at) = renewal.backoff.wake_at(now) {
            self.schedule(&mut renewal, at);
        }
    }
}

/// A source bounds itself (`request.timeout` for each request it makes). This is the net under one that does not:
/// without an end, nobody would ever get a token again.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

/// Discovery, a refresh that is refused, the credential's own grant with each secret of a list, in turn.
const MOST_STEPS: u32 = 10;
