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

/// Serves one connection to its end.
pub(super) async fn serve<S>(
    stream: S,
    broken: Broken,
    peer: Option<IpAddr>,
    current: Current,
    registry: &Arc<Registry>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let serving = current.load_full();
    let handle = Arc::new(Handle::new(Instant::now()));
    let entry = registry.enter(Arc::clone(&handle), serving.timeouts);
    let guard = Box::new(Guard::new(stream, serving.limits, Arc::clone(&handle)));
    drop(serving);
    let requests = Requests::new(current, peer, handle);
    if let Err(error) = drive(guard, &requests, &entry.life, &broken).await {
        tracing::debug!(%error, "a downstream connection ended");
    }
    if let Some(tunnel) = requests.tunnel() {
        // hyper has let go of the connection; it stays in the registry, so that a drain waits for it, and ends it.
        entry.life.becomes_a_tunnel();
        Tunnelled { tunnel, life: &entry.life }.await;
    }
}

/// Has it read by hyper, and by nobody while it is parked, in turns.
async fn drive<S>(mut guard: Box<Guard<S>>, requests: &Arc<Requests>, life: &Life, broken: &Broken) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    loop {
        let served = Arc::clone(requests);
        let service = service_fn(move |request| Arc::clone(&served).answer(request));
        let connection = builder(guard.limits()).serve_connection(TokioIo::new(guard), service).with_upgrades();
        // Boxed: what is parked has no place for it.
        let mut connection = Box::new(connection);
        Driven { connection: &mut connection, life, broken, finishing: false }.await?;
        if !life.is_parked() {
            return Ok(());
        }
        // hyper has let go of it for no other reason than that it was shown an end. Nothing of hyper's outlives this line.
        guard = match connection.into_parts() {
            Some(parts) => parts.io.into_inner(),
            None => return Ok(()),
        };
        guard.limit(requests.limits());
        tracing::trace!("a downstream connection is parked");
        Parked { guard: &mut guard, life }.await;
        guard.wake();
    }
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
