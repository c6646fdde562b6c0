//! Which token a request is to bear: the credential's current one, or the current one of the subject that it brings.

use std::sync::Arc;

use super::ForwardError;
use super::exchange::Exchange;
use super::outgoing::{BROKEN_OFF, Passing};
use crate::telemetry::TokenAction;
use crate::token::AccessToken;
use crate::token::Subjects;
use crate::token::TokenCache;

/// The tokens of the subject that a request brings.
pub(super) async fn of_subject(
    subjects: &Subjects,
    request: Option<&Passing>,
    exchange: &mut Exchange,
) -> Result<Arc<TokenCache>, ForwardError> {
    exchange.token(TokenAction::Failed);
    let request = request.ok_or(BROKEN_OFF)?;
    Ok(subjects.of(request.headers()).await?)
}

/// The credential's current token; the one wait before anything is sent.
pub(super) async fn current(
    tokens: &Arc<TokenCache>,
    exchange: &mut Exchange,
) -> Result<Arc<AccessToken>, ForwardError> {
    if let Some(token) = tokens.current(exchange.moment()) {
        exchange.token(TokenAction::Cached);
        return Ok(token);
    }
    exchange.token(TokenAction::Failed);
    let token = Box::pin(tokens.get()).await?;
    exchange.token(TokenAction::Waited);
    Ok(token)
}
