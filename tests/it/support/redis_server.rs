//! A real server, Redis or Valkey, of the test's own: in a directory of its own, ended by its own id.
//!
//! Used by the library's tests too. Where no such server is installed, the tests that need it are passed over, and say so.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs until this is dropped, on a Unix socket; what it is told survives a restart.
pub struct RedisServer {
    directory: tempfile::TempDir,
    binary: &'static str,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one; `None`: none is installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments (`--requirepass x`).
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let is_there = |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
        let Some(binary) = ["redis-server", "valkey-server"].into_iter().find(|name| is_there(name)) else {
            // Past the test harness, which shows nothing of tests that pass.
            let _ = std::io::stderr().write_all(
                b"\n*** neither redis-server nor valkey-server is installed: THE REDIS STORE WAS NOT LOOKED AT ***\n",
            );
            return None;
        };
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { directory: tempfile::tempdir().unwrap(), binary, arguments, child: None };
        server.run();
        Some(server)
    }

    /// Starts it again, if it was stopped; it remembers.
    pub fn run(&mut self) {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(self.binary)
            .args(["--port", "0", "--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .args(["--unixsocketperm", "700"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        // Until it has read what it remembers it takes connections, and answers LOADING or NOAUTH.
        while !self.answers() {
            assert!(Instant::now() < end, "{}", fs::read_to_string(self.directory.path().join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let mut answer = [0; 64];
        let read = stream.write_all(b"PING\r\n").and_then(|()| std::io::Read::read(&mut stream, &mut answer));
        read.is_ok_and(|length| answer[..length].starts_with(b"+PONG") || answer[..length].starts_with(b"-NOAUTH"))
    }

    /// Ends it at once, as `kill -9`.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// For files that it needs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
