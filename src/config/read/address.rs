//! Hosts, paths, URLs and sockets.
//!
//! What another reader could read differently is refused, not rewritten: `upstream` keeps its path byte for byte
//! (RFC 3986), so the `url` crate only sees token URLs and single hosts.

use std::net::IpAddr;
use std::net::SocketAddr;

use url::Host;
use url::Url;

use super::Node;
use super::Read;
use super::Reader;
use crate::route::HostPattern;
use crate::server::settings::ListenAddress;
use crate::upstream::settings::Scheme;

/// Whether a host is this machine, by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// The path of a route.
#[derive(Clone, Debug)]
pub(crate) struct RoutePath(pub(crate) String);

impl Read for RoutePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a path", node, |text| {
            if !text.starts_with('/') {
                return Err("must begin with `/`");
            }
            if text.contains('*') {
                return Err("a path matches all below it and needs no `*`: write `/api/`");
            }
            check_path(text).map(|()| Self(text.to_owned()))
        })
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains(['?', '#']) {
        return Err("must have neither `?` nor `#`");
    }
    if path.contains('\\') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII without `\\`; write other characters as `%C3%A9`");
    }
    // As the most eager of readers would read it (R40).
    let decoded = path.to_ascii_lowercase().replace("%25", "%").replace("%2e", ".").replace("%2f", "/");
    let decoded = decoded.replace("%5c", "/");
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if decoded.split('/').any(dots) { Err("must not have `.` or `..` as a segment") } else { Ok(()) }
}

/// `upstream`, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamUrl {
    pub(crate) scheme: Scheme,
    /// IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
}

impl Read for UpstreamUrl {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a URL or a mapping", node, Self::parse)
    }
}

impl UpstreamUrl {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("must be a URL: write `https://host/path`")?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => (Scheme::Https, 443),
            "http" => (Scheme::Http, 80),
            _ => return Err("must begin with `https://` or `http://`"),
        };
        let (authority, path) = match rest.find(['/', '?', '#', '\\']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if path.contains('?') {
            return Err("must have no query (`?`); requests bring their own");
        }
        if path.contains('#') {
            return Err("must have no fragment (`#`)");
        }
        if authority.contains('@') {
            return Err("must have no user or password in it; use a credential, or `request_headers`");
        }
        check_path(path)?;
        let (host, port) = host_and_port(authority)?;
        Ok(Self { scheme, host, port: port.unwrap_or(default_port), path: path.to_owned() })
    }
}

/// A host, checked, and its port if there is one.
pub(super) fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let colon = authority.rfind(':').filter(|_| !authority.ends_with(']'));
    let (host, port) = colon.map_or((authority, ""), |at| authority.split_at(at));
    let port = match port.strip_prefix(':').map(str::parse) {
        None => None,
        Some(Ok(0) | Err(_)) => return Err("the port must be a number from 1 to 65535"),
        Some(Ok(port)) => Some(port),
    };
    if host.contains('%') {
        return Err(NO_HOST);
    }
    match Host::parse(host) {
        Ok(Host::Domain(name)) if valid_name(&name) => Ok((name, port)),
        Ok(Host::Ipv4(address)) => Ok((address.to_string(), port)),
        Ok(Host::Ipv6(address)) => Ok((address.to_string(), port)),
        Ok(Host::Domain(_)) | Err(_) => Err(NO_HOST),
    }
}

const NO_HOST: &str = "has no valid host; write a name, an IPv4 address, or an IPv6 address in brackets";

fn valid_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl Read for HostPattern {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a host", node, |text| {
            let host = text.to_ascii_lowercase();
            let (below, name) = match host.strip_prefix("*.") {
                Some(name) => (true, name),
                None => (false, host.as_str()),
            };
            if name.contains('/') {
                return Err("is a host alone: no scheme, no path");
            }
            if name.contains('*') {
                return Err("`*` may only stand at the beginning, as in `*.example.com`");
            }
            let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let is_ipv6 = bracketed.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
            match below {
                false if is_ipv6 || valid_name(name) => Ok(Self::Exact(name.to_owned())),
                true if valid_name(name) => Ok(Self::Below(name.to_owned())),
                _ if name.contains(':') => Err("must have no port; an IPv6 address stands in brackets"),
                _ => Err("is not a host; write `api.example.com` or `*.example.com`, in ASCII"),
            }
        })
    }
}

