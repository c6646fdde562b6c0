//! Whether an ID token is of this login: its `nonce` (OpenID Connect Core §3.1.3.7, step 11).
//!
//! Nothing else of it is looked at, and nothing is concluded from it: it came from the token endpoint over TLS, which
//! is why its signature need not be checked (the same, step 6).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::Value;
use zeroize::Zeroizing;

use super::LoginError;
use crate::secret::Secret;

/// Refuses an ID token of another login, and the lack of one.
pub(in crate::oauth) fn check(id_token: Option<&Secret>, nonce: &Secret) -> Result<(), LoginError> {
    let id_token = id_token.ok_or(LoginError::IdToken("there is none, although the scope `openid` was asked for"))?;
    let claims = claims(id_token.expose()).ok_or(LoginError::IdToken("it is no JWT"))?;
    let said = claims.get("nonce").and_then(Value::as_str);
    let said = said.ok_or(LoginError::IdToken("it has no `nonce`"))?;
    verify_slices_are_equal(said.as_bytes(), nonce.expose().as_bytes())
        .map_err(|_| LoginError::IdToken("it is of another login: its `nonce` is not ours"))
}

fn claims(jwt: &str) -> Option<Value> {
    let mut parts = jwt.split('.');
    let (_header, payload) = (parts.next()?, parts.next()?);
    let payload = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(claims: &str) -> Result<(), String> {
        let id_token = Secret::new(format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)));
        check(Some(&id_token), &Secret::new("n-0S6_WzA2Mj")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_nonce_must_be_ours() {
        assert_eq!(checked(r#"{"nonce":"n-0S6_WzA2Mj","sub":"24400320"}"#), Ok(()));
        for claims in [r#"{"nonce":"n-0S6_WzA2MJ"}"#, r#"{"nonce":7}"#, r#"{"sub":"24400320"}"#, "{}", "no JSON"] {
            assert!(checked(claims).is_err(), "{claims}");
        }
        let nonce = Secret::new("n");
        assert!(check(None, &nonce).is_err());
        for text in ["", "a", "a.b", "..", "e30.e30.e30"] {
            assert!(check(Some(&Secret::new(text)), &nonce).is_err(), "{text}");
        }
    }
}
