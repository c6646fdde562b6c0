//! Getting tokens (RFC 6749): the token endpoint, its requests and answers, grants and client authentication.
//!
//! Knows grants, not requests of a downstream; [`OAuthClient`] is the [`TokenSource`](crate::token::TokenSource) made
//! of them.

mod client;
pub mod settings;

pub use client::OAuthClient;