/// `token_url`, `request.refresh_url`.
#[derive(Clone, Debug)]
pub(crate) struct TokenUrl(pub(crate) Url);

impl TokenUrl {
    /// Of a text that does not stand in the file.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        secure_url(text).map(Self)
    }
}

impl Read for TokenUrl {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a URL", node, Self::parse)
    }
}

/// `issuer`, and as it is written: to the letter its name, where a URL may differ by a slash.
#[derive(Clone, Debug)]
pub(crate) struct IssuerUrl(pub(crate) Url, pub(crate) String);

impl Read for IssuerUrl {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a URL", node, |text| match secure_url(text)? {
            url if url.query().is_some() => Err("an issuer has no query (RFC 8414 §2)"),
            url => Ok(Self(url, text.to_owned())),
        })
    }
}

fn secure_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL: write `https://host/path`")?;
    let loopback = url.host_str().is_some_and(is_loopback);
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("must be https: secrets are sent to it (http is allowed to loopback alone)"),
        _ => return Err("must begin with `https://`"),
    }
    if url.fragment().is_some() {
        return Err("must have no fragment (`#`)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user or password in it; use `client_id` and `client_secret`");
    }
    Ok(url)
}

/// A name or address that a server's certificate is for.
#[derive(Clone, Debug)]
pub(crate) struct ServerName(pub(crate) String);

impl Read for ServerName {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a name", node, |text| {
            let name = text.to_ascii_lowercase();
            let valid = valid_name(&name) || name.parse::<IpAddr>().is_ok();
            if valid { Ok(Self(name)) } else { Err("is not a server's name; write `api.example.com`") }
        })
    }
}

impl Read for SocketAddr {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("an address", node, socket)
    }
}

impl Read for ListenAddress {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text("an address", node)?;
        let address = match text.split_once(':') {
            Some(("unix", path)) => {
                let path = reader.directory.join(path);
                match path.as_os_str().len() {
                    _ if text == "unix:" => Err("needs a path: write `unix:/run/bearer-proxy.sock`"),
                    0..=107 => Ok(Self::Unix(path)),
                    _ => Err("is too long: the system takes paths of 107 bytes"),
                }
            }
            Some(("systemd", "")) => Err("needs a name: write `systemd:NAME`, as in `FileDescriptorName=NAME`"),
            Some(("systemd", name)) => Ok(Self::Systemd(name.to_owned())),
            None if text == "systemd" => Err("needs a name: write `systemd:NAME`, as in `FileDescriptorName=NAME`"),
            _ => socket(&text).map(Self::Tcp),
        };
        address.map_err(|message| reader.refuse::<()>(node, message)).ok()
    }
}

fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| match text.split_once(':') {
        Some(("localhost", _)) => "must be an IP address and a port: write `127.0.0.1:8080`",
        Some(("" | "*", _)) => "must be an IP address and a port: write `127.0.0.1:8080`, or `0.0.0.0:8080` for all",
        _ => "must be an IP address and a port: write `127.0.0.1:8080` or `[::1]:8080`",
    })
}

/// An origin as browsers write it.
#[derive(Clone, Debug)]
pub(crate) struct Origin(pub(crate) String);

impl Read for Origin {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("an origin", node, |text| {
            let url = Url::parse(text).map_err(|_| NO_ORIGIN)?;
            let bare = url.path() == "/" && !text.ends_with('/') && url.query().is_none() && url.fragment().is_none();
            match url.origin() {
                origin @ url::Origin::Tuple(..) if bare && url.username().is_empty() && url.password().is_none() => {
                    Ok(Self(origin.ascii_serialization()))
                }
                _ => Err(NO_ORIGIN),
            }
        })
    }
}

const NO_ORIGIN: &str = "is not an origin; write `https://app.example.com`, without a path";
