//! Getting tokens (RFC 6749): the token endpoint, its requests and answers, grants and client authentication.
//!
//! Knows grants, not requests of a downstream; [`OAuthClient`] is the [`TokenSource`](crate::token::TokenSource) made
//! of them. Requests are composed and answers are read by pure functions; `endpoint` alone sends.

mod assertion;
mod client;
mod client_auth;
mod discovery;
mod dpop;
mod endpoint;
mod explain;
mod files;
mod grant;
mod kept;
mod login;
mod on_behalf;
mod process;
mod record;
mod refresh_tokens;
mod request;
mod response;
pub mod settings;

pub use client::OAuthClient;
pub use client::device_login::DeviceLogin;
pub use client::login::{Authorization, LoggedIn};
pub use client::logout::{Holding, LoggedOut, Revoked};
pub use dpop::{DpopAlgorithm, DpopKeyError, DpopSettings, algorithm_of_file};
pub use explain::{Explanation, Issued, Step};
pub use login::LoginError;
