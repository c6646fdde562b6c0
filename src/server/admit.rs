//! Whether a request may be looked at: who sends it, which host it names, which page had it sent (R39, R69, R70).

use http::header::HOST;
use http::request::Parts;

use super::Serving;
use crate::access::{self, Denied, Peer};
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
        Some(authority) if !serving.forwarder.proxies(authority) && !serving.access.is_own_name(authority) => {
            Err(ForwardError::HostNotRouted)
        }
        _ => Ok(()),
    }
}
