//! Shared by many hosts: Redis (5 or later) or Valkey.
//!
//! Each key is three of the server's: the entry (encrypted as the file is, bound to its key and its fence), the lease, and the
//! last fence. A lease is a value with a time limit, so that a dead holder does not keep it; all that looks and then
//! writes is one script, so that nobody comes in between. Ages are measured by the server's clock. A failover of the server
//! to a copy that had not heard of a lease can give it out a second time: replication is not waited for.
//!
//! While the server is away everything fails at once, and a task asks for it again and again, after 0.1 s to 5 s.

mod commands;
mod keeper;
mod link;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use keeper::Keeper;
use link::Link;

use super::settings::RedisSettings;
use super::{BoxFuture, Entry, Lease, StoreError, TokenStore, Value, seal};
use crate::secret::{Secret, SecretSource};
use crate::tls::TlsError;

/// Texts on a Redis server.
pub struct RedisStore {
    shelf: Arc<Shelf>,
    keeper: Keeper,
}

struct Shelf {
    link: Link,
    prefix: String,
    key: SecretSource,
}

impl RedisStore {
    /// A store on this server, which need not be there yet. On a runtime it is looked for at once, and watched.
    ///
    /// # Errors
    ///
    /// The files of `tls` cannot be used.
    pub fn open(settings: &RedisSettings) -> Result<Self, TlsError> {
        let link = Link::new(settings)?;
        let shelf = Arc::new(Shelf { link, prefix: settings.prefix.clone(), key: settings.key.clone() });
        Ok(Self { keeper: Keeper::start(&shelf), shelf })
    }
}

impl TokenStore for RedisStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            let entry = self.shelf.load(key).await?;
            self.keeper.knows(key, entry.as_ref().map_or(0, |entry| entry.fence));
            Ok(entry)
        })
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            let Some(fence) = commands::lease(&self.shelf.link, &self.shelf.names(key), limit).await? else {
                return Ok(None);
            };
            let guard = Held { shelf: Arc::clone(&self.shelf), key: key.to_owned(), fence, is_given_back: false };
            Ok(Some(Lease::new(key, fence, limit, guard)))
        })
    }

    fn save<'a>(&'a self, lease: &'a Lease, value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let names = self.shelf.names(&lease.key);
            let (sealed, useful_for) = match value {
                Some(value) => (Some(self.shelf.seal(&names.entry, lease.fence, value.text).await?), value.useful_for),
                None => (None, None),
            };
            let is_kept = sealed.is_some();
            match commands::save(&self.shelf.link, &names, lease.fence, sealed, useful_for).await? {
                true => {
                    self.keeper.knows(&lease.key, if is_kept { lease.fence } else { 0 });
                    Ok(())
                }
                false => Err(StoreError::Overtaken),
            }
        })
    }

    fn give_back(&self, lease: Lease) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Ok(mut held) = lease.guard.downcast::<Held>() {
                held.is_given_back = true;
                release(&held.shelf, &held.shelf.names(&lease.key), lease.fence).await;
            }
        })
    }

    fn mark(&self, key: &str) -> u64 {
        self.keeper.mark(key)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.shelf.link.trouble()
    }
}

impl Shelf {
    async fn load(self: &Arc<Self>, key: &str) -> Result<Option<Entry>, StoreError> {
        let names = self.names(key);
        let Some(found) = commands::load(&self.link, &names).await? else { return Ok(None) };
        let (fence, age) = (found.fence, found.age);
        let text = self.open(names.entry, found).await?;
        Ok(Some(Entry { text, fence, age }))
    }

    /// Reads the key where a slow disk holds up nobody.
    async fn seal(self: &Arc<Self>, entry: &str, fence: u64, text: Secret) -> Result<Vec<u8>, StoreError> {
        let (shelf, place) = (Arc::clone(self), place(entry, fence));
        blocking(move || {
            let failed = |why| StoreError::Failed(format!("{}: {why}", shelf.link.shown()));
            seal::seal(&shelf.key()?, &place, text.expose().as_bytes()).map_err(failed)
        })
        .await
    }

    async fn open(self: &Arc<Self>, entry: String, found: commands::Found) -> Result<Secret, StoreError> {
        let (shelf, place) = (Arc::clone(self), place(&entry, found.fence));
        blocking(move || {
            let unusable = |why: &dyn std::fmt::Display| {
                let shown = shelf.link.shown();
                StoreError::Failed(format!("{shown}: {entry} {why}; set `token_store.redis.key` right, or delete it"))
            };
            let mut plain = seal::open(&shelf.key()?, &place, &found.sealed).map_err(|why| unusable(&why))?;
            let text = String::from_utf8(std::mem::take(&mut *plain)).map_err(|_| unusable(&"is damaged"))?;
            Ok(Secret::new(text))
        })
        .await
    }

    fn key(&self) -> Result<Secret, StoreError> {
        self.key.read().map_err(|error| StoreError::Failed(format!("its key: {error}")))
    }

    /// What the server calls what belongs to a key. Braces keep them on one node of a cluster.
    fn names(&self, key: &str) -> commands::Names {
        let of = |what: &str| format!("{}{{{key}}}:{what}", self.prefix);
        commands::Names { entry: of("entry"), lease: of("lease"), fence: of("fence") }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StoreError::Failed("the work broke off".to_owned()))?
}

/// What a sealed text is bound to: it does not open under another key, nor for a later one than it is.
fn place(entry: &str, fence: u64) -> Vec<u8> {
    format!("redis {fence} {entry}").into_bytes()
}

/// A lease that is given back when this is dropped. If that fails it ends by itself.
struct Held {
    shelf: Arc<Shelf>,
    key: String,
    fence: u64,
    is_given_back: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(runtime) = Handle::try_current().ok().filter(|_| !self.is_given_back) else { return };
        let (shelf, names, fence) = (Arc::clone(&self.shelf), self.shelf.names(&self.key), self.fence);
        runtime.spawn(async move { release(&shelf, &names, fence).await });
    }
}

async fn release(shelf: &Shelf, names: &commands::Names, fence: u64) {
    if let Err(error) = commands::release(&shelf.link, names, fence).await {
        tracing::debug!(%error, "a lease was not given back: it ends by itself");
    }
}
