//! A token source made of a grant, a client authentication and a token endpoint.
//!
//! One fetch is: the refresh token, if there is one (RFC 6749 §6), else or when it is refused the credential's own
//! grant. Nothing is repeated here; when to try again is the cache's affair.

mod obtained;
mod then;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tracing::Instrument;
use url::Url;

use self::obtained::KeptValues;
pub(super) use self::obtained::Obtained;
use super::discovery::Discovery;
use super::endpoint::{Answer, TokenEndpoint};
use super::explain::{Explanation, Step};
use super::files;
use super::grant;
use super::refresh_tokens::{self, RefreshTokens};
use super::request::{self, Ask, Inputs, TokenRequest};
use super::response::{self, Body, TokenResponse};
use super::settings::{CredentialSettings, EndpointSettings, GrantSettings};
use crate::secret::{Secret, SecretError};
use crate::tls::TlsError;
use crate::token::store::TokenStore;
use crate::token::template::Words;
use crate::token::{AccessToken, Moment, TokenError, TokenSource};

/// Obtains tokens for one credential.
pub struct OAuthClient {
    settings: Arc<CredentialSettings>,
    wire: TokenEndpoint,
    discovery: Option<Discovery>,
    /// Held across the requests of a fetch: a rotating refresh token that is used twice at once is lost.
    refresh_tokens: tokio::sync::Mutex<RefreshTokens>,
    /// The secrets' files as they were when the last fetch began.
    files: Mutex<Option<u64>>,
    values: KeptValues,
}

impl OAuthClient {
    /// A client for this credential; refresh tokens live in `store`.
    ///
    /// # Errors
    ///
    /// The TLS files of `request.tls` cannot be used.
    pub fn new(settings: CredentialSettings, store: Arc<dyn TokenStore>) -> Result<Self, TlsError> {
        let discovery = match &settings.endpoint {
            Some(EndpointSettings::Issuer(issuer)) => Some(Discovery::new(issuer.clone())),
            Some(EndpointSettings::TokenUrl(_)) | None => None,
        };
        Ok(Self {
            wire: TokenEndpoint::new(&settings.request.tls, settings.request.timeout)?,
            discovery,
            refresh_tokens: tokio::sync::Mutex::new(RefreshTokens::new(store)),
            files: Mutex::new(None),
            values: KeptValues::default(),
            settings: Arc::new(settings),
        })
    }

    /// Obtains one token and tells how, step by step, without a secret in it. For `bearer-proxy token`.
    pub async fn explain(&self) -> Explanation {
        let mut steps = Vec::new();
        let outcome = self.obtain(&mut steps).await.map(Obtained::issued);
        Explanation { steps, outcome }
    }

    /// What it was made of.
    pub(super) fn settings(&self) -> &CredentialSettings {
        &self.settings
    }

