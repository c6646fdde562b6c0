//! Wakes the task that drives a connection, save where it would find nothing to do.
//!
//! hyper has its driver woken whenever a piece of an answer's body is taken, the last one too, after which there is nothing
//! to send: with short answers that was one of the driver's three polls for each request.

use std::cell::Cell;
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

/// Stands between hyper's driver and the task that it runs in.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    task: OnceLock<Waker>,
}

impl Wakes {
    /// Polls the driver with us as what it is woken by.
    pub(super) fn pass<T>(
        &self,
        waker: &Waker,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // A task has one waker all its life.
        self.task.get_or_init(|| cx.waker().clone());
        poll(&mut Context::from_waker(waker))
    }

    /// Does something on this thread that may wake the driver, and holds that back. Says whether it would have.
    pub(super) fn hold_back<T>(&self, act: impl FnOnce() -> T) -> (T, bool) {
        let _released = Held::on(self);
        let done = act();
        (done, WAS_WOKEN.get())
    }

    /// Wakes it.
    pub(super) fn wake_task(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // What another thread wants of it meanwhile is another matter.
        if ptr::eq(HELD.get(), Arc::as_ptr(self)) {
            WAS_WOKEN.set(true);
        } else {
            self.wake_task();
        }
    }
}

thread_local! {
    /// Whose wakes are held back on this thread; only ever compared.
    static HELD: Cell<*const Wakes> = const { Cell::new(ptr::null()) };
    static WAS_WOKEN: Cell<bool> = const { Cell::new(false) };
}

/// Ends when dropped, also by a panic.
struct Held;

impl Held {
    fn on(wakes: &Wakes) -> Self {
        WAS_WOKEN.set(false);
        HELD.set(wakes);
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(ptr::null());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn driven() -> (Arc<Wakes>, Waker, Arc<Count>) {
        let (wakes, count) = (Arc::<Wakes>::default(), Arc::<Count>::default());
        let (waker, task) = (Waker::from(Arc::clone(&wakes)), Waker::from(Arc::clone(&count)));
        let polled = wakes.pass(&waker, &Context::from_waker(&task), |_| Poll::<()>::Pending);
        assert!(polled.is_pending());
        (wakes, waker, count)
    }

    #[test]
    fn a_wake_goes_through_unless_it_is_held_back() {
        let (wakes, waker, count) = driven();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(wakes.hold_back(|| waker.wake_by_ref()), ((), true));
        assert_eq!(wakes.hold_back(|| ()), ((), false));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn another_connections_wake_and_another_threads_go_through() {
        let (wakes, waker, count) = driven();
        let (_, other, others) = driven();
        let ((), was_woken) = wakes.hold_back(|| {
            other.wake_by_ref();
            std::thread::scope(|scope| {
                scope.spawn(|| waker.wake_by_ref());
            });
        });
        assert!(!was_woken);
        assert_eq!((count.0.load(Ordering::Relaxed), others.0.load(Ordering::Relaxed)), (1, 1));
    }
}
