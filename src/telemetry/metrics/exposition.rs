//! The figures as text: OpenMetrics 1.0, names with base units, one family after the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Histogram;
use super::route::{CLASSES, RouteCounts};
use super::{Counter, ListenerMetrics, Metrics, RetryOutcome, UpstreamFailure, UpstreamMetrics, diagnostics};

/// What is told of a credential. Never a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFigures {
    /// Its name.
    pub name: String,
    /// How long its token still lives; `None` without a token, or without an end.
    pub expires_in: Option<Duration>,
    /// Token requests by outcome.
    pub requests: Vec<(String, u64)>,
}

impl Metrics {
    /// The media type of [`Metrics::exposition`].
    pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All figures, with those of the credentials as they are just now.
    #[must_use]
    pub fn exposition(&self, credentials: Vec<CredentialFigures>) -> String {
        let routes = self.routes.held().into_iter().filter_map(|(name, route)| Some((name, route.total()?)));
        let scrape = Scrape {
            routes: routes.collect(),
            upstreams: self.upstreams.held(),
            listeners: self.listeners.held(),
            refused: self.refused.iter().map(|(status, count)| (status.to_string(), count)).collect(),
            dropped: [("access", self.access_log_dropped.value()), ("diagnostics", diagnostics::dropped().value())],
            token_store_up: !self.token_store_is_away.load(Ordering::Relaxed),
            credentials,
        };
        let mut registry = Registry::with_prefix("bearer_proxy");
        registry.register_collector(Box::new(scrape));
        let mut text = String::new();
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_never_for_a_string) => String::new(),
        }
    }
}

