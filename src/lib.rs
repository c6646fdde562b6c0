//! `bearer-proxy`: an authenticating HTTP proxy.
//!
//! An application that knows nothing of OAuth is pointed at it instead of the real API. Each request is matched to a
//! **route**, bears the cached access token of the route's **credential**, and goes to the route's **upstream**; on a
//! `401` the token is renewed and the request sent once more; the answer is streamed back unchanged.
//!
//! The rooms, and who may enter which (`tests/architecture.rs` enforces it):
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | the file: document as written → the rooms' settings, errors with their place |
//! | [`server`] | sockets: accept, TLS, strict reading of request heads, drain |
//! | [`access`] | who may call: local, anyone; host and origin rules |
//! | [`forward`] | one request's life |
//! | [`route`] | request → what it leads to; pure |
//! | [`upstream`] | talking to an API: connections, pool |
//! | [`token`] | keeping tokens: cache, renewal, memory of failures |
//! | [`oauth`] | getting tokens: grants, client authentication, the token endpoint |
//! | [`telemetry`] | diagnostics, access log, metrics |
//! | [`admin`] | the second listener: health, readiness, metrics, status |
//! | [`demo`] | the authorization server and API of `bearer-proxy demo` |
//! | [`secret`], [`jose`], [`tls`] | leaves: values that do not print; signed tokens; certificates, keys and roots |
//! | [`app`] | puts the rooms together and keeps them running |
//! | [`cli`] | arguments, one file a command |
//! | [`tcp`] | connections as the data plane reads and writes them |
//! | [`allocator`] | where memory comes from |

#![deny(unsafe_code)]

pub mod access;
pub mod admin;
pub mod allocator;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod forward;
pub mod jose;
pub mod oauth;
pub mod route;
pub mod secret;
pub mod server;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod upstream;
