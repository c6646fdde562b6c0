//! `bearer-proxy check`: reads the file, says what is wrong with it and what would be right. Starts nothing.

use std::io;
use std::io::Write;
use std::path::Path;

use crate::config;

/// Writes what is wrong with the file, or that it is right, to `out`. The exit code: 0 right, 2 wrong, 1 `out` cannot be
/// written to.
pub fn check(path: &Path, out: &mut dyn Write) -> u8 {
    report(path, out).unwrap_or(1)
}

fn report(path: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            writeln!(out, "{error}")?;
            return Ok(2);
        }
    };
    for warning in &config.warnings {
        let place = if warning.line == 0 { String::new() } else { format!(":{}:{}", warning.line, warning.column) };
        writeln!(out, "{}{place}: warning: {}", path.display(), warning.message)?;
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    writeln!(
        out,
        "{}: right: {}, {}, {}",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.credentials.len(), "credential"),
        count(config.routes.len(), "route"),
    )?;
    Ok(0)
}
