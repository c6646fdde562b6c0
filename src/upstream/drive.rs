//! Who moves the bytes of a connection: a keeper that it has for all its life, or whoever reads a long answer.
//!
//! hyper's client is a future that has to be polled. The keeper, a task of its own, polls it while a request is sent and
//! its head is waited for: with many connections all that was read is then written in one go, for which the peers are
//! woken less often. But a long answer that is read by one task and written by another has left the processor's cache in
//! between, so what follows its first piece is read by whoever passes it on: an answer's body *borrows* the driver, and
//! polls it in its own task, or reads in its stead (see [`driver`](super::driver)). In either way it is polled where it was
//! woken, and only then.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use self::wakes::Held;
use super::driver::Driver;

/// A driver, and who polls it.
pub(super) struct Drive {
    /// `None`: nothing drives the connection any more.
    driver: Mutex<Option<Driving>>,
    /// Why it is to be polled: [`INSIDE`], [`OUTSIDE`].
    due: AtomicU8,
    /// Somebody wanted to poll it while another did.
    was_missed: AtomicBool,
    /// Which poll of the driver this is; none while it is not being polled.
    turn: AtomicU32,
    is_ended: AtomicBool,
    is_aborted: AtomicBool,
    /// Whether a borrower polls it; else the keeper.
    is_borrowed: AtomicBool,
    borrower: Mutex<Option<Waker>>,
    keeper: OnceLock<Waker>,
}

/// What whoever polls it did to it: an answer was taken, a request handed over.
const INSIDE: u8 = 1;
/// Anything else: the socket, another thread, the driver itself.
const OUTSIDE: u8 = 2;

/// A driver, and how often it has been polled.
struct Driving {
    driver: Box<dyn Driver>,
    turns: u32,
}

impl Driving {
    fn poll(&mut self, own: &mut Context<'_>, turn: &AtomicU32) -> Poll<()> {
        self.turns = self.turns.wrapping_add(1).max(1);
        turn.store(self.turns, Ordering::Relaxed);
        let polled = self.driver.poll(own);
        turn.store(0, Ordering::Relaxed);
        polled
    }
}

/// What came of looking after the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advance {
    /// There was nothing to do.
    None,
    /// Another thread is polling it, and will tell.
    Missed,
    /// It was polled.
    Polled,
    /// There is none any more.
    Ended,
}

impl Drive {
    pub(super) fn new() -> Self {
        Self {
            driver: Mutex::new(None),
            due: AtomicU8::new(OUTSIDE),
            was_missed: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            is_ended: AtomicBool::new(false),
            is_aborted: AtomicBool::new(false),
            is_borrowed: AtomicBool::new(false),
            borrower: Mutex::default(),
            keeper: OnceLock::new(),
        }
    }

    /// The caller polls it from now on.
    pub(super) fn borrow(&self) {
        self.is_borrowed.store(true, Ordering::SeqCst);
    }

    /// The keeper does again. `is_at_rest`: what was done to it last gives it nothing to do.
    pub(super) fn give_back(&self, is_at_rest: bool) {
        self.is_borrowed.store(false, Ordering::SeqCst);
        let due = self.due.load(Ordering::SeqCst);
        if due & OUTSIDE != 0 || (due != 0 && !is_at_rest) || self.is_ended() {
            self.wake_keeper();
        }
    }

    /// To be said while it is polled: it has put off what it could do, and is to be polled again, at the latest when it is
    /// given back.
    pub(super) fn puts_off(&self) {
        self.due.fetch_or(OUTSIDE, Ordering::SeqCst);
    }

