//! Proofs of possession (RFC 9449): what a token that is bound to a key is sent with.
//!
//! A proof says with which method, to which URL and when a request is made, and with which token; it is signed anew for
//! each. What a key is and where it is kept is `oauth`'s affair: here it is something that signs.

mod nonces;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, rand};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::{HeaderMap, HeaderName};

use self::nonces::Nonces;
use crate::secret::Secret;

/// The header field of a proof (§4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The header field of a nonce (§8).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Signs; `None` if it cannot.
pub type Sign = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Makes the proofs of one key, and remembers the nonces that servers want in them.
pub struct Prover {
    /// The encoded header with its dot: the same in every proof of a key.
    header: String,
    sign: Sign,
    nonces: Nonces,
}

/// What a proof is about.
#[derive(Clone, Copy)]
pub struct Claims<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's URL; its query and fragment are left out (§4.2).
    pub url: &'a str,
    /// Whose nonce goes in: `https://host:port`.
    pub origin: &'a str,
    /// The token's [`digest_of`]; `None` for a token request.
    pub token: Option<&'a str>,
}

impl Prover {
    /// Of this key: its JWS algorithm, its public half as a JWK, and what signs with it.
    #[must_use]
    pub fn new(algorithm: &str, jwk: &str, sign: Sign) -> Self {
        let header = format!("{{\"typ\":\"dpop+jwt\",\"alg\":\"{algorithm}\",\"jwk\":{jwk}}}");
        Self { header: format!("{}.", BASE64_URL_SAFE_NO_PAD.encode(header)), sign, nonces: Nonces::default() }
    }

    /// A proof, valid now and once; `None` if it cannot be made, which is the signer's fault.
    #[must_use]
    pub fn prove(&self, claims: Claims<'_>) -> Option<String> {
        let mut jti = [0; 16];
        rand::fill(&mut jti).ok()?;
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let payload = self.payload(claims, &BASE64_URL_SAFE_NO_PAD.encode(jti), iat)?;
        let mut proof = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 96);
        proof.push_str(&self.header);
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut proof);
        let signature = (self.sign)(proof.as_bytes())?;
        proof.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut proof);
        Some(proof)
    }

    fn payload(&self, claims: Claims<'_>, jti: &str, iat: u64) -> Option<String> {
        let url = claims.url.split(['?', '#']).next()?;
        let (method, url) = (serde_json::to_string(claims.method).ok()?, serde_json::to_string(url).ok()?);
        let mut payload = format!("{{\"jti\":\"{jti}\",\"htm\":{method},\"htu\":{url},\"iat\":{iat}");
        // Neither has a character that JSON would write otherwise.
        let mut add = |name: &str, value: &str| payload.extend([",\"", name, "\":\"", value, "\""]);
        if let Some(token) = claims.token {
            add("ath", token);
        }
        self.nonces.with(claims.origin, |nonce| add("nonce", nonce));
        payload.push('}');
        Some(payload)
    }

    /// Remembers the nonce that a server offers with an answer (§8, §9). Says whether there was one.
    pub fn learn(&self, origin: &str, headers: &HeaderMap) -> bool {
        match headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok()) {
            Some(nonce) => self.nonces.learn(origin, nonce),
            None => false,
        }
    }
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prover").finish_non_exhaustive()
    }
}

/// A token's digest, as the claim `ath` has it (§4.2).
#[must_use]
pub fn digest_of(token: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn prover() -> Prover {
        Prover::new("ES256", "{\"kty\":\"EC\"}", Box::new(|text| Some(text.len().to_string().into_bytes())))
    }

    fn part(proof: &str, number: usize) -> Value {
        let part = proof.split('.').nth(number).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    const CLAIMS: Claims<'_> =
        Claims { method: "GET", url: "https://api.example/a%20b?q=1#f", origin: "https://api.example", token: None };

    // RFC 9449 §4.2
    #[test]
    fn a_proof_says_method_url_and_time_and_is_signed_whole() {
        let proof = prover().prove(CLAIMS).unwrap();
        assert_eq!(part(&proof, 0), json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC"}}));
        let claims = part(&proof, 1);
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("GET"), &json!("https://api.example/a%20b")));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - claims["iat"].as_u64().unwrap() < 5);
        assert_eq!(claims.as_object().unwrap().len(), 4);
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap(), signed.len().to_string().as_bytes());
    }

    #[test]
    fn no_two_proofs_are_alike() {
        let prover = prover();
        let all: std::collections::BTreeSet<_> =
            (0..100).map(|_| part(&prover.prove(CLAIMS).unwrap(), 1)["jti"].to_string()).collect();
        assert_eq!(all.len(), 100);
    }

    // RFC 9449 §7.1
    #[test]
    fn the_digest_of_a_token_is_that_of_the_rfc() {
        let token = Secret::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
        assert_eq!(digest_of(&token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
        let proof = prover().prove(Claims { token: Some(&digest_of(&token)), ..CLAIMS }).unwrap();
        assert_eq!(part(&proof, 1)["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    }

    #[test]
    fn a_nonce_goes_to_the_origin_that_offered_it_and_to_no_other() {
        let prover = prover();
        let offered = |nonce: &'static str| HeaderMap::from_iter([(DPOP_NONCE, nonce.parse().unwrap())]);
        assert!(prover.learn("https://api.example", &offered("eyJ7S_zG")));
        assert!(!prover.learn("https://api.example", &HeaderMap::new()));
        assert_eq!(part(&prover.prove(CLAIMS).unwrap(), 1)["nonce"], "eyJ7S_zG");
        let other = Claims { origin: "https://api.example:81", ..CLAIMS };
        assert_eq!(part(&prover.prove(other).unwrap(), 1)["nonce"], Value::Null);
        prover.learn("https://api.example", &offered("newer"));
        assert_eq!(part(&prover.prove(CLAIMS).unwrap(), 1)["nonce"], "newer");
    }

    #[test]
    fn a_signer_that_fails_is_no_panic() {
        let prover = Prover::new("ES256", "{}", Box::new(|_| None));
        assert_eq!(prover.prove(CLAIMS), None);
        assert!(!format!("{prover:?}").contains("header"));
    }

    #[test]
    fn a_url_cannot_break_out_of_its_quotes() {
        let claims = Claims { url: "https://api.example/\",\"iat\":1,\"x\":\"", ..CLAIMS };
        let claims = part(&prover().prove(claims).unwrap(), 1);
        assert_eq!(claims["htu"], "https://api.example/\",\"iat\":1,\"x\":\"");
        assert!(claims.get("x").is_none());
    }
}
