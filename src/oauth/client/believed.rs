//! Which of the client's secrets is sent: while one is being replaced by another there are two, and the server knows one
//! of them, or both.
//!
//! One that is not believed is followed by the next at once; only when none is believed has the request failed. The one
//! that worked last is the first to be tried again.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Answered, OAuthClient};
use crate::oauth::explain::Step;
use crate::oauth::request::Ask;
use crate::oauth::response;
use crate::oauth::settings::{ClientAuthSettings, CredentialSettings};
use crate::token::TokenError;

/// The place in the list of the one that was believed last.
#[derive(Default)]
pub(super) struct Believed(AtomicUsize);

impl OAuthClient {
    /// One request to the token endpoint, and its answer; another for each of the client's secrets that is not believed.
    pub(in crate::oauth) async fn ask(&self, ask: Ask, steps: &mut Vec<Step>) -> Result<Answered, TokenError> {
        let proofs = proofs(&self.settings);
        let believed = self.believed.0.load(Ordering::Relaxed);
        let mut in_turn = (0..proofs.len()).cycle().skip(believed).take(proofs.len()).peekable();
        while let Some(place) = in_turn.next() {
            let Some(proof) = proofs.get(place) else { break };
            match self.ask_with(proof, ask.clone(), steps).await {
                Err(TokenError::Refused { code, .. }) if in_turn.peek().is_some() && response::is_of_client(&code) => {
                    tracing::warn!(secret = place + 1, "a client secret was refused ({code}): trying the next one");
                }
                Ok(answered) => {
                    self.believed.0.store(place, Ordering::Relaxed);
                    return Ok(answered);
                }
                Err(error) => return Err(error),
            }
        }
        // There is at least one, and the last of them returns.
        Err(TokenError::Unreachable("there is no client authentication".to_owned()))
    }

    /// How the client has proved itself last, or would first.
    pub(super) fn believed(&self) -> &ClientAuthSettings {
        let place = self.believed.0.load(Ordering::Relaxed);
        proofs(&self.settings).get(place).copied().unwrap_or(&self.settings.client_auth)
    }
}

/// In the order of the file.
fn proofs(settings: &CredentialSettings) -> Vec<&ClientAuthSettings> {
    std::iter::once(&settings.client_auth).chain(&settings.further_client_auths).collect()
}
