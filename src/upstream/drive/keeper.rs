//! The task that a connection has all its life: it polls the driver whenever nobody has borrowed it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Advance, Drive, Driver, Driving};

impl Drive {
    /// Begins with this driver. What it returns polls the driver whenever nobody has borrowed it, until it ends; dropped,
    /// it drops the driver.
    pub(in crate::upstream) fn keep(
        self: &Arc<Self>,
        driver: Box<dyn Driver>,
    ) -> impl Future<Output = ()> + Send + use<> {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(Driving { driver, turns: 0 });
        let keeper = Keeper(Arc::clone(self));
        let waker = Waker::from(Arc::clone(self));
        std::future::poll_fn(move |cx| keeper.0.poll_kept(&waker, cx))
    }

    fn poll_kept(&self, waker: &Waker, cx: &Context<'_>) -> Poll<()> {
        // A task has one waker all its life.
        self.keeper.get_or_init(|| cx.waker().clone());
        let advance = match self.is_borrowed.load(Ordering::SeqCst) {
            true => Advance::None,
            false => self.advance(&mut Context::from_waker(waker)),
        };
        if advance == Advance::Ended || self.is_ended() {
            return Poll::Ready(());
        }
        // It has woken itself, or whoever borrowed it while it was polled.
        if self.is_due() {
            self.notify();
        }
        Poll::Pending
    }
}

/// Drops the driver when it is dropped: its task is all that is sure to end.
struct Keeper(Arc<Drive>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
