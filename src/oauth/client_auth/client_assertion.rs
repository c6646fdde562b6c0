//! A client assertion (RFC 7523 §2.2): `private_key_jwt`, `client_secret_jwt`, or a ready-made one from a file.
//!
//! The server keeps each `jti` until it expires, so an assertion that we sign is another for each attempt. The client's
//! id goes along, which RFC 7521 §4.2 allows and some servers want (Entra).

use super::ClientAuth;
use super::TokenRequest;
use crate::oauth::assertion::Assertion;
use crate::secret::Secret;
use crate::token::TokenError;

/// An assertion in the body.
pub(super) struct ClientAssertion {
    pub(super) client_id: Option<Secret>,
    pub(super) assertion: Assertion,
}

impl ClientAuth for ClientAssertion {
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        let assertion = self.assertion.text(request.url())?;
        if let Some(client_id) = &self.client_id {
            request.set("client_id", client_id.clone());
        }
        request.set_text("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        request.set("client_assertion", assertion);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_7523_section_2_2_shows() {
        let mut request = TokenRequest::for_test();
        let assertion = Assertion::Ready(Secret::new("eyJhbGci.eyJpc3Mi.cC4hiUPo"));
        ClientAssertion { client_id: Some(Secret::new("me")), assertion }.sign(&mut request).unwrap();
        assert_eq!(
            request.form(),
            "client_id=me&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&\
             client_assertion=eyJhbGci.eyJpc3Mi.cC4hiUPo"
        );
        assert!(request.header("authorization").is_none());
    }
}
