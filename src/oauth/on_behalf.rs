//! Tokens on behalf of whoever calls: the exchange of one subject's token (RFC 8693), for a cache of its own.
//!
//! Unlike a credential's own grant, exchanges of several subjects go on beside each other, and use no refresh token: the
//! subject is there to be exchanged again. No token outlives its subject, and a subject that says it has ended is not
//! sent to anybody.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tracing::Instrument;

use super::client::{OAuthClient, Obtained};
use super::explain::{Explanation, Step};
use super::request::Ask;
use super::response;
use super::settings::{GrantSettings, SubjectSource};
use crate::secret::Secret;
use crate::token::{AccessToken, Exchange, Exchanged, Moment, SubjectSettings, TokenError, TokenSource};

impl OAuthClient {
    /// How subjects are kept; `None` where no request brings one.
    #[must_use]
    pub fn subjects(&self) -> Option<SubjectSettings> {
        match &self.settings().grant {
            GrantSettings::TokenExchange(exchange) => match exchange.subject {
                SubjectSource::Request(settings) => Some(settings),
                SubjectSource::Own(_) => None,
            },
            _ => None,
        }
    }

    /// Exchanges what requests bring.
    #[must_use]
    pub fn on_behalf(self: Arc<Self>) -> Exchange {
        Box::new(move |subject| {
            let now = Moment::now();
            let left = response::jwt_left(&subject, now.wall);
            let source = OnBehalf { client: Arc::clone(&self), subject };
            Exchanged { source: Arc::new(source), ends: left.map(|left| now.after(left)) }
        })
    }

    /// As [`OAuthClient::explain`], with a subject that otherwise a request would bring.
    pub async fn explain_for(&self, subject: &Secret) -> Explanation {
        let mut steps = Vec::new();
        let outcome = self.obtain_for(subject, &mut steps).await;
        Explanation { steps, outcome: outcome.map(Obtained::issued) }
    }

    async fn obtain_for(&self, subject: &Secret, steps: &mut Vec<Step>) -> Result<Obtained, TokenError> {
        self.note_files();
        let now = Moment::now();
        let left = response::jwt_left(subject, now.wall);
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ended());
        }
        let answered = self.ask(Ask::OnBehalf(subject.clone()), steps).await.map_err(of_subject)?;
        let obtained = self.finish(answered, steps).await?;
        match left {
            Some(left) => obtained.ending_by(now.after(left), Moment::now()).ok_or_else(ended),
            None => Ok(obtained),
        }
    }
}

/// Exchanges one subject's token.
struct OnBehalf {
    client: Arc<OAuthClient>,
    subject: Secret,
}

impl TokenSource for OnBehalf {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>> {
        let span = tracing::info_span!("token.fetch", credential = self.client.settings().name);
        let fetch = async { self.client.token(self.client.obtain_for(&self.subject, &mut Vec::new()).await?).await };
        Box::pin(fetch.instrument(span))
    }

    fn has_changed(&self) -> bool {
        self.client.has_changed()
    }
}

/// A refusal that is about the subject: `invalid_request` by RFC 8693 §2.2.2, and what servers say instead.
fn of_subject(error: TokenError) -> TokenError {
    match error {
        TokenError::Refused { code, description }
            if code == "invalid_request" || response::is_of_refresh_token(&code) =>
        {
            refused(&code, description)
        }
        other => other,
    }
}

fn ended() -> TokenError {
    refused("invalid_token", Some("it says of itself that it has expired".to_owned()))
}

fn refused(code: &str, description: Option<String>) -> TokenError {
    TokenError::BadSubject { code: code.to_owned(), description }
}
