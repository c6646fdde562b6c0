//! Interim answers (1xx, RFC 9110 §15.2), seen by a thin reader on their way to hyper, which skips them.
//!
//! hyper tells of them through a callback that costs every request four allocations, for something that hardly ever
//! comes. The [`Reader`] looks at ten bytes of an answer instead. What it finds goes to whoever waits for that very
//! answer, and is passed on by them: a late one finds nobody.

use std::io;
use std::io::IoSlice;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::watch::Watch;
use heads::{Head, Heads, Next};

mod heads;
#[cfg(test)]
mod tests;

/// Interim answers between the reader that found them and whoever waits for the final one.
#[derive(Default)]
pub(super) struct Interim {
    /// A request is about to be written, and whoever waits for its answer takes interim ones.
    wanted: AtomicBool,
    has_some: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    heads: Vec<Head>,
    bytes: usize,
}

impl Interim {
    /// To be said before a request is handed over.
    pub(super) fn expect(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Gives away what has been found.
    pub(super) fn pass_on(&self, to: &impl Fn(StatusCode, HeaderMap)) {
        if self.has_some.load(Ordering::Acquire) {
            self.take().into_iter().for_each(|head| to(head.status, head.fields));
        }
    }

    #[cold]
    fn take(&self) -> Vec<Head> {
        let mut found = self.found();
        self.has_some.store(false, Ordering::Relaxed);
        std::mem::take(&mut *found).heads
    }

    /// A flood is cut: a downstream would not get all of it either.
    fn add(&self, head: Head) {
        let mut found = self.found();
        found.bytes += head.length;
        if found.bytes <= FOUND_MAX {
            found.heads.push(head);
            self.has_some.store(true, Ordering::Release);
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted {
            self.wanted.store(false, Ordering::Relaxed);
        }
        wanted
    }
}

/// Bytes of interim heads that may wait to be passed on.
const FOUND_MAX: usize = 64 * 1024;

/// A stream to an upstream: changes nothing of what is read, and withholds nothing.
pub(super) struct Reader<S> {
    io: S,
    watch: Arc<Watch>,
    /// A request is being written or has been, and the final head of its answer has not begun.
    expects: bool,
    heads: Heads,
    /// In which poll of the driver there was nothing more to read. hyper looks again in the same one, in vain.
    exhausted: Option<NonZeroU32>,
    /// In which poll of the driver it was held up. It is not to write in that either: it has not seen what there is to read.
    put_off: Option<NonZeroU32>,
    /// How much has been read since something was written.
    read: usize,
    /// The last answer was long, and its rest was read without hyper. So may the next one's be: hyper is to read little of
    /// it, and then to wait for whoever takes the head.
    yields: bool,
}

impl<S> Reader<S> {
    pub(super) fn new(io: S, watch: Arc<Watch>) -> Self {
        Self {
            io,
            watch,
            expects: false,
            heads: Heads::default(),
            exhausted: None,
            put_off: None,
            read: 0,
            yields: false,
        }
    }

    /// Whether it may be written now. What comes before a request's first byte goes is no answer to it: hyper refuses that,
    /// once it has read it.
    fn writes(&mut self) -> bool {
        if self.put_off.is_some() && self.put_off == self.watch.drive().turn() {
            return false;
        }
        self.put_off = None;
        self.read = 0;
        self.watch.writes(true);
        self.expects |= self.watch.interim().begin();
        true
    }

    fn look(&mut self, bytes: &[u8]) {
        // Nearly every answer is final, and nearly every first read goes as far as the status.
        if self.heads.is_empty() && bytes.get(heads::CLASS).is_some_and(|digit| *digit != b'1') {
            self.expects = false;
        } else if !bytes.is_empty() {
            self.follow(bytes);
        }
    }

    #[cold]
    fn follow(&mut self, bytes: &[u8]) {
        self.heads.push(bytes);
        loop {
            match self.heads.next() {
                // `100 Continue` is each hop's own affair (RFC 9110 §15.2.1).
                Next::Interim(head) if head.status == StatusCode::CONTINUE => {}
                Next::Interim(head) => self.watch.interim().add(head),
                Next::Unfinished => break,
                Next::Other => {
                    self.expects = false;
                    self.heads = Heads::default();
                    break;
                }
            }
        }
        if self.watch.interim().has_some.load(Ordering::Relaxed) {
            self.watch.drive().call_borrower();
        }
    }
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// The rest of a body is read without hyper.
    pub(super) fn part(&mut self) {
        self.yields = true;
    }

    /// All of it has been.
    pub(super) fn rejoin(&mut self) {
        self.read = 0;
    }

    fn poll_read_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let first = if self.yields { LITTLE } else { FIRST };
        match self.read == 0 && buf.remaining() > first {
            true => {
                let mut first = buf.limit(first);
                ready!(std::pin::pin!(self.io.read_buf(&mut first)).poll(cx))?;
            }
            false => ready!(Pin::new(&mut self.io).poll_read(cx, buf))?,
        }
        self.read = self.read.saturating_add(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

/// What is read of an answer first, by the task that keeps the connection, while others have theirs read. The rest is read
/// when its turn to be written has come: read before, it would have left the processor's cache by then.
const FIRST: usize = 16 * 1024;

/// The same of an answer that is expected to be long.
const LITTLE: usize = 2 * 1024;

impl<S: AsyncRead + Unpin> AsyncRead for Reader<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let turn = this.watch.drive().turn();
        if turn.is_some() && turn == this.exhausted {
            return Poll::Pending;
        }
        if this.yields && this.read >= LITTLE && turn.is_some() {
            (this.yields, this.exhausted, this.put_off) = (false, turn, turn);
            this.watch.drive().puts_off();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = this.poll_read_some(cx, buf);
        if polled.is_pending() {
            this.exhausted = turn;
        }
        if !this.expects {
            return polled;
        }
        this.look(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S> Reader<S> {
    /// What hyper is told of a write. A peer that has gone takes nothing more, but may have answered before (R23): what it
    /// said, or that it said nothing, is found by reading. hyper would end the connection with the answer unread.
    fn wrote(&self, written: Poll<io::Result<usize>>, whole: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_gone(&error) => {
                self.watch.peer_has_gone();
                Poll::Ready(Ok(whole))
            }
            other => other,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reader<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.writes() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.wrote(written, buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.writes() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.wrote(written, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        if flushed.is_ready() {
            // hyper flushes when it has nothing more to write.
            this.watch.writes(false);
        }
        this.wrote(flushed.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
