//! `bearer-proxy run`: serves until SIGTERM or SIGINT; SIGHUP reads the file again. And `demo`, which needs the same
//! start.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Common, FAILURE, SUCCESS, WRONG, demo, output};
use crate::app::{self, Proxy};
use crate::config::{self, Config, ConfigError};
use crate::telemetry::{self, Diagnostics};

/// Serves.
pub(super) fn run(common: &Common) -> u8 {
    app::take_passed_sockets();
    let Some(config) = common.load() else { return WRONG };
    let diagnostics = match telemetry::init(&config.log) {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            output::complain(&format!("diagnostics cannot be written: {error}"));
            return FAILURE;
        }
    };
    let runtime = match app::runtime(&config) {
        Ok(runtime) => runtime,
        Err(error) => return no_runtime(&error),
    };
    let code = runtime.block_on(serve(common, config, &diagnostics));
    // What is left are connections that were cut off, and commands that print tokens: those are killed by whoever waits
    // for them, who has to learn that nobody waits for him.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

fn no_runtime(error: &io::Error) -> u8 {
    output::complain(&format!("cannot start a runtime: {error}"));
    FAILURE
}

/// A core would hold every token and secret.
pub(super) fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off: a crash could write secrets to disk");
    }
}

async fn serve(common: &Common, config: Config, diagnostics: &Diagnostics) -> u8 {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return FAILURE;
        }
    };
    warn(&config, &common.config);
    let proxy = match Proxy::start(&config).await {
        Ok(proxy) => proxy,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return FAILURE;
        }
    };
    drop(config);
    // Ends with the runtime.
    tokio::spawn(return_memory());
    while signals.next().await == Asked::Reload {
        tokio::select! {
            () = reload(common, &proxy, diagnostics) => {}
            // A reload changes nothing before it has all that it needs: it may be left at any point.
            () = signals.stop() => break,
        }
    }
    tracing::info!("stopping: requests under way may end, a second signal stops at once");
    tokio::select! {
        () = proxy.stop() => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once"),
    }
    SUCCESS
}

/// The allocator gives back to the system what has been free for a second, but looks for it only when it gets or lets go
/// of a large block. A process at rest does neither, and would keep all that its busiest minute has left.
async fn return_memory() {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Larger than what it keeps for the next; never written to, so that it is an address and no memory.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(1024 * 1024)));
    }
}

/// Reads the file again. A file that is wrong, or cannot be run, changes nothing.
async fn reload(common: &Common, proxy: &Proxy, diagnostics: &Diagnostics) {
    let path = common.config.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await;
    let mut config = match loaded {
        Ok(Ok(config)) => config,
        Ok(Err(error)) => return refuse(&error),
        Err(error) => return tracing::error!(%error, "the file was not read: the running configuration stays"),
    };
    common.override_log(&mut config);
    warn(&config, &common.config);
    match proxy.reload(&config).await {
        Ok(()) => {
            diagnostics.set_level(config.log.level);
            tracing::info!(file = %common.config.display(), "the file was read again and is in force");
        }
        Err(error) => tracing::error!(%error, "the file cannot be run: the running configuration stays"),
    }
}

fn refuse(error: &ConfigError) {
    for problem in error.to_string().lines() {
        tracing::error!(problem, "the file is wrong: the running configuration stays");
    }
}

fn warn(config: &Config, path: &Path) {
    for warning in &config.warnings {
        tracing::warn!(file = %path.display(), line = warning.line, "{}", warning.message);
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// What the system tells a service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.reload.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs the demo.
pub(super) fn demo(arguments: &demo::DemoArguments) -> u8 {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return no_runtime(&error),
    };
    match runtime.block_on(demo::run(arguments, start)) {
        Ok(()) => SUCCESS,
        Err(error) => {
            output::complain(&error);
            FAILURE
        }
    }
}

/// The proxy of the demo, from its file's text.
async fn start(text: String) -> Result<impl AsyncFnOnce(), Box<dyn std::error::Error + Send + Sync>> {
    let config = config::parse(&text, Path::new("demo.yaml"), &|_| None)?;
    let diagnostics = Arc::new(telemetry::init(&config.log)?);
    let proxy = Proxy::start(&config).await?;
    Ok(async move || {
        proxy.stop().await;
        drop(diagnostics);
    })
}
