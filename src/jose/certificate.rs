//! A certificate's thumbprint, by which a server finds the key that belongs to a signature (RFC 7515 §4.1.8).

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use super::pem;

/// The header member `x5t#S256` for the first certificate of a PEM text; `None`: there is none in it.
#[must_use]
pub fn certificate_thumbprint(pem: &str) -> Option<String> {
    let der = pem::certificate(pem)?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)))
}
