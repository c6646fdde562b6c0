//! The requests of one connection, as hyper hands them over.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::Serving;
use super::admit::Admission;
use super::connection::Current;
use super::strict::{Handle, Limits};
use crate::access::Peer;
use crate::forward;
use crate::forward::Downstream;
use crate::forward::ForwardError;
use crate::forward::Passing;
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

    /// How much of a head is to be read.
    pub(super) fn limits(&self) -> Limits {
        self.current.load().limits
    }

    /// Answers one of them. Not an `async fn`: that would copy what it is given to another place within itself.
    pub(super) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<WatchedBody>, Infallible>> {
        let (passing, body) = forward::receive(request);
        // hyper puts its half of an upgrade there, and nothing else.
        let (asks_upgrade, version) = (!passing.extensions().is_empty(), passing.version());
        let mut passing = Some(passing);
        let mut watched = WatchedBody { body: None, requests: self };
        async move {
            let requests = &*watched.requests;
            let ordinal = requests.handle.request_started();
            let serving = requests.current.load_full();
            let admitted = match &mut passing {
                Some(request) => requests.may_be_forwarded(&serving, ordinal, request),
                None => Ok(()),
            };
            let reply = match admitted {
                Ok(()) => serving.forwarder.handle(&mut passing, body, requests.downstream(version)).await,
                Err(response) => (*response).into(),
            };
            requests.handle.response_started();
            if reply.tunnel.is_some() {
                *requests.tunnel_slot() = reply.tunnel;
            }
            if asks_upgrade {
                requests.decide(ordinal, reply.response.status());
            }
            Ok(reply.response.map(|body| {
                watched.body = Some(body);
                watched
            }))
        }
    }

    /// The tunnel that the last request has become.
    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        self.tunnel_slot().take()
    }

    fn tunnel_slot(&self) -> MutexGuard<'_, Option<Tunnel>> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn downstream(&self, version: Version) -> &Downstream {
        match version {
            Version::HTTP_10 => &self.downstream_1_0,
            _ => &self.downstream,
        }
    }

    /// Whether this request may be, or our answer to it.
    fn may_be_forwarded(
        &self,
        serving: &Serving,
        ordinal: u64,
        request: &mut Passing,
    ) -> Result<(), Box<Response<ResponseBody>>> {
        if let Some(violation) = self.handle.refused(ordinal) {
            let error = ForwardError::BadRequest { status: violation.status, detail: violation.detail };
            return Err(Box::new(serving.forwarder.refuse_unread(&error)));
        }
        let admitted = self.admission.admit(serving, request);
        admitted.map_err(|error| Box::new(serving.forwarder.refuse(request, &error)))
    }

    /// A request to upgrade has its answer: what follows it on the connection is known.
    fn decide(&self, ordinal: u64, status: StatusCode) {
        match status {
            StatusCode::SWITCHING_PROTOCOLS => self.handle.tunnel(ordinal),
            _ => self.handle.no_tunnel(ordinal),
        }
    }
}

/// A response's body that says when it is gone: the connection then waits for its next request.
pub(super) struct WatchedBody {
    /// `None`: there is no answer yet, and the downstream may be gone.
    body: Option<ResponseBody>,
    requests: Arc<Requests>,
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.requests.handle.request_finished();
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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
