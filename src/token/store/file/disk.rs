//! The file and its locks, as the system knows them. Everything here blocks.
//!
//! Replaced means: written beside it, synchronized, renamed over it, and the directory synchronized. At any moment there
//! is one whole file, the old one or the new one.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use super::super::{StoreError, seal};
use super::locks;
use crate::secret::SecretSource;

/// The file, and where its locks are.
pub(super) struct Disk {
    path: PathBuf,
    directory: PathBuf,
    locks: PathBuf,
}

/// Held until it is dropped.
pub(super) struct Locked(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl Disk {
    /// Finds the file's place, and makes the directory of its locks.
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        let name = path.file_name().ok_or_else(|| failed(path, "is no file's name"))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = directory.canonicalize().map_err(|error| failed(directory, error))?;
        let path = directory.join(name);
        // A link's target is what is to be replaced, not the link.
        let path = path.canonicalize().unwrap_or(path);
        let directory = path.parent().map_or(directory, Path::to_owned);
        let locks = locks(&path);
        match DirBuilder::new().mode(0o700).create(&locks) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&locks, error)),
            Ok(()) | Err(_) => {}
        }
        // The next file is written there: who may put something in its place may put it in the file's.
        check_closed(&locks, locks.metadata(), "700")?;
        Ok(Self { path, directory, locks })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> Result<bool, StoreError> {
        self.path.try_exists().map_err(|error| failed(&self.path, error))
    }

    /// The file's bytes, if nobody else may read or write them.
    pub(super) fn read(&self) -> Result<Vec<u8>, StoreError> {
        let failed = |error: io::Error| failed(&self.path, error);
        let file = File::open(&self.path).map_err(failed)?;
        check_closed(&self.path, file.metadata(), "600")?;
        let mut bytes = Vec::new();
        let length = file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        match u64::try_from(length) {
            Ok(length) if length <= LARGEST => Ok(bytes),
            _ => Err(StoreError::Failed(format!("{} is too large for a token store", self.path.display()))),
        }
    }

    /// Puts these bytes in the file's place. With the lock held.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let beside = self.locks.join("next");
        let write = || -> io::Result<()> {
            match std::fs::remove_file(&beside) {
                // What a process that was killed has left.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| failed(&self.path, error))
    }

    /// The right to replace the file. Others have it for moments only.
    pub(super) fn lock(&self) -> Result<Locked, StoreError> {
        let path = self.locks.join("file");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(locked) = try_lock(&path)? {
                return Ok(locked);
            }
            if Instant::now() > end {
                return Err(failed(&path, "another process does not let go of it"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The right to change one key. `None`: somebody else has it.
    pub(super) fn try_lock_key(&self, key: &str) -> Result<Option<Locked>, StoreError> {
        try_lock(&self.locks.join(seal::digest(key)))
    }
}

/// As ssh does with its keys: what others may read or write is refused. And what is another user's: replaced by us, the
/// file would be ours, and they could not open it any more.
pub(super) fn check_closed(path: &Path, metadata: io::Result<Metadata>, right: &str) -> Result<(), StoreError> {
    let metadata = metadata.map_err(|error| failed(path, error))?;
    let (mode, owner, us) = (metadata.permissions().mode() & 0o777, metadata.uid(), geteuid().as_raw());
    let path = path.display();
    if owner != us {
        let why = format!("{path} belongs to uid {owner}, and this runs as uid {us}; run it as uid {owner}");
        return Err(StoreError::Failed(why));
    }
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(StoreError::Failed(format!("{path} is open to others (mode {mode:03o}); close it: chmod {right} {path}")))
}

fn try_lock(path: &Path) -> Result<Option<Locked>, StoreError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(|error| failed(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(path, error)),
    }
}

/// A key that others may write is none. One that they may read is doubtful, but not ours to judge: in a container there
/// may be no others, and mounted secrets have the modes that they have.
pub(super) fn check_key_files(key: &SecretSource) -> Result<(), StoreError> {
    for path in key.files() {
        let metadata = path.metadata().map_err(|error| failed(path, error))?;
        let mode = metadata.permissions().mode() & 0o777;
        let shown = path.display();
        if mode & 0o022 != 0 {
            let why = format!("{shown}, its key, may be written by others (mode {mode:03o}); chmod 600 {shown}");
            return Err(StoreError::Failed(why));
        }
        if mode & 0o004 != 0 {
            tracing::warn!(file = %shown, mode = format_args!("{mode:03o}"), "everybody may read the token store's key");
        }
    }
    Ok(())
}

fn failed(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{}: {error}", path.display()))
}

/// Ten thousand credentials' tokens.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The file is replaced in milliseconds, on a slow disk in a second.
const PATIENCE: Duration = Duration::from_secs(10);
