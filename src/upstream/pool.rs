//! Idle connections of one upstream, last used first, and a cap on open ones (RFC 9112 §9.4).
//!
//! With several workers each has a pool; the cap, and what is known of the upstream, they have in common. Who may open no
//! more uses what lies idle with another: at the cap nobody waits for a connection that nobody uses.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::client::conn::http1::Builder;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::connection::Connection;
use super::connector::{Connector, describe};
use super::driver::{self, Halves};
use super::haste::{Caution, Haste, RESTED};
use super::settings::ConnectionSettings;
use super::{Environment, OnOpen, Reuse, UpstreamError, clock, lifetime};

/// The connections of one upstream; of one worker, if there are several.
pub(super) struct Pool<B> {
    idle: Mutex<Vec<Connection<B>>>,
    shared: Arc<Shared<B>>,
    haste: Arc<Haste>,
    settings: ConnectionSettings,
    environment: Environment,
    builder: Builder,
    on_open: OnOpen,
}

/// What the workers' pools of one upstream have in common. Touched when connections open and end, and at the cap.
struct Shared<B> {
    /// One permit an open connection, idle ones included.
    permits: Arc<Semaphore>,
    /// Rung when a connection comes back while somebody waits for one.
    returned: Notify,
    waiting: AtomicUsize,
    pools: Mutex<Vec<Weak<Pool<B>>>>,
}

/// What a request that found no idle connection gets.
pub(super) enum Room<B> {
    /// The right to open one.
    Open(OwnedSemaphorePermit),
    /// One that has come back.
    Connection(Connection<B>),
}

impl<B> Shared<B> {
    fn pools(&self) -> MutexGuard<'_, Vec<Weak<Pool<B>>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Pool<B> {
    pub(super) fn new(settings: ConnectionSettings, environment: &Environment, on_open: OnOpen) -> Arc<Self> {
        let shared = Shared {
            permits: Arc::new(Semaphore::new(settings.max.min(Semaphore::MAX_PERMITS))),
            returned: Notify::new(),
            waiting: AtomicUsize::new(0),
            pools: Mutex::default(),
        };
        Self {
            idle: Mutex::default(),
            shared: Arc::new(shared),
            haste: Arc::default(),
            settings,
            environment: environment.clone(),
            builder: builder(),
            on_open,
        }
        .enter()
    }

    /// One more, for another worker.
    pub(super) fn beside(&self) -> Arc<Self> {
        Self {
            idle: Mutex::default(),
            shared: Arc::clone(&self.shared),
            haste: Arc::clone(&self.haste),
            settings: self.settings,
            environment: self.environment.clone(),
            builder: self.builder.clone(),
            on_open: Arc::clone(&self.on_open),
        }
        .enter()
    }

    /// Makes it known to the others.
    fn enter(self) -> Arc<Self> {
        let pool = Arc::new(self);
        pool.shared.pools().push(Arc::downgrade(&pool));
        pool
    }

    /// The same as [`take`](Self::take) where nothing is to be waited for, which is nearly always.
    pub(super) fn take_now(&self, reuse: Reuse) -> Option<Connection<B>> {
        match reuse {
            Reuse::Allowed => {}
            Reuse::Cautious if self.haste.caution(clock::now()) == Caution::None => {}
            Reuse::Cautious | Reuse::Forbidden => return None,
        }
        let connection = self.lock().pop_if(|connection| connection.is_ready())?;
        connection.watch().wake(clock::millis(WAKE)).then_some(connection)
    }

    /// An idle connection that is still good, the one used last: the least likely to have been closed by the server.
    pub(super) async fn take(&self, reuse: Reuse) -> Option<Connection<B>> {
        loop {
            let now = clock::now();
            let caution = match reuse {
                Reuse::Cautious => self.haste.caution(now),
                Reuse::Allowed | Reuse::Forbidden => Caution::None,
            };
            let mut connection = self.pop(caution, now)?;
            if let Some(wait) = caution.wait(connection.idle_for(now)) {
                // Its driver is woken by whatever the socket has by then, and goes first.
                tokio::time::sleep(wait).await;
                tokio::task::yield_now().await;
            }
            if connection.wake(clock::millis(WAKE)).await {
                return Some(connection);
            }
        }
    }

