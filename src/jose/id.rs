//! Identifiers that nobody has used before (RFC 7519 §4.1.7).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::SignError;

/// A new `jti`: 128 random bits.
///
/// # Errors
///
/// The system has no randomness.
pub fn unique_id() -> Result<String, SignError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SignError)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
