//! What a connection is doing and until when it may, readable from outside without a lock.
//!
//! No request has a timer. One sweep looks at all watches (see [`environment`](super::environment)); whoever moves a
//! deadline on at the same moment wins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::UpstreamError;
use super::clock;
use super::drive::Drive;
use super::interim::Interim;

/// The deadline of a connection and what it is doing, readable from outside without a lock.
pub(super) struct Watch {
    state: AtomicU64,
    uploaded: AtomicBool,
    /// Whether something that was to be written has not been yet.
    is_writing: AtomicBool,
    /// Whether the peer takes nothing any more.
    is_peer_gone: AtomicBool,
    /// Whether the request's body stands still because the downstream sends nothing; else the upstream takes nothing.
    waits_for_body: AtomicBool,
    opened: u64,
    /// When it was last put away.
    idle_since: AtomicU64,
    /// What moves the connection's bytes.
    drive: Arc<Drive>,
    /// Interim answers that they have not taken yet.
    interim: Interim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In the pool.
    Idle,
    /// The request's body is on its way.
    Upload,
    /// Waiting for the head of the answer.
    Head,
    /// The answer's body is on its way.
    Body,
    /// Ended: it lay idle for too long, or its body stood still.
    Ended,
    /// Ended: the request's body stood still.
    EndedUpload,
    /// Ended: no head came.
    EndedHead,
}

impl Phase {
    fn of(state: u64) -> Self {
        match state & 7 {
            0 => Self::Idle,
            1 => Self::Upload,
            2 => Self::Head,
            3 => Self::Body,
            5 => Self::EndedUpload,
            6 => Self::EndedHead,
            _ => Self::Ended,
        }
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Upload => 1,
            Self::Head => 2,
            Self::Body => 3,
            Self::Ended => 4,
            Self::EndedUpload => 5,
            Self::EndedHead => 6,
        }
    }

    /// What it becomes when its deadline passes.
    fn ended(self) -> Self {
        match self {
            Self::Upload => Self::EndedUpload,
            Self::Head => Self::EndedHead,
            Self::Idle | Self::Body => Self::Ended,
            ended @ (Self::Ended | Self::EndedUpload | Self::EndedHead) => ended,
        }
    }
}

/// Three bits of phase, the rest milliseconds.
fn pack(phase: Phase, deadline: u64) -> u64 {
    (deadline.min(u64::MAX >> 3) << 3) | phase.bits()
}

/// How long a connection that nobody uses any more may take to send what it has; in milliseconds.
const LAST_WORDS: u64 = 1_000;

impl Watch {
    pub(super) fn new() -> Self {
        let now = clock::now();
        Self {
            state: AtomicU64::new(pack(Phase::Idle, u64::MAX)),
            uploaded: AtomicBool::new(true),
            is_writing: AtomicBool::new(false),
            is_peer_gone: AtomicBool::new(false),
            waits_for_body: AtomicBool::new(false),
            opened: now,
            idle_since: AtomicU64::new(now),
            drive: Arc::new(Drive::new()),
            interim: Interim::default(),
        }
    }

    /// What moves the connection's bytes.
    pub(super) fn drive(&self) -> &Arc<Drive> {
        &self.drive
    }