    /// Remembers the secrets' files as they are: a fetch begins.
    pub(super) fn note_files(&self) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(files::fingerprint(&self.settings));
    }

    async fn obtain(&self, steps: &mut Vec<Step>) -> Result<Obtained, TokenError> {
        let mut refresh_tokens = self.refresh_tokens.lock().await;
        self.note_files();
        let now = Moment::now();
        if let Some(token) = self.static_token().await? {
            return self.go_on(static_token(token, &self.settings, now), steps).await;
        }
        let key = self.blocking(refresh_tokens::key).await?;
        let uses_refresh_tokens = self.uses_refresh_tokens();
        let held = match uses_refresh_tokens {
            true => refresh_tokens.current(&key, now).await?,
            false => None,
        };
        let has_held = held.is_some();
        let response = match held {
            Some(token) => self.refresh(token, &mut refresh_tokens, &key, steps).await?,
            None => self.ask(Ask::OwnGrant, steps).await?,
        };
        if uses_refresh_tokens {
            keep(&response, &mut refresh_tokens, &key, has_held).await;
        }
        self.finish(response, steps).await
    }

    /// A login that is no OAuth has nowhere to refresh at, unless the file says where.
    fn uses_refresh_tokens(&self) -> bool {
        let CredentialSettings { refresh, endpoint, request, .. } = &*self.settings;
        refresh.use_refresh_token && (endpoint.is_some() || request.refresh_url.is_some())
    }

    /// Asks with the refresh token, and with the credential's own grant at once if that is refused.
    async fn refresh(
        &self,
        token: Secret,
        refresh_tokens: &mut RefreshTokens,
        key: &str,
        steps: &mut Vec<Step>,
    ) -> Result<Answered, TokenError> {
        let error = match self.ask(Ask::Refresh(token.clone()), steps).await {
            Ok(answered) => return Ok(answered),
            Err(error) => error,
        };
        let TokenError::Refused { code, .. } = &error else { return Err(error) };
        let is_spent = response::is_of_refresh_token(code);
        if is_spent {
            refresh_tokens.forget(key).await;
        }
        let goes_on = match &self.settings.grant {
            // Any other refusal is no reason to give up a token that nothing can replace.
            GrantSettings::RefreshToken { refresh_token } => {
                let refresh_token = refresh_token.clone();
                is_spent && self.blocking(move |_| refresh_token.read()).await?.expose() != token.expose()
            }
            // A client that is not believed would not be believed with another grant.
            _ => code != "invalid_client",
        };
        if !goes_on {
            return Err(error);
        }
        tracing::info!(%error, "the refresh token was refused: asking with the credential's own grant");
        self.ask(Ask::OwnGrant, steps).await
    }

    /// One request to the token endpoint, and its answer.
    pub(super) async fn ask(&self, ask: Ask, steps: &mut Vec<Step>) -> Result<Answered, TokenError> {
        let url = self.url(&ask, steps).await?;
        let inputs = {
            let ask = ask.clone();
            self.blocking(move |settings| Inputs::read(settings, &ask)).await?
        };
        let request = request::compose(&self.settings, inputs, &ask, url)?;
        let mut step = Step::asking(&request, &ask, &self.settings);
        // The lifetime counts from before the request: it began somewhere between then and the answer.
        let issued = Moment::now();
        let places = &self.settings.response;
        let read = |answer: &Answer, body: &Body| response::read(answer, body, places, &self.settings, issued.wall);
        let result = self.exchange(&request, &mut step, read).await;
        let result = result.map(|response| Answered { response, issued, ask });
        step.concluded(result.as_ref().map(|answered| &answered.response), &self.settings);
        steps.push(step);
        result
    }

    /// Sends, and reads what comes back.
    async fn exchange<T>(
        &self,
        request: &TokenRequest,
        step: &mut Step,
        read: impl FnOnce(&Answer, &Body) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let http = request.encode()?;
        step.sent(&http, request);
        let answer = self.wire.send(http).await?;
        let body = response::body(&answer);
        step.received_for(&answer, &body, request);
        read(&answer, &body).map_err(|error| scrubbed(error, request))
    }

    async fn url(&self, ask: &Ask, steps: &mut Vec<Step>) -> Result<Url, TokenError> {
        if let Some(url) = request::own_url(&self.settings, ask) {
            return Ok(url.clone());
        }
        match (&self.settings.endpoint, &self.discovery) {
            (Some(EndpointSettings::TokenUrl(url)), _) => Ok(url.clone()),
            (_, Some(discovery)) => discovery.token_endpoint(&self.wire, steps).await,
            _ => Err(TokenError::Discovery("neither token_url nor issuer is set".to_owned())),
        }
    }

    /// The token of a grant that asks nobody.
    async fn static_token(&self) -> Result<Option<Secret>, TokenError> {
        let read = |settings: &CredentialSettings| Ok(grant::read(&settings.grant)?.token().cloned());
        self.blocking(read).await
    }

    /// Reads secrets' files where a slow disk holds up nobody else, and for no longer than a request may take.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&CredentialSettings) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let settings = Arc::clone(&self.settings);
        let task = tokio::task::spawn_blocking(move || read(&settings));
        match tokio::time::timeout(self.settings.request.timeout, task).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(TokenError::Unreachable("shutting down".to_owned())),
            Err(_) => Err(TokenError::Unreachable("a secret's file could not be read in time".to_owned())),
        }
    }
}

impl TokenSource for OAuthClient {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>> {
        let span = tracing::info_span!("token.fetch", credential = self.settings.name);
        let fetch = async { self.obtain(&mut Vec::new()).await?.into_token(&self.settings) };
        Box::pin(fetch.instrument(span))
    }

    fn has_changed(&self) -> bool {
        let seen = *self.files.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|seen| seen != files::fingerprint(&self.settings))
    }
}

/// A token response, and which request it answers.
pub(super) struct Answered {
    response: TokenResponse,
    issued: Moment,
    ask: Ask,
}

/// A new refresh token is saved before the access token goes anywhere. A refresh that brings none keeps the old one; an
/// own grant that brings none leaves nothing worth keeping.
async fn keep(answered: &Answered, refresh_tokens: &mut RefreshTokens, key: &str, has_held: bool) {
    match (&answered.response.refresh_token, &answered.ask) {
        (Some(new), _) => {
            let ends = new.lifetime.map(|lifetime| answered.issued.after(lifetime));
            refresh_tokens.keep(key, new.token.clone(), ends).await;
        }
        (None, Ask::OwnGrant) if has_held => refresh_tokens.forget(key).await,
        (None, _) => {}
    }
}

/// A token from the file lives as long as it says of itself, if it is a JWT, and at most `lifetime.max`, after which its
/// file is read again.
fn static_token(token: Secret, settings: &CredentialSettings, issued: Moment) -> Obtained {
    let says = response::jwt_lifetime(&token, issued.wall);
    let lifetime = [says, settings.lifetime.max].into_iter().flatten().min();
    Obtained { token, issued, lifetime, values: Words::default() }
}

/// A server may repeat what we sent: not into our log.
fn scrubbed(error: TokenError, request: &TokenRequest) -> TokenError {
    let scrub = |text: Option<String>| text.map(|text| request.scrub(&text));
    match error {
        TokenError::Refused { code, description } => {
            let code = if response::is_known(&code) { code } else { request.scrub(&code) };
            TokenError::Refused { code, description: scrub(description) }
        }
        TokenError::Unavailable { status, description, retry_after } => {
            TokenError::Unavailable { status, description: scrub(description), retry_after }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
