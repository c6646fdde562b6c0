//! What one authorization server of this room is like: its dialect, its one client, its lifetimes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Dialect, Events};

/// An authorization server with one client. [`Dialect::settings`] has everything filled in; change what you need.
#[derive(Clone)]
pub struct ServerSettings {
    /// Which system it speaks like.
    pub dialect: Dialect,
    /// Where it listens, by default `127.0.0.1:0`: any free port.
    pub address: SocketAddr,
    /// The client it knows.
    pub client_id: String,
    /// That client's secret; `None`: a public client, which must not try to prove itself.
    pub client_secret: Option<String>,
    /// How Basic credentials are read.
    pub basic_encoding: BasicEncoding,
    /// The user it knows, name and password (password grant).
    pub user: Option<(String, String)>,
    /// What the client may ask for.
    pub scopes: Vec<String>,
    /// What it gets when it asks for none; `None`: it must ask.
    pub default_scope: Option<String>,
    /// How long access tokens live.
    pub lifetime: Duration,
    /// Whether there are refresh tokens, and how often one may be used.
    pub refresh_tokens: RefreshTokens,
    /// How long refresh tokens live.
    pub refresh_lifetime: Duration,
    /// Where events go, by default to a place of its own.
    pub events: Events,
}

/// How Basic credentials are read (RFC 6749 §2.3.1, and those who do it otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicEncoding {
    /// Id and secret are form-encoded, as the RFC says; what is not is refused.
    Form,
    /// They are taken as they are.
    Raw,
}

/// What becomes of refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokens {
    /// There are none.
    Never,
    /// One serves until it expires; the answer to a refresh holds no new one.
    Kept,
    /// One serves once; a second use voids all tokens of its login.
    Rotated,
}

/// Loopback, any free port.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
