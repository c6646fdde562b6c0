//! A token that is already there (RFC 6750): an API key, a mounted service account token.
//!
//! Asks nobody. A refused one is read from its file again, and that is all that can be done for it.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// The token.
pub(super) struct StaticToken {
    pub(super) token: Secret,
}

impl Grant for StaticToken {
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
        let grant = StaticToken { token: Secret::new("mF_9.B5f-4.1JqM") };
        grant.apply(&mut request).unwrap();
        assert_eq!(request.form(), "");
        assert_eq!(grant.token().map(Secret::expose), Some("mF_9.B5f-4.1JqM"));
    }
}
