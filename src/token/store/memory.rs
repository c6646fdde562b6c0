//! Survives a reload, not a restart. The default.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{BoxFuture, StoreError, TokenStore};
use crate::secret::Secret;

/// Refresh tokens in memory.
#[derive(Default)]
pub struct MemoryStore {
    saved: Mutex<HashMap<String, Secret>>,
}

impl TokenStore for MemoryStore {
    fn load<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Secret>, StoreError>> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).get(credential).cloned();
        Box::pin(std::future::ready(Ok(saved)))
    }

    fn save<'a>(&'a self, credential: &'a str, refresh_token: Option<Secret>) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        match refresh_token {
            Some(token) => saved.insert(credential.to_owned(), token),
            None => saved.remove(credential),
        };
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::holds(&MemoryStore::default()).await;
    }

    #[tokio::test]
    async fn many_may_use_it_at_once() {
        contract::holds_for_many(std::sync::Arc::new(MemoryStore::default())).await;
    }
}
