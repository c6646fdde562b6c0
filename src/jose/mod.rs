//! Signing JWTs (RFC 7515, RFC 7518, RFC 8037): keys as people have them, compact JWS, the public key as a JWK.
//!
//! A leaf like `secret`: knows no grant and no request, does no I/O, has no clock. Refused are keys that are too short,
//! public ones, encrypted ones, and an algorithm that does not suit its key; `none` cannot be written. Nothing of a key
//! stands in an error.

mod algorithm;
mod certificate;
mod error;
mod id;
mod jwk;
mod key;
mod key_file;
mod pem;
mod public;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use certificate::certificate_thumbprint;
pub use error::KeyError;
pub use error::SignError;
pub use id::unique_id;
pub use key::SigningKey;
pub use key_file::KeyFile;
pub use public::PublicJwk;
