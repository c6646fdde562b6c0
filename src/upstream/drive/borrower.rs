//! What a borrower does with the driver besides polling it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::{Drive, Driver};

impl Drive {
    /// Does something with the driver, if nobody polls it now and it has not ended; tells what came of it.
    pub(in crate::upstream) fn with<T>(&self, act: impl FnOnce(&mut dyn Driver) -> T) -> Option<T> {
        let mut driver = self.try_driver()?;
        let done = driver.as_mut().map(|driving| self.hold_back(|| act(&mut *driving.driver)));
        drop(driver);
        self.was_polled();
        done
    }

    /// Does something with the driver in any case, after whoever polls it now: no poll lasts long. `false`: it has ended.
    pub(in crate::upstream) fn with_surely(&self, act: impl FnOnce(&mut dyn Driver)) -> bool {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let done = driver.as_mut().map(|driving| act(&mut *driving.driver));
        drop(driver);
        self.was_polled();
        done.is_some()
    }

    /// Does something with the driver that waits, in the borrower's own name: the task is woken for it, and when the driver
    /// ends. `None`: it has.
    pub(in crate::upstream) fn poll_with<T>(
        &self,
        cx: &mut Context<'_>,
        mut act: impl FnMut(&mut dyn Driver, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let mut polled = self.with(|driver| act(driver, cx));
        if polled.is_none() {
            // Another thread has it, and will tell.
            self.serves(cx.waker());
            polled = self.with(|driver| act(driver, cx));
        }
        match polled {
            Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
            _ if self.is_ended_for(cx.waker()) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    /// The driver has nothing to do any more until [`restart`](Self::restart).
    pub(in crate::upstream) fn rests(&self) {
        self.due.store(0, Ordering::SeqCst);
    }

    /// Does something with the driver, if nobody polls it now and it has not ended, and polls it.
    pub(in crate::upstream) fn restart(&self, own: &Waker, act: impl FnOnce(&mut dyn Driver)) {
        let Some(mut driver) = self.try_driver() else { return };
        if let Some(driving) = driver.as_mut() {
            act(&mut *driving.driver);
            self.poll_driver(driver, &mut Context::from_waker(own));
        }
    }
}
