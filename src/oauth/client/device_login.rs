//! A person logs in on another device (RFC 8628): asks for a code to confirm there, and then whether it has been.

use std::time::{Duration, SystemTime};

use super::OAuthClient;
use super::login::LoggedIn;
use crate::oauth::explain::Step;
use crate::oauth::grant::DeviceCode;
use crate::oauth::login::LoginError;
use crate::oauth::login::device::{DeviceAuthorization, Next};
use crate::oauth::request::Ask;
use crate::oauth::response;
use crate::secret::Secret;
use crate::token::TokenError;
use crate::token::template::Words;

/// A login on another device that waits for its person.
pub struct DeviceLogin(DeviceAuthorization);

impl DeviceLogin {
    /// What the person types.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.0.user_code
    }

    /// Where.
    #[must_use]
    pub fn verification_uri(&self) -> &str {
        &self.0.verification_uri
    }

    /// The same with the code in it, for a telephone to read.
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.0.verification_uri_complete.as_deref()
    }

    /// How long the code is good for.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }
}

impl OAuthClient {
    /// Begins a login on another device (RFC 8628 §3.1).
    ///
    /// # Errors
    ///
    /// The store cannot be used, the endpoint is not known, or the server refuses.
    pub async fn device_login(&self, steps: &mut Vec<Step>) -> Result<DeviceLogin, LoginError> {
        let login = self.login()?.clone();
        self.prove_store().await?;
        let found = self.metadata(steps).await?.and_then(|metadata| metadata.device_authorization_endpoint.clone());
        let url = login.device_authorization_url.clone().or(found);
        let url = url.ok_or(LoginError::NoEndpoint("device_authorization_url"))?;
        let mut parameters = Vec::new();
        if !self.settings.scope.is_empty() {
            let scope = self.settings.scope.join(&self.settings.request.scope_separator);
            parameters.push(("scope".to_owned(), Secret::new(scope)));
        }
        parameters.extend(self.authorization_params().await?);
        let request = self.request_beside(url, parameters).await?;
        let mut step = Step::beside(&request, "for a code to confirm on another device");
        let result = self
            .exchange(&request, &mut step, |answer, body| match answer.status.is_success() && !body.says_error() {
                true => DeviceAuthorization::read(body),
                false => Err(response::read_refusal(answer, body, SystemTime::now())),
            })
            .await;
        let meaning = |read: &DeviceAuthorization| format!("a code that can be confirmed for {:?}", read.lifetime);
        step.ended(result.as_ref().map(meaning), &self.settings);
        steps.push(step);
        Ok(DeviceLogin(result?))
    }

    /// Asks until the person has confirmed (RFC 8628 §3.4), and keeps what the login brings. `wait`: lets time pass.
    ///
    /// # Errors
    ///
    /// The code has expired, or the person, the server or the store refuses.
    pub async fn log_in_by_device(
        &self,
        login: DeviceLogin,
        wait: impl AsyncFn(Duration),
        steps: &mut Vec<Step>,
    ) -> Result<LoggedIn, LoginError> {
        let DeviceAuthorization { device_code, lifetime, mut pace, .. } = login.0;
        let mut waited = Duration::ZERO;
        loop {
            waited = waited.saturating_add(pace.0);
            if waited > lifetime {
                return Err(LoginError::Expired);
            }
            wait(pace.0).await;
            // Those before it say only that nobody has confirmed yet.
            let mut last = Vec::new();
            match self.ask(Ask::Device(DeviceCode { device_code: device_code.clone() }), &mut last).await {
                Ok(answered) => {
                    steps.extend(last);
                    return self.keep_login(answered, &Words::default(), steps).await;
                }
                Err(error) => match pace.after(&error) {
                    Next::Wait => {}
                    Next::Expired => return Err(LoginError::Expired),
                    Next::End => {
                        steps.extend(last);
                        return Err(of_person(error));
                    }
                },
            }
        }
    }
}

/// What a person has refused is no fault of the token endpoint.
fn of_person(error: TokenError) -> LoginError {
    match error {
        TokenError::Refused { code, description } if code == "access_denied" => {
            LoginError::Refused { code, description }
        }
        other => LoginError::Token(other),
    }
}
