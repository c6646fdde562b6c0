//! Whether a connection has a reader, or waits without one for its next request.

use std::sync::atomic::{AtomicU8, Ordering};

/// Asked for from outside, at any time; done by the connection itself, when nothing is lost by it.
#[derive(Debug, Default)]
pub struct Parking(AtomicU8);

impl Parking {
    /// Asks the connection to park. Whether it is to be woken for that: not if it was asked before, or is parked.
    pub fn ask(&self) -> bool {
        self.0.compare_exchange(SERVED, ASKED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it has no reader.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PARKED
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASKED
    }

    pub(super) fn set(&self, is_parked: bool) {
        self.0.store(if is_parked { PARKED } else { SERVED }, Ordering::Relaxed);
    }
}

/// It has a reader.
const SERVED: u8 = 0;
/// It has, and is to do without.
const ASKED: u8 = 1;
/// It does.
const PARKED: u8 = 2;
