//! The threads that serve: how many runtimes there are, and of which kind.
//!
//! A [`Proxy`](super::Proxy) runs on the runtime it is started on: there it gets tokens, reads its file again, and looks at
//! deadlines. Requests are served there too, unless the file asks for workers that are separate: then each of them is a
//! thread with a runtime, connections and upstream connections of its own, and no request ever waits for another thread.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::config::{Config, WorkerModel};
use crate::server::Workers;

/// The runtime that a proxy with this configuration is to be started on.
///
/// # Errors
///
/// The system gives no more threads or descriptors.
pub fn runtime(config: &Config) -> io::Result<Runtime> {
    let threads = threads(config);
    let mut builder = match config.worker_model {
        WorkerModel::Shared if threads > 1 => Builder::new_multi_thread(),
        // One thread shares its work with nobody: it need not be ready to. With a crew, it is that thread which does
        // everything but serve.
        WorkerModel::Shared | WorkerModel::Separate => single_threaded(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

fn single_threaded() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.event_interval(LOOKS_FOR_EVENTS_AFTER);
    builder
}

/// How many tasks are polled, if so many are waiting, before the sockets are looked at again: four times tokio's 61. What
/// is read in one go is then written in one go, and each send finds its peer awake more often: 1 to 3 % of a small
/// request's time. A millisecond at most.
const LOOKS_FOR_EVENTS_AFTER: u32 = 256;

/// Who serves. Threads that were made for it end when this is dropped, and with them what is left on them.
pub(super) struct Crew {
    workers: Workers,
    /// Dropped, it says so.
    _stop: watch::Sender<()>,
}

impl Crew {
    /// The one that this configuration asks for: threads of their own, or whoever calls this.
    pub(super) fn start(config: &Config) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let runtimes = match (config.worker_model, threads(config)) {
            (WorkerModel::Shared, _) | (WorkerModel::Separate, 1) => vec![Handle::current()],
            (WorkerModel::Separate, threads) => {
                (0..threads).map(|number| worker(number, stopped.clone())).collect::<io::Result<_>>()?
            }
        };
        Ok(Self { workers: Workers::new(runtimes), _stop: stop })
    }

    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }
}

fn worker(number: usize, mut stopped: watch::Receiver<()>) -> io::Result<Handle> {
    let runtime = single_threaded().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        // Nothing is ever sent: it is an error that ends the wait.
        let _ = runtime.block_on(stopped.changed());
        runtime.shutdown_background();
    })?;
    Ok(handle)
}

/// What the file says, else one a core.
fn threads(config: &Config) -> usize {
    config.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}
