//! The bodies of both directions: they tell the watch that something moves, and give the connection back at the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Connection;
use super::pool::Pool;
use super::watch::Watch;

/// A request's body on its way to the upstream.
pub struct Upload<B> {
    body: B,
    /// `None`: there is no body, or it has no connection yet.
    watched: Option<Watched>,
}

/// Who is told of a body's progress, and what it may take, in milliseconds.
pub(super) struct Watched {
    pub(super) watch: Arc<Watch>,
    pub(super) idle: u64,
    pub(super) response_head: u64,
}

impl<B> Upload<B> {
    /// A body that has no connection yet.
    pub fn new(body: B) -> Self {
        Self { body, watched: None }
    }

    pub(super) fn goes_out(&mut self, watched: Option<Watched>) {
        self.watched = watched;
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(Watched { watch, .. }) = &self.watched {
            watch.waits_for_body(polled.is_pending());
        }
        let frame = ready!(polled);
        if let Some(Watched { watch, idle, response_head }) = &self.watched {
            match &frame {
                Some(Ok(frame)) if !frame.is_trailers() && !self.body.is_end_stream() => {
                    watch.upload_moved(*idle);
                }
                // hyper does not ask again once the body says that it has ended, nor after trailers.
                Some(Ok(_)) | None => watch.upload_ended(*response_head),
                Some(Err(_)) => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body on its way to the downstream. Holds the connection until its end; dropped before, it closes it.
pub struct AnswerBody<B> {
    body: Incoming,
    lease: Option<Lease<B>>,
}

struct Lease<B> {
    connection: Connection<B>,
    pool: Arc<Pool<B>>,
    idle: u64,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, lease: None }
    }

    /// Makes it the holder of the connection that it comes over.
    pub(super) fn hold(&mut self, connection: Connection<B>, pool: &Arc<Pool<B>>, idle: u64) {
        // While the request's body is still on its way, the connection must be there to be aborted.
        if self.body.is_end_stream() && connection.can_be_reused() {
            pool.put(connection);
        } else {
            self.lease = Some(Lease { connection, pool: Arc::clone(pool), idle });
        }
    }

    /// Ends the connection now: the request's body is wanted back, and nobody will read the rest of this answer.
    pub fn abort(self) {
        if let Some(lease) = self.lease {
            lease.connection.abort();
        }
    }

    /// Takes the next piece; has the driver woken for it unless it has nothing more to bring, and waits for the next
    /// request already.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, lease } = self;
        let Some(Lease { connection, .. }) = lease else { return Pin::new(body).poll_frame(cx) };
        let wakes = connection.watch().wakes();
        let (polled, was_woken) = wakes.hold_back(|| Pin::new(&mut *body).poll_frame(cx));
        if was_woken && !(body.is_end_stream() && connection.is_ready()) {
            wakes.wake_task();
        }
        polled
    }

    fn moved(&mut self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        match frame {
            Some(Ok(frame)) if !frame.is_trailers() && !self.body.is_end_stream() => {
                if let Some(lease) = &self.lease {
                    lease.connection.watch().body_moved(lease.idle);
                }
            }
            Some(Ok(_)) | None => {
                if let Some(lease) = self.lease.take() {
                    lease.pool.put(lease.connection);
                }
            }
            Some(Err(_)) => self.lease = None,
        }
    }
}

impl<B: Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = self.poll_body(cx);
        if let Poll::Ready(frame) = &polled {
            self.moved(frame.as_ref());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
