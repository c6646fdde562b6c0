//! One connection to an upstream: a sender, a spawned task that drives it, and a [`Watch`] over its deadlines.

use std::error::Error as StdError;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::body::{AnswerBody, Upload, Watched};
use super::clock;
use super::connector::describe;
use super::drive::Driver;
use super::framing;
use super::haste::Haste;
use super::interim::Reader;
use super::pool::Pool;
use super::settings::Timeouts;
use super::watch::Watch;
use super::{RoundTrip, UpstreamError};

/// The right to send one request at a time.
pub(super) struct Connection<B> {
    /// `None`: nothing drives the connection any more, and what was sent has been asked back.
    sender: Option<SendRequest<Upload<B>>>,
    watch: Arc<Watch>,
    /// The waker that is the watch's drive.
    own: Waker,
    /// How many answers have come over it.
    answers: u32,
    /// The upstream has said that it closes after this answer.
    is_last: bool,
}

/// What a handshake yields: the sender, and the future that moves the bytes.
pub(super) struct Halves<B> {
    sender: SendRequest<Upload<B>>,
    driver: Driver,
    watch: Arc<Watch>,
}

pub(super) async fn handshake<I, B>(builder: &Builder, io: I) -> hyper::Result<Halves<B>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let watch = Arc::new(Watch::new());
    let io = TokioIo::new(Reader::new(io, Arc::clone(&watch)));
    let (sender, driver): (_, http1::Connection<_, Upload<B>>) = builder.handshake(io).await?;
    let driver = async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(error = %describe(&error), "an upstream connection ended");
        }
    };
    Ok(Halves { sender, driver: Box::pin(driver), watch })
}

impl<B> Halves<B>
where
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Starts to drive. The permit is given back, and `open` dropped, when the connection ends; `haste` is told if the
    /// upstream closes it while it is idle.
    pub(super) fn spawn(self, permit: OwnedSemaphorePermit, open: Box<dyn Send>, haste: Arc<Haste>) -> Connection<B> {
        let watch = self.watch;
        let kept = watch.drive().keep(self.driver);
        let driven = Arc::clone(&watch);
        tokio::spawn(async move {
            kept.await;
            let now = clock::now();
            if driven.is_idle() {
                haste.closed(driven.idle_for(now), now);
            }
            drop((permit, open));
        });
        let own = Waker::from(Arc::clone(watch.drive()));
        Connection { sender: Some(self.sender), watch, own, answers: 0, is_last: false }
    }
}

impl<B> Connection<B> {
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Whether it has carried a request before this one.
    pub(super) fn is_reused(&self) -> bool {
        self.answers > 0
    }

    /// Whether another request may follow: the last one was sent to its end, and the peer neither has closed nor will.
    pub(super) fn can_be_reused(&self) -> bool {
        !self.is_last
            && self.watch.has_uploaded()
            && self.watch.has_peer()
            && self.sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// How long it has been unused.
    pub(super) fn idle_for(&self, now: u64) -> u64 {
        self.watch.idle_for(now)
    }

    /// Marks it as unused from now on, for at most `allowed` milliseconds; says how many answers have come over it.
    pub(super) fn rest(&mut self, now: u64, allowed: u64) -> u32 {
        self.answers = self.answers.saturating_add(1);
        self.watch.rest(now, allowed);
        self.watch.drive().give_back(self.is_ready());
        self.answers
    }

    /// Takes it out of idleness, which may take `allowed` milliseconds; `false` when it is ending.
    pub(super) async fn wake(&mut self, allowed: u64) -> bool {
        let Some(sender) = self.sender.as_mut().filter(|sender| !sender.is_closed()) else { return false };
        if !self.watch.wake(allowed) {
            return false;
        }
        // The driver may be about to say that it is ready: it has seen the end of the last answer before we have.
        sender.is_ready() || sender.ready().await.is_ok()
    }

    /// Whether a request can be given to it without waiting.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.as_ref().is_some_and(SendRequest::is_ready)
    }

    /// Polls what comes over it, and its driver as far as that is waited for.
    pub(super) fn poll<T>(&self, cx: &Context<'_>, act: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.watch.drive().poll(&self.own, cx, act)
    }

    /// Drives it from now on when what comes over it is polled.
    pub(super) fn take_driving(&self) {
        self.watch.drive().borrow();
    }

