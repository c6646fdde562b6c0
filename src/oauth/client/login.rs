//! A person logs in: `bearer-proxy login NAME`. Asks the authorization server, judges what comes back, and keeps what a
//! login brings where the proxy finds it.
//!
//! Only what a login needs is held while the person takes their time: the store's lease is taken when there is something
//! to save. That the store can be written to is found out before anybody is asked anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::{Answered, OAuthClient};
use crate::oauth::discovery::Metadata;
use crate::oauth::explain::Step;
use crate::oauth::grant::AuthorizationCode;
use crate::oauth::login::LoginError;
use crate::oauth::login::answer::{Code, Expected, Issuer};
use crate::oauth::login::authorization::{self, Said, Secrets};
use crate::oauth::login::callback::Callback;
use crate::oauth::login::id_token;
use crate::oauth::record::Refresh;
use crate::oauth::refresh_tokens;
use crate::oauth::request::{Ask, Inputs, TokenRequest, compose_beside};
use crate::oauth::settings::{CredentialSettings, GrantSettings, LoginSettings};
use crate::secret::{Secret, SecretSource};
use crate::token::TokenError;
use crate::token::template::Words;

/// A login by authorization code that waits for its person.
pub struct Authorization {
    url: Url,
    callback: Option<Callback>,
    expected: Arc<Expected>,
    redirect_uri: String,
    secrets: Secrets,
    limit: Duration,
}

impl Authorization {
    /// Where the person's browser is to go.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the browser comes back to this machine. Otherwise the person brings the answer.
    #[must_use]
    pub fn comes_back(&self) -> bool {
        self.callback.is_some()
    }
}

/// What a login has brought. Never a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Whether there is a refresh token. Without one, all ends with the access token.
    pub lasts: bool,
    /// How long the access token lives.
    pub lifetime: Option<Duration>,
    /// The names of what was kept beside it.
    pub values: Vec<String>,
}

impl OAuthClient {
    /// Begins a login by authorization code: listens for the browser to come back.
    ///
    /// # Errors
    ///
    /// The store cannot be used, the endpoint is not known, or the redirect cannot be listened on.
    pub async fn authorization(&self, steps: &mut Vec<Step>) -> Result<Authorization, LoginError> {
        let login = self.login()?.clone();
        self.prove_store().await?;
        let metadata = self.metadata(steps).await?;
        let found = metadata.and_then(|metadata| metadata.authorization_endpoint.clone());
        let endpoint = login.authorization_url.clone().or(found).ok_or(LoginError::NoEndpoint("authorization_url"))?;
        let authorization = &login.authorization;
        let secrets = Secrets::new(&self.settings, authorization)?;
        let (callback, redirect_uri) = Callback::bind(authorization.redirect_uri.as_ref()).await?;
        let client_id = self.blocking(|settings| settings.client_id.as_ref().map(SecretSource::read).transpose());
        let (client_id, params) = (client_id.await?, self.authorization_params().await?);
        let said =
            Said { client_id: client_id.as_ref(), redirect_uri: &redirect_uri, secrets: &secrets, params: &params };
        let url = authorization::url(endpoint, &said, &self.settings, authorization);
        let issuer = match metadata {
            None => Issuer::Unknown,
            Some(metadata) if metadata.names_itself => Issuer::Said(metadata.issuer.clone()),
            Some(metadata) => Issuer::Known(metadata.issuer.clone()),
        };
        let expected = Arc::new(Expected::new(secrets.state.clone(), authorization, issuer));
        Ok(Authorization { url, callback, expected, redirect_uri, secrets, limit: authorization.timeout })
    }

    /// Waits for the person, who comes back by browser or pastes what the browser was sent to, and keeps what the login
    /// brings.
    ///
    /// # Errors
    ///
    /// Nobody came in time, the answer is not of this login, or the server or the store refuses.
    pub async fn log_in(
        &self,
        login: Authorization,
        pasted: mpsc::Receiver<String>,
        steps: &mut Vec<Step>,
    ) -> Result<LoggedIn, LoginError> {
        let Authorization { callback, expected, redirect_uri, secrets, limit, .. } = login;
        let answer = answered(callback, expected, pasted);
        let Code { code, values } = timeout(limit, answer).await.unwrap_or(Err(LoginError::TimedOut(limit)))?;
        let code = AuthorizationCode { code, redirect_uri, verifier: secrets.verifier };
        let answered = self.ask(Ask::Code(code), steps).await?;
        if let Some(nonce) = &secrets.nonce {
            id_token::check(answered.response.id_token.as_ref(), nonce)?;
        }
        let values = values.into_iter().fold(Words::default(), |words, (name, value)| words.with(&name, value));
        self.keep_login(answered, &values, steps).await
    }

