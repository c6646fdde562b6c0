//! Why a key cannot be used. The texts follow "the private key …", and never quote it.

/// Why a text is no key to sign with, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither PEM nor JSON.
    #[error("is none: PEM (-----BEGIN PRIVATE KEY-----), a JWK or the JSON file of a Google service account is needed")]
    NoKey,
    /// PKCS#8 or PKCS#1 behind a passphrase.
    #[error("is encrypted, which is not read; decrypt it (openssl pkey -in … -out …)")]
    Encrypted,
    /// Only the other half is there.
    #[error("is {0}; the private key that belongs to it is needed")]
    NotPrivate(&'static str),
    /// OpenSSH's own format.
    #[error("is in OpenSSH's format; convert a copy of it (ssh-keygen -p -m PKCS8 -f …)")]
    OpenSsh,
    /// PEM that does not end, or holds no base64.
    #[error("is damaged PEM")]
    Damaged,
    /// Not what its label or `kty` says.
    #[error("cannot be read: RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519 is needed")]
    Unreadable,
    /// RSA of fewer than 2048 bits (RFC 7518 §3.3).
    #[error("is an RSA key of fewer than 2048 bits (RFC 7518 §3.3); make a longer one")]
    TooShort,
    /// A JWK without what it needs.
    #[error("is a JWK {0}")]
    Jwk(&'static str),
    /// A service account without what it needs.
    #[error("is the JSON file of a service account without `{0}`; download it again")]
    ServiceAccount(&'static str),
    /// `algorithm` is another key's.
    #[error("is {key}, which cannot sign with {algorithm}; write {suited}")]
    Unsuited {
        /// `an RSA key`.
        key: &'static str,
        /// What was asked for.
        algorithm: &'static str,
        /// What there is instead.
        suited: String,
    },
    /// No shared secret at all.
    #[error("is empty")]
    Empty,
}

/// The signature could not be made: the library gives no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be signed")]
pub struct SignError;
