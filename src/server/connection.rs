//! One connection from a downstream: the strict reader, hyper behind it, and an ending when it is told to end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Serving;
use super::registry::{Command, Life, Registry};
use super::service::{Requests, WatchedBody};
use super::socket::Broken;
use super::strict::{Guard, Handle, Limits};
use crate::forward::Tunnel;

/// What all connections of a listener serve from; a reload puts something else in.
pub(super) type Current = Arc<ArcSwap<Serving>>;

/// A connection that is about to be served.
pub(super) struct Connected<S, H> {
    pub(super) stream: S,
    pub(super) broken: Broken,
    /// `None`: it is that of a Unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) current: Current,
    pub(super) registry: Arc<Registry>,
    /// Dropped when the connection has ended.
    pub(super) held: H,
}

/// Serves a connection to its end. It is in the registry at once: what is done before the future is polled is done by
/// whoever accepts connections, and must not panic.
///
/// All of it is one future, to be spawned as it is: each `async fn` within or around it would keep its place in a cache line
/// of its own, which every request would have to wait for.
pub(super) fn serve<S, H>(connected: Connected<S, H>) -> impl Future<Output = ()> + Send + use<S, H>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Send,
{
    let Connected { stream, broken, peer, current, registry, held } = connected;
    let serving = current.load_full();
    let handle = Arc::new(Handle::new(Instant::now()));
    let entry = registry.enter(Arc::clone(&handle), serving.timeouts);
    let mut guard = Box::new(Guard::new(stream, serving.limits, Arc::clone(&handle)));
    let requests = Requests::new(current, peer, handle);
    async move {
        let life = &*entry.life;
        // Read by hyper, and by nobody while it is parked, in turns.
        loop {
            // A block of its own: nothing of hyper's outlives it, no buffer, and not the box itself.
            guard = {
                let connection = builder(guard.limits()).serve_connection(TokioIo::new(guard), service(&requests));
                let mut connection = Box::new(connection.with_upgrades());
                let driven = Driven { connection: &mut connection, life, broken: &broken, finishing: false };
                if let Err(error) = driven.await {
                    tracing::debug!(%error, "a downstream connection ended");
                    break;
                }
                // Parked, hyper has let go of it for no other reason than that it was shown an end.
                match connection.into_parts() {
                    Some(parts) if life.is_parked() => parts.io.into_inner(),
                    _ => break,
                }
            };
            guard.limit(requests.limits());
            tracing::trace!("a downstream connection is parked");
            Parked { guard: &mut guard, life }.await;
            guard.wake();
        }
        if let Some(tunnel) = requests.tunnel() {
            // hyper has let go of the connection; it stays in the registry, so that a drain waits for it, and ends it.
            life.becomes_a_tunnel();
            Tunnelled { tunnel, life }.await;
        }
        drop((entry, held));
    }
}

/// What hyper hands a connection's requests to.
fn service(
    requests: &Arc<Requests>,
) -> impl Service<Request<Incoming>, Response = Response<WatchedBody>, Error = Infallible, Future: Send> + use<> {
    let requests = Arc::clone(requests);
    service_fn(move |request| Arc::clone(&requests).answer(request))
}

fn builder(limits: Limits) -> Builder {
    let mut builder = Builder::new();
    // Heads are timed by the sweep; a date is the upstream's to give (R30).
    builder.auto_date_header(false).header_read_timeout(None);
    // A downstream that leaves is noticed all the same: by the guard, for less.
    builder.half_close(true);
    limits.configure(&mut builder);
    builder
}

/// A tunnel that ends when it is cut off from outside.
struct Tunnelled<'a> {
    tunnel: Tunnel,
    life: &'a Life,
}

impl Future for Tunnelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.life.command(cx.waker()) {
            Command::Cut => Poll::Ready(()),
            Command::Serve | Command::Finish => self.tunnel.as_mut().poll(cx),
        }
    }
}

/// A connection that waits until there is something to read, or to do.
struct Parked<'a, S> {
    guard: &'a mut Guard<S>,
    life: &'a Life,
}

impl<S: AsyncRead + Unpin> Future for Parked<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.life.command(cx.waker()) {
            Command::Serve => self.guard.poll_parked(cx),
            Command::Finish | Command::Cut => Poll::Ready(()),
        }
    }
}

/// A connection that does as it is told from outside.
struct Driven<'a, I, S>
where
    S: Service<Request<Incoming>, Response = Response<WatchedBody>, Error = Infallible>,
{
    connection: &'a mut UpgradeableConnection<I, S>,
    life: &'a Life,
    broken: &'a Broken,
    finishing: bool,
}

impl<I, S> Future for Driven<'_, I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<WatchedBody>, Error = Infallible>,
    UpgradeableConnection<I, S>: Unpin,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self.life.command(cx.waker()) {
            Command::Serve => {}
            Command::Finish if self.finishing => {}
            Command::Finish => {
                self.finishing = true;
                Pin::new(&mut *self.connection).graceful_shutdown();
            }
            // Dropping the connection is what closes it.
            Command::Cut => {
                if self.life.is_answering() {
                    self.broken.set();
                }
                return Poll::Ready(Ok(()));
            }
        }
        let ended = ready!(Pin::new(&mut *self.connection).poll(cx));
        // An error of our own side is an answer's body that broke off.
        if ended.as_ref().is_err_and(hyper::Error::is_user) {
            self.broken.set();
        }
        Poll::Ready(ended)
    }
}
