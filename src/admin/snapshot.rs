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
    /// The figures.
    pub metrics: Arc<Metrics>,
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
