//! WebSocket tunnels (RFC 9110 §7.8, RFC 6455; R19, R36).

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exchange::Exchange;

/// Both ends of a tunnel to be, once both sides have said yes.
pub(super) struct Tunnel {
    pub(super) downstream: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) idle: Duration,
    pub(super) exchange: Exchange,
}

impl Tunnel {
    /// Carries bytes both ways until either side ends, or nothing moves for `idle`.
    pub(super) async fn run(mut self) {
        let (Ok(downstream), Ok(upstream)) = tokio::join!(self.downstream, self.upstream) else {
            tracing::debug!("a tunnel was given up before it began");
            return;
        };
        let moved = carry(TokioIo::new(downstream), TokioIo::new(upstream), self.idle).await;
        self.exchange.tunnelled(moved.up, moved.down);
    }
}

struct Moved {
    up: u64,
    down: u64,
}

/// After one side has ended, the other has this long to end too (R36).
const FAREWELL: Duration = Duration::from_secs(1);

async fn carry(downstream: TokioIo<Upgraded>, upstream: TokioIo<Upgraded>, idle: Duration) -> Moved {
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
