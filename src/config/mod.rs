//! The file: read, `${…}` replaced, every mistake found with its place, parsed into the rooms' settings.
//!
//! The one room that reads the environment and names `serde_yaml`.

use std::path::Path;
use std::time::Duration;

use crate::admin::AdminSettings;
use crate::forward::settings::TargetSettings;
use crate::oauth::settings::CredentialSettings;
use crate::route::Matcher;
use crate::server::settings::ListenerSettings;
use crate::telemetry::settings::LogSettings;
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
    /// `workers`; `None`: one a core.
    pub workers: Option<usize>,
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
pub fn load(_path: &Path) -> Result<Config, ConfigError> {
    todo!()
}
