//! Lines on their way out, written by a thread of their own.
//!
//! Appending is a push into a buffer of the caller's own shard under a lock that nobody else holds for longer than a
//! swap. The writer sleeps while there is nothing, and gathers for a moment when there is something. A sink that
//! stalls or fails never reaches back: the buffers are bounded, and lines beyond that are counted and dropped. Lines
//! of different threads may change places within one gathering; each bears its own time.

mod sink;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

pub(super) use sink::Sink;

use super::metrics::Counter;
use super::slot::slot;

/// How a spool behaves.
pub(super) struct Settings {
    /// The writer thread's name.
    pub(super) name: &'static str,
    /// How long the writer gathers lines before it writes them.
    pub(super) linger: Duration,
    /// Counts lines that were not written.
    pub(super) dropped: Arc<Counter>,
    /// Called on the writer thread for the first of a row of failures.
    pub(super) on_failure: fn(&std::io::Error),
}

/// A bounded buffer of lines with state `S` beside each of its shards, and the thread that empties it.
pub(super) struct Spool<S> {
    shared: Arc<Shared<S>>,
    writer: Thread,
}

struct Shared<S> {
    shards: Box<[Shard<S>]>,
    /// How many bytes a shard takes.
    room: usize,
    /// There is something to write. Set by appenders after their push, cleared by the writer before it looks.
    pending: AtomicBool,
    /// Some shard is filling up: write now.
    hurry: AtomicBool,
    reopen: AtomicBool,
    closed: AtomicBool,
    /// Flushes asked for, and how many of them are done.
    asked: AtomicU64,
    done: Mutex<u64>,
    done_changed: Condvar,
    settings: Settings,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Shard<S>(Mutex<Lines<S>>);

struct Lines<S> {
    bytes: Vec<u8>,
    state: S,
}

impl<S: Default + Send + 'static> Spool<S> {
    /// Starts the writer.
    pub(super) fn start(settings: Settings, sink: Sink) -> std::io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from).next_power_of_two().min(MAX_SHARDS);
        let shard = || Shard(Mutex::new(Lines { bytes: Vec::new(), state: S::default() }));
        let shared = Arc::new(Shared {
            shards: (0..count).map(|_| shard()).collect(),
            room: MAX_BYTES / count,
            pending: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            done: Mutex::new(0),
            done_changed: Condvar::new(),
            settings,
        });
        let for_writer = Arc::clone(&shared);
        // Not joined: a sink that stalls must not keep the process from ending. Who ends it flushes before.
        let writer =
            thread::Builder::new().name(shared.settings.name.to_owned()).spawn(move || for_writer.run(sink))?;
        Ok(Self { shared, writer: writer.thread().clone() })
    }

    /// Appends what `line` pushes, unless the sink is so far behind that there is no room.
    pub(super) fn append(&self, line: impl FnOnce(&mut Vec<u8>, &mut S)) {
        let shared = &*self.shared;
        let Some(shard) = shared.shards.get(slot() & (shared.shards.len() - 1)) else { return };
        let mut lines = lock(&shard.0);
        if lines.bytes.len() >= shared.room {
            return shared.settings.dropped.add(1);
        }
        let Lines { bytes, state } = &mut *lines;
        line(bytes, state);
        let filling = bytes.len() >= HURRY_AT;
        drop(lines);
        if !shared.pending.load(Ordering::Relaxed) && !shared.pending.swap(true, Ordering::AcqRel) {
            self.writer.unpark();
        }
        if filling && !shared.hurry.swap(true, Ordering::AcqRel) {
            self.writer.unpark();
        }
    }

    /// Waits until what has been appended is written, at most [`FLUSH_LIMIT`].
    pub(super) fn flush(&self) {
        let mine = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.writer.unpark();
        let done = lock(&self.shared.done);
        let waited = self.shared.done_changed.wait_timeout_while(done, FLUSH_LIMIT, |done| *done < mine);
        drop(waited);
    }

    /// Opens the sink's file again before the next line is written.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

impl<S> Drop for Spool<S> {
    /// The writer writes what is left, and ends. Nobody waits for it: the last to hold a log that a reload replaced is
    /// a worker.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

impl<S> Shared<S> {
    fn run(&self, mut sink: Sink) {
        let mut batch = Vec::new();
        let mut failing = false;
        loop {
            self.wait();
            let closed = self.closed.load(Ordering::Acquire);
            let asked = self.asked.load(Ordering::Acquire);
            self.pending.store(false, Ordering::Release);
            self.hurry.store(false, Ordering::Release);
            let mut outcome = if self.reopen.swap(false, Ordering::AcqRel) { sink.reopen() } else { Ok(()) };
            for shard in &self.shards {
                std::mem::swap(&mut lock(&shard.0).bytes, &mut batch);
                outcome = outcome.and(sink.write(&batch, &self.settings.dropped));
                batch.clear();
                batch.shrink_to(KEEP);
            }
            if let Err(error) = &outcome
                && !failing
            {
                (self.settings.on_failure)(error);
            }
            failing = outcome.is_err();
            *lock(&self.done) = asked;
            self.done_changed.notify_all();
            if closed {
                return;
            }
        }
    }

    /// Until there is something to write, and then a moment more, so that one write takes many lines.
    fn wait(&self) {
        while !self.pending.load(Ordering::Acquire) && !self.is_urgent() {
            thread::park();
        }
        let until = Instant::now() + self.settings.linger;
        while !self.is_urgent() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn is_urgent(&self) -> bool {
        self.hurry.load(Ordering::Acquire)
            || self.closed.load(Ordering::Acquire)
            || self.reopen.load(Ordering::Acquire)
            || self.asked.load(Ordering::Acquire) != *lock(&self.done)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All shards together. A second of lines at 80,000 requests a second.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A shard this full is written at once: it is many times what a pipe takes.
const HURRY_AT: usize = 32 * 1024;

/// What a buffer keeps when it has been written, so that a busy proxy does not allocate.
const KEEP: usize = 128 * 1024;

/// Beyond this many, threads share.
const MAX_SHARDS: usize = 16;

/// How long an end is held up by a sink that stalls.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