    /// Ends it now, whatever it is doing.
    pub(super) fn abort(self) {
        self.watch.abort();
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        // Its driver ends by itself, unless the upstream takes nothing of what is still to be sent.
        self.watch.left();
        self.watch.drive().give_back(false);
    }
}

impl<B> Connection<B>
where
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sends a request and waits for the head of the answer; interim ones go to `interim`, ahead of it. What could not be
    /// sent at all is where it was.
    pub(super) async fn send(
        mut self,
        trip: &mut RoundTrip<B>,
        timeouts: &Timeouts,
        pool: &Arc<Pool<B>>,
        interim: Option<&impl Fn(StatusCode, HeaderMap)>,
    ) -> Result<(), UpstreamError> {
        let idle = clock::millis(timeouts.idle_body);
        match self.exchange(trip, idle, clock::millis(timeouts.response_head), interim).await {
            Ok(()) => {}
            Err(Unanswered::Failed(mut failed)) => {
                trip.request = failed.take_message();
                return Err(self.watch.timed_out().unwrap_or_else(|| classify(&failed.into_error())));
            }
            Err(Unanswered::Undriven) => return Err(undriven()),
        }
        let Some(response) = &mut trip.response else { return Err(undriven()) };
        match framing::read(response) {
            Ok(is_last) => {
                self.watch.body_moved(idle);
                self.is_last = is_last;
                response.body_mut().hold(self, pool, idle);
                Ok(())
            }
            Err(reason) => {
                self.abort();
                trip.response = None;
                Err(UpstreamError::Malformed(reason.to_owned()))
            }
        }
    }

    async fn exchange(
        &mut self,
        trip: &mut RoundTrip<B>,
        idle: u64,
        response_head: u64,
        interim: Option<&impl Fn(StatusCode, HeaderMap)>,
    ) -> Result<(), Unanswered<B>> {
        let (Some(sender), Some(request)) = (&mut self.sender, &mut trip.request) else {
            return Err(Unanswered::Undriven);
        };
        let watch = || Watched { watch: Arc::clone(&self.watch), idle, response_head };
        let has_body = request.body_mut().goes_out(watch);
        self.watch.sends(has_body.then_some(idle), response_head);
        if interim.is_some() {
            self.watch.interim().expect();
        }
        let Some(request) = trip.request.take() else { return Err(Unanswered::Undriven) };
        let drive = self.watch.drive();
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        let mut take = |answer: Answered<B>| match answer {
            Ok(response) => {
                trip.response = Some(response.map(AnswerBody::new));
                Ok(())
            }
            Err(failed) => Err(Unanswered::Failed(Box::new(failed))),
        };
        let answered = std::future::poll_fn(|cx| {
            let answered = match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(take(answer))),
                Poll::Pending if drive.is_ended_for(cx.waker()) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
            // The final answer is not gone yet, nor has anybody else the connection.
            if let Some(interim) = interim {
                self.watch.interim().pass_on(interim);
            }
            answered
        })
        .await;
        match answered {
            Some(answered) => answered,
            None => {
                // A request that is handed over in the very moment in which the driver ends can be left lying in the
                // channel between them, and with it whoever waits for it: it comes back once the channel's last sender
                // is gone.
                self.sender = None;
                take(answer.await)
            }
        }
    }
}

/// What hyper makes of a request.
type Answered<B> = Result<Response<Incoming>, TrySendError<Request<Upload<B>>>>;

/// Why there is no answer.
enum Unanswered<B> {
    /// The request may be in it.
    Failed(Box<TrySendError<Request<Upload<B>>>>),
    /// There was nobody to give the request to.
    Undriven,
}

#[cold]
fn undriven() -> UpstreamError {
    UpstreamError::Terminated("nothing drives the connection any more".to_owned())
}

fn classify(error: &hyper::Error) -> UpstreamError {
    let text = describe(error);
    if error.is_parse_too_large() {
        UpstreamError::HeadTooLarge
    } else if error.is_parse() {
        UpstreamError::Malformed(text)
    } else if error.is_user() && !is_gone(error) {
        UpstreamError::UploadAborted(text)
    } else {
        UpstreamError::Terminated(text)
    }
}

/// "The driver is gone" counts as a user error with hyper; for us it is an ended connection.
fn is_gone(error: &hyper::Error) -> bool {
    error.to_string().contains("dispatch task is gone")
}
