//! Sockets: accept, TLS, strict reading of request heads, drain. A connection lives on one runtime; on which, is decided in
//! `workers`.

mod admit;
mod bound;
mod connection;
mod registry;
mod service;
pub mod settings;
mod socket;
pub mod strict;
mod workers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use admit::Era;
pub use bound::{BindError, Bound, take_passed_sockets};
use connection::{Connected, Current};
use registry::{Command, Registry};
use settings::{ListenAddress, ListenerSettings, ListenerTimeouts};
use socket::Broken;
pub use workers::Workers;

use crate::access::AccessSettings;
use crate::forward::Forwarder;
use crate::telemetry::ListenerMetrics;

/// What a listener serves from. A reload makes a new one; requests under way end with the one they began with.
#[derive(Clone)]
pub struct Serving {
    forwarder: Arc<Forwarder>,
    /// For each of the listener's workers.
    forwarders: Vec<Arc<Forwarder>>,
    access: AccessSettings,
    tls: Option<Arc<rustls::ServerConfig>>,
    timeouts: ListenerTimeouts,
    limits: strict::Limits,
    /// One permit a connection; `limits.connections` of them.
    permits: Arc<Semaphore>,
    connections: usize,
    /// The port it listens on; `None`: none, or not known.
    port: Option<u16>,
    era: Era,
}

impl Serving {
    /// What `settings` say, with these routes. `previous`: what the listener serves from now; open connections count
    /// on as long as their limit stays.
    #[must_use]
    pub fn new(
        settings: &ListenerSettings,
        tls: Option<Arc<rustls::ServerConfig>>,
        forwarder: Arc<Forwarder>,
        previous: Option<&Self>,
    ) -> Self {
        let connections = settings.limits.connections;
        let permits = match previous {
            Some(previous) if previous.connections == connections => Arc::clone(&previous.permits),
            _ => Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
        };
        Self {
            forwarder,
            forwarders: Vec::new(),
            access: settings.access.clone(),
            tls,
            timeouts: settings.timeouts,
            limits: strict::Limits::from(&settings.limits),
            permits,
            connections,
            port: None,
            era: Era::begin(),
        }
    }

    /// With the port that a request names when it means this proxy by one of its own names, in absolute form.
    #[must_use]
    pub fn on_port(self, port: Option<u16>) -> Self {
        Self { port, ..self }
    }

    /// With a forwarder for each of the listener's workers.
    #[must_use]
    pub fn dealt_out(self, forwarders: &[Arc<Forwarder>]) -> Self {
        Self { forwarders: forwarders.to_vec(), ..self }
    }

    /// The same for each worker: nothing that a request touches do two of them have in common.
    fn parts(&self) -> impl Iterator<Item = Self> {
        self.forwarders.iter().map(|forwarder| Self {
            forwarder: Arc::clone(forwarder),
            forwarders: Vec::new(),
            ..self.clone()
        })
    }
}

/// A listener that serves.
pub struct Listener {
    /// Where it really listens; `None` for a Unix socket.
    local_addr: Option<SocketAddr>,
    address: ListenAddress,
    current: Current,
    workers: Workers,
    /// What each of them serves from.
    parts: Vec<Current>,
    registry: Arc<Registry>,
    metrics: Arc<ListenerMetrics>,
}

/// How a listener is told to stop: when the value becomes `true`, or its sender is dropped.
pub type Stop = watch::Receiver<bool>;

impl Listener {
    /// A listener for this socket, which [`Listener::serve`] is then to be given. What it serves from has a forwarder for
    /// each of the workers.
    #[must_use]
    pub fn new(bound: &Bound, serving: Serving, workers: Workers, metrics: Arc<ListenerMetrics>) -> Self {
        let parts = serving.parts().map(|part| Arc::new(ArcSwap::from_pointee(part))).collect();
        let current = Arc::new(ArcSwap::from_pointee(serving));
        let (local_addr, address) = (bound.local_addr(), bound.address().clone());
        Self { local_addr, address, current, workers, parts, registry: Arc::default(), metrics }
    }

