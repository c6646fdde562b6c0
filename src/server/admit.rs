//! Whether a request may be looked at: who sends it, which host it names, which page had it sent (R39, R69, R70).
//!
//! A connection's requests nearly always name the same host. It is decided once whether they may, and again when the
//! listener serves from something else; which page had a request sent is asked of each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::HOST;
use http::{HeaderMap, HeaderValue};

use super::Serving;
use crate::access::{self, Denied, HostRule, Peer};
use crate::forward::ForwardError;
use crate::forward::Passing;

/// Whether the requests of one connection may.
#[derive(Debug)]
pub(super) struct Admission {
    peer: Peer,
    /// The `Host` of the first request that was admitted.
    host: OnceLock<Box<[u8]>>,
    /// When a request for it was last admitted; 0: never.
    era: AtomicU64,
}

impl Admission {
    /// Of a connection from there.
    pub(super) fn of(peer: Peer) -> Self {
        Self { peer, host: OnceLock::new(), era: AtomicU64::new(0) }
    }

    /// Whether this request may.
    pub(super) fn admit(&self, serving: &Serving, request: &Passing) -> Result<(), ForwardError> {
        let headers = request.headers();
        // In absolute form the target's authority replaces Host (RFC 9112 §3.2.2; R18).
        if let Some(authority) = request.uri().authority() {
            return admit_absolute(serving, self.peer, authority.as_str(), headers);
        }
        let host = host_of(headers);
        let name = || host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        if host.is_some_and(|host| self.knows(host, serving.era)) {
            return match headers.keys().any(access::tells_page) {
                true => access::decide_page(&serving.access, name(), headers).map_err(refusal),
                false => Ok(()),
            };
        }
        decide(serving, self.peer, name(), headers).map_err(refusal)?;
        if let Some(host) = host {
            self.remember(host, serving.era);
        }
        Ok(())
    }

    /// Whether a request for this host would be admitted, if no page had it sent.
    fn knows(&self, host: &HeaderValue, era: Era) -> bool {
        self.era.load(Ordering::Relaxed) == era.0 && self.host.get().is_some_and(|known| **known == *host.as_bytes())
    }

    fn remember(&self, host: &HeaderValue, era: Era) {
        if **self.host.get_or_init(|| host.as_bytes().into()) == *host.as_bytes() {
            self.era.store(era.0, Ordering::Relaxed);
        }
    }
}

/// How long a decision counts: what a listener serves from has an era of its own, so that a reload begins a new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era(u64);

impl Era {
    /// One that was never before.
    pub(super) fn begin() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Their Host. It is nearly always the first of them, as it should be (RFC 9110 §7.2).
fn host_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    match headers.iter().next() {
        Some((name, value)) if *name == HOST => Some(value),
        _ => headers.get(HOST),
    }
}

fn admit_absolute(serving: &Serving, peer: Peer, authority: &str, headers: &HeaderMap) -> Result<(), ForwardError> {
    match decide(serving, peer, authority, headers) {
        Ok(()) if serving.forwarder.proxies(authority) || is_ourselves(serving, authority) => Ok(()),
        Ok(()) | Err(Denied::UnknownHost) => Err(ForwardError::HostNotRouted),
        Err(denied) => Err(refusal(denied)),
    }
}

fn decide(serving: &Serving, peer: Peer, host: &str, headers: &HeaderMap) -> Result<(), Denied> {
    let routes = serving.forwarder.routes();
    access::decide(&serving.access, peer, host, headers, |name| routes.names_host(name))
}

fn refusal(denied: Denied) -> ForwardError {
    match denied {
        Denied::UnknownHost => ForwardError::UnknownHost,
        Denied::NotLocal => ForwardError::Denied("This listener serves its own host only."),
        Denied::ForeignOrigin => ForwardError::Denied("Requests from web pages of other origins are not served."),
    }
}

/// Whether this authority is this listener: a name under `hosts`, which may be mapped to us from whatever port; or a
/// name that every host has for itself, and our port. Another port of this host is another service, which an
/// application with `HTTP_PROXY` set may well have meant.
fn is_ourselves(serving: &Serving, authority: &str) -> bool {
    let port = || authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(HTTP_PORT);
    let mapped = matches!(serving.access.hosts, HostRule::Listed(_));
    serving.access.is_own_name(authority) && (mapped || serving.port == Some(port()))
}

/// What a URL without a port means.
const HTTP_PORT: u16 = 80;
