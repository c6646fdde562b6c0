//! `bearer-proxy healthcheck`: asks the admin listener, for containers without a shell.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Common, FAILURE, SUCCESS, WRONG, output};

/// The arguments of `bearer-proxy healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArguments {
    /// Ask whether it is ready to serve (/readyz), not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
    /// The admin listener, when it is not the one of the file
    #[arg(long, value_name = "IP:PORT", env = "BEARER_PROXY_ADMIN")]
    address: Option<SocketAddr>,
}

/// Connecting, asking and reading have this long, each.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks.
pub(super) fn healthcheck(common: &Common, arguments: &HealthcheckArguments) -> u8 {
    let address = match arguments.address {
        Some(address) => address,
        None => {
            let Some(config) = common.load() else { return WRONG };
            let Some(admin) = config.admin else {
                output::complain(&format!("{}: there is no admin.address to ask", common.config.display()));
                return WRONG;
            };
            admin.address
        }
    };
    let path = if arguments.ready { "/readyz" } else { "/healthz" };
    match ask(reachable(address), path) {
        Ok(200) => SUCCESS,
        Ok(status) => {
            output::complain(&format!("{path} answers {status}"));
            FAILURE
        }
        Err(error) => {
            output::complain(&format!("{address} does not answer: {error}"));
            FAILURE
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

fn ask(address: SocketAddr, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|status| std::str::from_utf8(status).ok());
    status.and_then(|status| status.parse().ok()).ok_or_else(|| std::io::Error::other("that is no HTTP answer"))
}
