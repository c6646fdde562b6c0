//! The I/O around [`Messages`]: reads on behalf of hyper, and shows it what may be seen.
//!
//! A head that comes in one piece, and body bytes, are looked at where hyper wants them, and neither copied nor moved.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::messages::{Messages, Step};
use super::{Handle, Limits, Violation};
use interim::Interim;
use linger::Linger;

mod ahead;
mod crossroads;
mod interim;
mod linger;
mod parking;

/// A connection of which only well-formed HTTP/1 requests are read.
///
/// In place of a request with a bad head the reader gets a stand-in, and after it nothing: neither bytes nor an end, so
/// that the answer, which [`Handle::refused`] tells, can still be sent. After a violation inside a body reading fails.
/// Writing goes through; see [`Handle::send_interim`].
#[derive(Debug)]
pub struct Guard<S> {
    io: S,
    handle: Arc<Handle>,
    mode: Mode,
    messages: Messages,
    /// Bytes that may be seen and were not yet: after a head in several pieces.
    ready: Vec<u8>,
    /// How many of those were.
    shown: usize,
    /// The task that the handle would wake.
    waker: Option<Waker>,
    interim: Interim,
    linger: Linger,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Reading,
    /// A head was refused: this many bytes were thrown away since.
    Refused(usize),
    /// A body was.
    Broken(Violation),
    Tunnel,
    /// The reader was shown an end, and is to be another one when there is something to read.
    Parked,
}

impl<S> Guard<S> {
    /// Around a connection before its first byte was read.
    pub fn new(io: S, limits: Limits, handle: Arc<Handle>) -> Self {
        Self {
            io,
            handle,
            mode: Mode::Reading,
            messages: Messages::new(limits),
            ready: Vec::new(),
            shown: 0,
            waker: None,
            interim: Interim::default(),
            linger: Linger::default(),
        }
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Looks at bytes that have just come. Answers how many of them, from the first on, may be seen where they are; what
    /// may be seen of the rest is in `ready`.
    fn examine(&mut self, bytes: &[u8]) -> usize {
        let mut in_place = 0;
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let was_in_head = self.messages.kept() > 0;
            match self.messages.step(rest) {
                Ok(Step::Pass(length)) => {
                    if in_place == read && self.ready.is_empty() {
                        in_place += length;
                    } else {
                        self.ready.extend_from_slice(rest.get(..length).unwrap_or_default());
                    }
                    read += length;
                }
                Ok(Step::Drop(length)) => read += length,
                Ok(Step::Keep(length)) => {
                    if !was_in_head && self.messages.is_in_head() {
                        self.handle.head_began();
                    }
                    read += length;
                }
                Ok(Step::Release(length)) => {
                    self.handle.head_ended();
                    self.release();
                    read += length;
                }
                Err(violation) => {
                    self.refuse(violation);
                    break;
                }
            }
        }
        in_place
    }

    /// What was kept may be seen.
    fn release(&mut self) {
        let kept = self.messages.take_kept();
        if self.ready.is_empty() {
            self.ready = kept;
        } else {
            self.ready.extend_from_slice(&kept);
        }
    }

    fn refuse(&mut self, violation: Violation) {
        self.handle.head_ended();
        self.linger.is_called_for = true;
        if self.messages.is_in_body() {
            self.handle.refuse(self.messages.heads(), violation);
            self.mode = Mode::Broken(violation);
        } else {
            self.handle.refuse(self.messages.heads() + 1, violation);
            self.ready.extend_from_slice(STAND_IN);
            self.mode = Mode::Refused(0);
        }
        drop(self.messages.take_kept());
    }

    /// Moves what may be seen to where it is wanted. Whether there was anything.
    fn show(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(rest) = self.ready.get(self.shown..).filter(|rest| !rest.is_empty()) else { return false };
        let length = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..length).unwrap_or_default());
        self.shown += length;
        if self.shown == self.ready.len() {
            // An idle connection holds no buffer.
            self.ready = Vec::new();
            self.shown = 0;
        }
        true
    }

    /// Has this task woken when the handle has something for it. It is nearly always the same one.
    fn wake_me(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.handle.wake_by(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    fn poll_examined(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Seen>> {
        if self.messages.is_at_crossroads() {
            if self.turn() {
                return Poll::Ready(Ok(Seen::Nothing));
            }
            if self.messages.kept() >= KEPT_MAX {
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_pending() && self.parks() {
            return Poll::Ready(Ok(Seen::End));
        }
        ready!(read)?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(Seen::End));
        }
        let in_place = self.examine(fresh);
        buf.set_filled(before + in_place);
        Poll::Ready(Ok(if in_place > 0 { Seen::Bytes } else { Seen::Nothing }))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.handle.wrote(&written);
        if written.is_pending() {
            // There will be no flush this time.
            self.look_ahead(cx)?;
        }
        written
    }

    /// Reads and throws away, so that the downstream can finish sending and then read our answer.
    fn poll_discarded(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        discarded: usize,
    ) -> Poll<io::Result<()>> {
        if discarded >= DISCARDED_MAX {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let length = buf.filled().len() - before;
        buf.set_filled(before);
        self.mode = Mode::Refused(if length == 0 { DISCARDED_MAX } else { discarded + length });
        Poll::Ready(Ok(()))
    }
}

/// What a read has brought for hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The downstream sends no more.
    End,
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.wake_me(cx);
        loop {
            if this.show(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.mode {
                Mode::Reading => match ready!(this.poll_examined(cx, buf))? {
                    Seen::Bytes | Seen::End => return Poll::Ready(Ok(())),
                    Seen::Nothing => {}
                },
                Mode::Refused(discarded) => ready!(this.poll_discarded(cx, buf, discarded))?,
                Mode::Broken(violation) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
                }
                Mode::Tunnel => return Pin::new(&mut this.io).poll_read(cx, buf),
                Mode::Parked => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.interim.poll_before_write(&mut this.io, &this.handle, cx))?;
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.interim.poll_before_write(&mut this.io, &this.handle, cx))?;
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.interim.poll_flush(&mut this.io, &this.handle, cx);
        this.handle.wrote(&flushed);
        this.look_ahead(cx)?;
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.mode, Mode::Parked) {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if this.linger.is_called_for || this.messages.is_in_body() {
            ready!(this.linger.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper reads in place of a head that was refused. It answers that with `Connection: close` and reads no more.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How much is read beyond a request to upgrade before it is answered.
const KEPT_MAX: usize = 64 * 1024;

/// How much is read of what follows a refused head before it is answered.
const DISCARDED_MAX: usize = 256 * 1024;
