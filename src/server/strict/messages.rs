//! One connection's messages, one after the other: where each head and body begins and ends. Does no I/O.

use super::Limits;
use super::body::Chunks;
use super::head::{Body, Framing, Head, Progress};
use super::known::KnownFields;
use super::violation::{Violation, bad};

/// What the bytes so far are, and what may be let through.
#[derive(Debug)]
pub(super) struct Messages {
    limits: Limits,
    place: Place,
    /// Bytes that were read and must not be seen yet: a part of a head, or what follows a request to upgrade.
    kept: Vec<u8>,
    known: KnownFields,
    /// How many heads were complete and well.
    heads: u64,
    /// Empty lines before the next head.
    blanks: usize,
    /// Whether the present request asks for a tunnel.
    wants_tunnel: bool,
}

#[derive(Debug)]
enum Place {
    Head(Head),
    Length(u64),
    Chunked(Chunks),
    /// After a request to upgrade: nobody knows yet what comes.
    Crossroads,
}

/// What to do with the first bytes of those given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This many go on.
    Pass(usize),
    /// This many go nowhere.
    Drop(usize),
    /// This many are kept.
    Keep(usize),
    /// This many were kept, and all that is kept goes on now.
    Release(usize),
}

impl Messages {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Head(Head::default()),
            kept: Vec::new(),
            known: KnownFields::default(),
            heads: 0,
            blanks: 0,
            wants_tunnel: false,
        }
    }

    /// Looks at the next bytes, of which there must be one at least.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match &mut self.place {
            Place::Head(_) if self.kept.is_empty() => self.step_head(bytes),
            Place::Head(_) => self.step_kept_head(bytes),
            Place::Length(remaining) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*remaining);
                *remaining -= length;
                if *remaining == 0 {
                    self.after_body();
                }
                Ok(Step::Pass(usize::try_from(length).unwrap_or(bytes.len())))
            }
            Place::Chunked(chunks) => {
                let length = chunks.read_on(bytes, &self.limits)?;
                if chunks.is_at_end() {
                    self.after_body();
                }
                Ok(Step::Pass(length))
            }
            Place::Crossroads => {
                self.kept.extend_from_slice(bytes);
                Ok(Step::Keep(bytes.len()))
            }
        }
    }

    fn step_head(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let Place::Head(head) = &mut self.place else { return Ok(Step::Pass(0)) };
        let line = head.read_line(bytes, &self.limits);
        if let Some((length, framing)) = line.and_then(|line| self.known.follow(line, bytes, &self.limits)) {
            self.after_head(framing);
            return Ok(Step::Pass(length));
        }
        match head.read_on(bytes, &self.limits)? {
            Progress::Complete { length, framing } => {
                // Not of the first request, which is the only one on many a connection.
                if self.heads > 0
                    && let Some(fields) = line.and_then(|line| bytes.get(line..length))
                {
                    self.known.remember(fields, framing);
                }
                self.after_head(framing);
                Ok(Step::Pass(length))
            }
            Progress::Blank => {
                self.note_blank()?;
                Ok(Step::Drop(BLANK.len()))
            }
            Progress::Partial => {
                self.kept.extend_from_slice(bytes);
                Ok(Step::Keep(bytes.len()))
            }
        }
    }

    /// The part that is kept, and what follows it up to the head's end.
    fn step_kept_head(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        let Place::Head(head) = &mut self.place else { return Ok(Step::Pass(0)) };
        let before = self.kept.len();
        // One byte more than a head may have is enough to see that it has too many.
        let wanted = (self.limits.head + 1).saturating_sub(before).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        match head.read_on(&self.kept, &self.limits)? {
            Progress::Complete { length, framing } => {
                self.kept.truncate(length);
                self.after_head(framing);
                Ok(Step::Release(length - before))
            }
            Progress::Blank => {
                self.note_blank()?;
                self.kept.clear();
                Ok(Step::Drop(BLANK.len() - before))
            }
            Progress::Partial => Ok(Step::Keep(wanted)),
        }
    }

    /// Some clients send an empty line after a body (RFC 9112 §2.2).
    fn note_blank(&mut self) -> Result<(), Violation> {
        self.blanks += 1;
        self.place = Place::Head(Head::default());
        if self.blanks > BLANKS_MAX { Err(bad("there are empty lines before the request line")) } else { Ok(()) }
    }

    fn after_head(&mut self, framing: Framing) {
        self.heads += 1;
        self.blanks = 0;
        self.wants_tunnel = framing.websocket;
        match framing.body {
            Body::None => self.after_body(),
            Body::Length(length) => self.place = Place::Length(length),
            Body::Chunked => self.place = Place::Chunked(Chunks::default()),
        }
    }

    fn after_body(&mut self) {
        self.place = if self.wants_tunnel { Place::Crossroads } else { Place::Head(Head::default()) };
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the next byte is the first of a head.
    pub(super) fn is_before_head(&self) -> bool {
        self.is_in_head() && self.kept.is_empty()
    }

    /// How many heads were complete and well.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }

    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Length(_) | Place::Chunked(_))
    }

    pub(super) fn is_at_crossroads(&self) -> bool {
        matches!(self.place, Place::Crossroads)
    }

    /// There will be no tunnel: the next bytes are a request.
    pub(super) fn go_straight_on(&mut self) {
        self.place = Place::Head(Head::default());
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

const BLANK: &[u8] = b"\r\n";

/// How many empty lines may stand before a request line.
const BLANKS_MAX: usize = 2;
