//! Closing without cutting off our own answer (RFC 9112 §9.6).
//!
//! A kernel that closes a socket with unread bytes in it sends a reset, which may overtake the answer and destroy it on
//! the other side. So after our side is shut down, what still comes is read and thrown away, up to a bound.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The end of a connection.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Whether the downstream may be sending still.
    pub(super) is_called_for: bool,
    discarded: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    /// Ready when the downstream has sent everything, or enough, or was given enough time.
    pub(super) fn poll<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(TIME_MAX)));
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut bytes = [0; 4096];
        while self.discarded < BYTES_MAX {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.discarded += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

/// Long enough for an answer to arrive and be understood; no one waits for it but the socket.
const TIME_MAX: Duration = Duration::from_secs(2);

const BYTES_MAX: usize = 1024 * 1024;
