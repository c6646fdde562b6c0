//! Interim answers on their way out: between two of hyper's messages, never inside one.
//!
//! hyper flushes its I/O only when it has no byte of its own left to write. So after a completed flush the last message
//! is out, and the next byte that hyper writes is the first of another.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Handle;

/// What the write side is at.
#[derive(Debug)]
pub(super) struct Interim {
    /// Whether the last thing that hyper did was a flush, and it was completed.
    is_flushed: bool,
    /// Interim heads that are being written.
    out: Vec<u8>,
    /// How many bytes of them are written.
    written: usize,
}

impl Default for Interim {
    fn default() -> Self {
        Self { is_flushed: true, out: Vec::new(), written: 0 }
    }
}

impl Interim {
    /// Whether all that was to be written is.
    pub(super) fn is_out(&self) -> bool {
        self.is_flushed && self.out.is_empty()
    }

    /// Before hyper writes something: the last moment for what has come in time.
    pub(super) fn poll_before_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        handle: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if handle.has_interim() {
            if self.is_flushed {
                self.take(handle);
            } else if !handle.is_interim_welcome() {
                // The final head may already be among what hyper is writing.
                drop(handle.take_interim());
            }
        }
        ready!(self.poll_out(io, cx))?;
        self.is_flushed = false;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        handle: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_out(io, cx))?;
        ready!(Pin::new(&mut *io).poll_flush(cx))?;
        self.is_flushed = true;
        if handle.has_interim() {
            if handle.is_interim_welcome() {
                self.take(handle);
                ready!(self.poll_out(io, cx))?;
                return Pin::new(io).poll_flush(cx);
            }
            drop(handle.take_interim());
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, handle: &Handle) {
        for head in handle.take_interim() {
            self.out.extend_from_slice(&head);
        }
    }

    fn poll_out<S: AsyncWrite + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.written += length,
            }
        }
        if self.written > 0 {
            self.out = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}
