//! The real binary, as a person or a service manager starts it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::{Notify, watch};

use super::soon;

/// A command for the binary with nothing of this process's environment that it would look at.
pub fn bearer_proxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearer-proxy"));
    clean(&mut command).args(arguments);
    command
}

/// Takes away what the binary would look at.
pub fn clean(command: &mut Command) -> &mut Command {
    for name in ["CONFIG", "LOG_FORMAT", "LOG_LEVEL", "ADMIN"] {
        command.env_remove(format!("BEARER_PROXY_{name}"));
    }
    for name in ["RUST_LOG", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub async fn run_to_end(command: Command) -> Ended {
    Process::start(command).ended().await
}

/// Runs the binary to its end.
pub async fn ended(arguments: &[&str]) -> Ended {
    run_to_end(bearer_proxy(arguments)).await
}

/// A process that runs; killed when dropped.
pub struct Process {
    id: u32,
    pub stdout: Lines,
    pub stderr: Lines,
    /// The outer `None`: it runs.
    end: watch::Receiver<Option<Option<i32>>>,
}

/// What a process has written.
#[derive(Clone, Default)]
pub struct Lines(Arc<LinesInner>);

#[derive(Default)]
struct LinesInner {
    text: Mutex<(String, bool)>,
    changed: Notify,
}

impl Process {
    /// Starts it, with its output read here.
    pub fn start(command: Command) -> Self {
        Self::start_with_stdout(command, Stdio::piped())
    }

    /// As [`Process::start`], with something else for standard output, which is not read here.
    pub fn start_with_stdout(mut command: Command, stdout: Stdio) -> Self {
        command.stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // What was handed to the child is the child's alone.
        drop(command);
        let (stdout, stderr) = (Lines::default(), Lines::default());
        match child.stdout.take() {
            Some(piped) => stdout.clone().follow(piped),
            None => stdout.close(),
        }
        stderr.clone().follow(child.stderr.take().unwrap());
        Self { id: child.id(), stdout, stderr, end: wait(child) }
    }

    /// `bearer-proxy run` with this file, once it listens.
    pub async fn serving(file: &Path) -> Self {
        let process = Self::start(bearer_proxy(&["run", "--config", file.to_str().unwrap()]));
        process.listening().await;
        process
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where its first listener is, as it says itself.
    pub async fn listening(&self) -> std::net::SocketAddr {
        let line = self.stderr.wait_for("listener=").await;
        let address = line.split("listener=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        address.parse().unwrap_or_else(|_| panic!("no address in {line}"))
    }

    /// Sends a signal (`TERM`, `HUP` …).
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id)]).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let code = soon("the end of the process", self.end.wait_for(Option::is_some)).await.unwrap().unwrap();
        for lines in [&self.stdout, &self.stderr] {
            lines.wait(|_, closed| closed.then_some(())).await;
        }
        Ended { code, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end.borrow().is_none() {
            self.signal("KILL");
        }
    }
}

fn wait(mut child: Child) -> watch::Receiver<Option<Option<i32>>> {
    let (end, ended) = watch::channel(None);
    thread::spawn(move || {
        let status = child.wait().unwrap();
        let _ = end.send(Some(status.code()));
    });
    ended
}

impl Lines {
    fn follow(self, from: impl Read + Send + 'static) {
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                self.0.text.lock().unwrap().0.push_str(&String::from_utf8_lossy(&line));
                self.0.changed.notify_waiters();
                line.clear();
            }
            self.close();
        });
    }

    fn close(&self) {
        self.0.text.lock().unwrap().1 = true;
        self.0.changed.notify_waiters();
    }

    /// All so far.
    pub fn text(&self) -> String {
        self.0.text.lock().unwrap().0.clone()
    }

    /// The first line that holds this text, whole; there must come one.
    pub async fn wait_for(&self, text: &str) -> String {
        self.wait(|lines, closed| {
            let found = lines.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(text));
            assert!(found.is_some() || !closed, "{text:?} was never written, but:\n{lines}");
            found.map(str::to_owned)
        })
        .await
    }

    async fn wait<T>(&self, mut look: impl FnMut(&str, bool) -> Option<T>) -> T {
        soon("output of the process", async {
            loop {
                let changed = self.0.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                let found = {
                    let text = self.0.text.lock().unwrap();
                    look(&text.0, text.1)
                };
                if let Some(found) = found {
                    return found;
                }
                changed.await;
            }
        })
        .await
    }
}
