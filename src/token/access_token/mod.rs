//! One access token: finished header values, and until when they may be used.
//!
//! Built once for each token and read by every request: what can be computed beforehand has been. Refuses a token
//! that is not the VSCHAR of RFC 6749 §A.12, since such a one could end a header field and begin another.

mod life;
mod proof;
mod query;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;

use self::life::Life;
use self::proof::Proof;
use self::query::QueryParameter;
use super::dpop::{DPOP, Prover};
use super::{Inject, Moment, TokenError};
use crate::secret::Secret;
use crate::token::template::{self, Words};

/// An access token, ready to be copied onto requests.
///
/// *Fresh* until its expiry less the margin, *live* until its expiry (DESIGN.md section 3).
pub struct AccessToken {
    headers: Box<[(HeaderName, HeaderValue)]>,
    query: Box<[QueryParameter]>,
    /// `None`: whoever bears the token may use it.
    proof: Option<Box<Proof>>,
    /// `None`: without an end.
    life: Option<Life>,
    /// What `refused_until` counts from.
    made: Instant,
    used: AtomicBool,
    /// Milliseconds after `made`; zero: never refused.
    refused_until: AtomicU64,
}

impl AccessToken {
    /// A token obtained at `issued` that lives for `lifetime`: `{token}` among the words, beside whatever else of its
    /// reply is written onto requests.
    ///
    /// `margin`: how long before its expiry it stops being fresh, at most half the lifetime; `None`: 30 s, or a quarter
    /// of the lifetime if that is less. `ahead`: how long before the end of the fresh span renewal begins, at most half
    /// the span; `None`: a fifth of the span.
    ///
    /// # Errors
    ///
    /// The token, or a format around it, has characters that no header field may hold; or the file of a format cannot
    /// be read.
    pub fn new(
        token: impl Into<Words>,
        inject: &[Inject],
        issued: Moment,
        lifetime: Duration,
        margin: Option<Duration>,
        ahead: Option<Duration>,
    ) -> Result<Self, TokenError> {
        Self::build(&token.into(), inject, Some(Life::new(issued, lifetime, margin, ahead)))
    }

    /// A token without an end (grant `static`).
    ///
    /// # Errors
    ///
    /// As [`AccessToken::new`].
    pub fn endless(token: impl Into<Words>, inject: &[Inject]) -> Result<Self, TokenError> {
        Self::build(&token.into(), inject, None)
    }

    fn build(words: &Words, inject: &[Inject], life: Option<Life>) -> Result<Self, TokenError> {
        let token = check(words)?;
        let mut headers = Vec::new();
        let mut query = Vec::new();
        for place in inject {
            match place {
                Inject::Header { name, format } => {
                    let filled = template::fill(format, words)?;
                    headers.push((name.clone(), header_value(&filled.text)?));
                }
                Inject::Query { name } => query.push(QueryParameter::new(name, token)),
            }
        }
        Ok(Self {
            headers: headers.into(),
            query: query.into(),
            proof: None,
            life,
            made: Instant::now(),
            used: AtomicBool::new(false),
            refused_until: AtomicU64::new(0),
        })
    }

    /// The same token, bound to the key of that prover (RFC 9449): to be sent with a fresh proof each time.
    #[must_use]
    pub fn bound_to(mut self, prover: &Arc<Prover>, token: &Secret) -> Self {
        // Its place is held, so that what the downstream sent there makes way as for the token's own fields.
        let place = (DPOP, HeaderValue::from_static(""));
        self.headers = std::mem::take(&mut self.headers).into_iter().chain([place]).collect();
        self.proof = Some(Box::new(Proof::new(prover, token)));
        self
    }

    /// Whether it is bound to a key.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.proof.is_some()
    }

    /// Writes the proof that a bound token needs onto a request that is otherwise ready for this origin
    /// (`https://host:port`).
    pub fn prove<B>(&self, request: &mut Request<B>, origin: &str) {
        if let Some(proof) = &self.proof {
            proof.write(request, origin);
        }
    }

    /// Remembers, for a bound token's next proofs, the nonce that this origin offers with an answer.
    pub fn learn(&self, origin: &str, headers: &HeaderMap) {
        if let Some(proof) = &self.proof {
            proof.learn(origin, headers);
        }
    }

    /// Writes the token onto a request, replacing whatever the downstream sent in its place.
    pub fn authorize<B>(&self, request: &mut Request<B>) {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        for parameter in &self.query {
            parameter.write(request.uri_mut());
        }
    }

    /// The fields it is written into.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _)| name)
    }

    /// Whether it may still be sent.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        self.life.is_none_or(|life| !now.reached(life.expires))
    }

    /// Whether it may be sent without thinking of renewal.
    #[must_use]
    pub fn is_fresh(&self, now: Moment) -> bool {
        self.life.is_none_or(|life| !now.reached(life.fresh_until))
    }

    /// How long it still lives; [`Duration::MAX`] without an end.
    #[must_use]
    pub fn expires_in(&self, now: Moment) -> Duration {
        self.life.map_or(Duration::MAX, |life| now.until(life.expires))
    }

    /// Remembers that the upstream refused this token although it is new: for `cooldown`, further refusals of it
    /// neither renew nor retry.
    pub fn refuse_until(&self, now: Moment, cooldown: Duration) {
        let until = self.age_millis(now).saturating_add(u64::try_from(cooldown.as_millis()).unwrap_or(u64::MAX));
        self.refused_until.fetch_max(until, Relaxed);
    }

    /// Whether it was refused, and its cooldown is still running.
    #[must_use]
    pub fn is_refused(&self, now: Moment) -> bool {
        self.refused_until.load(Relaxed) > self.age_millis(now)
    }

    /// Whether renewal in the background should have begun.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.life.is_some_and(|life| now.reached(life.renew_at))
    }

    /// When renewal in the background begins; never for a token without an end.
    pub(super) fn renew_at(&self) -> Option<Moment> {
        self.life.map(|life| life.renew_at)
    }

    /// Whether it has no end.
    pub(super) fn is_endless(&self) -> bool {
        self.life.is_none()
    }

    /// Remembers that somebody wanted it. Looks first: a write by each request would have all cores pass the cache
    /// line around.
    pub(super) fn mark_used(&self) {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
    }

    /// Whether anybody has wanted it yet.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    fn age_millis(&self, now: Moment) -> u64 {
        u64::try_from(now.monotonic.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").finish_non_exhaustive()
    }
}

/// A space at an end would be cut off on the way (RFC 9110 §5.5), and be another token then.
fn check(words: &Words) -> Result<&Secret, TokenError> {
    let token = words.get("token").filter(|token| !token.expose().is_empty());
    let token = token.ok_or_else(|| TokenError::Malformed("the token is empty".to_owned()))?;
    let text = token.expose();
    if text.trim() != text || text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
        return Err(TokenError::Malformed("the token has characters that no header field may hold".to_owned()));
    }
    Ok(token)
}

fn header_value(text: &Secret) -> Result<HeaderValue, TokenError> {
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
        TokenError::Malformed("the format around the token has characters that no header field may hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
