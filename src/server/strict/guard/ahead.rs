//! What comes while a request is in flight: the downstream's end, which ends the request too (R47), or what it sends
//! ahead.
//!
//! hyper would look for it as well, but with a buffer of 8 KiB made anew for each request (the fields of the one in
//! flight hold the last), and only until the first byte of a further request. So it is told not to (`half_close`), and
//! the guard looks whenever hyper has done what it could: it flushes last of all.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Guard, KEPT_MAX, Mode};

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Has the task woken when something comes. An error: the downstream has left.
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while matches!(self.mode, Mode::Reading)
            && self.handle.is_in_flight()
            && !self.messages.is_in_body()
            && self.ready.len() + self.messages.kept() < KEPT_MAX
        {
            let mut bytes = [MaybeUninit::uninit(); PIECE];
            let mut buf = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(())) => self.examine_apart(buf.filled()),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// It is on the stack, and only while something is read.
const PIECE: usize = 4096;
