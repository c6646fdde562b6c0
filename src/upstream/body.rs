//! The bodies of both directions: they tell the watch that something moves, and give the connection back at the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::ReadBuf;

use super::connection::Connection;
use super::error::BodyError;
use super::pool::Pool;
use super::room::Room;
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

impl<B> Default for Upload<B> {
    /// None.
    fn default() -> Self {
        Self(None)
    }
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
    source: Source,
    lease: Option<Lease<B>>,
    /// What it ends with, once what came before is on its way.
    error: Option<BodyError>,
}

/// Who takes a body from its connection.
enum Source {
    /// hyper.
    Hyper(Incoming),
    /// We do: it is long, and so many bytes of it are still to come.
    Parted(Box<Remainder>),
}

/// What is left of a body whose length is known.
struct Remainder {
    /// What hyper had read of it.
    read: Bytes,
    /// In bytes, `read` among them.
    left: u64,
}

struct Lease<B> {
    connection: Connection<B>,
    pool: Arc<Pool<B>>,
    idle: u64,
    /// Whether the connection is driven by whoever asks for the answer.
    drives: bool,
}

/// A piece of an answer's body, or its end.
type Piece = Option<Result<Frame<Bytes>, BodyError>>;

impl<B> AnswerBody<B> {
    pub(super) fn new(body: Incoming) -> Self {
        Self { source: Source::Hyper(body), lease: None, error: None }
    }

    /// Makes it the holder of the connection that it comes over.
    pub(super) fn hold(&mut self, connection: Connection<B>, pool: &Arc<Pool<B>>, idle: u64) {
        // While the request's body is still on its way, the connection must be there to be aborted.
        if self.source.is_end() && connection.can_be_reused() {
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
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let Self { source, lease, .. } = self;
        let Some(Lease { connection, drives: true, .. }) = lease else {
            return match source {
                Source::Hyper(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::from),
                Source::Parted(_) => Poll::Ready(None),
            };
        };
        if let Source::Hyper(body) = source
            && let Some(left) = body.size_hint().exact().filter(|left| *left >= LONG)
        {
            match take_over(body, connection) {
                Some(Taken::Piece(piece)) => return Poll::Ready(piece),
                Some(Taken::Rest(read)) => *source = Source::Parted(Box::new(Remainder { read, left })),
                None => {}
            }
        }
        match source {
            Source::Hyper(body) => {
                connection.poll(cx, |own| Pin::new(&mut *body).poll_frame(own)).map_err(BodyError::from)
            }
            Source::Parted(remainder) => remainder.poll(connection, cx),
        }
    }

    /// hyper drops what it has not written yet when a body fails, the head too. An answer that broke off is to be seen as
    /// far as it came.
    #[cold]
    fn fail_later(&mut self, error: BodyError, cx: &Context<'_>) -> Poll<Piece> {
        self.error = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn moved(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        match frame {
            Some(Ok(frame)) if !frame.is_trailers() && !self.source.is_end() => {
                if let Some(lease) = &self.lease {
                    lease.connection.watch().body_moved(lease.idle);
                }
            }
            Some(Ok(_)) | None => {
                if let Some(mut lease) = self.lease.take() {
                    lease.connection.rejoin();
                    lease.pool.put(lease.connection);
                }
            }
            Some(Err(_)) => self.lease = None,
        }
    }
}

/// What comes of taking a body over from hyper.
enum Taken {
    /// First a piece that hyper had ready.
    Piece(Piece),
    /// hyper has been let go; what it had read and not handed over.
    Rest(Bytes),
}

/// Takes a body over from hyper, if it can be let go.
fn take_over<B>(body: &mut Incoming, connection: &mut Connection<B>) -> Option<Taken> {
    let mut handed_over = Poll::Pending;
    let rest = connection.part(|| {
        handed_over = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()));
        handed_over.is_pending()
    });
    match handed_over {
        Poll::Ready(piece) => Some(Taken::Piece(piece.map(|frame| frame.map_err(BodyError::from)))),
        Poll::Pending => rest.map(Taken::Rest),
    }
}

impl Source {
    fn is_end(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Parted(remainder) => remainder.left == 0,
        }
    }
}

impl Remainder {
    fn poll<B>(&mut self, connection: &mut Connection<B>, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut piece = std::mem::take(&mut self.read);
        if piece.is_empty() {
            let mut room = Room::take(self.left);
            let mut buf = ReadBuf::new(room.bytes());
            let length = match ready!(connection.poll_read(cx, &mut buf)) {
                Some(Ok(())) => buf.filled().len(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => 0,
            };
            if length == 0 {
                return Poll::Ready(Some(Err(BodyError::CutShort)));
            }
            piece = room.filled(length);
        }
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if length > self.left {
            // What comes after an answer that nobody asked for is no answer to the next request.
            connection.spend();
            piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// From so many bytes on it pays to let hyper go for the rest of a body, by measurement.
const LONG: u64 = 24 * 1024;

impl<B: Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
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
        self.error.is_none() && self.source.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Hyper(body) => body.size_hint(),
            Source::Parted(remainder) => SizeHint::with_exact(remainder.left),
        }
    }
}
