//! Asking the admin listener of a proxy that runs.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Connecting, asking, and each read have this long.
const LIMIT: Duration = Duration::from_secs(2);

/// The whole answer has this long.
const LONGEST: Duration = Duration::from_secs(10);

/// Ten thousand credentials are less.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The status and the body of an answer.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>)> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let answer = read(&mut stream)?;
    let no_http = || Error::other("that is no HTTP answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(no_http)?;
    let (head, body) = answer.split_at_checked(end.saturating_add(4)).ok_or_else(no_http)?;
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|status| status.get(..3)).ok_or_else(no_http)?;
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(no_http)?, body.to_vec()))
}

/// All up to the end: the admin listener answers once and then closes.
fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let begun = Instant::now();
    let (mut answer, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut chunk)?;
        answer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        match count {
            0 => return Ok(answer),
            _ if begun.elapsed() > LONGEST => return Err(ErrorKind::TimedOut.into()),
            _ if answer.len() > MAX_ANSWER => return Err(Error::other("the answer has no end")),
            _ => {}
        }
    }
}

/// A listener on all addresses is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}