    fn pop(&self, caution: Caution, now: u64) -> Option<Connection<B>> {
        let mut idle = self.lock();
        match caution {
            Caution::None | Caution::Wait => idle.pop(),
            Caution::Rested => {
                // They lie in the order in which they came back.
                let rested = idle.iter().rposition(|connection| connection.idle_for(now) >= RESTED)?;
                Some(idle.remove(rested))
            }
        }
    }

    /// Takes a connection back whose answer has been read to its end; or lets it go.
    pub(super) fn put(&self, mut connection: Connection<B>) {
        let now = clock::now();
        let age = Duration::from_millis(now.saturating_sub(connection.watch().opened()));
        let allowed = lifetime(self.settings, age);
        if allowed.is_zero() || !connection.can_be_reused() {
            return;
        }
        self.haste.answered(connection.rest(now, clock::millis(allowed)));
        self.lock().push(connection);
        if self.shared.waiting.load(Ordering::Acquire) > 0 {
            self.shared.returned.notify_one();
        }
    }

    /// One of any worker's: its own first.
    async fn take_any(&self) -> Option<Connection<B>> {
        if let Some(connection) = self.take(Reuse::Allowed).await {
            return Some(connection);
        }
        let pools = self.shared.pools().clone();
        for pool in pools.iter().filter_map(Weak::upgrade) {
            if let Some(connection) = pool.take(Reuse::Allowed).await {
                return Some(connection);
            }
        }
        None
    }

    /// How many are open, idle ones and those of other workers included.
    pub(super) fn open(&self) -> usize {
        self.settings.max.saturating_sub(self.shared.permits.available_permits())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// The right to open a connection; when all are in use, the first that comes back, or its place. The caller limits
    /// the time.
    pub(super) async fn room(&self, reuse: Reuse) -> Room<B> {
        let Shared { permits, returned, waiting, .. } = &*self.shared;
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Room::Open(permit);
        }
        let _waiting = Waiting::new(waiting);
        loop {
            // Listening first, looking after that: whoever brings one back either rings for us, or is seen.
            let mut rung = std::pin::pin!(returned.notified());
            rung.as_mut().enable();
            match (self.take_any().await, reuse) {
                (Some(connection), Reuse::Allowed | Reuse::Cautious) => return Room::Connection(connection),
                // Ended, it gives its permit back.
                (Some(connection), Reuse::Forbidden) => connection.abort(),
                (None, _) => {}
            }
            tokio::select! {
                permit = Arc::clone(permits).acquire_owned() => if let Ok(permit) = permit {
                    return Room::Open(permit);
                },
                () = rung => {}
            }
        }
    }

    /// A new connection. The caller limits the time.
    pub(super) async fn open_with(
        &self,
        connector: &Connector,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection<B>, UpstreamError> {
        let stream = connector.connect().await?;
        let halves = stream.handshake(&self.builder).map_err(handshake_failed)?;
        Ok(self.spawn(halves, permit))
    }

    pub(super) async fn adopt<S>(&self, stream: S) -> Result<(), UpstreamError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let permit =
            Arc::clone(&self.shared.permits).try_acquire_owned().map_err(|_| UpstreamError::TooManyConnections)?;
        let halves = driver::handshake(&self.builder, stream).map_err(handshake_failed)?;
        let connection = self.spawn(halves, permit);
        self.put(connection);
        Ok(())
    }

    fn spawn(&self, halves: Halves<B>, permit: OwnedSemaphorePermit) -> Connection<B> {
        let connection = halves.spawn(permit, (self.on_open)(), Arc::clone(&self.haste));
        self.environment.watch(connection.watch());
        connection
    }
}

/// How long a connection that says it is idle may take to be ready: its driver is between two steps.
const WAKE: Duration = Duration::from_secs(1);

/// The head of an answer may have this many fields; the same as hyper's array on the stack.
pub(super) const MAX_HEADERS: usize = 100;

/// … and this many bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

fn builder() -> Builder {
    let mut builder = Builder::new();
    // The default of 100 fields keeps hyper's header array on the stack: it is not set here, only relied on.
    debug_assert_eq!(MAX_HEADERS, 100);
    builder.max_header_size(MAX_HEAD);
    builder
}

fn handshake_failed(error: hyper::Error) -> UpstreamError {
    UpstreamError::Terminated(describe(&error))
}

/// Counts a waiter for as long as it waits, even if it is dropped meanwhile.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
