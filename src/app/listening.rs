//! The listeners of a proxy, across reloads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use super::workers::Crew;
use super::world::World;
use crate::secret::{Part, SecretSource};
use crate::server::settings::{ListenAddress, ListenerSettings, ListenerTls};
use crate::server::{Bound, Listener, Serving};
use crate::telemetry::Metrics;
use crate::tls;

/// Listeners that serve.
pub(super) struct Listening {
    open: Mutex<Vec<Open>>,
    /// Those that a reload took away, until they have drained.
    leaving: Mutex<Vec<JoinHandle<()>>>,
    /// Held by each listener, too, until it has drained.
    crew: Arc<Crew>,
    drain: Arc<AtomicU64>,
}

struct Open {
    address: ListenAddress,
    tls: Option<Tls>,
    listener: Arc<Listener>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A listener's TLS, kept while its settings stay: tickets and sessions live in it.
#[derive(Clone)]
struct Tls {
    settings: ListenerTls,
    /// What the file of `client_ca` was like when it was read.
    roots: u64,
    config: Arc<rustls::ServerConfig>,
}

impl Tls {
    fn are_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(&one.config, &other.config),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// What a reload will do: all that could fail has been done.
pub(super) struct Change(Vec<Step>);

struct Step {
    address: ListenAddress,
    tls: Option<Tls>,
    serving: Serving,
    /// `None`: the socket is open already.
    new: Option<Bound>,
}

/// The listeners that are open and have this address, each asked for once: several may have port 0.
struct Known<'a>(Vec<&'a Open>);

impl<'a> Known<'a> {
    fn take(&mut self, address: &ListenAddress) -> Option<&'a Open> {
        let position = self.0.iter().position(|open| open.address == *address)?;
        Some(self.0.remove(position))
    }
}

impl Listening {
    pub(super) fn start(
        settings: &[ListenerSettings],
        world: &World,
        crew: Arc<Crew>,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let listening = Self {
            open: Mutex::default(),
            leaving: Mutex::default(),
            crew,
            drain: Arc::new(AtomicU64::new(millis(world.drain))),
        };
        let change = listening.prepare(settings, world)?;
        listening.apply(change, metrics);
        Ok(listening)
    }

    /// Opens what is to be opened, and makes what is to be served from.
    pub(super) fn prepare(&self, settings: &[ListenerSettings], world: &World) -> Result<Change, StartError> {
        let open = self.open();
        let mut known = Known(open.iter().collect());
        let steps = settings.iter().map(|settings| {
            let known = known.take(&settings.address);
            let tls = tls_of(settings, known.and_then(|known| known.tls.as_ref()))?;
            let previous = known.map(|known| known.listener.serving());
            let config = tls.as_ref().map(|tls| Arc::clone(&tls.config));
            let new = match known {
                Some(_) => None,
                None => Some(Bound::open(&settings.address, self.crew.workers())?),
            };
            let address =
                known.map_or_else(|| new.as_ref().and_then(Bound::local_addr), |known| known.listener.local_addr());
            let serving = Serving::new(settings, config, Arc::clone(&world.forwarder), previous.as_deref())
                .on_port(address.map(|address| address.port()))
                .dealt_out(&world.forwarders);
            Ok(Step { address: settings.address.clone(), tls, serving, new })
        });
        steps.collect::<Result<Vec<_>, StartError>>().map(Change)
    }

    /// Does it.
    pub(super) fn commit(&self, change: Change, drain: Duration, metrics: &Metrics) {
        self.drain.store(millis(drain), Ordering::Release);
        self.apply(change, metrics);
    }

    fn apply(&self, Change(steps): Change, metrics: &Metrics) {
        let mut open = self.open();
        let mut next = Vec::with_capacity(steps.len());
        for Step { address, tls, serving, new } in steps {
            let known = open.iter().position(|known| known.address == address);
            match (known, new) {
                (Some(position), _) => {
                    let mut known = open.remove(position);
                    known.listener.replace(serving);
                    if !Tls::are_same(known.tls.as_ref(), tls.as_ref()) {
                        // Let in without a certificate that is asked for now, or with one that no longer counts.
                        known.listener.finish_open();
                    }
                    known.tls = tls;
                    next.push(known);
                }
                (None, Some(bound)) => next.push(self.spawn(address, tls, bound, serving, metrics)),
                // `prepare` has opened every one that was not open.
                (None, None) => {}
            }
        }
        for gone in std::mem::replace(&mut *open, next) {
            drop(gone.stop);
            self.leaving.lock().unwrap_or_else(PoisonError::into_inner).push(gone.task);
        }
    }

    fn spawn(
        &self,
        address: ListenAddress,
        tls: Option<Tls>,
        bound: Bound,
        serving: Serving,
        metrics: &Metrics,
    ) -> Open {
        let shown = bound.local_addr().map_or_else(|| address.to_string(), |address| address.to_string());
        tracing::info!(listener = shown, tls = tls.is_some(), "listening");
        let crew = Arc::clone(&self.crew);
        let listener = Arc::new(Listener::new(&bound, serving, crew.workers().clone(), metrics.listener(&shown)));
        let (stop, stopped) = watch::channel(false);
        let drain = Arc::clone(&self.drain);
        let drain = move || Duration::from_millis(drain.load(Ordering::Acquire));
        let serve = Arc::clone(&listener).serve(bound, stopped, drain);
        let task = tokio::spawn(async move {
            serve.await;
            drop(crew);
        });
        Open { address, tls, listener, stop, task }
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.open().iter().filter_map(|open| open.listener.local_addr()).collect()
    }

    /// Stops them all, each within its drain.
    pub(super) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.leaving.lock().unwrap_or_else(PoisonError::into_inner));
        let open = std::mem::take(&mut *self.open());
        for gone in open {
            drop(gone.stop);
            tasks.push(gone.task);
        }
        for task in tasks {
            // It ends by itself; a panic in it has been reported.
            let _ = task.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tls_of(settings: &ListenerSettings, known: Option<&Tls>) -> Result<Option<Tls>, StartError> {
    let Some(wanted) = &settings.tls else { return Ok(None) };
    // The roots of `client_ca` are read when a configuration is made: a reload reads them again if they have changed.
    let roots =
        wanted.client_ca.clone().map_or(0, |path| SecretSource::from_parts(vec![Part::File(path)]).fingerprint());
    if let Some(known) = known.filter(|known| known.settings == *wanted && known.roots == roots) {
        return Ok(Some(known.clone()));
    }
    let config = tls::server_config(&wanted.identity, wanted.client_ca.as_deref())
        .map_err(|source| StartError::Tls { what: format!("listener {}: tls", settings.address), source })?;
    Ok(Some(Tls { settings: wanted.clone(), roots, config }))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
