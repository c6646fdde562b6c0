//! How things stand, as the application hands it in.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::Metrics;
use crate::token::State;
use crate::token::Status;

/// How things stand just now.
#[derive(Clone)]
pub struct Snapshot {
    /// How long the process has been running.
    pub uptime: Duration,
    /// Whether it has been told to stop: no new requests should come.
    pub draining: bool,
    /// One for each credential.
    pub credentials: Vec<Status>,
    /// In file order.
    pub routes: Vec<RouteStatus>,
    /// Where tokens are kept.
    pub token_store: StoreStatus,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// What is told of the token store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// `memory`, `file` or `redis`.
    pub kind: &'static str,
    /// Why it cannot be used now. Nobody is less ready for that: what there is serves, and a store that is away would
    /// take all who share it out of service at once.
    pub trouble: Option<String>,
}

/// What is told of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// The upstream's host and port.
    pub upstream: String,
    /// Its credential's name, when it has one.
    pub credential: Option<String>,
}

impl Snapshot {
    /// The credentials for which no token can be had.
    pub(super) fn failing(&self) -> impl Iterator<Item = &Status> {
        self.credentials.iter().filter(|credential| match credential.state {
            State::Idle | State::Live => false,
            State::Failing | State::Refused | State::NeedsLogin => true,
        })
    }

    /// Whether requests should be sent here.
    pub(super) fn is_ready(&self) -> bool {
        !self.draining && self.failing().next().is_none()
    }
}

/// The word for a state.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Live => "live",
        State::Failing => "failing",
        State::Refused => "refused",
        State::NeedsLogin => "needs_login",
    }
}
