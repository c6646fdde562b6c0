//! A token source made of a grant, a client authentication and a token endpoint.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::settings::CredentialSettings;
use crate::tls::TlsError;
use crate::token::store::TokenStore;
use crate::token::{AccessToken, TokenError, TokenSource};

/// Obtains tokens for one credential.
pub struct OAuthClient {
    _settings: CredentialSettings,
    _store: Arc<dyn TokenStore>,
}

impl OAuthClient {
    /// A client for this credential; refresh tokens live in `store`.
    ///
    /// # Errors
    ///
    /// The TLS files of `request.tls` cannot be used.
    pub fn new(settings: CredentialSettings, store: Arc<dyn TokenStore>) -> Result<Self, TlsError> {
        Ok(Self { _settings: settings, _store: store })
    }
}

impl TokenSource for OAuthClient {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>> {
        todo!()
    }
}
