//! A key pair of a test's own, and another library's opinion of what was signed with it.

use std::collections::HashSet;

use bearer_proxy::jose::{Algorithm, SigningKey};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;

use super::wire::Message;

/// A key pair.
pub struct Signer {
    pub pem: String,
    key: SigningKey,
}

impl Signer {
    pub fn new() -> Self {
        let (key, pem) = SigningKey::generate(Algorithm::Es256).unwrap();
        Self { pem: pem.expose().to_owned(), key }
    }

    /// The claims of a token that was signed with this key, and has not expired; a panic if it was not.
    pub fn claims(&self, token: &str) -> Value {
        let jwk = serde_json::to_value(self.key.public_jwk().unwrap()).unwrap();
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        verified(token, &DecodingKey::from_jwk(&jwk).unwrap())
    }
}

/// The claims of a token that this shared secret has signed.
pub fn claims_by_secret(token: &str, secret: &[u8]) -> Value {
    verified(token, &DecodingKey::from_secret(secret))
}

fn verified(token: &str, key: &DecodingKey) -> Value {
    let mut validation = Validation::new(jsonwebtoken::decode_header(token).unwrap().alg);
    (validation.validate_aud, validation.leeway) = (false, 0);
    validation.required_spec_claims = HashSet::from(["exp".to_owned()]);
    jsonwebtoken::decode::<Value>(token, key, &validation).unwrap().claims
}

/// A token's header.
pub fn header(token: &str) -> Value {
    serde_json::to_value(jsonwebtoken::decode_header(token).unwrap()).unwrap()
}

/// A parameter of a form; a panic if it is there twice.
pub fn param(request: &Message, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(&request.body).filter(|(key, _)| key == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    assert!(values.next().is_none(), "{name} is there twice");
    value
}

/// The names of a form's parameters, in their order.
pub fn names(request: &Message) -> Vec<String> {
    url::form_urlencoded::parse(&request.body).map(|(name, _)| name.into_owned()).collect()
}
