//! A connection on which nobody asks for anything, without its reader: hyper holds two buffers of 8 KiB for each.
//!
//! Only here is it known that nothing can be lost by it: every request that was shown has been answered, the answer is
//! out, and of the next one no byte has come. hyper is then shown an end, and lets go of the connection in good order.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Guard, Limits, Mode};

impl<S> Guard<S> {
    /// How much of a head is read.
    pub fn limits(&self) -> Limits {
        self.messages.limits()
    }

    /// What is read of a head from now on. For a connection that is parked.
    pub fn limit(&mut self, limits: Limits) {
        self.messages.limit(limits);
    }

    /// Nothing more can be read now: whether the connection was asked to park, and does.
    pub(super) fn parks(&mut self) -> bool {
        if !self.handle.parking().is_asked_for() {
            return false;
        }
        let parks =
            self.messages.is_before_head() && self.handle.is_idle_after(self.messages.heads()) && self.interim.is_out();
        if parks {
            self.mode = Mode::Parked;
        }
        // If it cannot be now, it is asked again when it has been idle for long enough again.
        self.handle.parking().set(parks);
        parks
    }

    /// There is a reader again.
    pub fn wake(&mut self) {
        if matches!(self.mode, Mode::Parked) {
            self.mode = Mode::Reading;
        }
        self.handle.parking().set(false);
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Waits, while parked, until there is something for a reader to see: a whole head, a refusal, or an end.
    pub fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.ready.is_empty() {
            let mut bytes = [MaybeUninit::uninit(); PIECE];
            let mut buf = ReadBuf::uninit(&mut bytes);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.examine_apart(buf.filled()),
                // The reader will see the same.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// Most heads are shorter. It is on the stack, and only while something is read.
const PIECE: usize = 4096;
