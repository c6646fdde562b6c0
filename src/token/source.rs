//! The wall between keeping tokens and getting them.

use std::future::Future;
use std::pin::Pin;

use super::{AccessToken, TokenError};

/// Something that can obtain a new access token. Slow, fallible, and never called on a warm path.
pub trait TokenSource: Send + Sync {
    /// Obtains one new token. Bounded in time by the source itself.
    ///
    /// One at a time for each cache, in a task of its own; dropped unfinished only with its cache.
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>>;

    /// Whether something that a fetch is made of (a secret's file) has changed since the last one began: after a
    /// permanent refusal this is the only reason, besides time, to ask again.
    ///
    /// Asked at most once a second, and never while a lock is held: a
    /// [`SecretSource::fingerprint`](crate::secret::SecretSource::fingerprint) is cheap enough.
    fn has_changed(&self) -> bool {
        false
    }
}
