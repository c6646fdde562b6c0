//! Request head and snapshot → answer. Pure.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::host::{Hosts, Wrong};
use super::snapshot::word;
use super::{Snapshot, Source};
use crate::telemetry::CredentialFigures;
use crate::telemetry::Metrics;
use crate::token::Status;

type Answer = Response<Full<Bytes>>;

/// The answer to a request with this head.
pub(super) fn answer(head: &Parts, hosts: Hosts, source: &Source) -> Answer {
    match hosts.check(head) {
        Ok(()) => {}
        Err(Wrong::Malformed) => return problem(StatusCode::BAD_REQUEST, "one valid Host is needed"),
        Err(Wrong::Foreign) => {
            return problem(StatusCode::MISDIRECTED_REQUEST, "on loopback this answers to localhost and its addresses");
        }
    }
    let page = match head.uri.path() {
        "/healthz" => |_: &Snapshot| text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
        "/readyz" => ready,
        "/metrics" => metrics,
        "/status" => status,
        _ => return problem(StatusCode::NOT_FOUND, "there are /healthz, /readyz, /metrics and /status"),
    };
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    page(&source())
}

fn ready(snapshot: &Snapshot) -> Answer {
    let status = if snapshot.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let failing: Vec<_> = snapshot.failing().map(credential).collect();
    let (ready, draining, store) = (snapshot.is_ready(), snapshot.draining, store(snapshot));
    page(status, &json!({ "ready": ready, "draining": draining, "failing": failing, "token_store": store }))
}

fn metrics(snapshot: &Snapshot) -> Answer {
    let credentials = snapshot.credentials.iter().map(|status| CredentialFigures {
        name: status.name.clone(),
        expires_in: status.expires_in,
        requests: status.requests.clone(),
    });
    snapshot.metrics.token_store(snapshot.token_store.trouble.is_none());
    text(StatusCode::OK, Metrics::MEDIA_TYPE, snapshot.metrics.exposition(credentials.collect()))
}

fn status(snapshot: &Snapshot) -> Answer {
    let credentials: Vec<_> = snapshot.credentials.iter().map(credential).collect();
    let route = |route: &super::RouteStatus| json!({ "name": route.name, "upstream": route.upstream, "credential": route.credential });
    let routes: Vec<_> = snapshot.routes.iter().map(route).collect();
    page(
        StatusCode::OK,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": snapshot.uptime.as_secs(),
            "ready": snapshot.is_ready(),
            "draining": snapshot.draining,
            "credentials": credentials,
            "token_store": store(snapshot),
            "routes": routes,
        }),
    )
}

fn store(snapshot: &Snapshot) -> Value {
    json!({ "kind": snapshot.token_store.kind, "trouble": snapshot.token_store.trouble })
}

/// Seconds, as in `expires_in` of RFC 6749.
fn credential(status: &Status) -> Value {
    json!({
        "name": status.name,
        "state": word(status.state),
        "expires_in": status.expires_in.map(|left| left.as_secs()),
        "last_error": status.last_error,
    })
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    text(status, "application/problem+json", format!("{problem}\n"))
}

fn page(status: StatusCode, value: &Value) -> Answer {
    text(status, "application/json", format!("{value:#}\n"))
}

fn text(status: StatusCode, media_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
