//! What the admin listener, the metrics and `status` say of a credential.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the admin listener, the metrics and `status` say of a credential. Never a token.
#[derive(Clone, Debug)]
pub struct Status {
    /// The credential's name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// How long the current token still lives; `None` without a token or without an end.
    pub expires_in: Option<Duration>,
    /// The code of the last failed attempt ([`TokenError::code`](crate::token::TokenError::code)); `None` after a
    /// success.
    pub last_error: Option<String>,
    /// Token requests by outcome: `("success", 3)`, `("invalid_client", 1)`, …; in a stable order. At most 33 of them:
    /// a server that invents codes is counted under `other`.
    pub requests: Vec<(String, u64)>,
}

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// No token, and nothing wrong: nobody has asked yet, or not for a while.
    Idle,
    /// A token that may be sent.
    Live,
    /// None: the last attempt failed, and will be repeated.
    Failing,
    /// None: refused for good until something changes.
    Refused,
    /// None: a person has to log in.
    NeedsLogin,
}

/// Counts attempts by outcome.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts a success.
    pub(super) fn success(&mut self) {
        self.count(SUCCESS);
    }

    /// Counts a failure. Codes come from a server: they may be many, and none of them is a success.
    pub(super) fn failure(&mut self, code: &str) {
        let known = self.0.contains_key(code) || self.0.len() < MOST_CODES;
        self.count(if known && code != SUCCESS { code } else { OTHER });
    }

    /// All counts, by outcome.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    fn count(&mut self, outcome: &str) {
        match self.0.get_mut(outcome) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(outcome.to_owned(), 1);
            }
        }
    }
}

const SUCCESS: &str = "success";
const OTHER: &str = "other";

/// RFC 6749 has six, other specifications a dozen more, and we a few of our own.
const MOST_CODES: usize = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_in_a_stable_order() {
        let mut tally = Tally::default();
        tally.failure("timeout");
        tally.success();
        tally.failure("invalid_client");
        tally.success();
        let counts = tally.counts();
        assert_eq!(
            counts.iter().map(|(code, count)| (code.as_str(), *count)).collect::<Vec<_>>(),
            [("invalid_client", 1), ("success", 2), ("timeout", 1)]
        );
    }

    #[test]
    fn a_server_that_invents_codes_does_not_fill_memory() {
        let mut tally = Tally::default();
        for invented in 0..10_000 {
            tally.failure(&format!("code{invented}"));
        }
        tally.failure("code0");
        tally.success();
        assert_eq!(tally.counts().len(), MOST_CODES + 2);
        assert_eq!(tally.0["other"], 10_000 - u64::try_from(MOST_CODES).unwrap());
        assert_eq!(tally.0["code0"], 2);
    }

    #[test]
    fn a_failure_that_calls_itself_success_is_none() {
        let mut tally = Tally::default();
        tally.failure("success");
        assert_eq!(tally.counts(), [("other".to_owned(), 1)]);
    }
}
