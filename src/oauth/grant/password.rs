//! The resource owner password credentials grant (RFC 6749 §4.3).
//!
//! RFC 9700 §2.4 forbids it for new systems; the old ones are why this proxy exists. A refused password is a permanent
//! refusal: trying it again would lock the account.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// A user's name and password.
pub(super) struct Password {
    pub(super) username: Secret,
    pub(super) password: Secret,
}

impl Grant for Password {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "password");
        request.set("username", self.username.clone());
        request.set("password", self.password.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_6749_section_4_3_2_shows() {
        let mut request = TokenRequest::for_test();
        let grant = Password { username: Secret::new("johndoe"), password: Secret::new("A3ddj3w") };
        grant.apply(&mut request).unwrap();
        assert_eq!(request.form(), "grant_type=password&username=johndoe&password=A3ddj3w");
    }
}
