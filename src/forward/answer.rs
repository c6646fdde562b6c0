//! The answer on its way to the downstream: unchanged but for hop-by-hop fields, `Via` and the route's own edits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, UPGRADE, VIA};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;

use super::ForwardError;
use super::Interim;
use super::Reply;
use super::body::RequestBody;
use super::exchange::Exchange;
use super::headers;
use super::outgoing::Via;
use super::respond::{self, Problem};
use super::upgrade;
use crate::upstream::AnswerBody;

/// What the downstream gets as body. Dropping it tells how the exchange went.
pub struct ResponseBody {
    content: Content,
    /// Boxed: an answer is moved a dozen times on its way out.
    exchange: Option<Box<Exchange>>,
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper lets a body go when its length has been sent, its end was told, or there is nobody to send it to.
        if let (Content::Answer(body), Some(exchange)) = (&self.content, &mut self.exchange)
            && !body.is_end_stream()
        {
            exchange.cut_short();
        }
    }
}

enum Content {
    /// The upstream's, as it comes.
    Answer(AnswerBody<RequestBody>),
    /// Ours.
    Own(Bytes),
    /// Sent, or none.
    Nothing,
}

/// Passes the upstream's answer on.
pub(super) fn pass_on(
    mut response: Response<AnswerBody<RequestBody>>,
    mut exchange: Box<Exchange>,
    via: &Via,
) -> Response<ResponseBody> {
    edit(&mut response, &exchange, via);
    exchange.head(response.status().as_u16());
    response.map(|body| ResponseBody { content: Content::Answer(body), exchange: Some(exchange) })
}

/// An answer of ours that is no error.
pub(super) fn own(response: Response<Bytes>, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
    exchange.head(response.status().as_u16());
    response.map(|body| ResponseBody { content: Content::Own(body), exchange: Some(exchange) })
}

/// An answer of ours to an error.
pub(super) fn refuse(error: &ForwardError, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
    let problem = Problem::of(error);
    exchange.error(problem.error);
    if let ForwardError::Upstream(error) = error {
        let host = exchange.target().and_then(|target| target.upstream.host().to_str().ok());
        tracing::warn!(route = exchange.route_name(), upstream.host = host, %error, "no answer from the upstream");
    }
    let response = respond::respond(&problem, exchange.route_name());
    own(response, exchange)
}

/// `101 Switching Protocols`, and a tunnel once both sides have switched.
pub(super) fn tunnel(
    mut response: Response<AnswerBody<RequestBody>>,
    downstream: OnUpgrade,
    mut exchange: Box<Exchange>,
    via: &Via,
) -> Reply {
    let upstream = hyper::upgrade::on(&mut response);
    edit(&mut response, &exchange, via);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    exchange.head(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let idle = exchange.target().map_or(Duration::ZERO, |target| target.upstream.idle_body());
    let tunnel = upgrade::carry(downstream, upstream, idle, exchange);
    let response = response.map(|_| ResponseBody { content: Content::Nothing, exchange: None });
    Reply { response, tunnel: Some(Box::pin(tunnel)) }
}

fn edit(response: &mut Response<AnswerBody<RequestBody>>, exchange: &Exchange, via: &Via) {
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    let found = headers::look(headers);
    headers::strip(headers, found);
    if let Some(target) = exchange.target() {
        let edit = &target.settings.response_headers;
        for name in &edit.remove {
            headers.remove(name);
        }
        for (name, value) in &edit.set {
            headers.insert(name, value.clone());
        }
    }
    headers.append(VIA, via.value.clone());
}

/// Reads the rest of an answer that nobody wants, so that its connection can be used again; within bounds.
pub(super) fn drain(body: AnswerBody<RequestBody>) {
    if body.is_end_stream() {
        return;
    }
    // Bounded in time and bytes; what is left after that closes the connection.
    tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
        let mut body = body;
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    }));
}

/// No refusal worth reading is longer.
const DRAIN_BYTES: usize = 64 * 1024;
/// Nor slower.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What passes an interim answer (RFC 9110 §15.2) on to the downstream.
pub(super) fn pass_interim(interim: &Interim) -> impl Fn(StatusCode, HeaderMap) {
    move |status, fields| interim(write_interim(status, fields))
}

fn write_interim(status: StatusCode, mut fields: HeaderMap) -> Bytes {
    let found = headers::look(&fields);
    headers::strip(&mut fields, found);
    // It has no body, whatever it says (RFC 9110 §8.6, RFC 9112 §6.3): nobody is to be led to wait for one.
    fields.remove(CONTENT_LENGTH);
    let mut head = BytesMut::with_capacity(256);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(status.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.put_slice(b"\r\n");
    for (name, value) in &fields {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Answer(body) => ready!(Pin::new(body).poll_frame(cx)),
            Content::Own(bytes) if !bytes.is_empty() => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Content::Own(_) | Content::Nothing => None,
        };
        if let Some(exchange) = &mut this.exchange {
            match &frame {
                Some(Ok(frame)) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => exchange.body_broken_off(),
                None => {}
            }
        }
        if frame.is_none() {
            this.content = Content::Nothing;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Answer(body) => body.is_end_stream(),
            Content::Own(bytes) => bytes.is_empty(),
            Content::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Answer(body) => body.size_hint(),
            Content::Own(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0)),
            Content::Nothing => SizeHint::with_exact(0),
        }
    }
}
