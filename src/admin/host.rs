//! Under which names the listener answers.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::uri::Authority;
use http::{Version, header};

/// Under which names a request may address us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// `localhost`, `*.localhost` and addresses of loopback: on loopback.
    Own,
    /// Any: elsewhere, where a probe uses whatever address it knows.
    Any,
}

/// What is wrong with a request's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// None, two, or no host at all.
    Malformed,
    /// Not ours.
    Foreign,
}

impl Hosts {
    /// Those of a listener at this address; the strict ones when it is not known.
    pub(super) fn of(address: Option<SocketAddr>) -> Self {
        match address {
            Some(address) if !address.ip().to_canonical().is_loopback() => Self::Any,
            _ => Self::Own,
        }
    }

    /// Looks at `Host` (RFC 9112 section 3.2), and at the target when that names a host.
    pub(super) fn check(self, head: &Parts) -> Result<(), Wrong> {
        let mut fields = head.headers.get_all(header::HOST).iter();
        let field = match (fields.next(), fields.next()) {
            (None, _) if head.version == Version::HTTP_10 => None,
            (Some(host), None) => Some(host.to_str().ok().and_then(|host| host.parse().ok()).ok_or(Wrong::Malformed)?),
            _ => return Err(Wrong::Malformed),
        };
        let mut named = field.iter().chain(head.uri.authority());
        match self {
            Self::Any => Ok(()),
            Self::Own => named.try_for_each(own),
        }
    }
}

fn own(authority: &Authority) -> Result<(), Wrong> {
    if authority.as_str().contains('@') {
        return Err(Wrong::Malformed);
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_own = match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    if is_own { Ok(()) } else { Err(Wrong::Foreign) }
}
