//! A request's body: none, streamed once, or held while it streams so that it can be sent again.
//!
//! Holding copies nothing: chunks are reference-counted, kept as they pass, and let go as soon as nobody may want
//! them back (DESIGN.md section 2).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

/// What goes to the upstream as body.
pub enum RequestBody {
    /// None.
    Empty,
    /// The downstream's own, sent once.
    Once(Counted),
    /// Held while it is sent.
    Held(Box<Held>),
}

/// A downstream's body, and how much of it has come.
pub struct Counted {
    body: Incoming,
    received: Arc<AtomicU64>,
}

impl Counted {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            self.received.fetch_add(u64::try_from(data.len()).unwrap_or(0), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Once(body) => body.poll_frame(cx),
            Self::Held(held) => held.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.body.is_end_stream(),
            Self::Held(held) => held.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Once(body) => body.body.size_hint(),
            Self::Held(held) => held.size_hint(),
        }
    }
}

/// Where bodies for the attempts of one request come from.
pub(super) enum BodySource {
    /// There is none: any number of attempts.
    Empty,
    /// Too long to hold, or nobody may retry: one attempt.
    Once(Option<Counted>),
    /// Held: as many attempts as bodies come back.
    Held {
        /// What is known of it, when no attempt has it.
        remains: Option<Remains>,
        /// Where the attempt under way will put it back.
        home: Option<oneshot::Receiver<Remains>>,
        /// Whether its length was declared: then it is short enough, and will end.
        sized: bool,
        /// How much is held at most.
        limit: usize,
    },
}

/// A body between two attempts: the chunks that have come, and where the rest comes from.
pub(super) struct Remains {
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// `None`: it has come to its end.
    rest: Option<Counted>,
}

/// Whether an attempt's body can be had back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// Yes, and the attempt need not be disturbed.
    Ready,
    /// Yes, once the attempt under way has been ended.
    AfterAbort,
    /// No: it was too long, or may never end.
    Never,
}

impl BodySource {
    /// A body of which nothing is to be held, as yet.
    pub(super) fn new(body: Incoming) -> Self {
        match body.is_end_stream() {
            true => Self::Empty,
            false => Self::Once(Some(Counted { body, received: Arc::default() })),
        }
    }

    /// Decides whether this body is held. `limit`: how much may be held; zero: nothing. What is returned counts what
    /// comes.
    pub(super) fn hold(&mut self, limit: usize) -> Option<Arc<AtomicU64>> {
        let Self::Once(once) = self else { return None };
        let body = once.take()?;
        let received = Arc::clone(&body.received);
        *self = Self::with(body, limit);
        Some(received)
    }

    fn with(body: Counted, limit: usize) -> Self {
        let declared = body.body.size_hint().exact();
        let fits = match declared {
            Some(length) => usize::try_from(length).is_ok_and(|length| length <= limit),
            // Unknown: it is held until it turns out to be too long.
            None => limit > 0,
        };
        match fits {
            false => Self::Once(Some(body)),
            true => Self::Held {
                remains: Some(Remains { chunks: Vec::new(), trailers: None, rest: Some(body) }),
                home: None,
                sized: declared.is_some(),
                limit,
            },
        }
    }

