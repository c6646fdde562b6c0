//! Compiled routes. A look-up costs the same with one route and with ten thousand.

use http::{HeaderMap, Method};

use super::Matcher;

/// Routes, compiled. The most specific wins: exact host before wildcard (longer before shorter) before any; longer
/// path before shorter; more conditions before fewer; then the order they were given in.
pub struct RouteTable<T> {
    _routes: Vec<(Matcher, T)>,
}

/// Two routes that match the same, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier one.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

impl<T> RouteTable<T> {
    /// Compiles.
    ///
    /// # Errors
    ///
    /// Two matchers are the same (their methods and headers in whatever order): all such pairs.
    pub fn new(_routes: Vec<(Matcher, T)>) -> Result<Self, Vec<Conflict>> {
        todo!()
    }

    /// The most specific route for this request. `host` without port, in any case; `path` as it stands in the request.
    pub fn find(&self, _host: &str, _path: &str, _method: &Method, _headers: &HeaderMap) -> Option<&T> {
        todo!()
    }

    /// Whether any route names this host, exactly or by wildcard.
    pub fn names_host(&self, _host: &str) -> bool {
        todo!()
    }

    /// All there is, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&Matcher, &T)> {
        self._routes.iter().map(|(matcher, to)| (matcher, to))
    }
}
