//! A background task that ends with its owner.
//!
//! Dropping tokio's own handle would let it run on for nobody.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Owns a task: dropped, it is stopped at its next await.
pub(super) struct Task(AbortHandle);

impl Task {
    /// Starts it on that runtime.
    pub(super) fn spawn(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(runtime.spawn(work).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_with_its_owner() {
        let (sender, ended) = tokio::sync::oneshot::channel::<()>();
        let task = Task::spawn(&Handle::current(), async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        tokio::task::yield_now().await;
        drop(task);
        assert!(ended.await.is_err());
    }
}
