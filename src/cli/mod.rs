//! Arguments, and one file a command.

mod admin;
pub mod check;
mod credential;
pub mod demo;
mod explain;
mod healthcheck;
mod login;
mod logout;
mod output;
mod presets;
mod run;
mod status;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config;
use crate::config::Config;
use crate::telemetry::settings::LogFormat;
use output::Output;

/// An authenticating HTTP proxy: puts a cached OAuth access token on each request, renews it ahead of expiry, and once
/// more on 401.
#[derive(Debug, Parser)]
#[command(name = "bearer-proxy", version, about, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "proxy.yaml", env = "BEARER_PROXY_CONFIG")]
    config: PathBuf,
    /// How diagnostics and the access log are written; overrides log.format
    #[arg(long, global = true, value_name = "FORMAT", env = "BEARER_PROXY_LOG_FORMAT")]
    log_format: Option<Format>,
    /// How much is told; overrides log.level
    #[arg(long, global = true, value_name = "LEVEL", env = "BEARER_PROXY_LOG_LEVEL")]
    log_level: Option<Level>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default when no command is given)
    Run,
    /// Read the file and say what is wrong with it; exit code 0 or 2
    Check,
    /// Get a token now and print it, or explain the refusal step by step
    Token(token::TokenArguments),
    /// Log in to a credential that needs a person (grants authorization_code and device_code)
    Login(login::LoginArguments),
    /// Revoke what a login has brought, and forget it
    Logout(logout::LogoutArguments),
    /// Say of every credential whether it has a token, until when, and who has to log in; exit code 0 or 1
    Status(status::StatusArguments),
    /// Say which route a request takes, to which upstream URL, with which headers
    Explain(explain::ExplainArguments),
    /// List the providers that the program knows by name, or print one as text for the file
    Presets(presets::PresetsArguments),
    /// Start an authorization server and an API in one process, with the proxy in front: nothing else needed
    Demo(demo::DemoArguments),
    /// Ask the admin listener whether the proxy lives (for HEALTHCHECK in a container); exit code 0 or 1
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Well.
const SUCCESS: u8 = 0;
/// Failed while running.
const FAILURE: u8 = 1;
/// Wrong file or arguments.
const WRONG: u8 = 2;

/// The binary: reads the arguments, does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    // Dependencies that build a TLS configuration of their own find the one crypto library. Already there is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    run::forbid_core_dumps();
    let mut out = Output::stdout();
    let code = match command.unwrap_or(Command::Run) {
        Command::Run => run::run(&common),
        Command::Check => check::check(&common.config, &mut out),
        Command::Token(arguments) => token::token(&common, &arguments, &mut out),
        Command::Login(arguments) => login::login(&common, &arguments, &mut out),
        Command::Logout(arguments) => logout::logout(&common, &arguments, &mut out),
        Command::Status(arguments) => status::status(&common, &arguments, &mut out),
        Command::Explain(arguments) => explain::explain(&common, &arguments, &mut out),
        Command::Presets(arguments) => presets::presets(&arguments, &mut out),
        Command::Demo(arguments) => run::demo(&arguments),
        Command::Healthcheck(arguments) => healthcheck::healthcheck(&common, &arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "bearer-proxy", &mut out);
            SUCCESS
        }
    };
    ExitCode::from(code)
}

impl Common {
    /// Reads the file; tells what is wrong with it on standard error.
    fn load(&self) -> Option<Config> {
        match config::load(&self.config) {
            Ok(mut config) => {
                self.override_log(&mut config);
                Some(config)
            }
            Err(error) => {
                output::complain(&error);
                None
            }
        }
    }

    fn override_log(&self, config: &mut Config) {
        if let Some(format) = self.log_format {
            config.log.format = match format {
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            };
        }
        if let Some(level) = self.log_level {
            config.log.level = match level {
                Level::Error => tracing::Level::ERROR,
                Level::Warn => tracing::Level::WARN,
                Level::Info => tracing::Level::INFO,
                Level::Debug => tracing::Level::DEBUG,
                Level::Trace => tracing::Level::TRACE,
            };
        }
    }
}

/// A runtime for a command that asks one thing and ends.
fn small_runtime() -> Option<tokio::runtime::Runtime> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            output::complain(&format!("cannot start a runtime: {error}"));
            None
        }
    }
}
