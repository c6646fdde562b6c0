//! What is kept of a credential, for a person to see, and to end (RFC 7009).
//!
//! Forgotten is it in any case: a server that cannot be told must not keep anybody logged in here.

use std::time::{Duration, SystemTime};

use super::OAuthClient;
use crate::oauth::explain::Step;
use crate::oauth::refresh_tokens;
use crate::oauth::response;
use crate::oauth::settings::GrantSettings;
use crate::secret::Secret;
use crate::token::{Moment, TokenError};

/// What the store has of a credential. Never a token.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    /// Whether there is a refresh token that has not ended.
    pub lasts: bool,
    /// How long the access token still lives; `None`: there is none.
    pub expires_in: Option<Duration>,
    /// What is kept beside it (`response.values`, `authorization.values`).
    pub values: Vec<(String, Secret)>,
}

/// What a logout has come to.
#[derive(Debug)]
pub struct LoggedOut {
    /// Whether anything was kept.
    pub was_kept: bool,
    /// Whether the authorization server knows.
    pub revoked: Revoked,
}

/// Whether the authorization server knows of a logout.
#[derive(Debug)]
pub enum Revoked {
    /// It has been told (RFC 7009 §2.2).
    Told,
    /// There was nothing to tell.
    Nothing,
    /// There is nobody to tell: no `revocation_url`, and none in the issuer's metadata.
    NoEndpoint,
    /// It could not be told, or does not want to know.
    Failed(TokenError),
}

impl OAuthClient {
    /// What is kept of this credential.
    ///
    /// # Errors
    ///
    /// The store, or a secret's file, cannot be used.
    pub async fn holding(&self) -> Result<Holding, TokenError> {
        let names = self.blocking(refresh_tokens::names).await?;
        let Some(record) = self.kept.lock().await.look(&names.key).await? else { return Ok(Holding::default()) };
        let now = Moment::now();
        let values = record.values.iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect();
        Ok(Holding {
            lasts: record.refresh.is_some_and(|refresh| refresh.ends.is_none_or(|ends| !now.reached(ends))),
            expires_in: record.access.filter(|access| access.is_live(now)).map(|access| access.left(now)),
            values,
        })
    }

    /// Revokes what is kept of this credential, and forgets it.
    ///
    /// # Errors
    ///
    /// The store, or a secret's file, cannot be used: it is not forgotten.
    pub async fn log_out(&self, steps: &mut Vec<Step>) -> Result<LoggedOut, TokenError> {
        let names = self.blocking(refresh_tokens::names).await?;
        let mut kept = self.kept.lock().await;
        let mut hand = kept.own_turn(&names, self.longest()).await?;
        let record = hand.empty();
        // First: whatever happens below, nobody is logged in here any more.
        kept.save(&hand).await?;
        kept.end(hand).await;
        let access = record.access.map(|access| ("access_token", access.token));
        // With the refresh token go the access tokens that it brought (RFC 7009 §2.1).
        let token = record.refresh.map(|refresh| ("refresh_token", refresh.token)).or(access);
        let revoked = match token {
            None => return Ok(LoggedOut { was_kept: false, revoked: Revoked::Nothing }),
            Some((hint, token)) => self.revoke(hint, token, steps).await.unwrap_or_else(Revoked::Failed),
        };
        Ok(LoggedOut { was_kept: true, revoked })
    }

    async fn revoke(&self, hint: &str, token: Secret, steps: &mut Vec<Step>) -> Result<Revoked, TokenError> {
        let own = match &self.settings.grant {
            GrantSettings::Login(login) => login.revocation_url.clone(),
            _ => None,
        };
        let url = match own {
            Some(url) => Some(url),
            None => self.metadata(steps).await?.and_then(|metadata| metadata.revocation_endpoint.clone()),
        };
        let Some(url) = url else { return Ok(Revoked::NoEndpoint) };
        let parameters = vec![("token".to_owned(), token), ("token_type_hint".to_owned(), Secret::new(hint))];
        let request = self.request_beside(url, parameters).await?;
        let mut step = Step::beside(&request, "to revoke what the login brought");
        let result = self
            .exchange(&request, &mut step, |answer, body| match answer.status.is_success() && !body.says_error() {
                true => Ok(()),
                false => Err(response::read_refusal(answer, body, SystemTime::now())),
            })
            .await;
        step.ended(result.as_ref().map(|()| "it is revoked".to_owned()), &self.settings);
        steps.push(step);
        result.map(|()| Revoked::Told)
    }
}