    /// Whether the length was not declared: the request must then be sent chunked (RFC 9112 §6.1).
    pub(super) fn is_unsized(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Once(body) => body.as_ref().is_some_and(|body| body.body.size_hint().exact().is_none()),
            Self::Held { sized, .. } => !sized,
        }
    }

    /// The body for one attempt; `None` when there is none to be had any more.
    pub(super) fn take(&mut self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Once(body) => body.take().map(RequestBody::Once),
            Self::Held { remains, home, limit, .. } => {
                let remains = remains.take()?;
                let (sender, receiver) = oneshot::channel();
                *home = Some(receiver);
                Some(RequestBody::Held(Box::new(Held::new(remains, *limit, sender))))
            }
        }
    }

    /// Whether another attempt could be made.
    pub(super) fn replay(&mut self) -> Replay {
        match self {
            Self::Empty => Replay::Ready,
            Self::Once(body) if body.is_some() => Replay::Ready,
            Self::Once(_) => Replay::Never,
            Self::Held { remains: Some(_), .. } => Replay::Ready,
            Self::Held { remains, home, sized, .. } => {
                let Some(receiver) = home else { return Replay::Never };
                match receiver.try_recv() {
                    Ok(back) if back.rest.is_none() || *sized => {
                        *remains = Some(back);
                        Replay::Ready
                    }
                    Err(oneshot::error::TryRecvError::Empty) if *sized => Replay::AfterAbort,
                    // Not declared and not at its end: nobody knows whether it ever ends.
                    Ok(_) | Err(_) => Replay::Never,
                }
            }
        }
    }

    /// Waits until the attempt that was ended has put the body back.
    pub(super) async fn recover(&mut self) -> Replay {
        if let Self::Held { remains: remains @ None, home, .. } = self
            && let Some(receiver) = home.take()
        {
            *remains = receiver.await.ok();
        }
        match self {
            Self::Empty | Self::Once(Some(_)) | Self::Held { remains: Some(_), .. } => Replay::Ready,
            Self::Once(None) | Self::Held { remains: None, .. } => Replay::Never,
        }
    }
}

/// A body that is held while it is sent.
pub struct Held {
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<Counted>,
    /// How many of `chunks` this attempt has sent.
    sent: usize,
    trailers_sent: bool,
    held: usize,
    limit: usize,
    home: Option<oneshot::Sender<Remains>>,
}

impl Held {
    fn new(remains: Remains, limit: usize, home: oneshot::Sender<Remains>) -> Self {
        let held = remains.chunks.iter().map(Bytes::len).sum();
        let Remains { chunks, trailers, rest } = remains;
        let mut body = Self { chunks, trailers, rest, sent: 0, trailers_sent: false, held, limit, home: Some(home) };
        if body.rest.is_none() {
            // All of it is here: it need not come back, for it can be had again now.
            body.go_home();
        }
        body
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(chunk) = self.chunks.get(self.sent) {
            let chunk = chunk.clone();
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(self.last_frame());
        };
        match ready!(rest.poll_frame(cx)) {
            None => {
                self.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                // Broken off: there is nothing to send again.
                self.home = None;
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(frame)) => {
                self.keep(&frame);
                // Nothing comes after trailers, and hyper does not ask.
                if frame.is_trailers() || self.rest.as_ref().is_some_and(|rest| rest.body.is_end_stream()) {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// The trailers of a body that had come to its end before this attempt.
    fn last_frame(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        if std::mem::replace(&mut self.trailers_sent, true) {
            return None;
        }
        self.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers)))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let wanted = self.home.as_ref().is_some_and(|home| !home.is_closed());
        match frame.data_ref() {
            Some(chunk) if wanted && self.held.saturating_add(chunk.len()) <= self.limit => {
                self.held += chunk.len();
                self.chunks.push(chunk.clone());
                self.sent = self.chunks.len();
            }
            Some(_) => {
                // Longer than may be held, or the answer has come and was no refusal.
                self.home = None;
                self.chunks = Vec::new();
                self.sent = 0;
            }
            None => {
                self.trailers = frame.trailers_ref().cloned();
                self.trailers_sent = true;
            }
        }
    }

    fn end(&mut self) {
        self.rest = None;
        self.trailers_sent = true;
        self.go_home();
    }

    fn go_home(&mut self) {
        if let Some(home) = self.home.take() {
            let chunks = match self.sent >= self.chunks.len() {
                true => {
                    self.sent = 0;
                    std::mem::take(&mut self.chunks)
                }
                false => self.chunks.clone(),
            };
            // Nobody there: nobody wants it.
            let _ = home.send(Remains { chunks, trailers: self.trailers.clone(), rest: self.rest.take() });
        }
    }

    fn is_end_stream(&self) -> bool {
        let all_sent = self.sent >= self.chunks.len() && (self.trailers_sent || self.trailers.is_none());
        all_sent && self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.chunks.iter().skip(self.sent).map(|chunk| u64::try_from(chunk.len()).unwrap_or(0)).sum();
        let rest = match &self.rest {
            Some(rest) => rest.body.size_hint(),
            None if self.trailers.is_some() && !self.trailers_sent => SizeHint::default(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.go_home();
    }
}
