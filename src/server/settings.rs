//! What a listener is configured to be (DESIGN.md section 4, "Listener").

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::access::AccessSettings;
use crate::tls::IdentitySettings;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: ListenAddress,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// `access`, `hosts`, `allowed_origins`.
    pub access: AccessSettings,
    /// `timeouts.*`.
    pub timeouts: ListenerTimeouts,
    /// `limits.*`.
    pub limits: ListenerLimits,
}

/// `address`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `ip:port`.
    Tcp(SocketAddr),
    /// `unix:/path`. Made with mode 0600.
    Unix(PathBuf),
    /// `systemd:NAME`: a socket that systemd has opened (`FileDescriptorName=`).
    Systemd(String),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// `certificate` and `private_key`; read again when they change.
    pub identity: IdentitySettings,
    /// `client_ca`: a client certificate is required, and verified with these roots.
    pub client_ca: Option<PathBuf>,
}

/// `timeouts.*` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From the first byte of a head to its last, by default 10 s.
    pub request_head: Duration,
    /// How long a connection may wait for its next request, by default 75 s.
    pub idle: Duration,
    /// By default 10 s.
    pub tls_handshake: Duration,
    /// How long a downstream may leave an answer unread, between two pieces, by default 60 s.
    pub send: Duration,
    /// How long a connection has been idle when its buffers are given back; nobody sees it, so it is not in the file.
    pub park: Duration,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            tls_handshake: Duration::from_secs(10),
            send: Duration::from_secs(60),
            park: PARK,
        }
    }
}

/// With the sweeps before and after it, half a second and a bit. Long enough that a client with several requests a second
/// pays nothing for it: to park and to come back costs a sixth of what a small request does. Short enough that of a crowd
/// that comes, asks and waits few have their buffers at once.
const PARK: Duration = Duration::from_millis(400);

/// `limits.*` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once, by default 10,000; more wait in the accept queue.
    pub connections: usize,
    /// Bytes of a request's head, by default 64 KiB; more is answered 431.
    pub request_head: usize,
    /// Fields of a request's head, by default 100; more are answered 431.
    pub headers: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self { connections: 10_000, request_head: 64 * 1024, headers: 100 }
    }
}
