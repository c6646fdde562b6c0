//! What can be seen from outside: diagnostics, the access log, metrics. Never a header value, a query or a token.
//!
//! Nothing here makes a request wait: lines go to a thread of their own through bounded buffers ([`AccessLog`], and
//! the diagnostics of [`init`] likewise), figures are plain atomics ([`Metrics`]) that are put together when somebody
//! asks for them. What had to be dropped is counted.

mod access_log;
mod diagnostics;
mod metrics;
pub mod settings;
mod slot;
mod spool;

pub use access_log::{AccessLog, Record, TokenAction};
pub use diagnostics::{Diagnostics, init};
pub use metrics::{
    CredentialFigures, Held, ListenerMetrics, Metrics, RetryOutcome, RouteMetrics, UpstreamFailure, UpstreamMetrics,
};
