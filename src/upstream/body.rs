//! The bodies of both directions: they tell the watch that something moves, and give the connection back at the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Connection;
use super::pool::Pool;
use super::watch::Watch;

/// A request's body on its way to the upstream. One pointer: a request is moved a dozen times on its way through hyper.
pub struct Upload<B>(
    /// `None`: there is no body.
    Option<Box<Going<B>>>,
);

struct Going<B> {
    body: B,
    /// `None`: it has no connection yet.
    watched: Option<Watched>,
}

/// Who is told of a body's progress, and what it may take, in milliseconds.
pub(super) struct Watched {
    pub(super) watch: Arc<Watch>,
    pub(super) idle: u64,
    pub(super) response_head: u64,
}

impl<B: Body> Upload<B> {
    /// A body that has no connection yet. One that has ended before it begins is let go.
    pub fn new(body: B) -> Self {
        Self((!body.is_end_stream()).then(|| Box::new(Going { body, watched: None })))
    }

    pub(super) fn goes_out(&mut self, watched: impl FnOnce() -> Watched) -> bool {
        if let Some(going) = &mut self.0 {
            going.watched = Some(watched());
        }
        self.0.is_some()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(going) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut going.body).poll_frame(cx);
        if let Some(Watched { watch, .. }) = &going.watched {
            watch.waits_for_body(polled.is_pending());
        }
        let frame = ready!(polled);
        if let Some(Watched { watch, idle, response_head }) = &going.watched {
            match &frame {
                Some(Ok(frame)) if !frame.is_trailers() && !going.body.is_end_stream() => {
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
        self.0.as_ref().is_none_or(|going| going.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |going| going.body.size_hint())
    }
}

/// An answer's body on its way to the downstream. Holds the connection until its end; dropped before, it closes it.
pub struct AnswerBody<B> {
    body: Incoming,
    lease: Option<Lease<B>>,
    /// What it ends with, once what came before is on its way.
    error: Option<hyper::Error>,
}

struct Lease<B> {
    connection: Connection<B>,
    pool: Arc<Pool<B>>,
    idle: u64,
    /// Whether the connection is driven by whoever asks for the answer.
    drives: bool,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, lease: None, error: None }
    }

    /// Makes it the holder of the connection that it comes over.
    pub(super) fn hold(&mut self, connection: Connection<B>, pool: &Arc<Pool<B>>, idle: u64) {
        // While the request's body is still on its way, the connection must be there to be aborted.
        if self.body.is_end_stream() && connection.can_be_reused() {
            pool.put(connection);
        } else {
            // A downstream that sends all before it reads anything would wait for ever if its body went on only when the
            // answer is read.
            let drives = connection.watch().has_uploaded();
            if drives {
                connection.take_driving();
            }
            self.lease = Some(Lease { connection, pool: Arc::clone(pool), idle, drives });
        }
    }

    /// Ends the connection now: the request's body is wanted back, and nobody will read the rest of this answer.
    pub fn abort(self) {
        if let Some(lease) = self.lease {
            lease.connection.abort();
        }
    }

    /// Takes the next piece, and drives the connection for it.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, lease, .. } = self;
        match lease {
            Some(Lease { connection, drives: true, .. }) => {
                connection.poll(cx, |own| Pin::new(&mut *body).poll_frame(own))
            }
            _ => Pin::new(body).poll_frame(cx),
        }
    }

    /// hyper drops what it has not written yet when a body fails, the head too. An answer that broke off is to be seen as
    /// far as it came.
    #[cold]
    fn fail_later(
        &mut self,
        error: hyper::Error,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.error = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
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
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(self.poll_body(cx));
        self.moved(frame.as_ref());
        match frame {
            Some(Err(error)) => self.fail_later(error, cx),
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.error.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
