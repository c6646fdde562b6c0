//! The client's secret in the request body (RFC 6749 §2.3.1).
//!
//! "Not recommended" there, and the only way that some servers know.

use super::ClientAuth;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// Id and secret as parameters.
pub(super) struct ClientSecretPost {
    pub(super) client_id: Option<Secret>,
    pub(super) secret: Secret,
}

impl ClientAuth for ClientSecretPost {
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        if let Some(client_id) = &self.client_id {
            request.set("client_id", client_id.clone());
        }
        request.set("client_secret", self.secret.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_6749_section_2_3_1_shows() {
        let mut request = TokenRequest::for_test();
        let auth = ClientSecretPost {
            client_id: Some(Secret::new("s6BhdRkqt3")),
            secret: Secret::new("7Fjfp0ZBr1KtDRbnfVdmIw"),
        };
        auth.sign(&mut request).unwrap();
        assert_eq!(request.form(), "client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw");
        assert!(request.header("authorization").is_none());
    }
}
