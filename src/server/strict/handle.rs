//! What a connection's reader and its service tell each other: which request was refused, what is being waited for,
//! whether there is a tunnel, and which interim answers are to go out.
//!
//! On the way of an ordinary request there is no lock and no look at the clock: a few relaxed loads and stores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Parking, Violation};

/// Shared by the [`Guard`](super::Guard) and by whoever serves its connection.
///
/// The service calls [`request_started`](Self::request_started) first thing for every request,
/// [`response_started`](Self::response_started) when it gives hyper a response's head, and
/// [`request_finished`](Self::request_finished) when the response's body is dropped.
#[derive(Debug)]
pub struct Handle {
    epoch: Instant,
    /// How many requests the service has begun with.
    started: AtomicU64,
    /// When the last request in flight ended, as milliseconds since the epoch and one; 0: one is in flight;
    /// [`JUST_NOW`]: nobody has asked since.
    idle_since: AtomicU64,
    /// When the first byte came of a head that is not complete, likewise; 0: there is none.
    head_since: AtomicU64,
    /// Since when nothing could be written, likewise; 0: writing goes on.
    blocked_since: AtomicU64,
    /// When writing went on after it had last been blocked, likewise.
    unblocked: AtomicU64,
    refused: OnceLock<(u64, Violation)>,
    /// The request that was decided to be a tunnel or not, and which: twice its ordinal, and one for a tunnel.
    decided: AtomicU64,
    /// Whether an interim answer may still go out for the present request.
    is_interim_welcome: AtomicBool,
    has_interim: AtomicBool,
    parking: Parking,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The connection's task.
    waker: Option<Waker>,
    interim: Vec<Bytes>,
    /// Which request `interim_bytes` are counted for.
    interim_of: u64,
    interim_bytes: usize,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// For nothing of the downstream: a request is in flight.
    No,
    /// For the downstream to take what was sent.
    ToWrite {
        /// Since it last took some.
        since: Instant,
    },
    /// For a request's first byte.
    ForRequest {
        /// Since the connection or its last answer.
        since: Instant,
    },
    /// For the rest of a head.
    ForHead {
        /// Since its first byte, or since the answer before it if that was later.
        since: Instant,
    },
}

