//! Numbers for threads, so that each writes to memory of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// This thread's number, given out in turn to those that ask: with no more of them than there are places, none share
/// one. No other thread ever has it, not even when this one has ended: the figures rely on it.
#[inline]
pub(super) fn slot() -> usize {
    SLOT.with(|slot| match slot.get() {
        usize::MAX => take(slot),
        known => known,
    })
}

#[cold]
fn take(slot: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    slot.set(NEXT.fetch_add(1, Ordering::Relaxed));
    slot.get()
}

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}
