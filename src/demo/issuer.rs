//! The desk of an authorization server: decides on token requests, and on access tokens that an API asks about.
//!
//! Does no I/O. One lock guards everything that changes; it is never held across a wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::error::Unspecified;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::time::Instant;

use super::dialect::{Approval, Grant, Issued};
use super::listener::{Body, json, whole};
use super::refusal::Refusal;
use super::token_request::TokenRequest;
use super::tokens::{Misuse, Tokens};
use super::{Presented, RefreshTokens, SeenRequest, ServerSettings, What};

/// One server's tokens and what it was told to do.
pub(super) struct Issuer {
    pub(super) settings: ServerSettings,
    state: Mutex<State>,
}

/// All that changes.
pub(super) struct State {
    pub(super) tokens: Tokens,
    pub(super) lifetime: Duration,
    pub(super) refresh_lifetime: Duration,
    pub(super) refresh_tokens: RefreshTokens,
    pub(super) delay: Duration,
    /// The status to fail with, and how many times more.
    pub(super) failure: Option<(StatusCode, u64)>,
    pub(super) retry_after: Option<Duration>,
    pub(super) issued: u64,
    pub(super) asked: u64,
    pub(super) seen: VecDeque<SeenRequest>,
}

impl Issuer {
    pub(super) fn new(settings: ServerSettings) -> Self {
        let state = State {
            tokens: Tokens::default(),
            lifetime: settings.lifetime,
            refresh_lifetime: settings.refresh_lifetime,
            refresh_tokens: settings.refresh_tokens,
            delay: Duration::ZERO,
            failure: None,
            retry_after: None,
            issued: 0,
            asked: 0,
            seen: VecDeque::new(),
        };
        Self { settings, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, what: What) {
        self.settings.events.send(self.settings.dialect, what);
    }

    /// How an access token stands.
    pub(super) fn check(&self, token: &str) -> Presented {
        self.state().tokens.check(token, Instant::now())
    }

    /// Voids all access tokens, and refresh tokens too if `with_refresh_tokens`.
    pub(super) fn revoke(&self, with_refresh_tokens: bool) {
        let access_tokens = {
            let mut state = self.state();
            if with_refresh_tokens {
                state.tokens.revoke_refresh();
            }
            state.tokens.revoke_access(Instant::now())
        };
        self.tell(What::Revoked { access_tokens, reuse: false });
    }

    /// The answer of a server that was told to fail, if it was.
    pub(super) fn failure(&self) -> Option<Response<Body>> {
        let (status, retry_after) = {
            let mut state = self.state();
            let (status, left) = state.failure.take()?;
            state.failure = left.checked_sub(1).filter(|left| *left > 0).map(|left| (status, left));
            (status, state.retry_after)
        };
        self.tell(What::Failed { status });
        // What a load balancer says in place of the server: no JSON.
        let mut response = Response::new(whole("<html><body>temporarily out of order</body></html>\n"));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        if let Some(after) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
        }
        Some(response)
    }

    /// The answer to a token request whose body is there.
    pub(super) fn answer(&self, head: &Parts, body: &[u8]) -> Response<Body> {
        let dialect = self.settings.dialect;
        let approved = TokenRequest::read(head, body).and_then(|request| dialect.approve(&request, &self.settings));
        match approved.and_then(|approval| self.issue(approval)) {
            Ok(Some(issued)) => no_store(json(StatusCode::OK, &dialect.reply(&issued))),
            Ok(None) => no_store(json(StatusCode::INTERNAL_SERVER_ERROR, &serde_json::json!({}))),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Says no, in this system's own form.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let mut response = no_store(json(refusal.status, &self.settings.dialect.refuse(&refusal)));
        if let Some((name, value)) = refusal.field {
            response.headers_mut().insert(name, value);
        }
        let (status, code, description) = (refusal.status, refusal.code, refusal.description.into_owned());
        self.tell(What::Refused { status, code, description });
        response
    }

    /// Makes the tokens; `None`: the system has no randomness to give.
    fn issue(&self, approval: Approval) -> Result<Option<Issued>, Refusal> {
        let grant = approval.grant.name();
        let made = self.state().issue(approval);
        match made {
            Ok(Ok((issued, generation))) => {
                let (scope, lifetime) = (issued.scope.clone(), issued.lifetime);
                self.tell(What::Issued { generation, grant, scope, lifetime });
                Ok(Some(issued))
            }
            Ok(Err(Unspecified)) => Ok(None),
            Err(Denied::Scope) => Err(Refusal::invalid_scope("the scope is wider than it was at first")),
            Err(Denied::Misuse(misuse)) => {
                if let Misuse::Reused { access_tokens } = misuse {
                    self.tell(What::Revoked { access_tokens, reuse: true });
                }
                Err(Refusal::invalid_grant(match misuse {
                    Misuse::Unknown => "the refresh token is not one of this server",
                    Misuse::Expired => "the refresh token has expired",
                    Misuse::Revoked => "the refresh token was revoked",
                    Misuse::Reused { .. } => "the refresh token was used before; its whole login is void now",
                }))
            }
        }
    }
}

/// Why a refresh is not to be.
enum Denied {
    Misuse(Misuse),
    Scope,
}

impl State {
    fn issue(&mut self, approval: Approval) -> Result<Result<(Issued, u64), Unspecified>, Denied> {
        let now = Instant::now();
        let Approval { grant, scope, with_refresh_token } = approval;
        match grant {
            Grant::ClientCredentials | Grant::Password => {
                let family = self.tokens.new_family();
                let with_refresh_token = with_refresh_token && self.refresh_tokens != RefreshTokens::Never;
                Ok(self.make(family, scope.unwrap_or_default(), with_refresh_token, now))
            }
            Grant::RefreshToken(token) => {
                let redeemed = self.tokens.look_up(&token, now).map_err(Denied::Misuse)?;
                let scope = narrowed(scope, &redeemed.scope).ok_or(Denied::Scope)?;
                self.tokens.use_up(&token, self.refresh_tokens);
                Ok(self.make(redeemed.family, scope, self.refresh_tokens == RefreshTokens::Rotated, now))
            }
        }
    }

    fn make(
        &mut self,
        family: u64,
        scope: String,
        with_refresh_token: bool,
        now: Instant,
    ) -> Result<(Issued, u64), Unspecified> {
        let (access_token, generation) = self.tokens.issue(family, now + self.lifetime)?;
        let refresh_token = with_refresh_token
            .then(|| self.tokens.issue_refresh(family, now + self.refresh_lifetime, &scope))
            .transpose()?;
        self.issued += 1;
        let (at, lifetime) = (SystemTime::now(), self.lifetime);
        Ok((Issued { access_token, refresh_token, family, scope, at, lifetime }, generation))
    }
}

/// The scope of a refresh: the first one, or part of it (RFC 6749 §6).
fn narrowed(asked: Option<String>, granted: &str) -> Option<String> {
    match asked {
        None => Some(granted.to_owned()),
        Some(asked) => asked.split(' ').all(|value| granted.split(' ').any(|had| had == value)).then_some(asked),
    }
}

/// RFC 6749 §5.1: nobody may keep an answer that holds a token, nor one that says why there is none.
fn no_store(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
