//! The second listener: `/healthz`, `/readyz`, `/metrics`, `/status`. Reads snapshots, owns nothing, shows no token.

use std::net::SocketAddr;

/// `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// `admin.address`: ip:port.
    pub address: SocketAddr,
}