/// What one scrape tells, gathered first: the encoder wants to own it.
struct Scrape {
    routes: Vec<(String, RouteCounts)>,
    upstreams: Vec<(String, Arc<UpstreamMetrics>)>,
    listeners: Vec<(String, Arc<ListenerMetrics>)>,
    refused: Vec<(String, u64)>,
    dropped: [(&'static str, u64); 2],
    token_store_up: bool,
    credentials: Vec<CredentialFigures>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut build = encoder.encode_descriptor("build", "What is running.", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let page = &mut encoder;
        self.requests(page)?;
        self.durations(page, "request_duration", "From a request's head to the end of its answer.", |r| &r.duration)?;
        self.durations(page, "response_first_byte", "From a request's head to its answer's.", |r| &r.first_byte)?;
        self.tokens(page)?;
        self.upstreams(page)?;
        self.listeners(page)?;
        counters(page, "log_lines_dropped", "Log lines dropped because their sink stalled or failed.", None)?
            .all(self.dropped.iter().map(|(log, count)| ([("log", *log)], *count)))
    }
}

impl Scrape {
    fn requests(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_each = |value: fn(&RouteCounts) -> u64| each("route", &self.routes, value);
        counters(page, "requests", "Requests answered, by class of their status.", None)?.all(by_kind(
            "route",
            &self.routes,
            "class",
            |route| CLASSES.into_iter().zip(&route.classes),
        ))?;
        counters(page, "requests_refused", "Requests answered before they had a route.", None)?
            .all(self.refused.iter().map(|(status, count)| ([("status", status.as_str())], *count)))?;
        gauges(page, "requests_in_flight", "Requests being answered.", None)?
            .all(of_each(|route| route.in_flight()))?;
        counters(page, "sent", "Bytes of body sent to the downstream.", Some(&Unit::Bytes))?
            .all(of_each(|route| route.sent_bytes.value()))?;
        counters(page, "received", "Bytes of body received from the downstream.", Some(&Unit::Bytes))?
            .all(of_each(|route| route.received_bytes.value()))?;
        counters(page, "upstream_unauthorized", "Tokens that upstreams refused.", None)?
            .all(of_each(|route| route.unauthorized.value()))?;
        counters(page, "retries", "What became of requests whose token was refused.", None)?.all(by_kind(
            "route",
            &self.routes,
            "outcome",
            |route| RetryOutcome::words().zip(&route.retries),
        ))
    }

    fn durations(
        &self,
        page: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: fn(&RouteCounts) -> &Histogram,
    ) -> fmt::Result {
        let mut family = page.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (name, route) in &self.routes {
            let buckets = of(route).buckets();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let labels = [("route", name.as_str())];
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(of(route).sum(), count, &buckets, None)?;
        }
        Ok(())
    }

    fn tokens(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let requests = self.credentials.iter().flat_map(|credential| {
            let name = credential.name.as_str();
            credential
                .requests
                .iter()
                .map(move |(outcome, count)| ([("credential", name), ("outcome", outcome.as_str())], *count))
        });
        counters(page, "token_requests", "Token requests by outcome.", None)?.all(requests)?;
        let expiries = self.credentials.iter().filter_map(|credential| {
            Some(([("credential", credential.name.as_str())], credential.expires_in?.as_secs()))
        });
        gauges(page, "token_expires", "Until the current token expires.", Some(&Unit::Seconds))?.all(expiries)?;
        let up = u64::from(self.token_store_up);
        gauges(page, "token_store_up", "Whether the token store can be used.", None)?.one(up)
    }

    fn upstreams(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_each = |value: fn(&Arc<UpstreamMetrics>) -> u64| each("upstream", &self.upstreams, value);
        counters(page, "upstream_connections_opened", "Connections opened to upstreams.", None)?
            .all(of_each(|upstream| upstream.opened.value()))?;
        counters(page, "upstream_connections_reused", "Requests sent on a connection that had served another.", None)?
            .all(of_each(|upstream| upstream.reused_total()))?;
        gauges(page, "upstream_connections_open", "Connections open to upstreams.", None)?
            .all(of_each(|upstream| upstream.open.value()))?;
        counters(page, "upstream_failures", "Why upstreams gave no answer, or no whole one.", None)?.all(by_kind(
            "upstream",
            &self.upstreams,
            "kind",
            |one| UpstreamFailure::words().zip(&one.failures),
        ))
    }

    fn listeners(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_each = |value: fn(&Arc<ListenerMetrics>) -> u64| each("listener", &self.listeners, value);
        counters(page, "connections_accepted", "Connections accepted from downstreams.", None)?
            .all(of_each(|listener| listener.accepted.value()))?;
        gauges(page, "connections_open", "Connections open from downstreams.", None)?
            .all(of_each(|listener| listener.open.value()))
    }
}

/// A value for each name.
fn each<'a, T>(
    label: &'a str,
    all: &'a [(String, T)],
    value: fn(&T) -> u64,
) -> impl Iterator<Item = ([(&'a str, &'a str); 1], u64)> {
    all.iter().map(move |(name, figures)| ([(label, name.as_str())], value(figures)))
}

/// Several values for each name, told apart by a second label.
fn by_kind<'a, T, I>(
    label: &'a str,
    all: &'a [(String, T)],
    second: &'a str,
    values: fn(&'a T) -> I,
) -> impl Iterator<Item = ([(&'a str, &'a str); 2], u64)>
where
    I: Iterator<Item = (&'static str, &'a Counter)>,
{
    all.iter().flat_map(move |(name, figures)| {
        values(figures).map(move |(kind, counter)| ([(label, name.as_str()), (second, kind)], counter.value()))
    })
}

/// A family of which the first lines have been written.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    kind: MetricType,
}

fn counters<'a>(
    page: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<Family<'a>, fmt::Error> {
    Ok(Family { encoder: page.encode_descriptor(name, help, unit, MetricType::Counter)?, kind: MetricType::Counter })
}

fn gauges<'a>(
    page: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<Family<'a>, fmt::Error> {
    Ok(Family { encoder: page.encode_descriptor(name, help, unit, MetricType::Gauge)?, kind: MetricType::Gauge })
}

impl Family<'_> {
    /// Writes the only one, without labels.
    fn one(mut self, value: u64) -> fmt::Result {
        self.encoder.encode_gauge(&value)
    }

    /// Writes its members.
    fn all<'a, const N: usize>(
        mut self,
        mut members: impl Iterator<Item = ([(&'a str, &'a str); N], u64)>,
    ) -> fmt::Result {
        members.try_for_each(|(labels, value)| {
            let mut one = self.encoder.encode_family(&labels)?;
            match self.kind {
                MetricType::Counter => one.encode_counter::<NoLabelSet, _, f64>(&value, None),
                _ => one.encode_gauge(&value),
            }
        })
    }
}