    /// Where it really listens; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// What it serves from now.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.current.load_full()
    }

    /// Has the connections that are open now end after the request under way: they were let in by rules of before.
    pub fn finish_open(&self) {
        self.registry.finish_open();
    }

    /// What it serves from, from the next request on.
    pub fn replace(&self, serving: Serving) {
        let permits = Arc::clone(&serving.permits);
        for (current, part) in self.parts.iter().zip(serving.parts()) {
            current.store(Arc::new(part));
        }
        let previous = self.current.swap(Arc::new(serving));
        if !Arc::ptr_eq(&previous.permits, &permits) {
            // Whoever waits for the old limit waits for the new one instead.
            previous.permits.close();
        }
    }

    /// Accepts and serves until told to stop. Then the socket is closed, so that new connections are refused; idle
    /// connections are closed at once, requests under way have `drain` to end, and what is left is cut off.
    pub async fn serve(self: Arc<Self>, mut bound: Bound, mut stop: Stop, drain: impl Fn() -> Duration) {
        let mut accepting = self.accept(&mut bound);
        tokio::select! {
            () = self.sweep() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        // The socket is closed when nobody has it any more.
        accepting.shutdown().await;
        drop(bound);
        self.registry.tell(Command::Finish);
        let swept = async {
            tokio::select! {
                () = self.registry.emptied() => {}
                () = self.sweep() => {}
            }
        };
        if tokio::time::timeout(drain(), swept).await.is_err() {
            tracing::warn!(listener = %self.address, "shutdown.drain has passed: cutting off what is left");
            self.registry.tell(Command::Cut);
            // Cutting off takes one poll of each; a connection inside a handshake ends with the runtime.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.registry.emptied()).await;
        }
    }

    async fn sweep(&self) {
        loop {
            // Looked at before, and not within, the statement that waits: else what a reload replaced would live on.
            let interval = registry::sweep_interval(self.current.load().timeouts);
            tokio::time::sleep(interval).await;
            self.registry.sweep();
        }
    }
}

/// Serves one stream that is already there, as a listener serves each of its own, until it ends: for benches, and for
/// embedding where somebody else accepts. Dropped before, it cuts the connection off. `peer`: the caller's address;
/// `None`: the caller counts as one on a Unix socket.
pub async fn serve_stream<S>(stream: S, peer: Option<IpAddr>, serving: Serving)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let interval = registry::sweep_interval(serving.timeouts);
    let (current, registry) = (Arc::new(ArcSwap::from_pointee(serving)), Arc::new(Registry::default()));
    let sweep = async {
        loop {
            tokio::time::sleep(interval).await;
            registry.sweep();
        }
    };
    let config = current.load().tls.clone();
    let broken = Broken::default();
    let connected = Connected { stream, broken, peer, current, registry: Arc::clone(&registry), held: () };
    let served = async {
        let Some(config) = config else {
            return connection::serve(connected).await;
        };
        // Boxed: else a plain connection would take as much memory.
        let secured = Box::pin(async {
            if let Some(connected) = handshake(connected, config).await {
                connection::serve(connected).await;
            }
        });
        secured.await;
    };
    tokio::select! {
        () = served => {}
        // Never ends: it tells the connection, which then does.
        () = sweep => {}
    }
}

/// The same connection in TLS. `None`: it failed, or took too long.
async fn handshake<S, H>(
    connected: Connected<S, H>,
    config: Arc<rustls::ServerConfig>,
) -> Option<Connected<TlsStream<S>, H>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Connected { stream, broken, peer, current, registry, held } = connected;
    let limit = current.load().timeouts.tls_handshake;
    match tokio::time::timeout(limit, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => return Some(Connected { stream, broken, peer, current, registry, held }),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_elapsed) => tracing::debug!("a TLS handshake took longer than timeouts.tls_handshake"),
    }
    None
}
