//! One connection from a downstream: the strict reader, hyper behind it, and an ending when it is told to end.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Serving;
use super::registry::{Command, Life, Registry};
use super::service::{Answering, Requests};
use super::socket::Broken;
use super::strict::{Guard, Handle};
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
    let stage = Stage::Served(read_by_hyper(guard, &requests));
    let driven = Driven { stage, requests: &requests, life: &entry.life, broken, finishing: false };
    if let Err(error) = driven.await {
        tracing::debug!(%error, "a downstream connection ended");
    }
    if let Some(tunnel) = requests.tunnel() {
        // hyper has let go of the connection; it stays in the registry, so that a drain waits for it, and ends it.
        entry.life.becomes_a_tunnel();
        Tunnelled { tunnel, life: &entry.life }.await;
    }
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

/// A connection that does as it is told from outside.
struct Driven<'a, S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    stage: Stage<S>,
    requests: &'a Arc<Requests>,
    life: &'a Life,
    broken: Broken,
    /// Whether hyper was told.
    finishing: bool,
}

/// Boxed both: a connection that waits holds no more than it needs for that.
enum Stage<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    /// Read by hyper.
    Served(Box<ServedByHyper<S>>),
    /// Read by nobody: it has been idle for a while.
    Parked(Box<Guard<S>>),
    Ended,
}

type ServedByHyper<S> = UpgradeableConnection<TokioIo<Box<Guard<S>>>, Answering>;

fn read_by_hyper<S>(guard: Box<Guard<S>>, requests: &Arc<Requests>) -> Box<ServedByHyper<S>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = Builder::new();
    // Heads are timed by the sweep; a date is the upstream's to give (R30).
    builder.auto_date_header(false).header_read_timeout(None);
    guard.limits().configure(&mut builder);
    let service = Answering(Arc::clone(requests));
    Box::new(builder.serve_connection(TokioIo::new(guard), service).with_upgrades())
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Future for Driven<'_, S> {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = self.get_mut();
        let command = this.life.command(cx.waker());
        // Dropping the connection is what closes it.
        if command == Command::Cut {
            if this.life.is_answering() {
                this.broken.set();
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            match &mut this.stage {
                Stage::Served(connection) => {
                    if command == Command::Finish && !this.finishing {
                        this.finishing = true;
                        Pin::new(&mut **connection).graceful_shutdown();
                    }
                    let ended = ready!(Pin::new(&mut **connection).poll(cx));
                    if !this.life.is_parked() {
                        return Poll::Ready(this.end(ended));
                    }
                    this.park();
                }
                Stage::Parked(guard) => {
                    if command == Command::Serve {
                        ready!(guard.poll_parked(cx));
                    }
                    this.wake();
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Driven<'_, S> {
    /// hyper has let go of the connection, for no other reason than that it was shown an end.
    fn park(&mut self) {
        if let Stage::Served(connection) = std::mem::replace(&mut self.stage, Stage::Ended)
            && let Some(parts) = connection.into_parts()
        {
            let mut guard = parts.io.into_inner();
            guard.limit(self.requests.limits());
            self.stage = Stage::Parked(guard);
            tracing::debug!("a downstream connection is parked");
        }
    }

    /// There is something to read, or the connection is to end; both are hyper's.
    fn wake(&mut self) {
        if let Stage::Parked(mut guard) = std::mem::replace(&mut self.stage, Stage::Ended) {
            guard.wake();
            self.stage = Stage::Served(read_by_hyper(guard, self.requests));
            self.finishing = false;
        }
    }

    fn end(&self, ended: hyper::Result<()>) -> hyper::Result<()> {
        // An error of our own side is an answer's body that broke off.
        if ended.as_ref().is_err_and(hyper::Error::is_user) {
            self.broken.set();
        }
        ended
    }
}
