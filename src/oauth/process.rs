//! Runs a command to its end: the one file that starts a process.
//!
//! No shell, nothing on its standard input, and of our environment PATH and HOME alone. It has a process group of its own,
//! which is killed at the time limit, when it prints too much, and when nobody waits for it any more. A process that it
//! leaves behind lives on only if it lets go of the output.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::endpoint::MAX_ANSWER;
use super::grant::Exec;

/// What became of it.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) stdout: Zeroizing<Vec<u8>>,
    /// The beginning of standard error, in lines.
    pub(super) stderr: Vec<String>,
}

/// How it ended.
pub(super) enum End {
    /// It could not be started.
    NotStarted(io::Error),
    /// By itself, or by a signal that is not from us.
    Status(ExitStatus),
    /// It has printed more than an answer may be long, and was killed.
    TooLong,
    /// The time limit came first, and it was killed.
    TooLate,
}

/// Runs it, for at most `limit`.
pub(super) async fn run(exec: &Exec, limit: Duration) -> Ran {
    // Sized beforehand for what is usual: a buffer that grows leaves copies of a token behind, and nobody wipes those.
    let mut stdout = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut stderr = Lines::default();
    let end = match start(exec) {
        Err(error) => End::NotStarted(error),
        Ok((mut child, group)) => {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let whole = async {
                let ended = tokio::join!(take(out, &mut stdout, &group), stderr.follow(err), child.wait());
                match ended {
                    (false, ..) => End::TooLong,
                    (true, (), status) => status.map_or_else(End::NotStarted, End::Status),
                }
            };
            let end = tokio::time::timeout(limit, whole).await.unwrap_or(End::TooLate);
            if !matches!(end, End::TooLate) {
                group.let_go();
            }
            end
        }
    };
    Ran { end, stdout, stderr: stderr.finish() }
}

fn start(exec: &Exec) -> io::Result<(Child, Group)> {
    let mut command = Command::new(&exec.command);
    command.args(exec.args.iter().map(|arg| OsStr::new(arg.expose()))).env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(exec.env.iter().map(|(name, value)| (name, value.expose())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).kill_on_drop(true).spawn()?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    Ok((child, group))
}

/// Where commands are, and where helpers keep what they know.
const INHERITED: [&str; 2] = ["PATH", "HOME"];

/// A command and what it has started. Dropped, they are killed.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(leader) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// It has ended: its number may be another's now.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads to the end; `false` if that would be too much, after killing the group.
async fn take(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>, group: &Group) -> bool {
    let Some(mut from) = from else { return true };
    let mut piece = Zeroizing::new(vec![0; 4096]);
    // An output that cannot be read has ended.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if into.len() + length > MAX_ANSWER {
            group.kill();
            return false;
        }
        into.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    true
}

/// Standard error: its first lines, none longer than it takes to understand.
#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    current: Vec<u8>,
    is_more: bool,
}

impl Lines {
    async fn follow(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            piece.iter().take(length).for_each(|byte| self.push(*byte));
        }
    }

    fn push(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            _ if self.lines.len() >= MOST_LINES => self.is_more = true,
            _ if self.current.len() < LONGEST_LINE => self.current.push(byte),
            _ => {}
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.current);
        let line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        if !line.trim().is_empty() {
            self.lines.push(line.trim_end().to_owned());
        }
        self.current.clear();
    }

    fn finish(mut self) -> Vec<String> {
        self.end_line();
        if self.is_more {
            self.lines.push("(and more)".to_owned());
        }
        self.lines
    }
}

const MOST_LINES: usize = 50;
const LONGEST_LINE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_short_lines_and_not_too_many() {
        let mut lines = Lines::default();
        let said = format!("a\x1b[1m\n\n{}\nlast", "x".repeat(2 * LONGEST_LINE));
        said.bytes().for_each(|byte| lines.push(byte));
        assert_eq!(lines.finish(), ["a [1m", &"x".repeat(LONGEST_LINE), "last"]);

        let mut lines = Lines::default();
        "line\n".repeat(MOST_LINES).bytes().for_each(|byte| lines.push(byte));
        assert_eq!(lines.lines.len(), MOST_LINES);
        b"one more\nand more\n".iter().for_each(|byte| lines.push(*byte));
        let lines = lines.finish();
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (MOST_LINES + 1, Some("(and more)")));
    }
}
