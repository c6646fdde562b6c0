//! Whether a request may be looked at: who sends it, which host it names, which page had it sent (R39, R69, R70).

use http::header::HOST;
use http::request::Parts;

use super::Serving;
use crate::access::{self, Denied, HostRule, Peer};
use crate::forward::ForwardError;

/// Whether it may.
pub(super) fn admit(serving: &Serving, peer: Peer, head: &Parts) -> Result<(), ForwardError> {
    // In absolute form the target's authority replaces Host (RFC 9112 §3.2.2; R18).
    let absolute = head.uri.authority().map(http::uri::Authority::as_str);
    let host = match absolute {
        Some(authority) => authority,
        None => head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
    };
    let routes = serving.forwarder.routes();
    match access::decide(&serving.access, peer, host, &head.headers, |name| routes.names_host(name)) {
        Ok(()) => {}
        Err(Denied::UnknownHost) if absolute.is_some() => return Err(ForwardError::HostNotRouted),
        Err(Denied::UnknownHost) => return Err(ForwardError::UnknownHost),
        Err(Denied::NotLocal) => return Err(ForwardError::Denied("This listener serves its own host only.")),
        Err(Denied::ForeignOrigin) => {
            return Err(ForwardError::Denied("Requests from web pages of other origins are not served."));
        }
    }
    match absolute {
        Some(authority) if !serving.forwarder.proxies(authority) && !is_ourselves(serving, authority) => {
            Err(ForwardError::HostNotRouted)
        }
        _ => Ok(()),
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
