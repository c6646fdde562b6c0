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

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> (u8, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut out = Vec::new();
        let code = check(file.path(), &mut out);
        let name = file.path().display().to_string();
        (code, String::from_utf8(out).unwrap().replace(&name, "proxy.yaml"))
    }

    #[test]
    fn a_right_file_gets_its_doubts_and_a_summary() {
        let (code, out) = check_text(
            "listeners: [{address: 127.0.0.1:1}]\nadmin: {address: 0.0.0.0:2}\n\
             routes: [{upstream: https://a.example, credential: none}]\n",
        );
        assert_eq!(code, 0);
        let (doubt, summary) = out.split_once('\n').unwrap();
        assert!(doubt.starts_with("proxy.yaml:2:18: warning: admin.address: "), "{doubt}");
        assert_eq!(summary, "proxy.yaml: right: 1 listener, 0 credentials, 1 route\n");
    }

    #[test]
    fn a_wrong_file_gets_a_line_for_each_mistake() {
        let (code, out) = check_text("listeners: [{address: 127.0.0.1}]\nroutes: []\n");
        assert_eq!(code, 2);
        let lines: Vec<_> = out.lines().collect();
        assert!(matches!(lines[..], [_, "proxy.yaml:2:9: routes: there must be at least one route"]), "{out}");
        assert!(lines[0].starts_with("proxy.yaml:1:23: listeners[0].address: "), "{out}");
    }

    #[test]
    fn a_closed_output_is_a_failure() {
        assert_eq!(check(Path::new("/no/such/file"), &mut [].as_mut_slice()), 1);
    }
}
