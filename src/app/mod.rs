//! Puts the rooms together and keeps them running: start, reload, stop.
//!
//! A [`Proxy`] runs on the runtime it is started on; whether requests are served there or by several others is decided in
//! `workers`, and nothing below this room but the hand that deals connections out knows it.

mod error;
mod listening;
mod workers;
mod world;

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use error::StartError;
use listening::Listening;
use workers::Crew;
pub use workers::runtime;
use world::World;

use crate::admin::{self, RouteStatus, Snapshot, StoreStatus};
use crate::config::Config;
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::token::Moment;
use crate::upstream::Environment;

pub use crate::server::take_passed_sockets;

/// A proxy that runs.
pub struct Proxy {
    shared: Arc<Shared>,
    listening: Listening,
    admin: Mutex<Option<Admin>>,
    reloading: tokio::sync::Mutex<()>,
    sweeper: JoinHandle<()>,
}

/// What outlives a reload.
struct Shared {
    world: ArcSwap<World>,
    metrics: Arc<Metrics>,
    environment: Environment,
    crew: Arc<Crew>,
    /// Our name in `Via`: no other proxy has it, another of ours included.
    pseudonym: String,
    started: Instant,
    draining: AtomicBool,
}

struct Admin {
    configured: SocketAddr,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts what `config` describes. Nothing runs if any part of it cannot.
    ///
    /// # Errors
    ///
    /// A socket cannot be opened, or a file of TLS or of the access log cannot be used.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let log = AccessLog::open(&config.log, &metrics).map_err(StartError::AccessLog)?;
        Self::start_with(config, metrics, log).await
    }

    /// As [`Proxy::start`], with a log of the caller's own.
    ///
    /// # Errors
    ///
    /// As [`Proxy::start`].
    pub async fn start_with(config: &Config, metrics: Arc<Metrics>, log: AccessLog) -> Result<Self, StartError> {
        let environment = Environment::new();
        let crew = Arc::new(Crew::start(config).map_err(StartError::Workers)?);
        let pseudonym = pseudonym();
        let parts = world::Parts {
            metrics: &metrics,
            environment: &environment,
            pseudonym: &pseudonym,
            log: &log,
            workers: crew.workers().count(),
        };
        let world = Arc::new(World::new(config, &parts, None)?);
        let shared = Arc::new(Shared {
            world: ArcSwap::new(Arc::clone(&world)),
            metrics,
            environment: environment.clone(),
            crew: Arc::clone(&crew),
            pseudonym,
            started: Instant::now(),
            draining: AtomicBool::new(false),
        });
        // First who says that we live, then what we live for.
        let admin = Mutex::new(start_admin(&shared, config).await?);
        let listening = Listening::start(&config.listeners, &world, crew, &shared.metrics)?;
        world.take_up_logins();
        let sweeper = tokio::spawn(environment.sweep());
        Ok(Self { shared, listening, admin, reloading: Default::default(), sweeper })
    }

    /// Serves from another configuration from the next request on. All or nothing: when any part of it cannot be, the
    /// running one stays. Tokens of credentials that did not change are kept, requests under way end as they began.
    ///
    /// # Errors
    ///
    /// As [`Proxy::start`].
    pub async fn reload(&self, config: &Config) -> Result<(), StartError> {
        // Held to the end: what one reload prepares, another must not change before it is done.
        let _one_at_a_time = self.reloading.lock().await;
        self.shared.environment.forget_roots();
        let previous = self.shared.world.load_full();
        let log = match previous.log_settings == config.log {
            true => {
                previous.log.reopen();
                previous.log.clone()
            }
            false => AccessLog::open(&config.log, &self.shared.metrics).map_err(StartError::AccessLog)?,
        };
        let world = self.shared.prepare(config, &previous, log).await?;
        let change = self.listening.prepare(&config.listeners, &world)?;
        let same_admin = self.admin().as_ref().map(|admin| admin.configured) == config.admin.map(|admin| admin.address);
        let admin = match same_admin {
            true => None,
            false => Some(start_admin(&self.shared, config).await?),
        };
        // Nothing below can fail.
        let ending = previous.ending(config);
        world::settle(&ending).await;
        world.inherit(&previous).await;
        self.listening.commit(change, world.drain, &self.shared.metrics);
        world.take_up_logins();
        self.shared.world.store(Arc::new(world));
        if let Some(admin) = admin {
            let old = std::mem::replace(&mut *self.admin(), admin);
            drop(old.map(|old| old.stop));
        }
        // Once more: until now requests may have had them renewed, and with `previous` they are cut off.
        world::settle(&ending).await;
        Ok(())
    }

    /// Where it listens, in the order of the file; Unix sockets left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.addresses()
    }

    /// Where the admin listener is.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin().as_ref().map(|admin| admin.address)
    }

    /// The figures.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Takes no new connections, lets requests under way end within `shutdown.drain`, cuts off the rest.
    pub async fn stop(self) {
        self.shared.draining.store(true, Ordering::Release);
        self.listening.stop().await;
        let world = self.shared.world.load_full();
        let all: Vec<_> = world.credentials.iter().map(|credential| credential.tokens.clone()).collect();
        if tokio::time::timeout(SETTLE, world::settle(&all)).await.is_err() {
            tracing::warn!("a token request under way was cut off: a refresh token that it rotated is lost");
        }
        let admin = self.admin().take();
        if let Some(admin) = admin {
            drop(admin.stop);
            let _ = tokio::time::timeout(Duration::from_secs(2), admin.task).await;
        }
        world.log.flush();
    }

    fn admin(&self) -> MutexGuard<'_, Option<Admin>> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Shared {
    /// Makes what is to be served from next: certificates are read, ten thousand routes put in order. On a thread that
    /// serves nobody, since ours may be one that does.
    async fn prepare(
        self: &Arc<Self>,
        config: &Config,
        previous: &Arc<World>,
        log: AccessLog,
    ) -> Result<World, StartError> {
        let (shared, config, previous) = (Arc::clone(self), config.clone(), Arc::clone(previous));
        let prepared = tokio::task::spawn_blocking(move || {
            let parts = world::Parts {
                metrics: &shared.metrics,
                environment: &shared.environment,
                pseudonym: &shared.pseudonym,
                log: &log,
                workers: shared.crew.workers().count(),
            };
            World::new(&config, &parts, Some(&previous))
        });
        prepared.await.map_err(StartError::BrokenOff)?
    }

    fn snapshot(&self) -> Snapshot {
        let world = self.world.load();
        let now = Moment::now();
        let routes = world.forwarder.routes().iter().map(|(_, target)| RouteStatus {
            name: target.name().to_owned(),
            upstream: target.upstream().host().to_str().unwrap_or_default().to_owned(),
            credential: target.tokens().map(|tokens| tokens.name().to_owned()),
        });
        Snapshot {
            uptime: self.started.elapsed(),
            draining: self.draining.load(Ordering::Acquire),
            credentials: world.credentials.iter().map(|credential| credential.tokens.status(now)).collect(),
            routes: routes.collect(),
            token_store: StoreStatus { kind: world.store_kind, trouble: world.store.trouble() },
            metrics: Arc::clone(&self.metrics),
        }
    }
}

async fn start_admin(shared: &Arc<Shared>, config: &Config) -> Result<Option<Admin>, StartError> {
    let Some(settings) = config.admin else { return Ok(None) };
    let configured = settings.address;
    let failed = |source| StartError::Admin { address: configured, source };
    let listener = tokio::net::TcpListener::bind(configured).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::clone(shared);
    let (stop, mut stopped) = watch::channel(false);
    let ended = async move {
        // A dropped sender says the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let task = tokio::spawn(admin::serve(listener, Arc::new(move || shared.snapshot()), ended));
    Ok(Some(Admin { configured, address, stop, task }))
}

/// How long token requests under way may take when we are asked to stop: as long as `request.timeout` is by default.
const SETTLE: Duration = Duration::from_secs(10);

/// A name that no other process has. It is no secret: the cryptographic source would take 20 ms for its first number, which
/// a TLS listener needs at once, and an https upstream or token endpoint once in the life of the process.
fn pseudonym() -> String {
    format!("bearer-proxy-{:012x}", RandomState::new().hash_one(process::id()) >> 16)
}
