//! The answer on its way to the downstream: unchanged but for hop-by-hop fields, `Via` and the route's own edits.

use std::pin::Pin;
use std::task::{Context, Poll};
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
use crate::upstream::{AnswerBody, BodyError};

/// What the downstream gets as body. Dropping it tells how the exchange went.
pub struct ResponseBody(
    /// Boxed: an answer is moved a dozen times on its way out. `None`: there is nothing to come and nothing to tell.
    Option<Box<Carried>>,
);

/// What of a request lives until its answer has ended. Dropped, it tells how the exchange went.
pub(super) struct Carried {
    content: Content,
    pub(super) exchange: Exchange,
}

impl Carried {
    pub(super) fn new(exchange: Exchange) -> Box<Self> {
        Box::new(Self { content: Content::Nothing, exchange })
    }

    fn bearing<T>(
        mut self: Box<Self>,
        response: Response<T>,
        content: impl FnOnce(T) -> Content,
    ) -> Response<ResponseBody> {
        self.exchange.head(response.status().as_u16());
        response.map(|body| {
            self.content = content(body);
            ResponseBody(Some(self))
        })
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // hyper lets a body go when its length has been sent, its end was told, or there is nobody to send it to.
        if matches!(&self.content, Content::Answer(body) if !body.is_end_stream()) {
            self.exchange.cut_short();
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
    carried: Box<Carried>,
    via: &Via,
) -> Response<ResponseBody> {
    edit(&mut response, &carried.exchange, via);
    carried.bearing(response, Content::Answer)
}

/// An answer of ours that is no error.
pub(super) fn own(response: Response<Bytes>, carried: Box<Carried>) -> Response<ResponseBody> {
    carried.bearing(response, Content::Own)
}

/// An answer of ours to an error.
pub(super) fn refuse(error: &ForwardError, mut carried: Box<Carried>) -> Response<ResponseBody> {
    let problem = Problem::of(error);
    let exchange = &mut carried.exchange;
    exchange.error(problem.error);
    if let ForwardError::Upstream(error) = error {
        let host = exchange.target().and_then(|target| target.upstream.host().to_str().ok());
        tracing::warn!(route = exchange.route_name(), upstream.host = host, %error, "no answer from the upstream");
    }
    let response = respond::respond(&problem, exchange.route_name());
    own(response, carried)
}

/// `101 Switching Protocols`, and a tunnel once both sides have switched.
pub(super) fn tunnel(
    mut response: Response<AnswerBody<RequestBody>>,
    downstream: OnUpgrade,
    mut carried: Box<Carried>,
    via: &Via,
) -> Reply {
    let upstream = hyper::upgrade::on(&mut response);
    let exchange = &mut carried.exchange;
    edit(&mut response, exchange, via);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    exchange.head(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let idle = exchange.target().map_or(Duration::ZERO, |target| target.upstream.idle_body());
    let tunnel = upgrade::carry(downstream, upstream, idle, carried);
    Reply { response: response.map(|_| ResponseBody(None)), tunnel: Some(Box::pin(tunnel)) }
}

fn edit(response: &mut Response<AnswerBody<RequestBody>>, exchange: &Exchange, via: &Via) {
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    let found = headers::look_at_answer(headers);
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
    let found = headers::look_at_answer(&fields);
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
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(Carried { content, exchange }) = self.0.as_deref_mut() else { return Poll::Ready(None) };
        let polled = match content {
            Content::Answer(body) => Pin::new(body).poll_frame(cx),
            Content::Own(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Own(_) | Content::Nothing => Poll::Ready(None),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(_))) => exchange.body_broken_off(),
            Poll::Ready(None) => *content = Content::Nothing,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self.0.as_ref().map(|carried| &carried.content) {
            Some(Content::Answer(body)) => body.is_end_stream(),
            Some(Content::Own(bytes)) => bytes.is_empty(),
            Some(Content::Nothing) | None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.as_ref().map(|carried| &carried.content) {
            Some(Content::Answer(body)) => body.size_hint(),
            Some(Content::Own(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0)),
            Some(Content::Nothing) | None => SizeHint::with_exact(0),
        }
    }
}
