//! Mutual TLS (RFC 8705): the certificate of the connection is the proof, signed by an authority (`tls_client_auth`, §2.1)
//! or by itself (`self_signed_tls_client_auth`, §2.2); to us that is the same.
//!
//! The body says who it is about (§2). The certificate itself is `request.tls`'s, and the wire's affair.

use super::ClientAuth;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// The client's name, beside its certificate.
pub(super) struct TlsClientAuth {
    pub(super) client_id: Secret,
}

impl ClientAuth for TlsClientAuth {
    fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set("client_id", self.client_id.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_the_id_that_rfc_8705_section_2_wants() {
        let mut request = TokenRequest::for_test();
        TlsClientAuth { client_id: Secret::new("s6BhdRkqt3") }.sign(&mut request).unwrap();
        assert_eq!(request.form(), "client_id=s6BhdRkqt3");
        assert!(request.header("authorization").is_none());
    }
}
