//! One fetch: whose turn it is to ask, and with what.
//!
//! The refresh token, if there is one (RFC 6749 §6), else or when it is refused the credential's own grant. What a turn
//! brings is saved before it ends: a refresh token before the steps that follow, and all before the token is used.

use std::time::Duration;

use super::{Answered, OAuthClient, Obtained, static_token};
use crate::oauth::explain::Step;
use crate::oauth::kept::{Hand, Kept, Turn, Want};
use crate::oauth::record::{Access, Refresh};
use crate::oauth::refresh_tokens::{self, Names};
use crate::oauth::request::Ask;
use crate::oauth::response;
use crate::oauth::settings::{CredentialSettings, GrantSettings};
use crate::secret::Secret;
use crate::token::store::{StoreError, TokenStore};
use crate::token::{Moment, TokenError};

impl OAuthClient {
    /// Obtains one token, or takes one that somebody else has obtained if that `serves`.
    pub(super) async fn obtain(
        &self,
        serves: &(dyn Fn(&Access) -> bool + Sync),
        steps: &mut Vec<Step>,
    ) -> Result<Obtained, TokenError> {
        let mut kept = self.kept.lock().await;
        self.note_files();
        let now = Moment::now();
        if let Some(printed) = self.run_command(steps).await? {
            return self.go_on(printed, steps).await;
        }
        if let Some(token) = self.static_token().await? {
            return self.go_on(static_token(token, &self.settings, now), steps).await;
        }
        let names = self.blocking(refresh_tokens::names).await?;
        let want = Want { names: &names, limit: self.longest(), serves, alone: self.settings.grant.is_repeatable() };
        let obtained = match kept.turn(&want).await? {
            Turn::Served(access) => {
                tracing::debug!("took the token that another process has obtained");
                Ok(Obtained::from(access))
            }
            Turn::Ours(mut hand) => {
                let obtained = self.ask_in_turn(&mut kept, &mut hand, &names, steps).await;
                kept.end(hand).await;
                obtained
            }
        };
        // After what we have saved ourselves.
        self.seen.end(names.key, &*self.store);
        obtained
    }

    /// Takes over what another store has kept of this credential, if this one's knows nothing of it.
    ///
    /// # Errors
    ///
    /// One of the stores, or a secret's file, cannot be used.
    pub async fn inherit(&self, from: &dyn TokenStore) -> Result<(), TokenError> {
        let names = self.blocking(refresh_tokens::names).await?;
        if let Some(dpop) = &self.dpop {
            dpop.inherit(from).await?;
        }
        Ok(self.kept.lock().await.inherit(&names.key, from).await?)
    }

    async fn ask_in_turn(
        &self,
        kept: &mut Kept,
        hand: &mut Hand,
        names: &Names,
        steps: &mut Vec<Step>,
    ) -> Result<Obtained, TokenError> {
        // Saved again under our fence, what there was would be a new one to all others.
        hand.withdraw();
        let uses_refresh_tokens = self.uses_refresh_tokens();
        if !uses_refresh_tokens {
            hand.forget();
        }
        self.values.recall(hand.values());
        let mut answered = match hand.refresh_token(Moment::now()) {
            Some(token) => self.refresh(token, kept, hand, steps).await?,
            None => self.ask(Ask::OwnGrant, steps).await?,
        };
        if let Ask::OwnGrant = answered.ask {
            // An own grant that brings none leaves nothing worth keeping; a refresh that brings none keeps the old one.
            hand.forget();
        }
        let refresh = answered.response.refresh_token.take().filter(|_| uses_refresh_tokens);
        if let Some(new) = refresh {
            let ends = new.lifetime.map(|lifetime| answered.issued.after(lifetime));
            hand.renew(Refresh { token: new.token, ends });
            if !self.settings.then.is_empty() {
                kept.keep(hand).await;
            }
        }
        let obtained = self.finish(answered, steps).await;
        if let Ok(obtained) = &obtained {
            hand.publish(obtained.access(&names.mark), self.values.all());
        }
        kept.keep(hand).await;
        obtained
    }

    /// Asks with the refresh token, and with the credential's own grant at once if that is refused.
    async fn refresh(
        &self,
        token: Secret,
        kept: &mut Kept,
        hand: &mut Hand,
        steps: &mut Vec<Step>,
    ) -> Result<Answered, TokenError> {
        if !hand.lasts(self.settings.request.timeout) {
            // Somebody else might use it at the same time.
            return Err(StoreError::Busy.into());
        }
        let error = match self.ask(Ask::Refresh(token.clone()), steps).await {
            Ok(answered) => return Ok(answered),
            Err(error) => error,
        };
        let TokenError::Refused { code, .. } = &error else { return Err(error) };
        let is_spent = response::is_of_refresh_token(code);
        if is_spent {
            hand.forget();
            kept.keep(hand).await;
        }
        let goes_on = match &self.settings.grant {
            // Any other refusal is no reason to give up a token that nothing can replace.
            GrantSettings::RefreshToken { refresh_token } => {
                let refresh_token = refresh_token.clone();
                is_spent && self.blocking(move |_| refresh_token.read()).await?.expose() != token.expose()
            }
            // Nobody is here to ask.
            GrantSettings::Login(_) if is_spent => return Err(self.needs_login(Some(code.clone()))),
            GrantSettings::Login(_) => false,
            // A client that is not believed would not be believed with another grant.
            _ => code != "invalid_client",
        };
        if !goes_on {
            return Err(error);
        }
        tracing::info!(%error, "the refresh token was refused: asking with the credential's own grant");
        self.ask(Ask::OwnGrant, steps).await
    }

    /// A login that is no OAuth has nowhere to refresh at, unless the file says where.
    pub(super) fn uses_refresh_tokens(&self) -> bool {
        let CredentialSettings { refresh, endpoint, request, .. } = &*self.settings;
        refresh.use_refresh_token && (endpoint.is_some() || request.refresh_url.is_some())
    }

    /// How long a turn may take: discovery, a refresh that is refused, the own grant, and what follows. The refresh comes
    /// first, so that what is rotated is saved within the turn.
    pub(super) fn longest(&self) -> Duration {
        let requests = u32::try_from(self.settings.then.len()).unwrap_or(u32::MAX).saturating_add(3);
        self.settings.request.timeout.saturating_mul(requests).saturating_add(Duration::from_secs(5))
    }
}
