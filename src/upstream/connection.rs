//! One connection to an upstream: a sender, a spawned task that drives it, and a [`Watch`] over its deadlines.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use tokio::io::ReadBuf;

use super::body::{AnswerBody, Upload, Watched};
use super::clock;
use super::driver::Senders;
use super::framing;
use super::pool::Pool;
use super::settings::Timeouts;
use super::watch::Watch;
use super::{RoundTrip, UpstreamError};

/// The right to send one request at a time.
pub(super) struct Connection<B> {
    /// `None`: nothing drives the connection any more, and what was sent has been asked back.
    sender: Option<SendRequest<Upload<B>>>,
    senders: Senders<B>,
    watch: Arc<Watch>,
    /// hyper has been let go, and the answer's body is read as it comes.
    is_parted: bool,
    /// Something has come that was no part of an answer.
    is_spent: bool,
    /// The waker that is the watch's drive.
    own: Waker,
    /// How many answers have come over it.
    answers: u32,
    /// The upstream has said that it closes after this answer.
    is_last: bool,
}

impl<B> Connection<B> {
    pub(super) fn new(senders: Senders<B>, watch: Arc<Watch>) -> Self {
        let own = Waker::from(Arc::clone(watch.drive()));
        let mut connection =
            Self { sender: None, senders, watch, is_parted: false, is_spent: false, own, answers: 0, is_last: false };
        connection.take_sender();
        connection
    }

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
            && !self.is_parted
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

    fn take_sender(&mut self) {
        self.sender = self.senders.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Lets hyper go, in the middle of an answer's body, if `may_be` then says that it has handed over nothing that has not
    /// been taken; what has been read of the body besides.
    pub(super) fn part(&mut self, may_be: impl FnOnce() -> bool) -> Option<Bytes> {
        let watch = &self.watch;
        let read = watch
            .drive()
            .with(|driver| if watch.has_written() && watch.has_peer() && may_be() { driver.part() } else { None });
        let read = read.flatten()?;
        self.watch.drive().rests();
        self.is_parted = true;
        Some(read)
    }

    /// Reads on after that. `None`: the connection has ended.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<io::Result<()>>> {
        self.watch.drive().poll_with(cx, |driver, cx| driver.poll_read(cx, buf))
    }

    /// Gives it back to hyper, if it has been parted from it: for another request, or to be closed as it should be.
    pub(super) fn rejoin(&mut self) {
        if !self.is_parted || self.is_spent {
            return;
        }
        let mut is_parted = true;
        self.watch.drive().restart(&self.own, |driver| {
            driver.rejoin();
            is_parted = false;
        });
        self.is_parted = is_parted;
        self.take_sender();
    }

    /// More has come than was asked for: it is good for nothing.
    pub(super) fn spend(&mut self) {
        self.is_spent = true;
    }

    /// Ends it now, whatever it is doing.
    pub(super) fn abort(self) {
        self.watch.abort();
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        if self.is_parted {
            // There is nobody who would notice.
            return self.watch.abort();
        }
        // Its driver ends by itself, unless the upstream takes nothing of what is still to be sent.
        self.watch.left();
        self.watch.drive().give_back(false);
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sends a request and waits for the head of the answer; interim ones go to `interim`, ahead of it. What could not be
    /// sent at all is where it was.
    pub(super) async fn send(
        mut self,
        trip: &mut RoundTrip<'_, B>,
        timeouts: &Timeouts,
        pool: &Arc<Pool<B>>,
        interim: Option<&impl Fn(StatusCode, HeaderMap)>,
    ) -> Result<(), UpstreamError> {
        let idle = clock::millis(timeouts.idle_body);
        match self.exchange(trip, idle, clock::millis(timeouts.response_head), interim).await {
            Ok(()) => {}
            Err(Unanswered::Failed(mut failed)) => {
                *trip.request = failed.take_message();
                return Err(self.watch.timed_out().unwrap_or_else(|| failed.into_error().into()));
            }
            Err(Unanswered::Undriven) => return Err(UpstreamError::undriven()),
        }
        let Some(response) = &mut trip.response else { return Err(UpstreamError::undriven()) };
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
        trip: &mut RoundTrip<'_, B>,
        idle: u64,
        response_head: u64,
        interim: Option<&impl Fn(StatusCode, HeaderMap)>,
    ) -> Result<(), Unanswered<B>> {
        let (Some(sender), Some(request)) = (&mut self.sender, &mut *trip.request) else {
            return Err(Unanswered::Undriven);
        };
        let watch = || Watched { watch: Arc::clone(&self.watch), idle, response_head };
        let has_body = request.body_mut().goes_out(watch);
        if trip.wants_upgrade && !self.watch.drive().with_surely(|driver| driver.expects_upgrade()) {
            return Err(Unanswered::Undriven);
        }
        self.watch.sends(has_body.then_some(idle), response_head);
        if interim.is_some() {
            self.watch.interim().expect();
        }
        let drive = self.watch.drive();
        // Taken as it is handed over: each name in between would be another copy of 232 bytes.
        let mut answer = std::pin::pin!(match trip.request.take() {
            Some(request) => sender.try_send_request(request),
            None => return Err(Unanswered::Undriven),
        });
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
