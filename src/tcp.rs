//! TCP connections, as the data plane reads and writes them: the system called directly, for little at a time.
//!
//! What this has beyond tokio's own stream, by samples of a request of 200 bytes:
//!
//! * With several threads in a process the C library prepares for the cancellation of one around each `recv` and `send`,
//!   which costs two atomic operations and as many calls; nobody cancels threads here. Every frame between a system call and
//!   whoever polls costs, too: after the call the processor predicts none of the returns.
//! * An answer's head and its short body lie in two places. To put them in one costs less than it takes the system to
//!   read a list of two.
//! * hyper looks again and again whether there is more to read. That a wake is still to come is remembered here.
//!
//! Little of that takes from a task's share of time, as tokio's streams do: hyper yields after sixteen rounds. Long reads
//! are left to tokio's stream, which can read to where there is nothing yet without `unsafe` of ours.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustix::io::writev;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;

/// A connection.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    /// Who was last told to be woken when there is something to read.
    reader: Option<Waker>,
    /// Whether that still holds: nothing has been ready to be read since.
    is_awaited: bool,
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self { stream, reader: None, is_awaited: false }
    }
}

impl AsRef<TcpStream> for Tcp {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Tcp {
    /// One call to the system, if the connection is ready for it; nothing, if it is not. `wanted`: how much it may move at
    /// most.
    ///
    /// Who moves less than it might has moved all there was: the connection is not ready any more, as tokio has it too.
    #[inline(always)]
    fn try_once(
        &self,
        ready_for: Interest,
        wanted: usize,
        call: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let mut moved = 0;
        let tried = self.stream.try_io(ready_for, || {
            moved = call()?;
            if 0 < moved && moved < wanted { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match tried {
            _ if moved > 0 => Some(Ok(moved)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            tried => Some(tried.map(|()| 0)),
        }
    }

    /// Writes `length` bytes at most by this call.
    #[inline(always)]
    fn poll_put(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        call: impl Fn() -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(written) = self.try_once(Interest::WRITABLE, length, &call) {
                return Poll::Ready(written);
            }
            ready!(self.stream.poll_write_ready(cx))?;
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, bytes.len(), || send(&self.stream, bytes, NO_SIGNAL))
    }

    #[inline(never)]
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, wanted: usize) -> Poll<io::Result<()>> {
        loop {
            let mut room = [MaybeUninit::uninit(); LITTLE_READ];
            let Some(room) = room.get_mut(..wanted) else { return Poll::Ready(Ok(())) };
            let tried = self.try_once(Interest::READABLE, wanted, || {
                let ((bytes, _), received) = recv(&self.stream, room, RecvFlags::empty())?;
                buf.put_slice(bytes);
                Ok(received)
            });
            if let Some(received) = tried {
                self.is_awaited = false;
                return Poll::Ready(received.map(|_| ()));
            }
            ready!(self.poll_recv_ready(cx))?;
        }
    }

    /// hyper looks two or three times for each request whether there is more to read. Asked for once, the wake is still
    /// to come as long as nothing has been ready: it need not be asked for again.
    fn is_still_awaited_by(&self, cx: &Context<'_>) -> bool {
        self.is_awaited_by(cx) && self.stream.try_io(Interest::READABLE, || Ok(())).is_err()
    }

    fn is_awaited_by(&self, cx: &Context<'_>) -> bool {
        self.is_awaited && self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker()))
    }

    fn poll_recv_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever has used up his share is woken for that, and for nothing else.
        let has_share = has_budget_remaining();
        let polled = self.stream.poll_read_ready(cx);
        self.is_awaited = polled.is_pending() && has_share;
        if self.is_awaited && !self.is_awaited_by(cx) {
            self.reader = Some(cx.waker().clone());
        }
        polled
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match buf.remaining() {
            1.. if self.is_still_awaited_by(cx) => Poll::Pending,
            wanted @ 1..=LITTLE_READ => self.poll_recv(cx, buf, wanted),
            _ => {
                self.is_awaited = false;
                Pin::new(&mut self.stream).poll_read(cx, buf)
            }
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = bufs {
            return self.poll_send(cx, one);
        }
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if length > LITTLE_WRITE {
            return self.poll_put(cx, length, || writev(&self.stream, bufs));
        }
        JOINED.with_borrow_mut(|joined| {
            joined.clear();
            bufs.iter().for_each(|buf| joined.extend_from_slice(buf));
            self.poll_send(cx, joined)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// As much as hyper reads at first. Read to a place that is always the same, and copied from there.
const LITTLE_READ: usize = 8 * 1024;

/// Up to here what is written is put in one place.
const LITTLE_WRITE: usize = 2 * 1024;

/// A peer that has gone is an error. Where there is no such flag, the signal is ignored by the whole process, as Rust has it.
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

thread_local! {
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
