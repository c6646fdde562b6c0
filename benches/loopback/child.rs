//! This binary as another process, and what the system says of it (proc(5)).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Sub;
use std::process::{Command, Stdio};

/// A process that serves at an address until it is dropped: it ends when its standard input does.
pub struct Child {
    process: std::process::Child,
    pub address: SocketAddr,
}

/// CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Child {
    /// Starts one; see `serve::run` for the arguments. `core`: the only one it may use.
    pub fn start(arguments: &[String], core: Option<usize>) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(own);
                command
            }
            None => Command::new(own),
        };
        let mut process =
            command.arg("--child").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{arguments:?} did not start: {line:?}"));
        Self { process, address }
    }

    /// Seconds, of all threads.
    pub fn cpu(&self) -> Cpu {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The second field is a name in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap() / TICKS;
        Cpu { user: ticks(11), system: ticks(12) }
    }

    /// KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A second; the same on every Linux that there is (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

impl Cpu {
    /// Of seconds in all, the microseconds of each.
    pub fn each(self, count: usize) -> Self {
        let each = |seconds: f64| seconds * 1e6 / count.max(1) as f64;
        Self { user: each(self.user), system: each(self.system) }
    }
}

/// Leaves the first core to forwarder and proxy.
pub fn pin_myself() {
    let own = std::process::id().to_string();
    assert!(Command::new("taskset").args(["-cp", "1", &own]).stdout(Stdio::null()).status().unwrap().success());
}
