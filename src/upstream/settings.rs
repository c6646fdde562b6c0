//! What an upstream is configured to be (DESIGN.md section 4, "Route").

use std::borrow::Cow;
use std::time::Duration;

use crate::tls::TlsSettings;

/// One API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// A name or an IP address; IPv6 without brackets; lower case.
    pub host: String,
    /// The port, whether written or the scheme's own.
    pub port: u16,
    /// The URL's path as it was written; at least `/`. No query, no fragment.
    pub path: String,
    /// `upstream.tls`.
    pub tls: TlsSettings,
    /// `upstream.connections`.
    pub connections: ConnectionSettings,
    /// `timeouts.*` of the route.
    pub timeouts: Timeouts,
}

impl UpstreamSettings {
    /// The host as a URL or a `Host` field has it: an IPv6 address in brackets (RFC 3986 §3.2.2).
    pub(super) fn host_in_url(&self) -> Cow<'_, str> {
        match self.host.contains(':') {
            true => Cow::Owned(format!("[{}]", self.host)),
            false => Cow::Borrowed(&self.host),
        }
    }
}

/// How bytes reach the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

/// The pool of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// `max`: how many may be open at once, by default 1024; a request that finds none waits for `timeouts.connect`.
    pub max: usize,
    /// `idle_timeout`: how long one may lie unused, by default 60 s. Below what upstreams commonly allow, so that we
    /// close first.
    pub idle_timeout: Duration,
    /// `max_age`: after this time it is not used again, by default 10 min, so that DNS changes are followed.
    pub max_age: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self { max: 1024, idle_timeout: Duration::from_secs(60), max_age: Duration::from_secs(600) }
    }
}

/// `timeouts.*` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name look-up, TCP and TLS handshake together, by default 5 s.
    pub connect: Duration,
    /// From the end of the request to the end of the answer's head, by default 60 s.
    pub response_head: Duration,
    /// Between two pieces of a body, either way, by default 5 min.
    pub idle_body: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_secs(60),
            idle_body: Duration::from_secs(300),
        }
    }
}
