//! One request, looked at by a listener's rules: first who sent it, then which host it names, then which page had it
//! sent.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode};

use super::host::{is_listed, is_own, name_of};
use super::origin::check_origin;
use super::{AccessSettings, Callers, HostRule, OriginRule};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// This host, by a loopback address.
    Loopback,
    /// This host, by a Unix socket; who may open it, its mode says.
    Unix,
    /// Any other address.
    Remote,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        // A dual-stack listener sees 127.0.0.1 as ::ffff:127.0.0.1.
        if address.to_canonical().is_loopback() { Self::Loopback } else { Self::Remote }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The listener is for this host alone.
    #[error("this listener serves its own host only")]
    NotLocal,
    /// The request names a host that this listener does not answer for.
    #[error("this listener does not answer for that host")]
    UnknownHost,
    /// A web page of another origin had it sent.
    #[error("requests from pages of other origins are not served")]
    ForeignOrigin,
}

impl Denied {
    /// What the downstream gets.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotLocal | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

/// Whether this request may go on. `host` is what the request names, port and all, empty if it names none (HTTP/1.0);
/// `route_names` says of a name without port or trailing dot whether a route has it.
///
/// # Errors
///
/// It may not.
pub fn decide(
    settings: &AccessSettings,
    peer: Peer,
    host: &str,
    headers: &HeaderMap,
    route_names: impl FnOnce(&str) -> bool,
) -> Result<(), Denied> {
    match (settings.callers, peer) {
        (Callers::Local, Peer::Remote) => return Err(Denied::NotLocal),
        (Callers::Local, Peer::Loopback | Peer::Unix) | (Callers::Anyone, _) => {}
    }
    if !host_is_known(&settings.hosts, host, route_names) {
        return Err(Denied::UnknownHost);
    }
    decide_page(settings, host, headers)
}

/// That rule of [`decide`] alone that looks at which page had a request sent, which each request says for itself.
///
/// # Errors
///
/// It may not go on.
pub fn decide_page(settings: &AccessSettings, host: &str, headers: &HeaderMap) -> Result<(), Denied> {
    match &settings.origins {
        OriginRule::Any => Ok(()),
        OriginRule::Listed(listed) => check_origin(listed, host, headers),
    }
}

pub(super) fn host_is_known(rule: &HostRule, host: &str, route_names: impl FnOnce(&str) -> bool) -> bool {
    let listed = match rule {
        HostRule::Any => return true,
        // A browser always says which host it means, so a request that names none was not rebound.
        HostRule::OwnAndRoutes if host.is_empty() => return true,
        HostRule::OwnAndRoutes => None,
        HostRule::Listed(names) => Some(names),
    };
    let Some(name) = name_of(host) else { return false };
    listed.map_or_else(|| is_own(name), |names| is_listed(names, name)) || route_names(name)
}

#[cfg(test)]
mod tests;
