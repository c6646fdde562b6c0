//! How a client is configured to prove itself.

use super::AssertionSource;
use crate::secret::SecretSource;

/// `client_auth`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuthSettings {
    /// A public client: `client_id` in the body, when there is one.
    None,
    /// RFC 6749 §2.3.1, `Authorization: Basic`.
    SecretBasic {
        /// `client_secret`.
        secret: SecretSource,
        /// `request.basic_encoding`.
        encoding: BasicEncoding,
    },
    /// RFC 6749 §2.3.1, in the body.
    SecretPost {
        /// `client_secret`.
        secret: SecretSource,
    },
    /// RFC 7523 §2.2, signed with the client's secret.
    SecretJwt {
        /// What is signed.
        assertion: AssertionSource,
    },
    /// RFC 7523 §2.2, signed with a private key, or ready-made.
    PrivateKeyJwt {
        /// What is sent.
        assertion: AssertionSource,
    },
    /// RFC 8705: the certificate of `request.tls`.
    Tls,
}

/// `request.basic_encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicEncoding {
    /// Id and secret are form-encoded first, as RFC 6749 §2.3.1 says.
    Form,
    /// They are not, for servers that do not decode.
    Raw,
}
