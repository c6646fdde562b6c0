//! Four actors: an [`Upstream`] that is told what to answer and records what it saw, the authorization server of
//! [`bearer_proxy::demo`], the [`Proxy`] itself, and a [`Downstream`] that sends and reads exact bytes.
//!
//! Nothing here waits for time to pass: every wait is for an event, and every one has [`PATIENCE`] as its end.

#![allow(dead_code, unused_imports, reason = "each promise uses the part that it needs")]

pub mod api;
pub mod binary;
mod captured;
pub mod certificates;
mod downstream;
pub mod issuer;
pub mod proxy;
pub mod redis_server;
pub mod refusal;
pub mod sent;
pub mod signer;
pub mod token_endpoint;
mod upstream;
pub mod wire;

use std::time::Duration;

pub use api::Api;
pub use binary::Process;
pub use captured::Captured;
pub use certificates::{Authority, Files};
pub use downstream::Downstream;
pub use proxy::{Proxy, ProxyBuilder, parse, proxy_yaml_error};
pub use token_endpoint::{TokenEndpoint, oauth_error};
pub use upstream::{Connection, Seen, Upstream};
pub use wire::Message;

/// Longer than anything that works takes, on a machine that is busy with other things. Only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The future's result; a panic that says what was waited for if it takes longer than [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// An address of loopback that nobody listens on, with a port that the system gives to nobody by itself.
pub fn free_address() -> std::net::SocketAddr {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) * 7919 + std::process::id() * 131;
        let address = ([127, 0, 0, 1], 10_000 + u16::try_from(number % 22_000).unwrap()).into();
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Waits until this holds. For what has no event of its own: figures, and lines of a log.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// An answer with a length, as bytes: a status (`401 Unauthorized`), further fields, a body.
pub fn answer(status: &str, fields: &[&str], body: &str) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// `200 OK` with this JSON.
pub fn json_answer(json: &str) -> Vec<u8> {
    answer("200 OK", &["content-type: application/json"], json)
}
