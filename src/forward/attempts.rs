//! The attempts of one request: sent once, and once more where that is safe and may help.
//!
//! Twice in two cases only: the token was refused (DESIGN.md section 2), or a kept-alive connection turned out to be dead
//! before any byte of the answer (RFC 9112 §9.3.1; R52, R53).

use std::sync::Arc;

use super::ForwardError;
use super::Interim;
use super::answer;
use super::body::{Replay, RequestBody};
use super::exchange::Exchange;
use super::outgoing::{BROKEN_OFF, Outgoing, Via};
use super::refusal;
use super::target::Target;
use crate::telemetry::RetryOutcome;
use crate::telemetry::TokenAction;
use crate::token::AccessToken;
use crate::token::Moment;
use crate::token::TokenCache;
use crate::upstream::Reuse;
use crate::upstream::RoundTrip;
use crate::upstream::SendError;
use crate::upstream::UpstreamError;

/// The attempts of one request.
pub(super) struct Attempts<'a, 'r> {
    pub(super) target: &'a Target,
    /// Where its token is from.
    pub(super) tokens: Option<&'a Arc<TokenCache>>,
    pub(super) via: &'a Via,
    pub(super) outgoing: &'a mut Outgoing,
    pub(super) trip: &'a mut RoundTrip<'r, RequestBody>,
    pub(super) exchange: &'a mut Exchange,
    pub(super) interim: Option<&'a Interim>,
}

impl Attempts<'_, '_> {
    /// Sends the request and waits for the head of the answer, which then is in `trip`.
    pub(super) async fn deliver(&mut self, token: Option<&AccessToken>) -> Result<(), ForwardError> {
        self.write(token)?;
        match self.send(token, self.outgoing.reuse()).await {
            Ok(()) => Ok(()),
            Err(failed) => Box::pin(self.deliver_again(failed, token)).await,
        }
    }

    /// A connection that died before any byte of the answer, after having served others: the server closed it for
    /// lying idle. A request that may be repeated is repeated once, on a fresh one (R52); any other is not (R53).
    async fn deliver_again(&mut self, failed: SendError, token: Option<&AccessToken>) -> Result<(), ForwardError> {
        if let (UpstreamError::TooLate, Some(tokens)) = (&failed.error, self.tokens) {
            return self.deliver_with_another(tokens).await;
        }
        let idle_death = failed.reused && self.trip.request.is_none() && failed.error.is_termination();
        if !idle_death || !self.outgoing.is_idempotent() || self.outgoing.body.recover().await == Replay::Never {
            return Err(failed.error.into());
        }
        self.write(token)?;
        self.send(token, Reuse::Forbidden).await.map_err(|failed| failed.error.into())
    }

    /// The token expired while the request waited for a connection: an expired one is never sent.
    async fn deliver_with_another(&mut self, tokens: &Arc<TokenCache>) -> Result<(), ForwardError> {
        // Dropped, it gives its body back.
        *self.trip.request = None;
        if self.outgoing.body.recover().await == Replay::Never {
            return Err(BROKEN_OFF);
        }
        let token = tokens.get().await?;
        self.write(Some(&token))?;
        self.send(Some(&token), Reuse::Allowed).await.map_err(|failed| failed.error.into())
    }

    fn write(&mut self, token: Option<&AccessToken>) -> Result<(), ForwardError> {
        self.outgoing.write(self.target, self.exchange.uri(), self.via, token, self.trip.request)
    }

    async fn send(&mut self, token: Option<&AccessToken>, reuse: Reuse) -> Result<(), SendError> {
        self.exchange.attempt();
        self.trip.wants_upgrade = self.outgoing.wants_websocket();
        let may_go = || token.is_none_or(|token| token.is_live(Moment::now()));
        let interim = self.interim.map(answer::pass_interim);
        match self.target.upstream.send(self.trip, reuse, may_go, interim.as_ref()).await {
            Ok(reused) => {
                self.exchange.answered(reused);
                if let (Some(token), Some(response)) = (token, &self.trip.response) {
                    token.learn(self.target.upstream.origin(), response.headers());
                }
                Ok(())
            }
            Err(failed) => {
                self.exchange.failed(&failed.error);
                Err(failed)
            }
        }
    }