    pub(super) fn login(&self) -> Result<&LoginSettings, LoginError> {
        match &self.settings.grant {
            GrantSettings::Login(login) => Ok(login),
            _ => Err(LoginError::NotNeeded),
        }
    }

    /// A login that cannot be kept is better not begun.
    pub(super) async fn prove_store(&self) -> Result<(), LoginError> {
        let names = self.blocking(refresh_tokens::names).await?;
        // Let go at once.
        drop(self.kept.lock().await.own_turn(&names, self.longest()).await.map_err(TokenError::from)?);
        Ok(())
    }

    /// The issuer's, where there is one.
    pub(super) async fn metadata(&self, steps: &mut Vec<Step>) -> Result<Option<&Metadata>, TokenError> {
        match &self.discovery {
            Some(discovery) => discovery.metadata(&self.wire, steps).await.map(Some),
            None => Ok(None),
        }
    }

    /// `authorization.params`, as they are now.
    pub(super) async fn authorization_params(&self) -> Result<Vec<(String, Secret)>, TokenError> {
        let read = |settings: &CredentialSettings| match &settings.grant {
            GrantSettings::Login(login) => {
                let params = login.authorization.params.iter();
                params.map(|(name, value)| Ok((name.clone(), value.read()?))).collect()
            }
            _ => Ok(Vec::new()),
        };
        self.blocking(read).await
    }

    /// A request to an endpoint beside the token endpoint.
    pub(super) async fn request_beside(
        &self,
        url: Url,
        parameters: Vec<(String, Secret)>,
    ) -> Result<TokenRequest, TokenError> {
        let auth = self.believed().clone();
        let inputs = self.blocking(move |settings| Inputs::read(settings, &Ask::OwnGrant, &auth)).await?;
        compose_beside(&self.settings, inputs, url, parameters)
    }

    /// What a login has brought takes the place of whatever there was. `values`: what came with the code.
    pub(super) async fn keep_login(
        &self,
        mut answered: Answered,
        values: &Words,
        steps: &mut Vec<Step>,
    ) -> Result<LoggedIn, LoginError> {
        let names = self.blocking(refresh_tokens::names).await?;
        let mut kept = self.kept.lock().await;
        let mut hand = kept.own_turn(&names, self.longest()).await.map_err(TokenError::from)?;
        hand.empty();
        self.values.recall(Some(values));
        let refresh = answered.response.refresh_token.take().filter(|_| self.uses_refresh_tokens());
        let lasts = refresh.is_some();
        if let Some(new) = refresh {
            let ends = new.lifetime.map(|lifetime| answered.issued.after(lifetime));
            hand.renew(Refresh { token: new.token, ends });
            if !self.settings.then.is_empty() {
                // A step that fails must not cost the login.
                kept.save(&hand).await.map_err(TokenError::from)?;
            }
        }
        let obtained = self.finish(answered, steps).await?;
        let lifetime = obtained.lifetime;
        hand.publish(obtained.access(&names.mark), self.values.all());
        kept.save(&hand).await.map_err(TokenError::from)?;
        kept.end(hand).await;
        let values = self.values.all().iter().map(|(name, _)| name.to_owned()).collect();
        Ok(LoggedIn { lasts, lifetime, values })
    }
}

/// Whatever comes first.
async fn answered(
    callback: Option<Callback>,
    expected: Arc<Expected>,
    mut pasted: mpsc::Receiver<String>,
) -> Result<Code, LoginError> {
    let Some(callback) = callback else {
        let text = pasted.recv().await.ok_or(LoginError::NothingPasted)?;
        return expected.read_pasted(&text);
    };
    let browser = callback.wait(Arc::clone(&expected));
    tokio::select! {
        // Pasting ends the listening: there is one answer.
        answer = browser => answer,
        Some(text) = pasted.recv() => expected.read_pasted(&text),
    }
}