    /// Interim answers on their way to whoever waits for the final one.
    pub(super) fn interim(&self) -> &Interim {
        &self.interim
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether it lies unused.
    pub(super) fn is_idle(&self) -> bool {
        Phase::of(self.state.load(Ordering::Acquire)) == Phase::Idle
    }

    /// For how long it has.
    pub(super) fn idle_for(&self, now: u64) -> u64 {
        now.saturating_sub(self.idle_since.load(Ordering::Relaxed))
    }

    /// Put away, for at most `allowed`.
    pub(super) fn rest(&self, now: u64, allowed: u64) {
        self.idle_since.store(now, Ordering::Relaxed);
        self.state.store(pack(Phase::Idle, now.saturating_add(allowed)), Ordering::Release);
    }

    /// Nobody will use the connection again: what it is still doing has little time left.
    pub(super) fn left(&self) {
        let phase = Phase::of(self.state.load(Ordering::Acquire));
        if phase != Phase::Idle && phase != phase.ended() {
            self.set(Phase::Body, LAST_WORDS);
        }
    }

    /// Taken out of idleness; `false` when it is ending.
    pub(super) fn wake(&self, allowed: u64) -> bool {
        let observed = self.state.load(Ordering::Acquire);
        let busy = pack(Phase::Head, clock::now().saturating_add(allowed));
        Phase::of(observed) == Phase::Idle
            && self.state.compare_exchange(observed, busy, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A request without a body is on its way: `None`; one with: what its pieces may take.
    pub(super) fn sends(&self, upload: Option<u64>, response_head: u64) {
        self.uploaded.store(upload.is_none(), Ordering::Relaxed);
        match upload {
            Some(idle) => self.set(Phase::Upload, idle),
            None => self.set(Phase::Head, response_head),
        }
    }

    /// Something is to be written; or all of it has been.
    pub(super) fn writes(&self, is_writing: bool) {
        self.is_writing.store(is_writing, Ordering::Relaxed);
    }

    /// Whether all that was to be written has been. What hyper has not tried to write yet it does not know: to be asked
    /// while nobody polls hyper, which never leaves something untried.
    pub(super) fn has_written(&self) -> bool {
        !self.is_writing.load(Ordering::Relaxed)
    }

    /// What was written did not get there, nor will what is written from now on.
    pub(super) fn peer_has_gone(&self) {
        self.is_peer_gone.store(true, Ordering::Release);
    }

    /// Whether the peer still takes what is written.
    pub(super) fn has_peer(&self) -> bool {
        !self.is_peer_gone.load(Ordering::Acquire)
    }

    /// Whether the request was sent to its end.
    pub(super) fn has_uploaded(&self) -> bool {
        self.uploaded.load(Ordering::Acquire)
    }

    fn set(&self, phase: Phase, span: u64) {
        self.state.store(pack(phase, clock::now().saturating_add(span)), Ordering::Release);
    }

    /// The answer's head, or a piece of its body, has come.
    pub(super) fn body_moved(&self, idle: u64) {
        self.set(Phase::Body, idle);
    }

    /// The request's body was asked for more: whether there was nothing.
    pub(super) fn waits_for_body(&self, waits: bool) {
        self.waits_for_body.store(waits, Ordering::Relaxed);
    }

    /// A piece of the request's body has gone; the answer may have begun already.
    pub(super) fn upload_moved(&self, idle: u64) {
        self.move_from(Phase::Upload, Phase::Upload, idle);
        self.move_from(Phase::Body, Phase::Body, idle);
    }

    /// The request's body has gone to its end.
    pub(super) fn upload_ended(&self, response_head: u64) {
        self.uploaded.store(true, Ordering::Release);
        self.move_from(Phase::Upload, Phase::Head, response_head);
    }

    fn move_from(&self, from: Phase, to: Phase, span: u64) {
        let observed = self.state.load(Ordering::Acquire);
        if Phase::of(observed) == from {
            let next = pack(to, clock::now().saturating_add(span));
            let _ = self.state.compare_exchange(observed, next, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Ends the connection when its deadline has passed.
    pub(super) fn end_if_due(&self, now: u64) {
        let observed = self.state.load(Ordering::Acquire);
        let (phase, deadline) = (Phase::of(observed), observed >> 3);
        if phase == phase.ended() || deadline >= u64::MAX >> 3 || now < deadline {
            return;
        }
        let ended = pack(phase.ended(), deadline);
        // Whoever moved it on in the meantime has saved it.
        if self.state.compare_exchange(observed, ended, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.abort();
        }
    }

    /// Ends the connection: its driver is dropped, which closes the socket.
    pub(super) fn abort(&self) {
        self.drive.abort();
    }

    /// Which time had passed, if the connection was ended for one.
    pub(super) fn timed_out(&self) -> Option<UpstreamError> {
        match Phase::of(self.state.load(Ordering::Acquire)) {
            Phase::EndedUpload if self.waits_for_body.load(Ordering::Relaxed) => Some(UpstreamError::UploadTimeout),
            Phase::EndedUpload => Some(UpstreamError::WriteTimeout),
            Phase::EndedHead => Some(UpstreamError::ResponseHeadTimeout),
            Phase::Idle | Phase::Upload | Phase::Head | Phase::Body | Phase::Ended => None,
        }
    }
}
