//! The attempts of one request: sent once, and once more where that is safe and may help.
//!
//! Twice in two cases only: the token was refused (DESIGN.md section 2), or a kept-alive connection turned out to be dead
//! before any byte of the answer (RFC 9112 §9.3.1; R52, R53).

use std::sync::Arc;

use http::{Response, StatusCode};

use super::ForwardError;
use super::Interim;
use super::answer;
use super::body::{Replay, RequestBody};
use super::exchange::Exchange;
use super::outgoing::Outgoing;
use super::refusal;
use super::target::Target;
use crate::telemetry::RetryOutcome;
use crate::telemetry::TokenAction;
use crate::token::AccessToken;
use crate::token::Moment;
use crate::token::TokenCache;
use crate::upstream::AnswerBody;
use crate::upstream::Reuse;
use crate::upstream::SendError;
use crate::upstream::UpstreamError;

/// The attempts of one request.
pub(super) struct Attempts<'a> {
    pub(super) target: &'a Arc<Target>,
    pub(super) outgoing: Outgoing,
    pub(super) exchange: &'a mut Exchange,
    pub(super) interim: Option<&'a Interim>,
}

impl Attempts<'_> {
    /// Sends the request and waits for the head of the answer.
    pub(super) async fn deliver(
        &mut self,
        token: Option<&AccessToken>,
    ) -> Result<Response<AnswerBody<RequestBody>>, ForwardError> {
        match self.send(token, self.outgoing.reuse()).await? {
            Ok(response) => Ok(response),
            Err(failed) => Box::pin(self.deliver_again(failed, token)).await,
        }
    }

    /// A connection that died before any byte of the answer, after having served others: the server closed it for
    /// lying idle. A request that may be repeated is repeated once, on a fresh one (R52); any other is not (R53).
    async fn deliver_again(
        &mut self,
        failed: SendError<RequestBody>,
        token: Option<&AccessToken>,
    ) -> Result<Response<AnswerBody<RequestBody>>, ForwardError> {
        if let (UpstreamError::TooLate, Some(tokens)) = (&failed.error, &self.target.tokens) {
            drop(failed);
            return self.deliver_with_another(tokens).await;
        }
        let idle_death = failed.reused && failed.unsent.is_none() && failed.error.is_termination();
        if !idle_death || !self.outgoing.is_idempotent() || self.outgoing.body.recover().await == Replay::Never {
            return Err(failed.error.into());
        }
        self.send(token, Reuse::Forbidden).await?.map_err(|failed| failed.error.into())
    }

    /// The token expired while the request waited for a connection: an expired one is never sent.
    async fn deliver_with_another(
        &mut self,
        tokens: &Arc<TokenCache>,
    ) -> Result<Response<AnswerBody<RequestBody>>, ForwardError> {
        if self.outgoing.body.recover().await == Replay::Never {
            return Err(BROKEN_OFF);
        }
        let token = tokens.get().await?;
        self.send(Some(&token), Reuse::Allowed).await?.map_err(|failed| failed.error.into())
    }

    async fn send(
        &mut self,
        token: Option<&AccessToken>,
        reuse: Reuse,
    ) -> Result<Result<Response<AnswerBody<RequestBody>>, SendError<RequestBody>>, ForwardError> {
        let body = self.outgoing.body.take().ok_or(BROKEN_OFF)?;
        let request = self.outgoing.request(token, body);
        let interim = self.interim.map(answer::pass_interim);
        self.exchange.attempt();
        Ok(
            match self
                .target
                .upstream
                .send(request, reuse, || token.is_none_or(|token| token.is_live(Moment::now())), interim.as_ref())
                .await
            {
                Ok(sent) => {
                    self.exchange.answered(sent.reused);
                    Ok(sent.response)
                }
                Err(failed) => {
                    self.exchange.failed(&failed.error);
                    Err(failed)
                }
            },
        )
    }

    /// The 401 contract (DESIGN.md section 2).
    pub(super) async fn renew_and_repeat(
        &mut self,
        response: Response<AnswerBody<RequestBody>>,
        tokens: &Arc<TokenCache>,
        token: &Arc<AccessToken>,
    ) -> Result<Response<AnswerBody<RequestBody>>, ForwardError> {
        self.exchange.refused();
        if refusal::is_insufficient_scope(response.headers()) {
            self.exchange.retry(RetryOutcome::InsufficientScope);
            return Ok(response);
        }
        if token.is_refused(Moment::now()) {
            self.exchange.retry(RetryOutcome::Cooldown);
            return Ok(response);
        }
        let replay = self.outgoing.body.replay();
        if replay == Replay::Never {
            tokens.replace_later(token);
            self.exchange.retry(RetryOutcome::NotReplayable);
            return Ok(response);
        }
        let renewed = match tokens.replace(token).await {
            Ok(renewed) => renewed,
            Err(failure) => {
                // The cache has logged why. The upstream's own answer is the truest one we have.
                tracing::debug!(error = %failure, "a refused token could not be replaced");
                self.exchange.retry(RetryOutcome::RenewalFailed);
                return Ok(response);
            }
        };
        self.let_go(response, replay).await?;
        self.exchange.token(TokenAction::Retried);
        let again = self.deliver(Some(&renewed)).await?;
        if self.target.is_refusal(again.status()) {
            self.exchange.refused();
            renewed.refuse_until(Moment::now(), self.target.cooldown());
            self.exchange.retry(RetryOutcome::RefusedAgain);
        } else {
            self.exchange.retry(RetryOutcome::Success);
        }
        Ok(again)
    }

    /// Lets the first answer go, and gets the request's body back from it.
    async fn let_go(
        &mut self,
        response: Response<AnswerBody<RequestBody>>,
        replay: Replay,
    ) -> Result<(), ForwardError> {
        match replay {
            Replay::AfterAbort => response.into_body().abort(),
            Replay::Ready | Replay::Never => answer::drain(response.into_body()),
        }
        match self.outgoing.body.recover().await {
            Replay::Ready | Replay::AfterAbort => Ok(()),
            Replay::Never => Err(BROKEN_OFF),
        }
    }
}

/// What becomes of a request whose body cannot be had again.
const BROKEN_OFF: ForwardError =
    ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: "The request's body broke off." };
