//! Where a Redis server is: `redis://`, `rediss://` or `unix:`.

use std::path::PathBuf;

use super::Node;
use super::Read;
use super::Reader;
use super::address::host_and_port;
use super::is_loopback;
use crate::tls::TlsSettings;
use crate::token::store::RedisAddress;

/// `url` of `redis`, taken apart.
#[derive(Clone, Debug)]
pub(crate) enum RedisUrl {
    /// `redis://host:port/number`, or `rediss`.
    Tcp {
        /// `rediss`.
        tls: bool,
        /// IPv6 without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// The number.
        database: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Read for RedisUrl {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let directory = reader.directory;
        reader.parse("a URL", node, |text| match text.strip_prefix("unix:") {
            Some("") => Err("after `unix:` comes a path"),
            Some(path) => Ok(Self::Unix(directory.join(path))),
            None => Self::parse(text),
        })
    }
}

impl RedisUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            text.split_once("://").ok_or("must be a URL: write `rediss://host:6379`, or `unix:/path`")?;
        let tls = match scheme {
            "rediss" | "valkeys" => true,
            "redis" | "valkey" => false,
            _ => return Err("must begin with `rediss://`, `redis://` or `unix:`"),
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("must have no user or password in it; use `username` and `password`");
        }
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| "behind the host comes at most the number of a database, as `/0`")?,
        };
        let (host, port) = host_and_port(authority)?;
        Ok(Self::Tcp { tls, host, port: port.unwrap_or(6379), database })
    }

    /// Whether there is TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    /// Whether others can listen in.
    pub(crate) fn is_exposed(&self) -> bool {
        matches!(self, Self::Tcp { tls: false, host, .. } if !is_loopback(host))
    }

    /// The address, and the number of the database.
    pub(crate) fn into_parts(self, settings: TlsSettings) -> (RedisAddress, u16) {
        match self {
            Self::Tcp { tls, host, port, database } => {
                (RedisAddress::Tcp { host, port, tls: tls.then_some(settings) }, database)
            }
            Self::Unix(path) => (RedisAddress::Unix(path), 0),
        }
    }
}
