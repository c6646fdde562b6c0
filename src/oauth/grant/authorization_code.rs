//! The authorization code grant (RFC 6749 §4.1), with the proof of RFC 7636.
//!
//! A code is used once, by whoever logs in; what the credential lives of afterwards is the refresh token that it brings.
//! How a person comes by a code is [`login`](super::super::login)'s affair.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// A code, and what it was asked for with.
#[derive(Clone)]
pub(in crate::oauth) struct AuthorizationCode {
    pub(in crate::oauth) code: Secret,
    /// To the letter as in the authorization request (RFC 6749 §4.1.3).
    pub(in crate::oauth) redirect_uri: String,
    /// `None`: without PKCE.
    pub(in crate::oauth) verifier: Option<Secret>,
}

impl Grant for AuthorizationCode {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "authorization_code");
        request.set("code", self.code.clone());
        request.set_text("redirect_uri", &self.redirect_uri);
        if let Some(verifier) = &self.verifier {
            request.set("code_verifier", verifier.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(verifier: Option<&str>) -> String {
        let mut request = TokenRequest::for_test();
        let grant = AuthorizationCode {
            code: Secret::new("SplxlOBeZQQYbYS6WxSbIA"),
            redirect_uri: "https://client.example.com/cb".to_owned(),
            verifier: verifier.map(Secret::new),
        };
        grant.apply(&mut request).unwrap();
        request.form()
    }

    #[test]
    fn it_sends_what_rfc_6749_section_4_1_3_shows() {
        assert_eq!(
            form(None),
            "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA\
             &redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb"
        );
    }

    #[test]
    fn it_proves_itself_as_rfc_7636_section_4_5_wants() {
        assert!(form(Some("dBjftJeZ4CVP")).ends_with("&code_verifier=dBjftJeZ4CVP"));
    }
}
