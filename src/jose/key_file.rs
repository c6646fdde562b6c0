//! A private key as it is handed out: PEM, a JWK, or the JSON file of a Google service account, which says more.

use serde::Deserialize;
use zeroize::Zeroize;

use super::algorithm::Algorithm;
use super::jwk::PrivateJwk;
use super::key::{Kind, SigningKey};
use super::{KeyError, pem};
use crate::secret::Secret;

/// A key, and what its file says besides.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: SigningKey,
    /// A JWK's `kid`, a service account's `private_key_id`.
    pub key_id: Option<String>,
    /// A service account's `client_email`.
    pub client_email: Option<String>,
    /// A service account's `token_uri`.
    pub token_uri: Option<String>,
}

impl KeyFile {
    /// Reads it; `algorithm` as in [`SigningKey::from_text`].
    ///
    /// # Errors
    ///
    /// It is something else, too short, or cannot sign with `algorithm`.
    pub fn read(text: &Secret, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let text = text.expose().trim_start();
        if !text.starts_with('{') {
            return Ok(Self::of(from_pem(text, algorithm)?));
        }
        if let Ok(jwk) = serde_json::from_str::<PrivateJwk>(text) {
            let algorithm = algorithm.or_else(|| jwk.algorithm());
            let key = SigningKey::new(jwk.key(algorithm)?, algorithm)?;
            return Ok(Self { key_id: jwk.key_id().map(str::to_owned), ..Self::of(key) });
        }
        match serde_json::from_str::<ServiceAccount>(text) {
            Ok(account) if account.kind.as_deref() == Some("service_account") => account.read(algorithm),
            Ok(_) | Err(_) => Err(KeyError::NoKey),
        }
    }

    fn of(key: SigningKey) -> Self {
        Self { key, key_id: None, client_email: None, token_uri: None }
    }
}

/// Google's file, as it is downloaded.
#[derive(Deserialize)]
struct ServiceAccount {
    #[serde(rename = "type")]
    kind: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    client_email: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccount {
    fn read(mut self, algorithm: Option<Algorithm>) -> Result<KeyFile, KeyError> {
        let pem = self.private_key.as_deref().ok_or(KeyError::ServiceAccount("private_key"))?;
        let key = from_pem(pem, algorithm)?;
        let client_email = self.client_email.take().ok_or(KeyError::ServiceAccount("client_email"))?;
        let (key_id, token_uri) = (self.private_key_id.take(), self.token_uri.take());
        Ok(KeyFile { key, key_id, client_email: Some(client_email), token_uri })
    }
}

impl Drop for ServiceAccount {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

fn from_pem(text: &str, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    let (form, der) = pem::private_key(text)?;
    SigningKey::new(Kind::from_der(form, &der)?, algorithm)
}
