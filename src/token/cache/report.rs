//! What the log says of renewals: once a change, not once an attempt.
//!
//! `error` when a person must act, `warn` when we carry on, `debug` for steps. Never a token.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::super::TokenError;

/// What the log said last, so that it need not say it again.
#[derive(Default)]
pub(super) struct Report {
    trouble: Option<Trouble>,
    limited: bool,
}

#[derive(PartialEq, Eq)]
struct Trouble {
    code: String,
    serving: Serving,
}

/// Whether requests still bear a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// The current token lives.
    Yes,
    /// Requests that need one fail.
    No,
}

impl Report {
    /// A token was obtained.
    pub(super) fn success(&mut self, credential: &str, lifetime: Option<Duration>) {
        let expires_in_s = lifetime.map(|lifetime| lifetime.as_secs());
        match self.trouble.take() {
            Some(_) => info!(credential, expires_in_s, "tokens can be obtained again"),
            None => debug!(credential, expires_in_s, "a token was obtained"),
        }
    }

    /// An attempt failed.
    pub(super) fn failure(&mut self, credential: &str, error: &TokenError, retry_in: Duration, serving: Serving) {
        let (code, retry_in_s) = (error.code(), retry_in.as_secs());
        let is_transient = error.is_transient();
        // What a person must change is as bad while the current token lives.
        let serving = if is_transient { serving } else { Serving::No };
        let trouble = Trouble { code: code.to_owned(), serving };
        if self.trouble.as_ref() == Some(&trouble) {
            debug!(credential, error.kind = code, %error, retry_in_s, "no token could be obtained, as before");
            return;
        }
        self.trouble = Some(trouble);
        match (is_transient, serving) {
            (false, _) if matches!(error, TokenError::NeedsLogin { .. }) => {
                error!(credential, error.kind = code, "{error}")
            }
            (false, _) => error!(
                credential, error.kind = code, %error, retry_in_s,
                "the authorization server refuses this credential: its settings or its secret must be changed"
            ),
            (true, Serving::Yes) => warn!(
                credential, error.kind = code, %error, retry_in_s,
                "the token could not be renewed: the current one serves on while it lives"
            ),
            (true, Serving::No) => warn!(
                credential, error.kind = code, %error, retry_in_s,
                "no token could be obtained: requests that need one get 503"
            ),
        }
    }

    /// A forced renewal was not made because there were too many.
    pub(super) fn limited(&mut self, credential: &str, error: &TokenError) {
        if !self.limited {
            self.limited = true;
            warn!(credential, error.kind = error.code(), %error, "a refused token was not renewed");
        }
    }

    /// A forced renewal was made.
    pub(super) fn not_limited(&mut self) {
        self.limited = false;
    }
}
