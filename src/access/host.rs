//! The names a listener answers for.
//!
//! Read as RFC 3986 §3.2.2 writes them, and no more liberally: `127.1` and `0x7f.0.0.1` are names here, not addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name of `name[:port]`, without one trailing dot. `None`: it is neither.
pub(super) fn name_of(host: &str) -> Option<&str> {
    let (name, port) = split_port(host)?;
    if !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.split('.').all(|label| !label.is_empty()) && !name.contains(['@', '/', ' ']);
    is_name.then_some(name)
}

/// Name and port; the port is empty if there is none.
pub(super) fn split_port(host: &str) -> Option<(&str, &str)> {
    if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let (name, rest) = host.split_at_checked(end)?;
        let port = if rest.is_empty() { rest } else { rest.strip_prefix(':')? };
        return Some((name, port));
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    Some((name, port))
}

/// `localhost`, what is below it (RFC 6761 §6.3), and loopback addresses.
pub(super) fn is_own(name: &str) -> bool {
    let address = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    match address {
        Some(address) => address.to_canonical().is_loopback(),
        None => name.eq_ignore_ascii_case("localhost") || is_below("localhost", name),
    }
}

/// Whether the list has this name, or `*.` and a domain above it.
pub(super) fn is_listed(names: &[String], name: &str) -> bool {
    names.iter().any(|listed| match listed.strip_prefix("*.") {
        Some(domain) => is_below(domain, name),
        None => listed.eq_ignore_ascii_case(name),
    })
}

fn is_below(domain: &str, name: &str) -> bool {
    name.len()
        .checked_sub(domain.len())
        .and_then(|at| name.split_at_checked(at))
        .is_some_and(|(before, end)| before.len() > 1 && before.ends_with('.') && end.eq_ignore_ascii_case(domain))
}
