//! One connection from a downstream: the strict reader, hyper behind it, and an ending when it is told to end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Serving;
use super::registry::{Command, Entry, Registry};
use super::service::{Requests, WatchedBody};
use super::strict::{Guard, Handle};

/// What all connections of a listener serve from; a reload puts something else in.
pub(super) type Current = Arc<ArcSwap<Serving>>;

/// Serves one connection to its end.
pub(super) async fn serve<S>(stream: S, peer: Option<IpAddr>, current: Current, registry: &Arc<Registry>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let serving = current.load_full();
    let handle = Arc::new(Handle::new(Instant::now()));
    let entry = registry.enter(Arc::clone(&handle), serving.timeouts);
    let guard = Guard::new(stream, serving.limits, Arc::clone(&handle));
    let mut builder = Builder::new();
    // Heads are timed by the sweep; a date is the upstream's to give (R30).
    builder.auto_date_header(false).header_read_timeout(None);
    serving.limits.configure(&mut builder);
    drop(serving);
    let requests = Requests::new(current, peer, handle);
    let service = service_fn(move |request| Arc::clone(&requests).serve(request));
    let connection = builder.serve_connection(TokioIo::new(guard), service).with_upgrades();
    let ended = Driven { connection, entry, finishing: false }.await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a downstream connection ended");
    }
}

/// A connection that does as it is told from outside.
struct Driven<I, S>
where
    S: Service<Request<Incoming>, Response = Response<WatchedBody>, Error = Infallible>,
{
    connection: UpgradeableConnection<I, S>,
    entry: Entry,
    finishing: bool,
}

impl<I, S> Future for Driven<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<WatchedBody>, Error = Infallible>,
    UpgradeableConnection<I, S>: Unpin,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self.entry.life.command(cx.waker()) {
            Command::Serve => {}
            Command::Finish if self.finishing => {}
            Command::Finish => {
                self.finishing = true;
                Pin::new(&mut self.connection).graceful_shutdown();
            }
            // Dropping the connection is what closes it.
            Command::Cut => return Poll::Ready(Ok(())),
        }
        Pin::new(&mut self.connection).poll(cx)
    }
}
