//! The file: read, `${…}` replaced, every mistake found with its place, parsed into the rooms' settings.
//!
//! The one room that reads the environment and names `serde_yaml`. On the way from text to [`Config`]:
//!
//! | file | |
//! |---|---|
//! | `yaml`, `node` | text → a tree with positions |
//! | `substitute` | `${…}` |
//! | `preset/`, `presets.yaml` | what is known of providers, filled in |
//! | `read/` | what a value can be; how a section is written down |
//! | `document`, `workers`, `token_store`, `listener`, `credential/`, `route/`, `upstream` | each section: as written, and what it becomes |

mod credential;
mod document;
mod listener;
mod node;
mod preset;
mod read;
mod route;
mod substitute;
#[cfg(test)]
mod tests;
mod token_store;
mod upstream;
mod workers;
mod yaml;

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use preset::Preset;
pub use preset::presets;
use read::Reader;
use zeroize::Zeroizing;

use crate::admin::AdminSettings;
use crate::forward::settings::TargetSettings;
use crate::oauth::settings::CredentialSettings;
use crate::route::Matcher;
use crate::server::settings::ListenerSettings;
use crate::telemetry::settings::LogSettings;
use crate::token::store::StoreSettings;
use crate::upstream::settings::UpstreamSettings;

/// What we run on: nothing in it can be wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// At least one.
    pub listeners: Vec<ListenerSettings>,
    /// The admin listener, when there is to be one.
    pub admin: Option<AdminSettings>,
    /// In file order; every one is used by a route.
    pub credentials: Vec<Credential>,
    /// In file order; no two match the same.
    pub routes: Vec<Route>,
    /// `log`.
    pub log: LogSettings,
    /// `shutdown.drain`, by default 30 s.
    pub drain: Duration,
    /// `workers` or `workers.threads`; `None`: one a core.
    pub workers: Option<usize>,
    /// `workers.model`.
    pub worker_model: WorkerModel,
    /// `token_store`.
    pub token_store: TokenStore,
    /// What is right but probably not meant; for `check` and the log at start.
    pub warnings: Vec<Problem>,
}

/// A credential, and a mark of what it was made of.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its settings.
    pub settings: CredentialSettings,
    /// Equal when two files say the same of it (environment values included): its tokens survive a reload then.
    pub fingerprint: u64,
}

/// Where tokens are kept, and a mark of what the file says of it.
#[derive(Clone, Debug, Default)]
pub struct TokenStore {
    /// Its settings.
    pub settings: StoreSettings,
    /// Equal when two files say the same of it: it stays open over a reload then.
    pub fingerprint: u64,
}

/// A route, whole.
#[derive(Clone, Debug)]
pub struct Route {
    /// What it matches.
    pub matcher: Matcher,
    /// Where it leads.
    pub upstream: UpstreamSettings,
    /// Which of [`Config::credentials`]; `None`: `credential: none`.
    pub credential: Option<usize>,
    /// What it does with requests.
    pub target: TargetSettings,
}

/// What the threads that serve have in common. One alone shares with nobody, whatever the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerModel {
    /// Everything: whichever is free goes on with whatever is to be done, and any uses any upstream connection.
    #[default]
    Shared,
    /// Tokens, limits, figures and logs. A connection stays with the thread that it was given to, and each has upstream
    /// connections of its own.
    Separate,
}

/// One mistake (or doubt), with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong, where (`routes[2].upstream`), and what would be right. Never a secret.
    pub message: String,
}

/// Why a file cannot be used: all mistakes that could be found at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named.
    pub file: String,
    /// At least one, in file order.
    pub problems: Vec<Problem>,
}

/// Reads and parses a file, with the environment of the process.
///
/// # Errors
///
/// It cannot be read, or anything in it is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = read_file(path).map_err(|problem| ConfigError::new(path, vec![problem]))?;
    parse(&text, path, &|name| std::env::var(name).ok())
}

/// Parses the text of a file. Relative paths in it are relative to the directory of `file`; `environment` gives the
/// values of `${NAME}`.
///
/// # Errors
///
/// Anything in it is wrong. All mistakes that can be told are told at once, at most a hundred.
pub fn parse(text: &str, file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let failed = |problems| Err(ConfigError::new(file, problems));
    if text.len() > MAX_FILE {
        return failed(vec![whole_file(TOO_LARGE)]);
    }
    let (mut root, problems) = match yaml::parse(text) {
        Ok((Some(root), problems)) => (root, problems),
        Ok((None, _)) => return failed(vec![whole_file("the file is empty; it needs `listeners` and `routes`")]),
        Err(problem) => return failed(vec![problem]),
    };
    let mut reader = Reader::new(file.parent().unwrap_or(Path::new("")), problems);
    reader.credentials = environment("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
    substitute::substitute(&mut root, environment, &mut reader);
    let config = document::config(&root, &mut reader);
    match (reader.finish(), config) {
        ((problems, warnings), Some(config)) if problems.is_empty() => Ok(Config { warnings, ..config }),
        ((problems, _), _) => failed(problems),
    }
}

/// Ten thousand routes with ten keys each are 4 MiB.
const MAX_FILE: usize = 16 * 1024 * 1024;

const TOO_LARGE: &str = "the file is larger than 16 MiB";

fn read_file(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(length) if length > MAX_FILE => return Err(whole_file(TOO_LARGE)),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(whole_file("there is no such file; name one with `--config FILE`"));
        }
        Err(error) => return Err(whole_file(format!("cannot be read: {error}"))),
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        Problem { line, column: 1, message: "the file must be UTF-8; this line is not".to_owned() }
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn whole_file(message: impl Into<String>) -> Problem {
    Problem { line: 0, column: 1, message: message.into() }
}

/// Nobody reads on after so many.
const MAX_PROBLEMS: usize = 100;

impl ConfigError {
    fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last_mut().filter(|_| more > 0) {
            last.message.push_str(&format!(" (and {more} more mistakes)"));
        }
        Self { file: file.display().to_string(), problems }
    }
}

/// A line for each mistake: `proxy.yaml:12:7: message`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}{problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// To be written right behind the name of the file: `:12:7: message`, or `: message` if it concerns the whole file.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, ": {}", self.message),
            line => write!(f, ":{line}:{}: {}", self.column, self.message),
        }
    }
}
