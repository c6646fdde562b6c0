//! A JWT that we sign and that is the token itself: App Store Connect, Snowflake, Ghost.
//!
//! Asks nobody. It lives as long as it says of itself, is renewed ahead of that as any token is, and a refused one is
//! signed anew.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// The token.
pub(super) struct SignedJwt {
    pub(super) token: Secret,
}

impl Grant for SignedJwt {
    fn apply(&self, _request: &mut TokenRequest) -> Result<(), TokenError> {
        Ok(())
    }

    fn token(&self) -> Option<&Secret> {
        Some(&self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_nobody() {
        let mut request = TokenRequest::for_test();
        let grant = SignedJwt { token: Secret::new("eyJhbGci.eyJpc3Mi.J9l-ZhwP") };
        grant.apply(&mut request).unwrap();
        assert_eq!(request.form(), "");
        assert_eq!(grant.token().map(Secret::expose), Some("eyJhbGci.eyJpc3Mi.J9l-ZhwP"));
    }
}
