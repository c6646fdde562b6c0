//! The open connections of a listener: how they are told to finish, and which of them have waited too long.
//!
//! No connection has a timer. One sweep a listener looks at them all; the granularity is that of the sweep.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::ListenerTimeouts;
use super::strict::{Handle, Waiting};

/// The connections of one listener.
#[derive(Default)]
pub(super) struct Registry {
    open: Mutex<HashMap<u64, Arc<Life>>>,
    next: AtomicU64,
    /// What every connection has been told; one that enters late is told too.
    told: AtomicU8,
    /// Rung when the last one has gone.
    empty: Notify,
}

/// What can be asked of one connection from outside.
pub(super) struct Life {
    command: AtomicU8,
    waker: OnceLock<Waker>,
    handle: Arc<Handle>,
    timeouts: ListenerTimeouts,
    /// A tunnel has a time limit of its own.
    is_tunnel: AtomicBool,
}

/// What a connection has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Nothing.
    Serve,
    /// To end after the request under way; at once when there is none.
    Finish,
    /// To end now.
    Cut,
}

impl Command {
    fn number(self) -> u8 {
        match self {
            Self::Serve => 0,
            Self::Finish => 1,
            Self::Cut => 2,
        }
    }
}

/// A connection's place in the registry, given back on drop.
pub(super) struct Entry {
    registry: Arc<Registry>,
    number: u64,
    pub(super) life: Arc<Life>,
}

impl Registry {
    pub(super) fn enter(self: &Arc<Self>, handle: Arc<Handle>, timeouts: ListenerTimeouts) -> Entry {
        let life = Arc::new(Life {
            command: AtomicU8::new(0),
            waker: OnceLock::new(),
            handle,
            timeouts,
            is_tunnel: AtomicBool::new(false),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.lock();
        open.insert(number, Arc::clone(&life));
        life.command.store(self.told.load(Ordering::Acquire), Ordering::Release);
        drop(open);
        Entry { registry: Arc::clone(self), number, life }
    }

    /// Tells all connections.
    pub(super) fn tell(&self, command: Command) {
        let open = self.lock();
        self.told.fetch_max(command.number(), Ordering::AcqRel);
        for life in open.values() {
            life.tell(command);
        }
    }

    /// Tells those that are open now to end after the request under way; those that come later are not told.
    pub(super) fn finish_open(&self) {
        for life in self.lock().values() {
            life.tell(Command::Finish);
        }
    }

    /// Ends what has waited too long: for a head, for the next request, for its answer to be taken. Parks what is idle,
    /// all of it: that costs much less than the requests that they have just had.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for life in self.lock().values() {
            let is_told = life.command.load(Ordering::Acquire) != Command::Serve.number();
            match life.overdue(now) {
                Overdue::ToPark if !is_told && life.handle.parking().ask() => life.wake(),
                Overdue::No | Overdue::ToPark => {}
                // Its next request may be coming in this moment: it may still be answered.
                Overdue::Idle if !is_told => life.tell(Command::Finish),
                Overdue::Idle | Overdue::Stuck => life.tell(Command::Cut),
            }
        }
    }

    /// Waits until none is open.
    pub(super) async fn emptied(&self) {
        loop {
            let rung = self.empty.notified();
            if self.lock().is_empty() {
                return;
            }
            rung.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Life>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.registry.lock();
        open.remove(&self.number);
        if open.is_empty() {
            self.registry.empty.notify_waiters();
        }
    }
}

impl Life {
    /// What it has been told; `waker` is woken when it is told more.
    pub(super) fn command(&self, waker: &Waker) -> Command {
        self.waker.get_or_init(|| waker.clone());
        match self.command.load(Ordering::Acquire) {
            0 => Command::Serve,
            1 => Command::Finish,
            _ => Command::Cut,
        }
    }

    fn tell(&self, command: Command) {
        // Cutting off is never taken back.
        self.command.fetch_max(command.number(), Ordering::AcqRel);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// From now on there are no requests to wait for.
    pub(super) fn becomes_a_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Release);
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self.handle.waiting(), Waiting::No | Waiting::ToWrite { .. })
    }

    /// Whether it waits for its next request without a reader.
    pub(super) fn is_parked(&self) -> bool {
        self.handle.parking().is_parked()
    }

    fn overdue(&self, now: Instant) -> Overdue {
        if self.is_tunnel.load(Ordering::Acquire) {
            return Overdue::No;
        }
        let (since, limit, overdue) = match self.handle.waiting() {
            Waiting::No => return Overdue::No,
            Waiting::ToWrite { since } => (since, self.timeouts.send, Overdue::Stuck),
            Waiting::ForHead { since } => (since, self.timeouts.request_head, Overdue::Stuck),
            // A connection that has not said a word yet is held to the time of a head (R56).
            Waiting::ForRequest { since } if self.handle.is_fresh() => {
                (since, self.timeouts.request_head, Overdue::Idle)
            }
            Waiting::ForRequest { since } => (since, self.timeouts.idle, Overdue::Idle),
        };
        let waited = now.saturating_duration_since(since);
        match overdue {
            _ if waited >= limit => overdue,
            Overdue::Idle if waited >= self.timeouts.park => Overdue::ToPark,
            _ => Overdue::No,
        }
    }
}

/// What has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    No,
    /// A connection without a request, for its buffers only.
    ToPark,
    /// A connection without a request.
    Idle,
    /// One in the middle of something.
    Stuck,
}

/// How often connections are looked at, for timeouts of this size.
pub(super) fn sweep_interval(timeouts: ListenerTimeouts) -> Duration {
    let least = timeouts.request_head.min(timeouts.idle).min(timeouts.send);
    (least / 8).clamp(Duration::from_millis(10), Duration::from_millis(250))
}
