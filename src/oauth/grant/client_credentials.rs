//! The client credentials grant (RFC 6749 §4.4).
//!
//! The proxy acts on its own behalf: no user. How the client proves itself is
//! [`client_auth`](super::super::client_auth)'s affair. A refresh token should not come back (§4.4.3); servers that
//! send one all the same (z-Pax, with `offline_access`) mean it, and it is used.

use super::Grant;
use super::TokenRequest;
use crate::token::TokenError;

/// Nothing but the grant type.
pub(super) struct ClientCredentials;

impl Grant for ClientCredentials {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "client_credentials");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_6749_section_4_4_2_shows() {
        let mut request = TokenRequest::for_test();
        ClientCredentials.apply(&mut request).unwrap();
        assert_eq!(request.form(), "grant_type=client_credentials");
    }
}
