//! What `token_store` is configured to be (DESIGN.md section 4). Already right: `config` parses into it.

use std::path::PathBuf;

use crate::secret::SecretSource;

/// `token_store`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StoreSettings {
    /// Survives a reload, not a restart.
    #[default]
    Memory,
    /// `{file: …}`.
    File(FileSettings),
}

impl StoreSettings {
    /// Whether what is stored is gone after a restart.
    #[must_use]
    pub fn is_forgetful(&self) -> bool {
        match self {
            Self::Memory => true,
            Self::File(_) => false,
        }
    }
}

/// `token_store: {file: …}`.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// `path`. Beside it there are a directory of locks, and for moments a temporary file.
    pub path: PathBuf,
    /// `key`: at least 32 characters that nobody can guess.
    pub key: SecretSource,
}
