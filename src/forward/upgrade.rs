//! WebSocket tunnels (RFC 9110 §7.8, RFC 6455; R19, R36).

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exchange::Exchange;

/// Carries bytes both ways, once both sides have switched, until either side ends or nothing moves for `idle`.
pub(super) async fn carry(downstream: OnUpgrade, upstream: OnUpgrade, idle: Duration, mut exchange: Exchange) {
    let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else {
        tracing::debug!("a tunnel was given up before it began");
        return;
    };
    let moved = both_ways(TokioIo::new(downstream), TokioIo::new(upstream), idle).await;
    exchange.tunnelled(moved.up, moved.down);
}

struct Moved {
    up: u64,
    down: u64,
}

/// After one side has ended, the other has this long to end too (R36).
const FAREWELL: Duration = Duration::from_secs(1);

async fn both_ways(downstream: TokioIo<Upgraded>, upstream: TokioIo<Upgraded>, idle: Duration) -> Moved {
    let (down_read, down_write) = tokio::io::split(downstream);
    let (up_read, up_write) = tokio::io::split(upstream);
    let mut moved = Moved { up: 0, down: 0 };
    {
        let mut up = std::pin::pin!(one_way(down_read, up_write, idle, &mut moved.up));
        let mut down = std::pin::pin!(one_way(up_read, down_write, idle, &mut moved.down));
        // Whichever ends first, the other may still deliver what it has; then both are dropped, which closes both.
        tokio::select! {
            _ = &mut up => { let _ = tokio::time::timeout(FAREWELL, down).await; }
            _ = &mut down => { let _ = tokio::time::timeout(FAREWELL, up).await; }
        }
    }
    moved
}

async fn one_way<R, W>(mut from: R, mut to: W, idle: Duration, moved: &mut u64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::time::timeout(idle, from.read(&mut buffer)).await.map_err(io::Error::other)??;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        tokio::time::timeout(idle, to.write_all(bytes)).await.map_err(io::Error::other)??;
        *moved += u64::try_from(read).unwrap_or(0);
    }
}
