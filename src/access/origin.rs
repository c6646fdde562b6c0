//! Which web page had a request sent, as its browser says (RFC 6454, Fetch Metadata).
//!
//! Programs that are no browsers send neither field, and pass.

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName};

use super::decide::Denied;
use super::host::split_port;

/// Whether a field of this name tells which page had a request sent. One that has none passes.
#[must_use]
pub fn tells_page(name: &HeaderName) -> bool {
    *name == ORIGIN || *name == SEC_FETCH_SITE
}

/// Lets pass: no `Origin` and not from across sites; an `Origin` that is listed; our own `Origin`, from the same site.
pub(super) fn check_origin(listed: &[String], host: &str, headers: &HeaderMap) -> Result<(), Denied> {
    let crosses_sites = headers.get_all(&SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return if crosses_sites { Err(Denied::ForeignOrigin) } else { Ok(()) };
    };
    let origin = origin.to_str().ok().and_then(Origin::read).ok_or(Denied::ForeignOrigin)?;
    let is_listed = listed.iter().filter_map(|text| Origin::read(text)).any(|other| other.is(&origin));
    let is_only_one = origins.next().is_none();
    if is_only_one && (is_listed || !crosses_sites && origin.is_at(host)) { Ok(()) } else { Err(Denied::ForeignOrigin) }
}

/// An origin that can be compared. `null` can't: it is every sandboxed page's.
struct Origin<'a> {
    scheme: &'a str,
    name: &'a str,
    /// Empty: there is no default for this scheme.
    port: &'a str,
}

impl<'a> Origin<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let (name, port) = split_port(host)?;
        if name.is_empty() || host.contains(['/', '@', '?', '#', ' ']) || !port.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let port = if port.is_empty() { default_port(scheme) } else { port };
        Some(Self { scheme, name, port })
    }

    fn is(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.name.eq_ignore_ascii_case(other.name)
            && self.port == other.port
    }

    /// Whether a page of this origin came from where the request now goes.
    fn is_at(&self, host: &str) -> bool {
        split_port(host).is_some_and(|(name, port)| {
            let port = if port.is_empty() { default_port(self.scheme) } else { port };
            self.name.eq_ignore_ascii_case(name) && self.port == port
        })
    }
}

fn default_port(scheme: &str) -> &'static str {
    if scheme.eq_ignore_ascii_case("http") {
        "80"
    } else if scheme.eq_ignore_ascii_case("https") {
        "443"
    } else {
        ""
    }
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
