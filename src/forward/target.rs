//! Where a route leads, prepared: the upstream, the credential's tokens, the path that replaces the prefix.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::StatusCode;
use http::uri::{PathAndQuery, Uri};

use super::body::RequestBody;
use super::settings::TargetSettings;
use crate::telemetry::RouteMetrics;
use crate::telemetry::UpstreamMetrics;
use crate::token::Tokens;
use crate::upstream::Upstream;

/// Where requests of one route go.
pub struct Target {
    pub(super) settings: TargetSettings,
    pub(super) upstream: Upstream<RequestBody>,
    /// `None`: `credential: none`.
    pub(super) tokens: Option<Tokens>,
    rewrite: Rewrite,
    pub(super) metrics: TargetMetrics,
}

/// What is counted of a route.
pub struct TargetMetrics {
    /// Of the route.
    pub route: Arc<RouteMetrics>,
    /// Of its upstream.
    pub upstream: Arc<UpstreamMetrics>,
}

/// What is cut off the front of a path, and what is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rewrite {
    /// Bytes to cut off: the matched prefix without its closing slash.
    cut: usize,
    /// The upstream's path without its closing slash.
    base: String,
    /// What a path becomes of which nothing is left.
    whole: String,
}

impl Target {
    /// A route's target. Without `tokens`, nothing is put on.
    #[must_use]
    pub fn new(
        settings: TargetSettings,
        upstream: Upstream<RequestBody>,
        tokens: Option<Tokens>,
        metrics: TargetMetrics,
    ) -> Self {
        let rewrite = Rewrite::new(&settings, upstream.path());
        Self { settings, upstream, tokens, rewrite, metrics }
    }

    /// The route's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it leads to.
    #[must_use]
    pub fn upstream(&self) -> &Upstream<RequestBody> {
        &self.upstream
    }

    /// What is put on its requests.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// Whether an answer of this status says that the token was refused.
    pub(super) fn is_refusal(&self, status: StatusCode) -> bool {
        self.settings.retry.as_ref().is_some_and(|retry| retry.statuses.contains(&status))
    }

    /// How much of a request's body is held.
    pub(super) fn held(&self) -> usize {
        self.settings.retry.as_ref().map_or(0, |retry| retry.max_body)
    }

    pub(super) fn cooldown(&self) -> Duration {
        self.settings.retry.as_ref().map_or(Duration::ZERO, |retry| retry.cooldown)
    }

    /// The request target for the upstream, in origin form: all but the prefix is the downstream's, byte for byte.
    #[must_use]
    pub fn uri(&self, received: &Uri) -> Option<Uri> {
        self.rewrite.apply(received)
    }
}

/// The request target that a route's settings make of `received`, for an upstream whose URL has this path.
#[must_use]
pub fn rewrite(settings: &TargetSettings, upstream_path: &str, received: &Uri) -> Option<Uri> {
    Rewrite::new(settings, upstream_path).apply(received)
}

impl Rewrite {
    fn new(settings: &TargetSettings, upstream_path: &str) -> Self {
        let base = upstream_path.strip_suffix('/').unwrap_or(upstream_path);
        let cut = match settings.keep_prefix {
            true => 0,
            false => settings.prefix.strip_suffix('/').unwrap_or(&settings.prefix).len(),
        };
        Self { cut, base: base.to_owned(), whole: upstream_path.to_owned() }
    }

    fn apply(&self, received: &Uri) -> Option<Uri> {
        let received = received.path_and_query()?;
        let text = received.as_str();
        let (path, query) = text.split_at_checked(received.path().len())?;
        let (cut, rest) = path.split_at_checked(self.cut)?;
        if cut == self.base && !rest.is_empty() {
            // Nothing changes, and what does not change need not be written and checked again.
            return Some(origin(received.clone()));
        }
        let (front, rest) = match rest.is_empty() {
            true => (self.whole.as_str(), ""),
            false => (self.base.as_str(), rest),
        };
        let mut joined = BytesMut::with_capacity(front.len() + rest.len() + query.len());
        joined.put_slice(front.as_bytes());
        joined.put_slice(rest.as_bytes());
        joined.put_slice(query.as_bytes());
        PathAndQuery::from_maybe_shared(joined.freeze()).ok().map(origin)
    }
}

fn origin(path_and_query: PathAndQuery) -> Uri {
    Uri::from(path_and_query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(prefix: &str, upstream: &str, keep_prefix: bool, received: &str) -> String {
        let settings = TargetSettings {
            name: String::new(),
            prefix: prefix.to_owned(),
            keep_prefix,
            preserve_host: false,
            pass_authorization: false,
            retry: None,
            request_headers: Default::default(),
            response_headers: Default::default(),
        };
        Rewrite::new(&settings, upstream).apply(&received.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_prefix_is_replaced_by_the_path_of_the_upstream() {
        assert_eq!(rewritten("/zpax/", "/v1/", false, "/zpax/orders?a=b"), "/v1/orders?a=b");
        assert_eq!(rewritten("/zpax/", "/v1", false, "/zpax/orders"), "/v1/orders");
        assert_eq!(rewritten("/zpax", "/v1/", false, "/zpax/orders"), "/v1/orders");
        assert_eq!(rewritten("/zpax", "/", false, "/zpax/orders"), "/orders");
        assert_eq!(rewritten("/", "/v1/", false, "/orders"), "/v1/orders");
    }

    #[test]
    fn a_path_of_which_nothing_is_left_is_the_upstreams_own() {
        assert_eq!(rewritten("/zpax", "/v1/", false, "/zpax?a"), "/v1/?a");
        assert_eq!(rewritten("/zpax", "/v1", false, "/zpax"), "/v1");
        assert_eq!(rewritten("/zpax", "/", false, "/zpax"), "/");
        assert_eq!(rewritten("/zpax/", "/v1", false, "/zpax/"), "/v1/");
    }

    #[test]
    fn a_prefix_can_be_kept() {
        assert_eq!(rewritten("/zpax/", "/v1/", true, "/zpax/orders"), "/v1/zpax/orders");
        assert_eq!(rewritten("/zpax/", "/", true, "/zpax/orders"), "/zpax/orders");
    }

    // R26
    #[test]
    fn all_else_passes_byte_for_byte() {
        let odd = "/a%2Fb/%7Ec//d;x=1|y?q=%2f&r=a+b?;|'";
        assert_eq!(rewritten("/", "/", false, odd), odd);
        assert_eq!(rewritten("/p/", "/v1/", false, &format!("/p{odd}")), format!("/v1{odd}"));
    }

    #[test]
    fn an_absolute_form_becomes_origin_form() {
        assert_eq!(rewritten("/", "/", false, "http://api.example/orders?a"), "/orders?a");
        assert_eq!(rewritten("/", "/v1", false, "http://api.example"), "/v1/");
    }
}
