//! Figures of one upstream.

use super::figures::{Counter, Gauge, Held};
use super::shards::Shards;

/// Figures of one upstream's connections.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    pub(super) opened: Counter,
    reused: Shards<Counter>,
    pub(super) open: Gauge,
    pub(super) failures: [Counter; UpstreamFailure::ALL.len()],
}

/// Why an upstream gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamFailure {
    /// Its name has no address.
    Unresolved,
    /// It refused the connection.
    Refused,
    /// Its network or host cannot be reached.
    Unreachable,
    /// No connection within `timeouts.connect`.
    ConnectTimeout,
    /// No connection free, and no more allowed.
    Exhausted,
    /// The TLS handshake failed.
    Tls,
    /// It broke off before the end of its answer's head.
    BrokenOff,
    /// It broke off within its answer's body.
    BodyBrokenOff,
    /// No head within `timeouts.response_head`.
    ResponseTimeout,
    /// Nothing of a body within `timeouts.idle_body`.
    BodyTimeout,
    /// What it sent is no HTTP.
    Malformed,
}

impl UpstreamFailure {
    pub(super) const ALL: [Self; 11] = [
        Self::Unresolved,
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::Exhausted,
        Self::Tls,
        Self::BrokenOff,
        Self::BodyBrokenOff,
        Self::ResponseTimeout,
        Self::BodyTimeout,
        Self::Malformed,
    ];

    /// All of them as [`Self::as_str`], in the order of [`Self::ALL`].
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::as_str)
    }

    /// The word in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Exhausted => "exhausted",
            Self::Tls => "tls",
            Self::BrokenOff => "broken_off",
            Self::BodyBrokenOff => "body_broken_off",
            Self::ResponseTimeout => "response_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Malformed => "malformed",
        }
    }
}

impl UpstreamMetrics {
    /// A connection was opened; it counts as open until the answer is dropped.
    pub fn opened(&self) -> Held {
        self.opened.add(1);
        self.open.hold()
    }

    /// A request was sent on a connection that had served another.
    pub fn reused(&self) {
        let (reused, writers) = self.reused.mine();
        reused.add_among(writers, 1);
    }

    /// How many were.
    pub(super) fn reused_total(&self) -> u64 {
        self.reused.iter().map(Counter::value).sum()
    }

    /// It gave no answer, or no whole one.
    pub fn failed(&self, failure: UpstreamFailure) {
        let counters = UpstreamFailure::ALL.iter().zip(&self.failures);
        if let Some((_, counter)) = counters.into_iter().find(|(one, _)| **one == failure) {
            counter.add(1);
        }
    }
}
