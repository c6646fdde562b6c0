//! The second listener: `/healthz`, `/readyz`, `/metrics`, `/status`. Reads snapshots, owns nothing, shows no token.
//!
//! Small on purpose: HTTP/1.1 without TLS, GET and HEAD, no request body is read, a few connections at once and none
//! for long. On loopback it answers to its own names alone, so that a web page cannot have a browser read it under a
//! name of the page's choosing (DNS rebinding, R39).

mod host;
mod pages;
mod snapshot;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use snapshot::{RouteStatus, Snapshot, StoreStatus};

use host::Hosts;

/// `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// `admin.address`: ip:port.
    pub address: SocketAddr,
}

/// Says how things stand when a request asks. Called on a worker, so it must not block.
pub type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Answers until `shutdown` ends; then lets the answers under way end, for at most a second.
pub async fn serve(listener: TcpListener, source: Source, shutdown: impl Future<Output = ()>) {
    let hosts = Hosts::of(listener.local_addr().ok());
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            // Nothing is lost when another branch wins: a connection that is not yet accepted stays in the queue.
            (stream, permit) = accept(&listener, &permits) => {
                let one = connection(stream, hosts, Arc::clone(&source), stopping.clone());
                connections.spawn(async move {
                    one.await;
                    drop(permit);
                });
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(stop);
    let all = async { while connections.join_next().await.is_some() {} };
    // Who is still there then is cut off with the set.
    let _cut_off = timeout(FAREWELL, all).await;
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    loop {
        // The semaphore is never closed, so there always is one.
        let permit = Arc::clone(permits).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                // Out of file descriptors, as a rule: trying again at once would only burn a core.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, hosts: Hosts, source: Source, mut stopping: watch::Receiver<()>) {
    let service = service_fn(move |request| {
        let (head, _body) = http::Request::into_parts(request);
        ready(Ok::<_, Infallible>(pages::answer(&head, hosts, &source)))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ended = connection.as_mut() => return,
        _dropped = stopping.changed() => {}
        () = sleep(MAX_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _cut_off = timeout(FAREWELL, connection).await;
}

/// Scrapers, probes, a person or two.
const MAX_CONNECTIONS: usize = 64;

/// For a request's head; a connection may also lie unused for so long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection lasts, so that nobody keeps one of the few by reading slowly.
const MAX_AGE: Duration = Duration::from_secs(60);

/// For what is under way when a connection has to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The smallest that hyper takes: what one read may bring, and the longest head.
const MAX_HEAD: usize = 8 * 1024;

/// Fields of a head.
const MAX_HEADERS: usize = 50;
