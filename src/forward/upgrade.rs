//! WebSocket tunnels (RFC 9110 §7.8, RFC 6455; R19, R36).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::answer::Carried;

/// Carries bytes both ways, once both sides have switched, until either side ends or nothing moves for `idle`.
pub(super) async fn carry(downstream: OnUpgrade, upstream: OnUpgrade, idle: Duration, mut carried: Box<Carried>) {
    let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else {
        tracing::debug!("a tunnel was given up before it began");
        return;
    };
    let moved = both_ways(TokioIo::new(downstream), TokioIo::new(upstream), idle).await;
    carried.exchange.tunnelled(moved.up, moved.down);
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
    let motion = Motion::new();
    {
        let mut up = std::pin::pin!(one_way(down_read, up_write, &motion.up, &motion));
        let mut down = std::pin::pin!(one_way(up_read, down_write, &motion.down, &motion));
        // Whichever ends first, the other may still deliver what it has; then both are dropped, which closes both.
        tokio::select! {
            mut to = &mut up => { let _ = timeout(FAREWELL, async { tokio::join!(to.shutdown(), down) }).await; }
            mut to = &mut down => { let _ = timeout(FAREWELL, async { tokio::join!(to.shutdown(), up) }).await; }
            () = motion.stops(idle) => {}
        }
    }
    Moved { up: motion.up.load(Ordering::Relaxed), down: motion.down.load(Ordering::Relaxed) }
}

/// Carries bytes until their end, or until either side fails; gives back the side that is to be told.
async fn one_way<R, W>(mut from: R, mut to: W, moved: &AtomicU64, motion: &Motion) -> W
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return to };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { return to };
        motion.note();
        // TLS keeps what the socket does not take: without a flush, the end of a message could stay behind.
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return to;
        }
        motion.note();
        moved.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
    }
}

/// How much has moved, and when something last did, whichever way.
struct Motion {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Motion {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), up: AtomicU64::new(0), down: AtomicU64::new(0) }
    }

    fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for `idle`.
    async fn stops(&self, idle: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if last.elapsed() >= idle {
                return;
            }
            tokio::time::sleep_until(last + idle).await;
        }
    }
}
