//! What bearer-proxy promises, shown over real sockets with exact bytes on both sides. A module per promise.

#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that is surprised fails"
)]

mod access;
mod answer_framing;
mod assertions;
mod catalogue;
mod cli;
mod client_auth;
mod credentials;
mod custom;
mod dialects;
mod dpop;
mod endings;
mod exec;
mod failures;
mod faults;
mod fidelity;
mod forward_mode;
mod forwarding;
mod four_systems;
mod hops;
mod interim;
mod life;
mod listeners;
mod login;
mod long_answers;
mod observability;
mod parking;
mod pool;
mod presets;
mod reference;
mod refusal;
mod reload;
mod replicas;
mod request_bodies;
mod request_framing;
mod routes;
mod secrets;
mod stores;
mod streaming;
mod support;
mod targets;
mod tls;
mod token_exchange;
mod tokens;
mod websocket;
mod workers;
