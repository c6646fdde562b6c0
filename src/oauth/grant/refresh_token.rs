//! Refreshing an access token (RFC 6749 §6).
//!
//! Both a credential's own grant and what any other grant's refresh token is used with. The scope is not this file's
//! affair: §6 lets it be left out, and then it is what was granted first.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// A refresh token.
pub(in crate::oauth) struct RefreshToken {
    pub(in crate::oauth) refresh_token: Secret,
}

impl Grant for RefreshToken {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "refresh_token");
        request.set("refresh_token", self.refresh_token.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_6749_section_6_shows() {
        let mut request = TokenRequest::for_test();
        RefreshToken { refresh_token: Secret::new("tGzv3JOkF0XG5Qx2TlKWIA") }.apply(&mut request).unwrap();
        assert_eq!(request.form(), "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA");
    }
}
