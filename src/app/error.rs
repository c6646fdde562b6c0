//! Why a configuration that is right cannot be run.

use std::io;
use std::net::SocketAddr;

use tokio::task::JoinError;

use crate::server::BindError;
use crate::tls::TlsError;
use crate::token::store::StoreError;

/// What could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener's socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin listener's socket.
    #[error("cannot listen on {address} (admin.address): {source}")]
    Admin {
        /// As it was configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate, a key or a root.
    #[error("{what}: {source}")]
    Tls {
        /// Which part of the file wants it.
        what: String,
        /// What is wrong with it.
        source: TlsError,
    },
    /// `token_store`.
    #[error(transparent)]
    TokenStore(#[from] StoreError),
    /// `log.access`.
    #[error("the access log cannot be opened: {0}")]
    AccessLog(#[source] io::Error),
    /// `workers`.
    #[error("the threads of `workers` cannot be started: {0}")]
    Workers(#[source] io::Error),
    /// Making it did not come to its end.
    #[error("the work broke off: {0}")]
    BrokenOff(#[source] JoinError),
    /// Two routes that match the same; the configuration finds them first.
    #[error("routes {0} and {1} match the same requests")]
    Conflict(usize, usize),
}
