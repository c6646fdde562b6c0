//! What a route does with a request, beyond where it leads (DESIGN.md section 4, "Route").

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

/// A route's own ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// The route's name in logs and metrics.
    pub name: String,
    /// The prefix that matched, as [`Matcher::path`](crate::route::Matcher::path).
    pub prefix: String,
    /// `keep_prefix`: the matched prefix stays.
    pub keep_prefix: bool,
    /// `preserve_host`: the upstream sees the downstream's `Host`.
    pub preserve_host: bool,
    /// `pass_authorization`: the downstream's own `Authorization` goes through. Only without a credential.
    pub pass_authorization: bool,
    /// `retry.*`; `None`: `retry: off`.
    pub retry: Option<RetrySettings>,
    /// `request_headers`.
    pub request_headers: HeaderEdit,
    /// `response_headers`.
    pub response_headers: HeaderEdit,
}

/// `retry.*` (DESIGN.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// By default 401 alone.
    pub statuses: Vec<StatusCode>,
    /// How much of a body is held to be sent again, by default 64 KiB.
    pub max_body: usize,
    /// How long a token that was refused although new is not renewed again, by default 10 s.
    pub cooldown: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { statuses: vec![StatusCode::UNAUTHORIZED], max_body: 64 * 1024, cooldown: Duration::from_secs(10) }
    }
}

/// `request_headers`, `response_headers`: fields removed, then fields set. Never hop-by-hop ones, nor those that frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdit {
    /// `set`.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// `remove`.
    pub remove: Vec<HeaderName>,
}
