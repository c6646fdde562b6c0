//! No client authentication: a public client (RFC 6749 §2.1), or a server that knows no clients.
//!
//! A public client still names itself (§3.2.1), if it has a name.

use super::ClientAuth;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// A client without a secret.
pub(super) struct Public {
    pub(super) client_id: Option<Secret>,
}

impl ClientAuth for Public {
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        if let Some(client_id) = &self.client_id {
            request.set("client_id", client_id.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_client_names_itself_and_no_more() {
        let mut request = TokenRequest::for_test();
        Public { client_id: Some(Secret::new("integration-api")) }.sign(&mut request).unwrap();
        assert_eq!(request.form(), "client_id=integration-api");
        assert!(request.header("authorization").is_none());
    }

    #[test]
    fn a_client_without_a_name_sends_none() {
        let mut request = TokenRequest::for_test();
        Public { client_id: None }.sign(&mut request).unwrap();
        assert_eq!(request.form(), "");
    }
}
