//! Who may call: the rules of a listener that are looked at before a route is (R39, R69).
//!
//! A proxy that puts credentials on requests must not do so for whoever can reach it: not for other machines, not for a
//! web page that a browser on this one has open (DNS rebinding, cross-site requests). Pure: it looks at what it is given.

mod decide;
mod host;
mod origin;

pub use decide::{Denied, Peer, decide, decide_page};
pub use origin::tells_page;

/// The rules of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// `access`.
    pub callers: Callers,
    /// `hosts`: which `Host` a request may name; `None`: any.
    pub hosts: HostRule,
    /// `allowed_origins`: origins that browsers may call from, as they write them (`https://app.example`).
    pub origins: OriginRule,
}

impl AccessSettings {
    /// Whether a request may name `host`, port and all: that rule of [`decide()`] alone that looks at the host.
    pub fn knows_host(&self, host: &str, route_names: impl FnOnce(&str) -> bool) -> bool {
        decide::host_is_known(&self.hosts, host, route_names)
    }

    /// Whether `host`, port and all, is a name of the listener itself: one under `hosts`, or else one that every host
    /// has for itself (`localhost`, what is below it, loopback addresses). A request in absolute form that names it is
    /// for us, and none to be forwarded.
    #[must_use]
    pub fn is_own_name(&self, host: &str) -> bool {
        host::name_of(host).is_some_and(|name| match &self.hosts {
            HostRule::Any | HostRule::OwnAndRoutes => host::is_own(name),
            HostRule::Listed(names) => host::is_listed(names, name),
        })
    }
}

/// `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Callers {
    /// Connections from this host alone.
    Local,
    /// Anyone who can connect.
    Anyone,
}

/// `hosts`. Names are lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// The default off loopback.
    Any,
    /// The default on loopback and Unix sockets: `localhost`, `*.localhost`, 127.0.0.0/8, `[::1]`, and hosts that
    /// routes name.
    OwnAndRoutes,
    /// As written, exact or `*.domain`; and hosts that routes name.
    Listed(Vec<String>),
}

/// What browsers may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// The default off loopback: browsers are not looked at.
    Any,
    /// The default on loopback and Unix sockets, with an empty list: an `Origin` not listed, and
    /// `Sec-Fetch-Site: cross-site` without a listed `Origin`, are refused with 403.
    Listed(Vec<String>),
}
