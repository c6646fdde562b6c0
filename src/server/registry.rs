//! The open connections of a listener: how they are told to finish, and which of them have waited too long.
//!
//! No connection has a timer. One sweep a listener looks at them all; the granularity is that of the sweep.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use super::settings::ListenerTimeouts;
use super::strict::{Connection as Watched, Phase};

/// The connections of one listener.
#[derive(Default)]
pub(super) struct Registry {
    open: Mutex<HashMap<u64, Arc<Life>>>,
    next: AtomicU64,
    /// Rung when the last one has gone.
    empty: Notify,
}

/// What can be asked of one connection from outside.
pub(super) struct Life {
    command: AtomicU8,
    waker: OnceLock<Waker>,
    watched: Arc<Watched>,
    timeouts: ListenerTimeouts,
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

/// A connection's place in the registry, given back on drop.
pub(super) struct Entry {
    registry: Arc<Registry>,
    number: u64,
    pub(super) life: Arc<Life>,
}

impl Registry {
    pub(super) fn enter(self: &Arc<Self>, watched: Arc<Watched>, timeouts: ListenerTimeouts) -> Entry {
        let life =
            Arc::new(Life { command: AtomicU8::new(0), waker: OnceLock::new(), watched, timeouts });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(&life));
        Entry { registry: Arc::clone(self), number, life }
    }

    /// Tells all connections.
    pub(super) fn tell(&self, command: Command) {
        for life in self.lock().values() {
            life.tell(command);
        }
    }

    /// Cuts off what has waited too long for a head, or for the next request.
    pub(super) fn sweep(&self) {
        for life in self.lock().values() {
            if life.is_overdue() {
                life.tell(Command::Cut);
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
        let number = match command {
            Command::Serve => 0,
            Command::Finish => 1,
            Command::Cut => 2,
        };
        // Cutting off is never taken back.
        self.command.fetch_max(number, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    fn is_overdue(&self) -> bool {
        let (phase, since) = self.watched.phase();
        let limit = match phase {
            Phase::Fresh | Phase::Head => self.timeouts.request_head,
            Phase::Idle => self.timeouts.idle,
            Phase::Busy => return false,
        };
        since >= limit
    }
}

/// How often connections are looked at, for timeouts of this size.
pub(super) fn sweep_interval(timeouts: ListenerTimeouts) -> Duration {
    let least = timeouts.request_head.min(timeouts.idle);
    (least / 8).clamp(Duration::from_millis(10), Duration::from_millis(250))
}
