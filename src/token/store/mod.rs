//! What survives a token: a text for each key, with one holder of the right to change it.
//!
//! What the text says is `oauth`'s affair. `memory` survives a reload; `file` a restart, for the processes of one host;
//! `redis` is shared by many hosts. A shared store is also how one renewal does for all: whoever renews takes the
//! [`Lease`] before it looks, and saves the new token before it lets go. Every lease has a fence, a number greater than
//! all before it, and what was saved under a greater one is never overwritten: a process that slept through the end of
//! its lease cannot undo what the next one did. A store passes `contract`, whatever it is made of.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::secret::Secret;

#[cfg(test)]
mod contract;
mod file;
mod memory;
mod redis;
mod seal;
mod settings;

pub use self::redis::RedisStore;
pub use file::FileStore;
pub use memory::MemoryStore;
pub use settings::{FileSettings, RedisAddress, RedisSettings, StoreSettings};

/// Keeps a text for each key. Called a few times in a token's life.
pub trait TokenStore: Send + Sync {
    /// What was saved last under this key.
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// The right to change what is under this key, until it is dropped and for `limit` at most. `None`: somebody else
    /// has it; does not wait for them. Who has got one knows that the store can be written to.
    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>>;

    /// Saves it, or forgets it (`None`). Done when it would survive what the store promises to survive.
    fn save<'a>(&'a self, lease: &'a Lease, value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Gives a lease back, and waits until somebody else can have it. A dropped one is given back in its own time.
    fn give_back(&self, lease: Lease) -> BoxFuture<'_, ()> {
        drop(lease);
        Box::pin(std::future::ready(()))
    }

    /// The fence under which this key was saved last, as far as is known without waiting; 0: never. Another number
    /// means that loading it again would give something else.
    fn mark(&self, key: &str) -> u64;

    /// Whether others may use what is saved here at the same time.
    fn is_shared(&self) -> bool;

    /// Why it cannot be used now, if that is known: one line, without a secret.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// What the trait's methods return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is to be saved.
#[derive(Clone, Debug)]
pub struct Value {
    /// The text.
    pub text: Secret,
    /// After this it is of no use to anybody, and may be forgotten; `None`: nobody knows.
    pub useful_for: Option<Duration>,
}

/// What was saved.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The text.
    pub text: Secret,
    /// Of the lease under which it was saved.
    pub fence: u64,
    /// How long ago that was, by the store's own clock: those of two hosts may differ.
    pub age: Duration,
}

/// The right to change what is under one key. Dropped, it is given back.
pub struct Lease {
    key: String,
    fence: u64,
    ends: Instant,
    guard: Box<dyn Any + Send + Sync>,
}

impl Lease {
    fn new(key: &str, fence: u64, limit: Duration, guard: impl Any + Send + Sync) -> Self {
        Self { key: key.to_owned(), fence, ends: Instant::now() + limit, guard: Box::new(guard) }
    }

    /// What it is for.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Greater than that of every lease of this key before it.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// How long it still holds.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// The store cannot be used now. The texts name files and hosts, never what is stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("the token store failed: {0}")]
    Failed(String),
    /// Somebody else had the lease for longer than one may be held.
    #[error("the token store's lease is held by another process")]
    Busy,
    /// Our lease ended, and somebody else has one since.
    #[error("the token store was changed by another process meanwhile")]
    Overtaken,
}

/// The store that the file asks for.
///
/// # Errors
///
/// It is damaged, foreign, not readable, or of another key. Blocks while files are read. A server need not be there.
pub fn open(settings: &StoreSettings) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(match settings {
        StoreSettings::Memory => Arc::new(MemoryStore::default()),
        StoreSettings::File(settings) => Arc::new(FileStore::open(settings)?),
        StoreSettings::Redis(settings) => Arc::new(
            RedisStore::open(settings)
                .map_err(|error| StoreError::Failed(format!("token_store.redis.tls: {error}")))?,
        ),
    })
}

/// The next fence: later than the last one, and by the clock too, so that a store that lost its count does not begin
/// anew below what others have seen.
fn next_fence(last: u64) -> u64 {
    last.saturating_add(1).max(unix_millis(SystemTime::now()))
}

fn unix_millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
