//! Four actors: an [`Upstream`] that is told what to answer and records what it saw, the authorization server of
//! [`bearer_proxy::demo`], the [`Proxy`] itself, and a [`Downstream`] that sends and reads exact bytes.
//!
//! Nothing here waits for time to pass: every wait is for an event, and every one has [`PATIENCE`] as its end.

#![allow(dead_code, unused_imports, reason = "each promise uses the part that it needs")]

mod downstream;
mod proxy;
pub mod refusal;
pub mod sent;
mod upstream;
pub mod wire;

use std::time::Duration;

pub use downstream::Downstream;
pub use proxy::{Proxy, ProxyBuilder};
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