impl Handle {
    /// For a connection that was accepted at this moment.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            started: AtomicU64::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            unblocked: AtomicU64::new(0),
            refused: OnceLock::new(),
            decided: AtomicU64::new(0),
            is_interim_welcome: AtomicBool::new(false),
            has_interim: AtomicBool::new(false),
            parking: Parking::default(),
            shared: Mutex::default(),
        }
    }

    /// The service has been given a request. Answers its ordinal on this connection; the first is 1.
    pub fn request_started(&self) -> u64 {
        // One task serves a connection's requests, one after the other: nobody else adds.
        let ordinal = self.started.load(Ordering::Relaxed) + 1;
        self.started.store(ordinal, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
        self.is_interim_welcome.store(true, Ordering::Relaxed);
        ordinal
    }

    /// Whether a request has come whose answer has not ended.
    pub(super) fn is_in_flight(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) == 0
    }

    /// Whether no request has come yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.started.load(Ordering::Relaxed) == 0
    }

    /// Why the request of this ordinal is refused. It is known before the service sees a request whose head is bad (and
    /// that hyper shows as a stand-in), and while or before its body is read when that is bad.
    #[must_use]
    pub fn refused(&self, ordinal: u64) -> Option<Violation> {
        self.refused.get().filter(|(refused, _)| *refused == ordinal).map(|(_, violation)| *violation)
    }

    /// The final response's head is about to be given to hyper: interim answers would come too late.
    pub fn response_started(&self) {
        self.is_interim_welcome.store(false, Ordering::Relaxed);
    }

    /// The response's body was dropped, sent or not.
    pub fn request_finished(&self) {
        self.is_interim_welcome.store(false, Ordering::Relaxed);
        self.idle_since.store(JUST_NOW, Ordering::Relaxed);
    }

    /// What the connection waits for, for whoever has its deadlines. It has waited for a request since the first time
    /// that this is asked after an answer: often enough, if it is asked from time to time.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        if blocked != 0 {
            return Waiting::ToWrite { since: self.moment(blocked) };
        }
        let head = self.head_since.load(Ordering::Relaxed);
        // hyper lets go of an answer's body before the last of it has been taken.
        let sent = self.unblocked.load(Ordering::Relaxed);
        match self.idle_since() {
            0 => Waiting::No,
            idle if head == 0 => Waiting::ForRequest { since: self.moment(idle.max(sent)) },
            idle => Waiting::ForHead { since: self.moment(idle.max(head).max(sent)) },
        }
    }

    /// The request of this ordinal asked for a WebSocket and gets one: from now on bytes pass as they are, both ways.
    pub fn tunnel(&self, ordinal: u64) {
        self.decide(ordinal << 1 | 1);
    }

    /// The request of this ordinal gets an ordinary answer: what follows it is the next request. To be called for every
    /// request with an `Upgrade` field that becomes no tunnel, before its response ends; does no harm for others.
    pub fn no_tunnel(&self, ordinal: u64) {
        self.decide(ordinal << 1);
    }

    /// Sends a whole 1xx head (status line, fields, empty line) ahead of the final response of the request in flight.
    /// It is dropped if that has begun, if it would land inside an earlier response, or beyond 64 KiB for one request.
    /// Not for a downstream that speaks HTTP/1.0.
    pub fn send_interim(&self, head: Bytes) {
        if !self.is_interim_welcome.load(Ordering::Relaxed) {
            return;
        }
        let waker = {
            let mut shared = self.shared();
            let ordinal = self.started.load(Ordering::Relaxed);
            if shared.interim_of != ordinal {
                shared.interim_of = ordinal;
                shared.interim_bytes = 0;
            }
            if shared.interim_bytes + head.len() > INTERIM_MAX {
                return;
            }
            shared.interim_bytes += head.len();
            shared.interim.push(head);
            self.has_interim.store(true, Ordering::Relaxed);
            shared.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the connection has a reader.
    #[must_use]
    pub fn parking(&self) -> &Parking {
        &self.parking
    }

    /// Whether so many requests have begun, and all have ended.
    pub(super) fn is_idle_after(&self, requests: u64) -> bool {
        self.started.load(Ordering::Relaxed) == requests && self.idle_since.load(Ordering::Relaxed) != 0
    }

    /// The request of this ordinal is refused; it is the last that is looked at.
    pub(super) fn refuse(&self, ordinal: u64, violation: Violation) {
        // There is one refusal in a connection's life, so it can't be there already.
        let _ = self.refused.set((ordinal, violation));
    }

    /// What is to be written was taken, or not. A look at the clock only where that changes.
    pub(super) fn wrote<T>(&self, written: &Poll<T>) {
        let blocked = self.blocked_since.load(Ordering::Relaxed) != 0;
        match written {
            Poll::Pending if !blocked => self.blocked_since.store(self.now(), Ordering::Relaxed),
            Poll::Ready(_) if blocked => {
                self.unblocked.store(self.now(), Ordering::Relaxed);
                self.blocked_since.store(0, Ordering::Relaxed);
            }
            Poll::Pending | Poll::Ready(_) => {}
        }
    }

    pub(super) fn head_began(&self) {
        self.head_since.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn head_ended(&self) {
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Whether this request is a tunnel, once that is decided.
    pub(super) fn decision(&self, ordinal: u64) -> Option<bool> {
        let decided = self.decided.load(Ordering::Acquire);
        (decided >> 1 == ordinal).then_some(decided & 1 == 1)
    }

    pub(super) fn has_interim(&self) -> bool {
        self.has_interim.load(Ordering::Relaxed)
    }

    pub(super) fn is_interim_welcome(&self) -> bool {
        self.is_interim_welcome.load(Ordering::Relaxed)
    }

    pub(super) fn take_interim(&self) -> Vec<Bytes> {
        let mut shared = self.shared();
        self.has_interim.store(false, Ordering::Relaxed);
        std::mem::take(&mut shared.interim)
    }

    pub(super) fn wake_by(&self, waker: &Waker) {
        self.shared().waker = Some(waker.clone());
    }

    fn idle_since(&self) -> u64 {
        match self.idle_since.load(Ordering::Relaxed) {
            JUST_NOW => {
                let now = self.now();
                let stamped = self.idle_since.compare_exchange(JUST_NOW, now, Ordering::Relaxed, Ordering::Relaxed);
                // Else a request has begun in this moment.
                stamped.map_or_else(|other| other, |_| now)
            }
            since => since,
        }
    }

    fn decide(&self, decided: u64) {
        self.decided.store(decided, Ordering::Release);
        let waker = self.shared().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Milliseconds since the epoch, and one.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn moment(&self, millis_and_one: u64) -> Instant {
        self.epoch + Duration::from_millis(millis_and_one - 1)
    }

    /// Nothing in it can be left half-done by a panic.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since a moment that is looked up when somebody wants to know.
const JUST_NOW: u64 = u64::MAX;

/// Bytes of interim answers for one request.
const INTERIM_MAX: usize = 64 * 1024;
