//! A cache for each subject: whoever calls through us is who the upstream sees (RFC 8693, subject from the request).
//!
//! A subject is the bearer token that a request brings. It is known by its digest, and forgotten when it ends, when
//! nobody has brought it for a while, or when there are too many others. Nothing is renewed for a subject whom nobody
//! brings: renewal begins with a request. Refuses a request without one, and one that two readers could understand
//! differently, before anybody is asked.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::runtime::Handle;

use super::cache::Common;
use super::{CacheSettings, Failure, Moment, Status, TokenCache, TokenError, TokenSource};
use crate::secret::Secret;

/// How subjects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectSettings {
    /// How many at once (`subjects.max`); the one that was brought least recently makes room.
    pub max: u64,
    /// How long one is kept that nobody brings (`subjects.idle`).
    pub idle: Duration,
}

/// Begins to obtain tokens for a subject.
pub type Exchange = Box<dyn Fn(Secret) -> Exchanged + Send + Sync>;

/// What obtains one subject's tokens.
pub struct Exchanged {
    /// It. Obtains none that outlives the subject.
    pub source: Arc<dyn TokenSource>,
    /// When the subject ends, where it says so.
    pub ends: Option<Moment>,
}

/// One credential's subjects. Audience, scope and resource are the credential's, so that they are the same for all.
pub struct Subjects {
    name: String,
    known: Cache<Key, Subject>,
    exchange: Exchange,
    settings: CacheSettings,
    runtime: Handle,
    common: Arc<Common>,
}

/// SHA-256 of a subject: what is kept to find it by must not be what it is known by elsewhere.
type Key = [u8; digest::SHA256_OUTPUT_LEN];

#[derive(Clone)]
struct Subject {
    tokens: Arc<TokenCache>,
    ends: Option<Moment>,
}

impl Subjects {
    /// Nobody yet. As of [`TokenCache::new`], fetches run on `runtime`.
    #[must_use]
    pub fn new(
        name: &str,
        subjects: SubjectSettings,
        exchange: Exchange,
        settings: CacheSettings,
        runtime: Handle,
    ) -> Arc<Self> {
        let known = Cache::builder()
            .max_capacity(subjects.max)
            // Whoever comes must be let in: of a newcomer that were turned away, each request would be a first one.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(subjects.idle)
            .expire_after(WithSubject)
            .build();
        Arc::new(Self {
            name: name.to_owned(),
            known,
            exchange,
            settings,
            runtime,
            common: Arc::new(Common::default()),
        })
    }

    /// The tokens of the subject that a request with these header fields brings.
    ///
    /// # Errors
    ///
    /// It brings none ([`TokenError::NoSubject`]), or what it brings is no bearer token ([`TokenError::BadSubject`]).
    pub async fn of(&self, headers: &HeaderMap) -> Result<Arc<TokenCache>, Failure> {
        let subject = match bearer(headers) {
            Ok(subject) => subject,
            Err(error) => return Err(Failure { error: Arc::new(error), retry_after: Duration::from_millis(1) }),
        };
        let key = key(subject);
        Ok(self.known.get_with(key, async { self.begin(subject) }).await.tokens)
    }

    fn begin(&self, subject: &str) -> Subject {
        let Exchanged { source, ends } = (self.exchange)(Secret::new(subject));
        let common = Arc::clone(&self.common);
        let tokens = TokenCache::of_subject(&self.name, source, self.settings, self.runtime.clone(), common);
        Subject { tokens, ends }
    }

    /// The credential's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the credential stands, for all subjects together.
    #[must_use]
    pub fn status(&self) -> Status {
        self.common.status(&self.name)
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A subject is forgotten at its end, whoever still brings it.
struct WithSubject;

impl Expiry<Key, Subject> for WithSubject {
    fn expire_after_create(&self, _key: &Key, subject: &Subject, _at: Instant) -> Option<Duration> {
        subject.ends.map(|ends| Moment::now().until(ends))
    }
}

fn key(subject: &str) -> Key {
    let mut key = Key::default();
    // Both are of SHA-256: there is no other length.
    key.copy_from_slice(digest::digest(&digest::SHA256, subject.as_bytes()).as_ref());
    key
}

/// The bearer token of a request (RFC 6750 §2.1), of which there must be exactly one.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Err(TokenError::NoSubject) };
    if fields.next().is_some() {
        return Err(malformed("it has several Authorization fields"));
    }
    let text = field.to_str().map_err(|_| malformed("its Authorization field is no text"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        // Of another scheme: not malformed, but not what this route asks for.
        return Err(TokenError::NoSubject);
    }
    let token = token.trim_matches(' ');
    let letters = token.trim_end_matches('=');
    let is_b64token = letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
    if letters.is_empty() || !is_b64token {
        return Err(malformed("what follows Bearer is no token (RFC 6750 §2.1)"));
    }
    if token.len() > LONGEST {
        return Err(malformed("its bearer token is longer than 16 KiB"));
    }
    Ok(token)
}

/// Of each subject all is kept: what somebody makes up must not fill our memory.
const LONGEST: usize = 16 * 1024;

fn malformed(why: &str) -> TokenError {
    TokenError::BadSubject { code: "invalid_token".to_owned(), description: Some(why.to_owned()) }
}

#[cfg(test)]
mod tests;
