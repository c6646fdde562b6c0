//! What the API answers once the token is good.
//!
//! | path | |
//! |---|---|
//! | `/slow?seconds=3` | answers after a while, at most a minute |
//! | `/stream?ticks=10` | server-sent events, one a second, the first at once |
//! | `/echo` | the body comes back as it arrives |
//! | `POST /revoke` | voids all access tokens of this system: the next request gets 401 |
//! | `POST /revoke/all` | voids the refresh tokens, too |
//! | any other | method, path and the token's number, as JSON |

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::time::Interval;

use crate::demo::issuer::Issuer;
use crate::demo::listener::{Body, json as json_response};

pub(super) async fn answer(
    issuer: &Issuer,
    request: Request<Incoming>,
    generation: u64,
    left: Duration,
) -> Response<Body> {
    match request.uri().path() {
        "/slow" => {
            let seconds = number(&request, "seconds").unwrap_or(3).min(MAX_SECONDS);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
        "/stream" => return stream(number(&request, "ticks").unwrap_or(10).min(MAX_TICKS)),
        "/echo" => return echo(request),
        "/revoke" => return revoke(issuer, &request, false),
        "/revoke/all" => return revoke(issuer, &request, true),
        _ => {}
    }
    json_response(
        StatusCode::OK,
        &json!({
            "system": issuer.settings.dialect.name(),
            "method": request.method().as_str(),
            "path": request.uri().path(),
            "token": generation,
            "token_expires_in": left.as_secs(),
        }),
    )
}

const MAX_SECONDS: u64 = 60;
const MAX_TICKS: u64 = 3600;

fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(body.boxed_unsync());
    let media_type = head.headers.get(header::CONTENT_TYPE).cloned();
    let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

fn revoke(issuer: &Issuer, request: &Request<Incoming>, with_refresh_tokens: bool) -> Response<Body> {
    if request.method() != Method::POST {
        let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": "use POST" }));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    issuer.revoke(with_refresh_tokens);
    json_response(StatusCode::OK, &json!({ "revoked": true, "next": "the next request's token is refused with 401" }))
}

fn stream(ticks: u64) -> Response<Body> {
    let ticks = Ticks { interval: tokio::time::interval(Duration::from_secs(1)), sent: 0, all: ticks };
    let mut response = Response::new(ticks.map_err(|never: Infallible| match never {}).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Server-sent events, one a second.
struct Ticks {
    interval: Interval,
    sent: u64,
    all: u64,
}

impl hyper::body::Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent == self.all {
            return Poll::Ready(None);
        }
        std::task::ready!(self.interval.poll_tick(cx));
        self.sent += 1;
        let event = format!("event: tick\ndata: {{\"tick\":{},\"of\":{}}}\n\n", self.sent, self.all);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

/// A number in the query.
fn number(request: &Request<Incoming>, name: &str) -> Option<u64> {
    let pairs = request.uri().query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
}
