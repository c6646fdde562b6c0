//! WebSocket tunnels (RFC 9110 §7.8, RFC 6455; R19, R36).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::Instant;

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
    let pulse = Pulse { began: Instant::now(), last: AtomicU64::new(0), one_has_ended: Notify::new() };
    {
        let up = one_way(down_read, up_write, &pulse, &mut moved.up);
        let down = one_way(up_read, down_write, &pulse, &mut moved.down);
        // Whichever ends first, the other may still deliver what it has; then both are dropped, which closes both.
        tokio::select! {
            _ = async { tokio::join!(up, down) } => {}
            () = pulse.farewell() => {}
            () = pulse.stopped(idle) => {}
        }
    }
    moved
}

async fn one_way<R, W>(from: R, to: W, pulse: &Pulse, moved: &mut u64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut to = to;
    let copied = copy(from, &mut to, pulse, moved).await;
    pulse.one_has_ended.notify_one();
    copied?;
    to.shutdown().await
}

async fn copy<R, W>(mut from: R, to: &mut W, pulse: &Pulse, moved: &mut u64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(mut bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        pulse.beat();
        while !bytes.is_empty() {
            let written = to.write(bytes).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            pulse.beat();
            *moved += u64::try_from(written).unwrap_or(0);
            bytes = bytes.get(written..).unwrap_or_default();
        }
        // TLS keeps what the socket did not take.
        to.flush().await?;
    }
}

/// When something moved last, in either direction: a feed that only one side writes to is not idle.
struct Pulse {
    began: Instant,
    /// Milliseconds after that.
    last: AtomicU64,
    one_has_ended: Notify,
}

impl Pulse {
    fn beat(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for `idle`.
    async fn stopped(&self, idle: Duration) {
        loop {
            let until = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + idle;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Waits until one direction has ended, and the other had its time.
    async fn farewell(&self) {
        self.one_has_ended.notified().await;
        tokio::time::sleep(FAREWELL).await;
    }
}
