//! What a credential with `dpop` does besides (RFC 9449): proofs on its token requests, tokens bound to its key.

use super::{Answered, OAuthClient, Obtained};
use crate::oauth::dpop;
use crate::oauth::explain::Step;
use crate::oauth::request::Ask;
use crate::oauth::settings::ClientAuthSettings;
use crate::token::{AccessToken, TokenError};

impl OAuthClient {
    /// One request to the token endpoint, and its answer; once more if the endpoint wants its nonce in the proof (§8).
    pub(super) async fn ask_with(
        &self,
        auth: &ClientAuthSettings,
        ask: Ask,
        steps: &mut Vec<Step>,
    ) -> Result<Answered, TokenError> {
        match self.ask_once(auth, ask.clone(), steps).await {
            // Composed anew: no assertion and no proof is used twice.
            Err(error) if self.dpop.is_some() && dpop::wants_nonce(&error) => self.ask_once(auth, ask, steps).await,
            outcome => outcome,
        }
    }

    /// A token as requests bear it.
    pub(in crate::oauth) async fn token(&self, obtained: Obtained) -> Result<AccessToken, TokenError> {
        let text = obtained.token.clone();
        let token = obtained.into_token(&self.settings)?;
        Ok(match &self.dpop {
            // Another process may have obtained it, with the same key.
            Some(dpop) => token.bound_to(dpop.prover().await?, &text),
            None => token,
        })
    }
}
