//! The authorization servers and APIs of `bearer-proxy demo`; tests use them too.
//!
//! [`AuthorizationServer`] issues tokens in the way of one of four systems ([`Dialect`]), [`Api`] asks for them. Both are
//! written from RFC 6749, RFC 6750 and what the systems document, and share no line with `oauth`: a mistake in how we
//! read the RFC must not be repeated by what is to find it. They are strict where real servers often are not, listen on
//! loopback only by default, and are no place to keep anything: tokens live in memory, and no log or event holds one.

mod api;
mod authorization_server;
mod dialect;
mod event;
mod issuer;
mod listener;
mod refusal;
mod settings;
mod systems;
mod token_request;
mod tokens;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;

pub use api::Api;
pub use authorization_server::{AuthorizationServer, SeenRequest};
pub use dialect::Dialect;
pub use event::{Event, Events, What};
pub use settings::{BasicEncoding, RefreshTokens, ServerSettings};
pub use systems::Systems;
pub use tokens::Presented;
