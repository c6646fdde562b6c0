//! Certificates, keys and roots, for both sides (rustls with aws-lc-rs, RFC 8446 and RFC 5246).
//!
//! A leaf like `secret`: `server`, `upstream` and `oauth` ask it for ready configurations; nobody else names `rustls`
//! to build one. Verification is never switched off, the process's default provider is neither asked nor set, and
//! an error names a file, never its contents.

mod client;
mod identity;
mod pem;
mod server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::client_config;
pub use server::server_config;

/// What a connection to somebody else's server needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Further roots, in PEM. `None`: the system's alone.
    pub ca: Option<PathBuf>,
    /// Our certificate chain and its key, in PEM.
    pub identity: Option<IdentitySettings>,
    /// The name to verify and to send as SNI, when it is not the URL's host.
    pub server_name: Option<String>,
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub private_key: PathBuf,
}

/// A certificate, key or root that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or holds nothing of the kind.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The one crypto library.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
