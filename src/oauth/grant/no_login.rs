//! A grant that needs a person, where there is none: what `authorization_code` and `device_code` are between logins.
//!
//! Asks nobody, and is the net under the client, which knows without asking it.

use super::Grant;
use super::TokenRequest;
use crate::token::TokenError;

/// Nobody has logged in.
pub(super) struct NoLogin;

impl Grant for NoLogin {
    fn apply(&self, _request: &mut TokenRequest) -> Result<(), TokenError> {
        Err(TokenError::Refused {
            code: "login_required".to_owned(),
            description: Some("nothing was sent: a person has to log in".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_nothing() {
        let refused = NoLogin.apply(&mut TokenRequest::for_test());
        assert!(matches!(refused, Err(TokenError::Refused { code, .. }) if code == "login_required"));
    }
}
