//! The JWT bearer grant (RFC 7523 §2.1), and by another `grant_type` the SAML one (RFC 7522 §2.1).
//!
//! Whoever the assertion is about, the server believes it because of its signature. One that we sign is another each
//! time; one from a file is somebody else's affair (Kubernetes, SPIFFE), and is sent as it is.

use super::Grant;
use super::TokenRequest;
use crate::oauth::assertion::Assertion;
use crate::token::TokenError;

/// An assertion.
pub(super) struct JwtBearer {
    pub(super) assertion: Assertion,
}

impl Grant for JwtBearer {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        let assertion = self.assertion.text(request.url())?;
        request.set_text("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        request.set("assertion", assertion);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn it_sends_what_rfc_7523_section_2_1_shows() {
        let mut request = TokenRequest::for_test();
        JwtBearer { assertion: Assertion::Ready(Secret::new("eyJhbGci.eyJpc3Mi.J9l-ZhwP")) }
            .apply(&mut request)
            .unwrap();
        let expected =
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJhbGci.eyJpc3Mi.J9l-ZhwP";
        assert_eq!(request.form(), expected);
    }
}
