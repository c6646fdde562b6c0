//! One connection from a downstream: TLS, the strict reader, hyper, and an ending when it is told to end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::{ArcSwap, Cache};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Serving;
use super::admit::admit;
use super::registry::{Command, Entry, Registry};
use super::strict::{Connection as Watched, Guard};
use crate::access::Peer;
use crate::forward::{Downstream, ForwardError, Forwarder, ResponseBody};

/// What all connections of a listener serve from; a reload puts something else in.
pub(super) type Current = Arc<ArcSwap<Serving>>;

/// Serves one connection to its end.
pub(super) async fn serve<S>(stream: S, peer: Option<IpAddr>, current: Current, registry: Arc<Registry>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let serving = current.load_full();
    let watched = Arc::new(Watched::new());
    let entry = registry.enter(Arc::clone(&watched), serving.timeouts);
    let guard = Guard::new(stream, Arc::clone(&watched), serving.strict);
    let mut builder = Builder::new();
    builder.auto_date_header(false).header_read_timeout(None);
    serving.strict.configure(&mut builder);
    drop(serving);
    let interim = Arc::clone(&watched);
    let calls = Calls {
        current: std::sync::Mutex::new(Cache::new(current)),
        peer: peer.map_or(Peer::Unix, Peer::from),
        downstream: Downstream { peer, interim: Some(Arc::new(move |head| interim.send_interim(head))) },
        watched,
    };
    let connection = builder.serve_connection(TokioIo::new(guard), calls).with_upgrades();
    let ended = Driven { connection, entry, finishing: false }.await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a downstream connection ended");
    }
}
