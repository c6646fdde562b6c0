//! What wakes a driver: from outside, whoever polls it is woken; by whoever polls it, it is noted alone.
//!
//! hyper has its driver woken whenever a piece of an answer's body is taken, the last one too, after which there is nothing
//! to send: with short answers that was one of the driver's three polls for each request.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Wake;

use super::{Drive, INSIDE, OUTSIDE};

impl Wake for Drive {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // What another thread wants of it meanwhile is another matter.
        if ptr::eq(HELD.get(), Arc::as_ptr(self)) {
            self.due.fetch_or(INSIDE, Ordering::SeqCst);
        } else {
            self.due.fetch_or(OUTSIDE, Ordering::SeqCst);
            self.notify();
        }
    }
}

thread_local! {
    /// Whose wakes are held back on this thread; only ever compared.
    static HELD: Cell<*const Drive> = const { Cell::new(ptr::null()) };
}

/// Wakes of one drive are held back on this thread while it lives; it ends also by a panic.
pub(super) struct Held;

impl Held {
    pub(super) fn on(drive: &Drive) -> Self {
        HELD.set(drive);
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(ptr::null());
    }
}
