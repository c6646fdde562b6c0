//! Looks after the server while nobody asks for anything: whether it is there, and whether somebody has changed a key that
//! we wait for (a login made elsewhere).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::super::StoreError;
use super::{Shelf, commands};

/// The task, and what it has seen. Dropped, it ends.
pub(super) struct Keeper {
    seen: Arc<Mutex<HashMap<String, u64>>>,
    task: Option<AbortHandle>,
}

impl Keeper {
    /// Begins to look, on the runtime that this is called on; without one, not at all.
    pub(super) fn start(shelf: &Arc<Shelf>) -> Self {
        let seen = Arc::default();
        let task = Handle::try_current().ok().map(|runtime| {
            let (shelf, seen) = (Arc::clone(shelf), Arc::clone(&seen));
            runtime.spawn(async move { watch(&shelf, &seen).await }).abort_handle()
        });
        Self { seen, task }
    }

    /// The fence last seen under this key, which is looked at from now on.
    pub(super) fn mark(&self, key: &str) -> u64 {
        *lock(&self.seen).entry(key.to_owned()).or_default()
    }

    /// Is told what there is.
    pub(super) fn knows(&self, key: &str, fence: u64) {
        lock(&self.seen).insert(key.to_owned(), fence);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn watch(shelf: &Arc<Shelf>, seen: &Mutex<HashMap<String, u64>>) {
    loop {
        // What is wrong is known to the link by now.
        let _ = look(shelf, seen).await;
        sleep(EVERY).await;
    }
}

async fn look(shelf: &Arc<Shelf>, seen: &Mutex<HashMap<String, u64>>) -> Result<(), StoreError> {
    let before: Vec<(String, u64)> = lock(seen).iter().map(|(key, mark)| (key.clone(), *mark)).collect();
    let entries: Vec<String> = before.iter().map(|(key, _)| shelf.names(key).entry).collect();
    let marks = commands::marks(&shelf.link, &entries).await?;
    let mut seen = lock(seen);
    for ((key, mark), now) in before.into_iter().zip(marks) {
        // What we saved in between is newer than what was looked at.
        if let Some(known) = seen.get_mut(&key).filter(|known| **known == mark) {
            *known = now;
        }
    }
    Ok(())
}

fn lock(seen: &Mutex<HashMap<String, u64>>) -> MutexGuard<'_, HashMap<String, u64>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As often as a refused credential asks whether something has changed.
const EVERY: Duration = Duration::from_secs(1);
