//! One access token: finished header values, and until when they may be used.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::{Inject, Moment, TokenError};
use crate::secret::Secret;

/// An access token, ready to be copied onto requests.
///
/// *Fresh* until its expiry less the margin, *live* until its expiry (DESIGN.md section 3).
pub struct AccessToken {
    headers: Box<[(HeaderName, HeaderValue)]>,
    query: Box<[(String, Secret)]>,
    issued: Moment,
    fresh_until: Moment,
    renew_at: Moment,
    expires: Moment,
    used: AtomicBool,
    refused_until: AtomicU64,
}

impl AccessToken {
    /// A token obtained at `issued` that lives for `lifetime`.
    ///
    /// `margin`: how long before its expiry it stops being fresh; `None`: 30 s, or a quarter of the lifetime if that is
    /// less. `ahead`: how long before the end of the fresh span renewal begins; `None`: a fifth of the span.
    ///
    /// # Errors
    ///
    /// The token, or a format around it, has characters that no header field may hold.
    pub fn new(
        _token: &Secret,
        _inject: &[Inject],
        _issued: Moment,
        _lifetime: Duration,
        _margin: Option<Duration>,
        _ahead: Option<Duration>,
    ) -> Result<Self, TokenError> {
        todo!()
    }

    /// A token without an end (grant `static`).
    ///
    /// # Errors
    ///
    /// As [`AccessToken::new`].
    pub fn endless(_token: &Secret, _inject: &[Inject]) -> Result<Self, TokenError> {
        todo!()
    }

    /// Writes the token onto a request's head, replacing whatever the downstream sent in its place.
    pub fn authorize(&self, _head: &mut Parts) {
        todo!()
    }

    /// Whether it may still be sent.
    #[must_use]
    pub fn is_live(&self, _now: Moment) -> bool {
        todo!()
    }

    /// Whether it may be sent without thinking of renewal.
    #[must_use]
    pub fn is_fresh(&self, _now: Moment) -> bool {
        todo!()
    }

    /// How long it still lives.
    #[must_use]
    pub fn expires_in(&self, _now: Moment) -> Duration {
        todo!()
    }

    /// Remembers that the upstream refused this token although it is new: for `cooldown`, further refusals of it
    /// neither renew nor retry.
    pub fn refuse_until(&self, _now: Moment, _cooldown: Duration) {
        todo!()
    }

    /// Whether it was refused, and its cooldown is still running.
    #[must_use]
    pub fn is_refused(&self, _now: Moment) -> bool {
        todo!()
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").finish_non_exhaustive()
    }
}
