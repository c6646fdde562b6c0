//! Compiled routes. A look-up costs the same with one route and with ten thousand, and allocates nothing.

use std::collections::HashMap;
use std::ops::Range;

use http::{HeaderMap, Method};

use super::Matcher;
use super::hosts::{ANY, Hosts};
use super::prefixes::Prefixes;

/// Routes, compiled. The most specific wins: exact host before wildcard (longer before shorter) before any; longer
/// path before shorter; more conditions before fewer; then the order they were given in. Where a more specific route's
/// conditions do not hold, the next less specific is tried.
pub struct RouteTable<T> {
    routes: Vec<(Matcher, T)>,
    hosts: Hosts,
    prefixes: Prefixes,
    /// The routes' positions, those of one prefix side by side and in the order in which to try them.
    order: Vec<usize>,
    /// Where in `order` the routes of each prefix are.
    spans: Vec<Range<usize>>,
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
    /// Two matchers are the same (their methods and headers in whatever order): each later one with the first of its
    /// kind.
    pub fn new(routes: Vec<(Matcher, T)>) -> Result<Self, Vec<Conflict>> {
        let conflicts = conflicts(&routes);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let (hosts, buckets) = Hosts::new(routes.iter().map(|(matcher, _)| matcher.host.as_ref()));
        let count = buckets.iter().copied().max().unwrap_or(ANY) + 1;
        let paths = routes.iter().map(|(matcher, _)| matcher.path.as_str());
        let (prefixes, nodes) = Prefixes::new(count, buckets.into_iter().zip(paths));

        let mut order: Vec<_> = routes.iter().zip(&nodes).enumerate().collect();
        order.sort_by_key(|(_, ((matcher, _), node))| (**node, std::cmp::Reverse(conditions(matcher))));
        let mut spans = vec![0..0; nodes.iter().max().map_or(0, |node| node + 1)];
        for (place, (_, (_, node))) in order.iter().enumerate() {
            if let Some(span) = spans.get_mut(**node) {
                *span = if span.end == 0 { place..place + 1 } else { span.start..place + 1 };
            }
        }
        let order = order.into_iter().map(|(position, _)| position).collect();
        Ok(Self { routes, hosts, prefixes, order, spans })
    }

    /// The most specific route for this request. `host` without port, in any case, with or without a trailing dot;
    /// `path` as it stands in the request, without the query.
    pub fn find(&self, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<&T> {
        self.buckets(host).find_map(|bucket| self.first_in(bucket, path, method, headers))
    }

    /// As [`Self::find`], among the routes that name a host: what a caller wants from one host must not be asked of
    /// whatever the routes for any host lead to (R70).
    pub fn find_named(&self, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<&T> {
        let mut named = self.buckets(host).take_while(|bucket| *bucket != ANY);
        named.find_map(|bucket| self.first_in(bucket, path, method, headers))
    }

    /// Whether any route names this host, exactly or by wildcard.
    pub fn names_host(&self, host: &str) -> bool {
        self.hosts.first(host) != ANY
    }

    /// Whether any route names a host: if none does, which host is asked for leads to none.
    pub fn names_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// All there is, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&Matcher, &T)> {
        self.routes.iter().map(|(matcher, to)| (matcher, to))
    }

    /// The buckets of a host, the most specific first.
    fn buckets(&self, host: &str) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.hosts.first(host)), |bucket| self.hosts.next(*bucket))
    }

    fn first_in(&self, bucket: usize, path: &str, method: &Method, headers: &HeaderMap) -> Option<&T> {
        let mut prefix = self.prefixes.longest(bucket, path);
        while let Some(node) = prefix {
            if let Some(to) = self.first_that_holds(node, method, headers) {
                return Some(to);
            }
            prefix = self.prefixes.shorter(node);
        }
        None
    }

    fn first_that_holds(&self, node: usize, method: &Method, headers: &HeaderMap) -> Option<&T> {
        for position in self.order.get(self.spans.get(node)?.clone())? {
            let (matcher, to) = self.routes.get(*position)?;
            if holds(matcher, method, headers) {
                return Some(to);
            }
        }
        None
    }
}

impl<T> std::fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(matcher, _)| matcher)).finish()
    }
}

/// Whether the conditions beside host and path hold.
fn holds(matcher: &Matcher, method: &Method, headers: &HeaderMap) -> bool {
    (matcher.methods.is_empty() || matcher.methods.contains(method))
        && matcher.headers.iter().all(|(name, value)| headers.get_all(name).iter().any(|given| given == value))
}

/// How many conditions there are beside host and path. A list of methods is one.
fn conditions(matcher: &Matcher) -> usize {
    matcher.headers.len() + usize::from(!matcher.methods.is_empty())
}

fn conflicts<T>(routes: &[(Matcher, T)]) -> Vec<Conflict> {
    let mut seen = HashMap::new();
    let mut conflicts = Vec::new();
    for (second, (matcher, _)) in routes.iter().enumerate() {
        let mut methods: Vec<_> = matcher.methods.iter().map(Method::as_str).collect();
        methods.sort_unstable();
        methods.dedup();
        let mut headers: Vec<_> =
            matcher.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        headers.sort_unstable();
        headers.dedup();
        let first = *seen.entry((&matcher.host, &matcher.path, methods, headers)).or_insert(second);
        if first != second {
            conflicts.push(Conflict { first, second });
        }
    }
    conflicts
}

#[cfg(test)]
mod tests;
