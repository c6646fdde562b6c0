//! What the caches of one credential's subjects have in common: its figures, what the log has said, and the memory of
//! a refusal that is about the credential and nobody's subject.
//!
//! What fails for one subject is remembered for that one alone (in its own cache): nobody must be able to have others
//! refused by bringing a token that an authorization server stumbles over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, error, warn};

use super::super::{Failure, Moment, TokenError};
use super::backoff::Backoff;
use super::status::{State, Status, Tally};

/// What subjects' caches share.
#[derive(Default)]
pub(in crate::token) struct Common(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    tally: Tally,
    /// Of refusals that are about the credential.
    backoff: Backoff,
    /// The last attempt's failure, unless it was about its subject.
    last: Option<(String, State)>,
    has_succeeded: bool,
    /// What the log has said, and when.
    said: BTreeMap<String, Moment>,
}

impl Common {
    /// Where the credential stands.
    pub(in crate::token) fn status(&self, name: &str) -> Status {
        let inner = self.inner();
        let state = match &inner.last {
            Some((_, state)) => *state,
            None if inner.has_succeeded => State::Live,
            None => State::Idle,
        };
        Status {
            name: name.to_owned(),
            state,
            expires_in: None,
            last_error: inner.last.as_ref().map(|(code, _)| code.clone()),
            requests: inner.tally.counts(),
        }
    }

    /// Some subject's token was obtained.
    pub(super) fn success(&self) {
        let mut inner = self.inner();
        inner.tally.success();
        inner.backoff.forget();
        inner.last = None;
        inner.has_succeeded = true;
    }

    /// Some subject's attempt failed. Gives the error back if that subject's own cache is to remember it.
    ///
    /// # Errors
    ///
    /// It is about the credential, and is remembered for all subjects.
    pub(super) fn failure(&self, name: &str, error: TokenError, now: Moment) -> Result<TokenError, Failure> {
        let mut inner = self.inner();
        inner.tally.failure(error.code());
        if let TokenError::BadSubject { .. } = error {
            debug!(credential = name, error.kind = error.code(), %error, "a request's token was not exchanged");
            return Ok(error);
        }
        let state = if error.is_transient() { State::Failing } else { State::Refused };
        inner.last = Some((error.code().to_owned(), state));
        inner.say(name, &error, now);
        if is_of_credential(&error) { Err(inner.backoff.remember(error, now)) } else { Ok(error) }
    }

    /// Why no attempt may be made now for anybody, and whether a look at what may have changed could lead to one.
    pub(super) fn denial(&self, now: Moment) -> Option<(Failure, bool)> {
        let mut inner = self.inner();
        let failure = inner.backoff.denial(now)?;
        Some((failure, inner.backoff.should_look(now)))
    }

    /// Something that an attempt is made of has changed.
    pub(super) fn forgive(&self, now: Moment) {
        self.inner().backoff.forgive(now);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in there is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Once a minute for each kind of failure: there may be one for each request.
    fn say(&mut self, credential: &str, error: &TokenError, now: Moment) {
        self.said.retain(|_, at| !now.reached(at.after(SAY_EVERY)));
        let code = error.code();
        if self.said.contains_key(code) || self.said.len() >= MOST_SAID {
            debug!(credential, error.kind = code, %error, "a request's token was not exchanged, as before");
            return;
        }
        self.said.insert(code.to_owned(), now);
        match error.is_transient() {
            true => warn!(
                credential, error.kind = code, %error,
                "a request's token could not be exchanged: such requests get 503"
            ),
            false => error!(
                credential, error.kind = code, %error,
                "the authorization server refuses to exchange a request's token, for a reason that is not the token's: \
                 the credential's settings or its secret may have to be changed"
            ),
        }
    }
}

/// Whether the refusal would be the same whoever the subject: the client itself is not believed, or may not do this.
fn is_of_credential(error: &TokenError) -> bool {
    matches!(error, TokenError::Refused { code, .. }
        if matches!(code.as_str(), "invalid_client" | "unauthorized_client" | "unsupported_grant_type"))
}

const SAY_EVERY: Duration = Duration::from_secs(60);

/// A server may invent codes.
const MOST_SAID: usize = 16;