    /// Whether what has come says that the token was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.trip.response.as_ref().is_some_and(|response| self.target.is_refusal(response.status()))
    }

    /// The 401 contract (DESIGN.md section 2).
    pub(super) async fn renew_and_repeat(
        &mut self,
        tokens: &Arc<TokenCache>,
        token: &Arc<AccessToken>,
    ) -> Result<(), ForwardError> {
        if self.wants_nonce(token) {
            return self.repeat_with_nonce(tokens, token).await;
        }
        self.exchange.refused();
        let response = self.trip.response.as_ref();
        if response.is_some_and(|response| refusal::is_insufficient_scope(response.headers())) {
            self.exchange.retry(RetryOutcome::InsufficientScope);
            return Ok(());
        }
        if token.is_refused(Moment::now()) {
            self.exchange.retry(RetryOutcome::Cooldown);
            return Ok(());
        }
        let replay = self.outgoing.body.replay();
        if replay == Replay::Never {
            tokens.replace_later(token);
            self.exchange.retry(RetryOutcome::NotReplayable);
            return Ok(());
        }
        let renewed = match tokens.replace(token).await {
            Ok(renewed) => renewed,
            Err(failure) => {
                // The cache has logged why. The upstream's own answer is the truest one we have.
                tracing::debug!(error = %failure, "a refused token could not be replaced");
                self.exchange.retry(RetryOutcome::RenewalFailed);
                return Ok(());
            }
        };
        self.let_go(replay).await?;
        self.exchange.token(TokenAction::Retried);
        self.deliver(Some(&renewed)).await?;
        if self.is_refused() {
            self.exchange.refused();
            renewed.refuse_until(Moment::now(), self.target.cooldown());
            self.exchange.retry(RetryOutcome::RefusedAgain);
        } else {
            self.exchange.retry(RetryOutcome::Success);
        }
        Ok(())
    }

    /// Whether the upstream refused the proof for want of the nonce that it offers (RFC 9449 §9), and not the token.
    fn wants_nonce(&self, token: &AccessToken) -> bool {
        let response = self.trip.response.as_ref().filter(|_| token.is_bound());
        response.is_some_and(|response| refusal::wants_nonce(response.headers()))
    }

    /// Sends once more with the same token, and the nonce in its proof. This is the one retry (R75).
    async fn repeat_with_nonce(
        &mut self,
        tokens: &Arc<TokenCache>,
        token: &Arc<AccessToken>,
    ) -> Result<(), ForwardError> {
        let replay = self.outgoing.body.replay();
        if replay == Replay::Never {
            self.exchange.retry(RetryOutcome::NotReplayable);
            return Ok(());
        }
        self.let_go(replay).await?;
        self.exchange.token(TokenAction::Retried);
        self.deliver(Some(token)).await?;
        if !self.is_refused() {
            self.exchange.retry(RetryOutcome::Success);
            return Ok(());
        }
        self.exchange.retry(RetryOutcome::RefusedAgain);
        if !self.wants_nonce(token) && !token.is_refused(Moment::now()) {
            // Now it is the token that was refused. For the next caller: this one has had its retry.
            self.exchange.refused();
            tokens.replace_later(token);
        }
        Ok(())
    }

    /// Lets the first answer go, and gets the request's body back from it.
    async fn let_go(&mut self, replay: Replay) -> Result<(), ForwardError> {
        if let Some(response) = self.trip.response.take() {
            match replay {
                Replay::AfterAbort => response.into_body().abort(),
                Replay::Ready | Replay::Never => answer::drain(response.into_body()),
            }
        }
        match self.outgoing.body.recover().await {
            Replay::Ready | Replay::AfterAbort => Ok(()),
            Replay::Never => Err(BROKEN_OFF),
        }
    }
}
