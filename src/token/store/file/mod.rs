//! Survives a restart; shared by the processes of one host. One encrypted file, replaced as a whole.
//!
//! Beside the file lies a directory of locks: one for the file, held while it is replaced, and one for each key, which is
//! its lease. The system takes a lock back when its holder dies, so that a lease needs no time limit of its own. A file
//! that is damaged, foreign, of another key or open to others is refused: what to begin anew is a person's decision,
//! for it costs logins. Locks are those of `flock`: the file belongs on a local disk.

mod contents;
mod disk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use contents::Contents;
use disk::{Disk, Locked};
use tokio::task::spawn_blocking;

use super::settings::FileSettings;
use super::{BoxFuture, Entry, Lease, StoreError, TokenStore, Value, next_fence, seal};
use crate::secret::{Part, Secret, SecretSource};

/// Texts in an encrypted file.
pub struct FileStore {
    shelf: Arc<Shelf>,
}

struct Shelf {
    disk: Disk,
    key: SecretSource,
    seen: Mutex<Seen>,
}

/// What was last seen of the file, without what is in it.
#[derive(Default)]
struct Seen {
    fingerprint: Option<u64>,
    fences: HashMap<String, u64>,
    trouble: Option<String>,
}

impl FileStore {
    /// Opens the file, or makes an empty one where there is none. Blocks.
    ///
    /// # Errors
    ///
    /// It is damaged, foreign, of another key, open to others, or cannot be written.
    pub fn open(settings: &FileSettings) -> Result<Self, StoreError> {
        disk::check_key_files(&settings.key)?;
        let disk = Disk::new(&settings.path)?;
        let shelf = Shelf { disk, key: settings.key.clone(), seen: Mutex::default() };
        let _locked = shelf.disk.lock()?;
        if shelf.disk.exists()? {
            shelf.read()?;
        } else {
            shelf.write(&Contents::default())?;
            tracing::info!(file = %shelf.disk.path().display(), "a new token store was made: it knows no login yet");
        }
        drop(_locked);
        Ok(Self { shelf: Arc::new(shelf) })
    }

    /// Does what blocks where it holds up nobody.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shelf = Arc::clone(&self.shelf);
        let done = spawn_blocking(move || {
            let result = work(&shelf);
            shelf.seen().trouble = match &result {
                Err(StoreError::Failed(why)) => Some(why.clone()),
                Ok(_) | Err(StoreError::Busy | StoreError::Overtaken) => None,
            };
            result
        });
        done.await.map_err(|_| StoreError::Failed("the work broke off".to_owned()))?
    }
}

impl TokenStore for FileStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.run(move |shelf| Ok(shelf.read()?.entry(&key, SystemTime::now()))))
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.run(move |shelf| {
            let Some(guard) = shelf.disk.try_lock_key(&key)? else { return Ok(None) };
            // Written down, so that whoever has a lease knows that the disk takes what it will have to save.
            let fence = shelf.change(|contents| {
                contents.last_fence = next_fence(contents.last_fence);
                Ok(contents.last_fence)
            })?;
            Ok(Some(Lease::new(&key, fence, limit, Arc::new(guard))))
        }))
    }

    fn save<'a>(&'a self, lease: &'a Lease, value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        let (key, fence) = (lease.key.clone(), lease.fence);
        // Nobody has the key before this is written, whether somebody waits for it or not.
        let guard = lease.guard.downcast_ref::<Arc<Locked>>().map(Arc::clone);
        Box::pin(self.run(move |shelf| {
            let _held = guard;
            shelf.change(|contents| contents.set(key, fence, value, SystemTime::now()))
        }))
    }

    fn mark(&self, key: &str) -> u64 {
        self.shelf.mark(key)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.shelf.seen().trouble.clone()
    }
}

impl Shelf {
    fn read(&self) -> Result<Contents, StoreError> {
        let sealed = self.disk.read()?;
        let plain = seal::open(&self.key()?, PLACE, &sealed).map_err(|why| unusable(self.disk.path(), why))?;
        Contents::parse(&plain).ok_or_else(|| unusable(self.disk.path(), seal::SealError::Damaged))
    }

    fn write(&self, contents: &Contents) -> Result<(), StoreError> {
        let failed = |why| StoreError::Failed(format!("{}: {why}", self.disk.path().display()));
        self.disk.replace(&seal::seal(&self.key()?, PLACE, &contents.to_json()).map_err(failed)?)
    }

    /// Reads, changes and writes, with no other process in between.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _locked = self.disk.lock()?;
        let mut contents = self.read()?;
        contents.forget_useless(SystemTime::now());
        let result = change(&mut contents)?;
        self.write(&contents)?;
        Ok(result)
    }

    fn key(&self) -> Result<Secret, StoreError> {
        self.key.read().map_err(|error| StoreError::Failed(format!("its key: {error}")))
    }

    fn mark(&self, key: &str) -> u64 {
        // Before it is read: what changes in between is seen the next time.
        let fingerprint = SecretSource::from_parts(vec![Part::File(self.disk.path().to_owned())]).fingerprint();
        let known = self.seen().fingerprint == Some(fingerprint);
        if !known && let Ok(contents) = self.read() {
            let mut seen = self.seen();
            seen.fences = contents.fences();
            seen.fingerprint = Some(fingerprint);
        }
        self.seen().fences.get(key).copied().unwrap_or(0)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing in there is left half done by a panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file's contents are bound to besides its header: they are no other kind of store's.
const PLACE: &[u8] = b"file";

/// A file that is there and cannot be used, and what to do.
fn unusable(path: &Path, why: seal::SealError) -> StoreError {
    use seal::SealError::{Crypto, Damaged, Foreign, ShortKey, Version, WrongKey};
    let advice = match why {
        ShortKey | Crypto => return StoreError::Failed(format!("{}: {why}", path.display())),
        WrongKey => "set `token_store.file.key` to the key that it was written with",
        Foreign => "set `token_store.file.path` to another file",
        Version => "use the version that wrote it",
        Damaged => "put back a copy of it",
    };
    StoreError::Failed(format!(
        "{} {why}; {advice}, or move it away to begin anew: what is stored in it is lost then, and logins have to be made again",
        path.display()
    ))
}

/// Where the locks of a file are.
fn locks(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".locks");
    PathBuf::from(name)
}
