//! One attempt to get a token, shared by everybody who waits for it.
//!
//! It runs in a task of its own: a caller that hangs up stops waiting, and nothing else. With rotating refresh tokens
//! (RFC 6749 §6) a cancelled attempt could lose the credential.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::{AccessToken, Failure, Moment, TokenError, TokenSource};
use super::task::Task;

/// How an attempt ended.
pub(super) type Outcome = Result<Arc<AccessToken>, Failure>;

/// An attempt under way. Dropped, it is given up.
pub(super) struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    _task: Task,
}

impl Flight {
    /// Starts an attempt. It ends with `None` when its cache went away meanwhile.
    pub(super) fn start(runtime: &Handle, attempt: impl Future<Output = Option<Outcome>> + Send + 'static) -> Self {
        let (sender, outcome) = watch::channel(None);
        let task = Task::spawn(runtime, async move {
            // No await may come between: landing drops this flight, and thereby stops this task.
            let landed = attempt.await;
            sender.send_replace(landed);
        });
        Self { outcome, _task: task }
    }

    /// Whether its end is still to come. It is not when the runtime went away.
    pub(super) fn is_under_way(&self) -> bool {
        self.outcome.has_changed().is_ok()
    }

    /// A place among the waiting.
    pub(super) fn join(&self) -> Seat {
        Seat(self.outcome.clone())
    }
}

/// A place among those who wait for an attempt. Given up by dropping it.
pub(super) struct Seat(watch::Receiver<Option<Outcome>>);

impl Seat {
    /// Waits for the end of the attempt, but no longer than this.
    pub(super) async fn wait(mut self, limit: Duration) -> Outcome {
        let outcome = match timeout(limit, self.0.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            // It was given up: its runtime is shutting down.
            Ok(Err(_)) => None,
            Err(_) => return Err(shortly(TokenError::TimedOut)),
        };
        match outcome {
            // A machine may have slept between the end of the attempt and this line.
            Some(Ok(token)) if !token.is_live(Moment::now()) => Err(shortly(expired())),
            Some(outcome) => outcome,
            None => Err(shortly(broken_off())),
        }
    }

    /// Waits for the end of the attempt, whatever it is.
    pub(super) async fn end(mut self) {
        // An error is an end too: nobody will tell.
        let _ = self.0.wait_for(Option::is_some).await;
    }
}

/// Asks the source, and survives whatever it does: a panic is a failure, and one that never ends is given up.
pub(super) async fn ask(source: Arc<dyn TokenSource>, limit: Duration) -> Result<AccessToken, TokenError> {
    let mut alone = JoinSet::new();
    alone.spawn(async move { source.fetch().await });
    match timeout(limit, alone.join_next()).await {
        Ok(Some(Ok(result))) => result,
        Ok(Some(Err(_)) | None) => Err(broken_off()),
        Err(_) => Err(TokenError::TimedOut),
    }
}

/// A token that arrived after its end.
pub(super) fn expired() -> TokenError {
    TokenError::Malformed("the token had expired when it arrived".to_owned())
}

fn broken_off() -> TokenError {
    TokenError::Unreachable("the attempt broke off".to_owned())
}

/// The attempt, or the next one, goes on without this caller.
fn shortly(error: TokenError) -> Failure {
    Failure { error: Arc::new(error), retry_after: Duration::from_secs(1) }
}
