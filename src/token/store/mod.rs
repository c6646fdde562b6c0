//! What survives: refresh tokens, by credential. `memory` for now; a file and Redis fit behind the same trait.
//!
//! Only refresh tokens: an access token is cheap to get anew, and one less secret on a disk. A store passes
//! `contract`, whatever it is made of.

use std::future::Future;
use std::pin::Pin;

use crate::secret::Secret;

#[cfg(test)]
mod contract;
mod memory;

pub use memory::MemoryStore;

/// Keeps a credential's refresh token. Called at most once a token lifetime.
pub trait TokenStore: Send + Sync {
    /// The refresh token saved last for this credential.
    fn load<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Secret>, StoreError>>;

    /// Saves it, or forgets it (`None`). Done when it would survive what the store promises to survive.
    fn save<'a>(&'a self, credential: &'a str, refresh_token: Option<Secret>) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// What the trait's methods return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store cannot be used now.
#[derive(Debug, thiserror::Error)]
#[error("the token store failed: {0}")]
pub struct StoreError(pub String);
