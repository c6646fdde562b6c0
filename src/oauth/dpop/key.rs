//! A key that proofs are signed with: one of those that cost a request no more than some ten microseconds.

use crate::jose::{Algorithm, KeyError, SigningKey};
use crate::secret::{Secret, SecretError};
use crate::token::dpop::Prover;

/// `dpop.algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopAlgorithm {
    /// ECDSA on the curve P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl DpopAlgorithm {
    /// Its name in JWS (RFC 7518 §3.1, RFC 8037 §3.1).
    #[must_use]
    pub fn name(self) -> &'static str {
        self.of_jose().name()
    }

    fn of_jose(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::Es256,
            Self::EdDsa => Algorithm::EdDsa,
        }
    }
}

/// Why a key cannot be used. Never quotes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DpopKeyError {
    /// Its file cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is no private key.
    #[error("the private key {0}")]
    Key(#[from] KeyError),
    /// It is of another kind.
    #[error("the private key is one for {0}; proofs are signed with one on P-256 or Ed25519")]
    Kind(&'static str),
}

/// A private key.
pub(super) struct Key {
    key: SigningKey,
    algorithm: DpopAlgorithm,
}

impl Key {
    /// A new one, and its text to be kept; `None` if the machine has no randomness.
    pub(super) fn generate(algorithm: DpopAlgorithm) -> Option<(Self, Secret)> {
        let (key, text) = SigningKey::generate(algorithm.of_jose()).ok()?;
        Some((Self { key, algorithm }, text))
    }

    /// Of its text.
    pub(super) fn read(text: &Secret) -> Result<Self, DpopKeyError> {
        let key = SigningKey::from_text(text, None)?;
        match key.algorithm() {
            Algorithm::Es256 => Ok(Self { key, algorithm: DpopAlgorithm::Es256 }),
            Algorithm::EdDsa => Ok(Self { key, algorithm: DpopAlgorithm::EdDsa }),
            other => Err(DpopKeyError::Kind(other.name())),
        }
    }

    pub(super) fn algorithm(&self) -> DpopAlgorithm {
        self.algorithm
    }

    /// What makes proofs with it; `None` for a key without a public half, which is none of these.
    pub(super) fn into_prover(self) -> Option<Prover> {
        let Self { key, algorithm } = self;
        let jwk = key.public_jwk()?;
        tracing::debug!(algorithm = algorithm.name(), jkt = jwk.thumbprint(), "tokens are bound to this key");
        let jwk = serde_json::to_string(&jwk).ok()?;
        let sign = move |text: &[u8]| key.signature(text).ok().map(|signature| signature.to_vec());
        Some(Prover::new(algorithm.name(), &jwk, Box::new(sign)))
    }
}

#[cfg(test)]
mod tests;
