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
