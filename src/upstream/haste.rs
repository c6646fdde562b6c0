//! Whether an upstream closes connections on the heels of an answer, without saying so.
//!
//! A request that goes out on such a connection may get no answer, and only an idempotent one may be sent again (RFC 9110
//! §9.2.2; R53). So for the others a connection is good only once the close would have been seen, until the upstream has
//! proved that it keeps connections (R54). All times are those of [`clock`](super::clock), in milliseconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What is known of an upstream's ways.
#[derive(Default)]
pub(super) struct Haste {
    is_proved: AtomicBool,
    hasty_until: AtomicU64,
}

/// What a request that must not be sent twice may go out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caution {
    /// Any idle connection.
    None,
    /// Any, once it has lain idle for [`QUIET`].
    Wait,
    /// One that has lain idle for [`RESTED`] already; else a new one.
    Rested,
}

impl Caution {
    /// How long to wait before a connection is looked at that has lain idle for so long.
    pub(super) fn wait(self, idle: u64) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Wait if idle >= QUIET => None,
            Self::Wait => Some(Duration::from_millis(QUIET - idle)),
            // However long it has lain: a runtime with much to do may not have looked at its socket.
            Self::Rested => Some(Duration::from_millis(1)),
        }
    }
}

impl Haste {
    /// A connection has come back after so many answers.
    pub(super) fn answered(&self, answers: u32) {
        if answers == PROOF {
            self.is_proved.store(true, Ordering::Relaxed);
        }
    }

    /// The upstream has closed a connection that had lain idle for so long.
    pub(super) fn closed(&self, idle: u64, now: u64) {
        if idle < HEELS {
            self.is_proved.store(false, Ordering::Relaxed);
            self.hasty_until.store(now.saturating_add(MEMORY), Ordering::Relaxed);
        }
    }

    pub(super) fn caution(&self, now: u64) -> Caution {
        if now < self.hasty_until.load(Ordering::Relaxed) {
            Caution::Rested
        } else if self.is_proved.load(Ordering::Relaxed) {
            Caution::None
        } else {
            Caution::Wait
        }
    }
}

/// An upstream whose connection has served so many requests keeps connections.
const PROOF: u32 = 4;

/// The least that a server which keeps connections at all keeps them (gunicorn: 2 s, Node.js and Apache: 5 s).
const HEELS: u64 = 1_000;

/// How long a hasty close is remembered.
const MEMORY: u64 = 60_000;

/// A close on the heels of an answer has come after this time. No longer: everybody's first requests wait for it.
const QUIET: u64 = 100;

/// The same on a machine that is overwhelmed. Nobody waits for it: there are new connections.
pub(super) const RESTED: u64 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    // R54
    #[test]
    fn an_upstream_is_trusted_when_it_has_kept_a_connection_and_until_it_closes_one_in_haste() {
        let haste = Haste::default();
        haste.answered(PROOF - 1);
        assert_eq!(haste.caution(5), Caution::Wait);
        haste.answered(PROOF);
        assert_eq!(haste.caution(5), Caution::None);
        haste.closed(5_000, 10_000);
        assert_eq!(haste.caution(10_001), Caution::None, "it kept the connection for its own idle time");
        haste.closed(3, 10_000);
        assert_eq!(haste.caution(69_999), Caution::Rested);
        assert_eq!(haste.caution(70_000), Caution::Wait);
    }
}
