//! Survives a reload, not a restart. The default.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{BoxFuture, Entry, Lease, StoreError, TokenStore, Value, next_fence};
use crate::secret::Secret;

/// Texts in memory.
#[derive(Default)]
pub struct MemoryStore {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    saved: HashMap<String, Saved>,
    leased: HashSet<String>,
    last_fence: u64,
}

struct Saved {
    text: Secret,
    fence: u64,
    at: Instant,
    useful_for: Option<Duration>,
}

impl Saved {
    fn is_useful(&self) -> bool {
        self.useful_for.is_none_or(|span| self.at.elapsed() < span)
    }
}

impl MemoryStore {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self, key: &str, limit: Duration) -> Option<Lease> {
        let mut shelf = self.shelf();
        if !shelf.leased.insert(key.to_owned()) {
            return None;
        }
        shelf.last_fence = next_fence(shelf.last_fence);
        let guard = Leased { shelf: Arc::clone(&self.shelf), key: key.to_owned() };
        Some(Lease::new(key, shelf.last_fence, limit, guard))
    }
}

impl TokenStore for MemoryStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let shelf = self.shelf();
        let saved = shelf.saved.get(key).filter(|saved| saved.is_useful());
        let entry = saved.map(|saved| Entry { text: saved.text.clone(), fence: saved.fence, age: saved.at.elapsed() });
        Box::pin(std::future::ready(Ok(entry)))
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        let lease = self.lease(key, limit);
        Box::pin(std::future::ready(Ok(lease)))
    }

    fn save<'a>(&'a self, lease: &'a Lease, value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut shelf = self.shelf();
        shelf.saved.retain(|_, saved| saved.is_useful());
        match value {
            Some(Value { text, useful_for }) => {
                let saved = Saved { text, fence: lease.fence, at: Instant::now(), useful_for };
                shelf.saved.insert(lease.key.clone(), saved);
            }
            None => {
                shelf.saved.remove(&lease.key);
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn mark(&self, key: &str) -> u64 {
        self.shelf().saved.get(key).map_or(0, |saved| saved.fence)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

/// A key that is leased until this is dropped: no one else can sleep through the end of a lease in the same process,
/// so that its limit is nothing to see to.
struct Leased {
    shelf: Arc<Mutex<Shelf>>,
    key: String,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).leased.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::holds(&MemoryStore::default()).await;
        contract::forgets(&MemoryStore::default()).await;
    }

    #[tokio::test]
    async fn many_may_use_it_at_once() {
        contract::holds_for_many(Arc::new(MemoryStore::default())).await;
    }

    #[tokio::test]
    async fn one_at_a_time_may_change_a_key() {
        let store = Arc::new(MemoryStore::default());
        contract::leases([store.clone(), store.clone()]).await;
        contract::marks([store.clone(), store]).await;
    }
}
