//! A token source made of a grant, a client authentication and a token endpoint.
//!
//! One fetch is: the refresh token, if there is one (RFC 6749 §6), else or when it is refused the credential's own
//! grant. Nothing is repeated here; when to try again is the cache's affair.

mod believed;
pub(super) mod device_login;
mod exec;
pub(super) mod login;
pub(super) mod logout;
mod obtained;
mod proof;
mod then;
mod turn;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tracing::Instrument;
use url::Url;

use self::believed::Believed;
use self::obtained::KeptValues;
pub(super) use self::obtained::Obtained;
use super::discovery::{Connects, Discovery};
use super::dpop::Dpop;
use super::endpoint::{Answer, TokenEndpoint};
use super::explain::{Explanation, Step};
use super::files::Seen;
use super::grant;
use super::kept::Kept;
use super::record::Access;
use super::request::{self, Ask, Inputs, TokenRequest};
use super::response::{self, Body, TokenResponse};
use super::settings::{ClientAuthSettings, CredentialSettings, EndpointSettings, GrantSettings};
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
    dpop: Option<Dpop>,
    store: Arc<dyn TokenStore>,
    /// Held across the requests of a fetch: a rotating refresh token that is used twice at once is lost.
    kept: tokio::sync::Mutex<Kept>,
    seen: Seen,
    believed: Believed,
    values: KeptValues,
}

impl OAuthClient {
    /// A client for this credential; what survives its tokens lives in `store`.
    ///
    /// # Errors
    ///
    /// The TLS files of `request.tls` cannot be used.
    pub fn new(settings: CredentialSettings, store: Arc<dyn TokenStore>) -> Result<Self, TlsError> {
        let discovery = match &settings.endpoint {
            Some(EndpointSettings::Issuer(issuer)) => {
                let connects = match settings.request.tls.identity {
                    Some(_) => Connects::WithCertificate,
                    None => Connects::Anonymously,
                };
                Some(Discovery::new(issuer.clone(), connects))
            }
            Some(EndpointSettings::TokenUrl(_)) | None => None,
        };
        Ok(Self {
            wire: TokenEndpoint::new(&settings.request.tls, settings.request.timeout)?,
            discovery,
            dpop: Dpop::new(&settings, &store),
            kept: tokio::sync::Mutex::new(Kept::new(Arc::clone(&store))),
            store,
            seen: Seen::default(),
            believed: Believed::default(),
            values: KeptValues::default(),
            settings: Arc::new(settings),
        })
    }

    /// Obtains one token, whatever others have got, and tells how, step by step, without a secret in it. For
    /// `bearer-proxy token`.
    pub async fn explain(&self) -> Explanation {
        let mut steps = Vec::new();
        let mut outcome = self.obtain(&|_| false, &mut steps).await;
        if let Err(TokenError::NeedsLogin { refused: None, .. }) = outcome {
            // A login may have brought nothing but an access token.
            outcome = self.obtain(&|access| access.is_live(Moment::now()), &mut steps).await;
        }
        Explanation { steps, outcome: outcome.map(Obtained::issued) }
    }

    /// Whether its tokens begin with a person who logs in.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(self.settings.grant, GrantSettings::Login(_))
    }

    /// Whether its tokens are what a command of this machine prints.
    #[must_use]
    pub fn runs_command(&self) -> bool {
        matches!(self.settings.grant, GrantSettings::Exec(_))
    }

    fn needs_login(&self, refused: Option<String>) -> TokenError {
        TokenError::NeedsLogin { credential: self.settings.name.clone(), refused }
    }

    /// What it was made of.
    pub(super) fn settings(&self) -> &CredentialSettings {
        &self.settings
    }

    /// Remembers the secrets' files as they are: a fetch begins.
    pub(super) fn note_files(&self) {
        self.seen.begin(&self.settings);
    }

    /// One request to the token endpoint with this client authentication, and its answer.
    async fn ask_once(
        &self,
        auth: &ClientAuthSettings,
        ask: Ask,
        steps: &mut Vec<Step>,
    ) -> Result<Answered, TokenError> {
        if self.needs_person() && matches!(ask, Ask::OwnGrant) {
            return Err(self.needs_login(None));
        }
        let url = self.url(&ask, steps).await?;
        let inputs = {
            let (ask, auth) = (ask.clone(), auth.clone());
            self.blocking(move |settings| Inputs::read(settings, &ask, &auth)).await?
        };
        let mut request = request::compose(&self.settings, inputs, &ask, url)?;
        if let Some(dpop) = &self.dpop {
            dpop.sign(&mut request).await?;
        }
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
        if let Some(dpop) = &self.dpop {
            dpop.learn(request.url(), &answer.headers);
        }
        let body = response::body(&answer);
        step.received_for(&answer, &body, request);
        read(&answer, &body).map_err(|error| request.scrub_error(error))
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
        // One that is near its end serves those who have it; who needs one gets a new one, for all of them.
        let serves = |access: &Access| {
            let token = Obtained::from(access.clone()).into_token(&self.settings);
            token.is_ok_and(|token| token.is_fresh(Moment::now()))
        };
        let fetch = async move { self.token(self.obtain(&serves, &mut Vec::new()).await?).await };
        Box::pin(fetch.instrument(span))
    }

    fn has_changed(&self) -> bool {
        self.seen.has_changed(&self.settings, &*self.store)
    }
}

/// A token response, and which request it answers.
pub(super) struct Answered {
    response: TokenResponse,
    issued: Moment,
    ask: Ask,
}

/// A token from the file lives as long as it says of itself, if it is a JWT, and at most `lifetime.max`, after which its
/// file is read again.
fn static_token(token: Secret, settings: &CredentialSettings, issued: Moment) -> Obtained {
    let says = response::jwt_lifetime(&token, issued.wall);
    let lifetime = [says, settings.lifetime.max].into_iter().flatten().min();
    Obtained { token, issued, lifetime, values: Words::default() }
}

#[cfg(test)]
mod tests;
