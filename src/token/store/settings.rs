//! What `token_store` is configured to be (DESIGN.md section 4). Already right: `config` parses into it.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::SecretSource;
use crate::tls::TlsSettings;

/// `token_store`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StoreSettings {
    /// Survives a reload, not a restart.
    #[default]
    Memory,
    /// `{file: …}`.
    File(FileSettings),
    /// `{redis: …}`.
    Redis(Box<RedisSettings>),
}

impl StoreSettings {
    /// Its word in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
        }
    }

    /// Whether what is stored is gone after a restart.
    #[must_use]
    pub fn is_forgetful(&self) -> bool {
        match self {
            Self::Memory => true,
            Self::File(_) | Self::Redis(_) => false,
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

/// `token_store: {redis: …}`.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `url`.
    pub address: RedisAddress,
    /// The number at the end of `url`, by default 0.
    pub database: u16,
    /// `username`: a user of the server's ACL.
    pub username: Option<SecretSource>,
    /// `password`.
    pub password: Option<SecretSource>,
    /// `prefix`: what every key begins with, by default `bearer-proxy:`.
    pub prefix: String,
    /// `key`: at least 32 characters that nobody can guess, the same for all who share the store.
    pub key: SecretSource,
    /// `timeouts.connect`, by default 5 s: name, TCP, TLS and login together.
    pub connect: Duration,
    /// `timeouts.command`, by default 2 s.
    pub command: Duration,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// `redis://host:port` and `rediss://host:port`.
    Tcp {
        /// IPv6 without brackets.
        host: String,
        /// By default 6379.
        port: u16,
        /// `rediss`, with `tls`.
        tls: Option<TlsSettings>,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}
