//! What a route matches.

use http::{HeaderName, HeaderValue, Method};

/// The conditions of one route. All must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// Which hosts; `None`: any.
    pub host: Option<HostPattern>,
    /// A path prefix, beginning with `/`. `/a/` matches `/a/` and what is below; `/a` matches `/a` and what is below
    /// `/a/`, not `/ab`. Bytes are compared as they are, case matters.
    pub path: String,
    /// Which methods; empty: any.
    pub methods: Vec<Method>,
    /// Which header fields must be there with exactly this value; in any order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A host, or all hosts below a domain. Lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `api.example`.
    Exact(String),
    /// `*.example`, held as `example`: at least one label more.
    Below(String),
}
