//! The requests of one connection, as hyper hands them over.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::admit::Admission;
use super::connection::Current;
use super::strict::Handle;
use crate::access::Peer;
use crate::forward::Downstream;
use crate::forward::ForwardError;
use crate::forward::Reply;
use crate::forward::ResponseBody;
use crate::forward::Tunnel;

/// What the requests of one connection share.
pub(super) struct Requests {
    current: Current,
    admission: Admission,
    downstream: Downstream,
    /// The same, for a downstream that does not know interim answers.
    downstream_1_0: Downstream,
    handle: Arc<Handle>,
    /// What is to be run when hyper is done with the connection. Looked at only where there is one.
    tunnel: Mutex<Option<Tunnel>>,
}

impl Requests {
    pub(super) fn new(current: Current, peer: Option<IpAddr>, handle: Arc<Handle>) -> Arc<Self> {
        let interim = Arc::clone(&handle);
        let downstream = Downstream { peer, interim: Some(Arc::new(move |head| interim.send_interim(head))) };
        let downstream_1_0 = Downstream { peer, interim: None };
        Arc::new(Self {
            current,
            admission: Admission::of(peer.map_or(Peer::Unix, Peer::from)),
            downstream,
            downstream_1_0,
            handle,
            tunnel: Mutex::default(),
        })
    }

    /// Answers one of them.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<WatchedBody>, Infallible> {
        let ordinal = self.handle.request_started();
        let mut watched = WatchedBody { body: None, handle: Arc::clone(&self.handle) };
        // hyper puts its half of an upgrade there, and nothing else.
        let asks_upgrade = !request.extensions().is_empty();
        let Reply { response, tunnel } = self.answer(request, ordinal).await;
        self.handle.response_started();
        if tunnel.is_some() {
            *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = tunnel;
        }
        if asks_upgrade {
            match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => self.handle.tunnel(ordinal),
                _ => self.handle.no_tunnel(ordinal),
            }
        }
        Ok(response.map(|body| {
            watched.body = Some(body);
            watched
        }))
    }

    /// The tunnel that the last request has become.
    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn answer(&self, request: Request<Incoming>, ordinal: u64) -> Reply {
        let serving = self.current.load_full();
        let downstream = match request.version() {
            Version::HTTP_10 => &self.downstream_1_0,
            _ => &self.downstream,
        };
        if let Some(violation) = self.handle.refused(ordinal) {
            let error = ForwardError::BadRequest { status: violation.status, detail: violation.detail };
            return serving.forwarder.refuse_unread(&error).into();
        }
        let (head, body) = request.into_parts();
        match self.admission.admit(&serving, &head) {
            Ok(()) => serving.forwarder.handle(head, body, downstream).await,
            Err(error) => serving.forwarder.refuse(head, &error).into(),
        }
    }
}

/// A response's body that says when it is gone: the connection then waits for its next request.
pub(super) struct WatchedBody {
    /// `None`: there is no answer yet, and the downstream may be gone.
    body: Option<ResponseBody>,
    handle: Arc<Handle>,
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.handle.request_finished();
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
