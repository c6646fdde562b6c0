//! Client authentication (RFC 6749 §2.3): how the client proves itself to the token endpoint. One file each, alike in
//! shape.
//!
//! As a grant, it is made from its settings for one request and then does no I/O. It is never guessed: a second try with
//! another method counts as a second wrong login at servers that lock clients.

mod client_assertion;
mod client_secret_basic;
mod client_secret_post;
mod none;
mod tls_client_auth;

use super::assertion::Assertion;
use super::request::TokenRequest;
use super::settings::ClientAuthSettings;
use crate::secret::{Secret, SecretError, SecretSource};
use crate::token::TokenError;

/// Signs a token request; never does I/O.
pub(super) trait ClientAuth: Send + Sync {
    /// Adds the proof, once the grant has written its parameters.
    ///
    /// # Errors
    ///
    /// The proof cannot be made (an assertion that cannot be signed).
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError>;
}

/// The client authentication of these settings, with its secrets as they are now.
pub(super) fn read(
    settings: &ClientAuthSettings,
    client_id: Option<&SecretSource>,
) -> Result<Box<dyn ClientAuth>, SecretError> {
    let client_id = client_id.map(SecretSource::read).transpose()?;
    Ok(match settings {
        ClientAuthSettings::None => Box::new(none::Public { client_id }),
        ClientAuthSettings::SecretBasic { secret, encoding } => Box::new(client_secret_basic::ClientSecretBasic {
            client_id: or_empty(client_id),
            secret: secret.read()?,
            encoding: *encoding,
        }),
        ClientAuthSettings::SecretPost { secret } => {
            Box::new(client_secret_post::ClientSecretPost { client_id, secret: secret.read()? })
        }
        ClientAuthSettings::SecretJwt { assertion } | ClientAuthSettings::PrivateKeyJwt { assertion } => {
            Box::new(client_assertion::ClientAssertion { client_id, assertion: Assertion::read(assertion)? })
        }
        ClientAuthSettings::Tls => Box::new(tls_client_auth::TlsClientAuth { client_id: or_empty(client_id) }),
    })
}

fn or_empty(client_id: Option<Secret>) -> Secret {
    client_id.unwrap_or_else(|| Secret::new(""))
}