    /// Which poll of the driver this is, if it is one.
    pub(super) fn turn(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.turn.load(Ordering::Relaxed))
    }

    /// Whether nothing drives the connection any more.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    /// Whether nothing drives the connection any more; else this task is woken when it ends.
    pub(super) fn is_ended_for(&self, task: &Waker) -> bool {
        self.serves(task);
        self.is_ended()
    }

    /// Does something that waits for the driver, and polls the driver for as long as that has it woken. To be called by
    /// the borrower, whose task is woken for both.
    ///
    /// `own`: the waker that is this drive.
    pub(super) fn poll<T>(
        &self,
        own: &Waker,
        cx: &Context<'_>,
        mut act: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let own = &mut Context::from_waker(own);
        for _ in 0..TURNS {
            if self.advance(own) == Advance::Missed {
                self.serves(cx.waker());
                if self.advance(own) == Advance::Missed {
                    return Poll::Pending;
                }
            }
            if let Poll::Ready(done) = self.hold_back(|| act(own)) {
                return Poll::Ready(done);
            }
            if !self.is_due() {
                // What comes from now on wakes this task; what has come before that is still to be seen.
                self.serves(cx.waker());
                if !self.is_due() {
                    return Poll::Pending;
                }
            }
            if self.is_ended() {
                return Poll::Pending;
            }
        }
        // Its share of time is used up.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The task that is woken while the driver is borrowed.
    pub(super) fn serves(&self, task: &Waker) {
        let mut borrower = self.borrower.lock().unwrap_or_else(PoisonError::into_inner);
        if !borrower.as_ref().is_some_and(|known| known.will_wake(task)) {
            *borrower = Some(task.clone());
        }
    }

    /// Does something on this thread that may wake the driver; whoever does it will look after the driver next.
    pub(super) fn hold_back<T>(&self, act: impl FnOnce() -> T) -> T {
        let _released = Held::on(self);
        act()
    }

    /// Has the borrower look at what there is.
    pub(super) fn call_borrower(&self) {
        let borrower = self.borrower.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(borrower) = &*borrower {
            borrower.wake_by_ref();
        }
    }

    /// Ends it now, whatever it is doing; whoever waits for it is told.
    pub(super) fn abort(&self) {
        self.is_aborted.store(true, Ordering::SeqCst);
        self.drop_aborted();
    }

    fn is_due(&self) -> bool {
        self.due.load(Ordering::SeqCst) != 0
    }

    /// Polls the driver if it has been woken.
    fn advance(&self, own: &mut Context<'_>) -> Advance {
        if !self.is_due() {
            return if self.is_ended() { Advance::Ended } else { Advance::None };
        }
        match self.try_driver() {
            None => Advance::Missed,
            Some(driver) => self.poll_driver(driver, own),
        }
    }

    fn poll_driver(&self, mut driver: MutexGuard<'_, Option<Driving>>, own: &mut Context<'_>) -> Advance {
        let Some(driving) = driver.as_mut() else { return Advance::Ended };
        self.due.swap(0, Ordering::SeqCst);
        let polled = self.hold_back(|| driving.poll(own, &self.turn));
        let ended = if polled.is_ready() { driver.take() } else { None };
        drop(driver);
        match ended.is_some() {
            true => self.ends(ended),
            false => self.was_polled(),
        }
        Advance::Polled
    }

    /// What came in the way while it was polled.
    fn was_polled(&self) {
        if self.is_aborted.load(Ordering::SeqCst) {
            self.drop_aborted();
        }
        if self.was_missed.load(Ordering::SeqCst) && self.was_missed.swap(false, Ordering::SeqCst) {
            self.notify();
        }
    }

    #[cold]
    fn drop_aborted(&self) {
        // Whoever holds it looks again when it is done.
        let Some(mut driver) = self.try_driver() else { return };
        let driver_now = driver.take();
        drop(driver);
        if driver_now.is_some() {
            self.ends(driver_now);
        }
    }

    #[cold]
    fn ends(&self, driver: Option<Driving>) {
        // What it held it gives back first: whoever waits finds the end of it.
        drop(driver);
        self.is_ended.store(true, Ordering::Release);
        self.due.fetch_or(OUTSIDE, Ordering::SeqCst);
        self.call_borrower();
        self.wake_keeper();
    }

    /// The driver, if nobody else is polling it; who is looks again after that.
    fn try_driver(&self) -> Option<MutexGuard<'_, Option<Driving>>> {
        match self.driver.try_lock() {
            Ok(driver) => Some(driver),
            // It has panicked: what it is in then nobody knows.
            Err(TryLockError::Poisoned(poisoned)) => {
                let mut driver = poisoned.into_inner();
                *driver = None;
                self.is_ended.store(true, Ordering::Release);
                self.call_borrower();
                self.wake_keeper();
                Some(driver)
            }
            Err(TryLockError::WouldBlock) => {
                self.was_missed.store(true, Ordering::SeqCst);
                // It may have been let go in the meantime, unseen by who did.
                self.driver.try_lock().ok()
            }
        }
    }

    fn notify(&self) {
        match self.is_borrowed.load(Ordering::SeqCst) {
            true => self.call_borrower(),
            false => self.wake_keeper(),
        }
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.wake_by_ref();
        }
    }
}

/// How often in a row the driver is polled because it was woken by what was done to it.
const TURNS: u32 = 8;

mod borrower;
mod keeper;
mod wakes;

#[cfg(test)]
mod tests;
