//! The public half of a key as a JWK (RFC 7517, RFC 7518 §6), and its thumbprint (RFC 7638).

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Serialize;

/// A public key, with its required members alone, in their lexicographic order: as RFC 7638 §3 wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PublicJwk(BTreeMap<&'static str, String>);

impl PublicJwk {
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self(BTreeMap::from([("kty", "RSA".to_owned()), ("n", encode(modulus)), ("e", encode(exponent))]))
    }

    /// Of an uncompressed point (SEC 1 §2.3.3): a byte that says so, then both coordinates, alike in length.
    pub(super) fn ec(curve: &str, point: &[u8]) -> Self {
        let coordinates = point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        Self(BTreeMap::from([("kty", "EC".to_owned()), ("crv", curve.to_owned()), ("x", encode(x)), ("y", encode(y))]))
    }

    pub(super) fn ed25519(key: &[u8]) -> Self {
        Self(BTreeMap::from([("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned()), ("x", encode(key))]))
    }

    /// Its SHA-256 thumbprint, in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Cannot fail: a map of texts.
        let canonical = serde_json::to_vec(&self.0).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &canonical))
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
