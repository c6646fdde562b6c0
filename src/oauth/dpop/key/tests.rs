//! Keys and proofs against RFC 9449's own examples, and another library's verdict on ours.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::Value;

use super::*;
use crate::secret::Secret;
use crate::token::dpop::{Claims, digest_of};
use aws_lc_rs::digest;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

/// RFC 9449 figure 2: a proof for a token request.
const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR\
    0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsI\
    mNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY2\
    9tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV\
    37xRZT3Lg";

/// RFC 9449 figure 12: a proof for a request to a resource.
const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtM\
    zR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSI\
    sImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxl\
    Lm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcW\
    tzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

/// A proof's header and claims, its signature verified with the key that it names.
fn verified(proof: &str) -> (Value, Value) {
    let (message, signature) = proof.rsplit_once('.').unwrap();
    let mut parts = message.split('.').map(|part| {
        let part = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<Value>(&part).unwrap()
    });
    let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let text = |name: &str| header["jwk"][name].as_str().unwrap();
    let (key, algorithm) = match header["alg"].as_str().unwrap() {
        "ES256" => (DecodingKey::from_ec_components(text("x"), text("y")).unwrap(), Algorithm::ES256),
        "EdDSA" => (DecodingKey::from_ed_components(text("x")).unwrap(), Algorithm::EdDSA),
        other => panic!("{other}"),
    };
    assert!(crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap(), "{proof}");
    (header, claims)
}

/// The members of RFC 7638 §3.2 in their order.
fn canonical(jwk: &Value) -> String {
    let member = |name: &str| format!("\"{name}\":{}", jwk[name]);
    let names: &[&str] = if jwk["kty"] == "EC" { &["crv", "kty", "x", "y"] } else { &["crv", "kty", "x"] };
    format!("{{{}}}", names.iter().map(|name| member(name)).collect::<Vec<_>>().join(","))
}

// RFC 9449 §§4.1, 6.1, 7.1
#[test]
fn the_examples_of_the_rfc_are_read_as_ours_are() {
    let (header, claims) = verified(TOKEN_REQUEST);
    assert_eq!(header["typ"], "dpop+jwt");
    assert_eq!((&claims["htm"], &claims["htu"]), (&"POST".into(), &"https://server.example.com/token".into()));
    assert_eq!(thumbprint(&canonical(&header["jwk"])), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");

    let (header, claims) = verified(RESOURCE_REQUEST);
    assert_eq!(thumbprint(&canonical(&header["jwk"])), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let token = Secret::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    assert_eq!(claims["ath"].as_str(), Some(digest_of(&token).as_str()));
}

/// The thumbprint of RFC 7638, by its text.
fn thumbprint(canonical: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[test]
fn our_proofs_are_verified_by_another_library() {
    for algorithm in [DpopAlgorithm::Es256, DpopAlgorithm::EdDsa] {
        let (key, text) = Key::generate(algorithm).unwrap();
        let jkt = key.key.thumbprint().unwrap();
        let again = Key::read(&text).unwrap();
        assert_eq!((again.key.thumbprint().unwrap(), again.algorithm()), (jkt.clone(), algorithm));
        let prover = key.into_prover().unwrap();
        let claims = Claims { method: "GET", url: "https://a.example/b?c", origin: "https://a.example", token: None };
        for _ in 0..20 {
            let (header, claims) = verified(&prover.prove(claims).unwrap());
            assert_eq!(header["alg"], algorithm.name());
            assert_eq!(thumbprint(&canonical(&header["jwk"])), jkt);
            assert_eq!(claims["htu"], "https://a.example/b");
        }
    }
}

#[test]
fn what_is_no_such_key_is_refused() {
    let (_, other) = SigningKey::generate(crate::jose::Algorithm::Es384).unwrap();
    assert!(matches!(Key::read(&other), Err(DpopKeyError::Kind("ES384"))));
    let error = Key::read(&Secret::new("hunter2")).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("the private key is none: PEM") && !error.contains("hunter2"), "{error}");
}

/// What a proof costs: `cargo test --release --lib proof_costs -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and asserts nothing"]
fn what_a_proof_costs() {
    for algorithm in [DpopAlgorithm::Es256, DpopAlgorithm::EdDsa] {
        let prover = Key::generate(algorithm).unwrap().0.into_prover().unwrap();
        let token = digest_of(&Secret::new("t0k"));
        let claims = Claims {
            method: "GET",
            url: "https://api.example/v1/orders/17",
            origin: "https://api.example",
            token: Some(&token),
        };
        let began = std::time::Instant::now();
        for _ in 0..10_000 {
            prover.prove(claims).unwrap();
        }
        println!("{}: {:?} a proof", algorithm.name(), began.elapsed() / 10_000);
    }
}
