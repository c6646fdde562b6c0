//! Who accepts and serves the connections of a listener: one runtime, or several.
//!
//! Each accepts for itself, and serves what it has accepted, unless another has clearly fewer connections: then that one
//! gets it. So few connections that live long do not meet on one core, and many that live shortly are not carried about.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::bound::{Accepted, Bound, Listening};
use super::connection::{self, Connected, Current};
use super::registry::Registry;
use super::socket::{Broken, Socket};
use super::{Listener, handshake};

/// The runtimes that serve. Cheap to clone: connections are counted over all listeners.
#[derive(Clone)]
pub struct Workers(Arc<[Worker]>);

struct Worker {
    runtime: Handle,
    /// Connections that it has.
    open: Arc<AtomicUsize>,
}

impl Workers {
    /// These.
    #[must_use]
    pub fn new(runtimes: impl IntoIterator<Item = Handle>) -> Self {
        Self(runtimes.into_iter().map(|runtime| Worker { runtime, open: Arc::default() }).collect())
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.runtime)
    }

    /// A place for a connection that one of them has accepted: with that one, unless another has clearly fewer. `None`:
    /// there are none at all.
    fn seat(&self, accepting: usize) -> Option<Seat> {
        let fewest = self.0.iter().map(Worker::open).enumerate().min_by_key(|(_, open)| *open);
        let (index, fewest) = fewest?;
        let own = self.0.get(accepting).filter(|own| own.open() <= fewest + fewest / TOLERATED);
        let worker = own.or_else(|| self.0.get(index))?;
        worker.open.fetch_add(1, Ordering::Relaxed);
        let taken = Taken(Arc::clone(&worker.open));
        Some(Seat { runtime: worker.runtime.clone(), worker: own.map_or(index, |_| accepting), taken })
    }
}

/// One in so many more than another has is not clearly more.
const TOLERATED: usize = 8;

impl Worker {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// The right of one connection to be with a worker.
struct Seat {
    runtime: Handle,
    /// Its place among the workers.
    worker: usize,
    taken: Taken,
}

/// Counts a connection for as long as it lives.
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Has each worker accept, until what is returned is dropped.
    pub(super) fn accept(self: &Arc<Self>, bound: &mut Bound) -> JoinSet<()> {
        let mut accepting = JoinSet::new();
        for (worker, (socket, runtime)) in bound.take_sockets().into_iter().zip(self.workers.runtimes()).enumerate() {
            accepting.spawn_on(Arc::clone(self).accept_as(worker, socket), runtime);
        }
        accepting
    }

    async fn accept_as(self: Arc<Self>, worker: usize, socket: Listening) {
        loop {
            // Not held while waiting: it would keep the routes of before a reload.
            let permits = Arc::clone(&self.current.load().permits);
            // Beyond the limit, connections wait in the kernel's accept queue. Closed: a reload has set another limit.
            let Ok(permit) = permits.acquire_owned().await else { continue };
            match socket.accept().await {
                Ok(accepted) => self.deal_out(worker, accepted, permit),
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    /// A connection that died in the queue is nothing; having no descriptors left is worth a pause.
    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        tracing::warn!(listener = %self.address, %error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Has a connection served, by the worker that accepted it or by another. Its task is owned by the registry, which
    /// ends it at the latest when the drain has passed; before, while TLS is agreed upon, by `timeouts.tls_handshake`.
    fn deal_out(&self, accepting: usize, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let Some(Seat { runtime, worker, taken }) = self.workers.seat(accepting) else { return };
        let current = Arc::clone(self.parts.get(worker).unwrap_or(&self.current));
        let registry = Arc::clone(&self.registry);
        let held = (permit, taken, self.metrics.accepted());
        if worker == accepting {
            return spawn(accepted, current, registry, held);
        }
        let Ok(detached) = accepted.detach() else { return };
        runtime.spawn(async move {
            // An error means that there is no memory for it: closing it is all that can be done.
            if let Ok(accepted) = detached.attach() {
                spawn(accepted, current, registry, held);
            }
        });
    }
}

/// Serves a connection on this runtime. `held` is dropped when it has ended.
fn spawn(accepted: Accepted, current: Current, registry: Arc<Registry>, held: impl Send + 'static) {
    let broken = Broken::default();
    match accepted {
        Accepted::Tcp(stream, peer) => {
            let stream = Socket::new(stream, broken.clone());
            spawn_connected(Connected { stream, broken, peer: Some(peer), current, registry, held });
        }
        Accepted::Unix(stream) => {
            spawn_connected(Connected { stream, broken, peer: None, current, registry, held });
        }
    }
}

fn spawn_connected<S, H>(connected: Connected<S, H>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Send + 'static,
{
    let Some(config) = connected.current.load().tls.clone() else {
        tokio::spawn(connection::serve(connected));
        return;
    };
    tokio::spawn(async move {
        if let Some(connected) = handshake(connected, config).await {
            tokio::spawn(connection::serve(connected));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has the second of two accept so many connections, and says who got them.
    fn accepted(workers: &Workers, count: usize) -> Vec<Seat> {
        (0..count).filter_map(|_| workers.seat(1)).collect()
    }

    fn with(seats: &[Seat], worker: usize) -> usize {
        seats.iter().filter(|seat| seat.worker == worker).count()
    }

    #[tokio::test]
    async fn a_worker_that_accepts_everything_keeps_half_of_few() {
        let workers = Workers::new([Handle::current(), Handle::current()]);
        let mut few = accepted(&workers, 6);
        assert_eq!((with(&few, 0), with(&few, 1)), (3, 3));
        few.retain(|seat| seat.worker == 1);
        few.extend(accepted(&workers, 3));
        assert_eq!((with(&few, 0), with(&few, 1)), (3, 3), "and the next go where some have gone");
    }

    #[tokio::test]
    async fn a_worker_that_accepts_everything_keeps_an_eighth_more_of_many() {
        let workers = Workers::new([Handle::current(), Handle::current()]);
        let many = accepted(&workers, 1700);
        assert!((100..=101).contains(&(with(&many, 1) - with(&many, 0))), "{}", with(&many, 1));
    }
}
