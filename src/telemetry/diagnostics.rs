//! Diagnostics: what the program says of itself, through `tracing`, on standard error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::metrics::Counter;
use super::settings::{LogFormat, LogSettings};
use super::spool::{self, Sink, Spool};

/// Keeps diagnostics flowing. To be held until the end of `main`: its drop writes what is left, for at most two
/// seconds, and `std::process::exit` would skip that.
#[must_use = "what has not been written when it is dropped is written then"]
pub struct Diagnostics {
    spool: Arc<Spool<()>>,
    filter: reload::Handle<Targets, Registry>,
}

/// Sends diagnostics to standard error from now on, as `log.format` and `log.level` say; `RUST_LOG` comes before the
/// level. Under systemd's journal, which has its own, lines bear no time.
///
/// # Errors
///
/// Something else has been set up before, or no thread started.
pub fn init(settings: &LogSettings) -> io::Result<Diagnostics> {
    let spool = Arc::new(Spool::start(
        spool::Settings {
            name: "diagnostics",
            linger: Duration::ZERO,
            dropped: Arc::clone(dropped()),
            // There is nowhere left to say it.
            on_failure: |_| {},
        },
        Sink::stderr()?,
    )?);
    let rust_log = std::env::var("RUST_LOG").ok();
    let (filter, handle) = reload::Layer::new(filter(settings.level, rust_log.as_deref()));
    let time = if std::env::var_os("JOURNAL_STREAM").is_some() { Timestamps::Off } else { Timestamps::On };
    let lines = lines(settings.format, time, Lines(Arc::clone(&spool)));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(lines))
        .map_err(io::Error::other)?;
    Ok(Diagnostics { spool, filter: handle })
}

impl Diagnostics {
    /// Takes over another `log.level` (after a reload). The format stays what it was.
    pub fn set_level(&self, level: tracing::Level) {
        let rust_log = std::env::var("RUST_LOG").ok();
        // Fails only when the subscriber is gone, and then there is nothing to filter.
        let _gone = self.filter.reload(filter(level, rust_log.as_deref()));
    }

    /// Waits until what has been said is written, for at most two seconds.
    pub fn flush(&self) {
        self.spool.flush();
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Diagnostics that were not written because standard error stalled. There is one subscriber in a process, and it may
/// be older than the metrics.
pub(super) fn dropped() -> &'static Arc<Counter> {
    static DROPPED: std::sync::LazyLock<Arc<Counter>> = std::sync::LazyLock::new(Arc::default);
    &DROPPED
}

#[derive(Clone, Copy)]
enum Timestamps {
    On,
    Off,
}

fn lines<S>(format: LogFormat, time: Timestamps, to: Lines) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(to);
    match (format, time) {
        (LogFormat::Text, Timestamps::On) => layer.boxed(),
        (LogFormat::Text, Timestamps::Off) => layer.without_time().boxed(),
        (LogFormat::Json, Timestamps::On) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Json, Timestamps::Off) => layer.json().flatten_event(true).without_time().boxed(),
    }
}

/// What is let through: `RUST_LOG` if it can be read, else `level` for ourselves and at most warnings of the
/// libraries below, save when everything (`trace`) was asked for.
fn filter(level: tracing::Level, rust_log: Option<&str>) -> Targets {
    if let Some(targets) = rust_log.filter(|text| !text.is_empty()).and_then(|text| text.parse().ok()) {
        return targets;
    }
    let targets = Targets::new().with_default(level);
    if level == tracing::Level::TRACE {
        return targets;
    }
    let quiet = LevelFilter::from_level(level).min(LevelFilter::WARN);
    targets.with_targets(LIBRARIES.iter().map(|library| (*library, quiet)))
}

/// Those that speak through `tracing` or may once do.
const LIBRARIES: [&str; 6] = ["hyper", "hyper_util", "h2", "rustls", "tokio_rustls", "reqwest"];

/// Hands finished lines to the spool.
struct Lines(Arc<Spool<()>>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// One event: `tracing-subscriber` writes it whole, in one go.
struct Line<'a>(&'a Spool<()>);

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.append(|out, ()| out.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing::Level;

    use super::*;

    fn lets(targets: &Targets, target: &str) -> Vec<Level> {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        levels.into_iter().filter(|level| targets.would_enable(target, level)).collect()
    }

    #[test]
    fn libraries_are_held_to_warnings_unless_everything_is_asked_for() {
        let debug = filter(Level::DEBUG, None);
        assert_eq!(lets(&debug, "bearer_proxy::token").last(), Some(&Level::DEBUG));
        assert_eq!(lets(&debug, "hyper::proto").last(), Some(&Level::WARN));
        assert_eq!(lets(&debug, "rustls").last(), Some(&Level::WARN));
        assert_eq!(lets(&filter(Level::ERROR, None), "reqwest").last(), Some(&Level::ERROR));
        assert_eq!(lets(&filter(Level::TRACE, None), "h2").last(), Some(&Level::TRACE));
    }

    #[test]
    fn rust_log_comes_first_when_it_can_be_read() {
        let targets = filter(Level::INFO, Some("error,hyper=debug"));
        assert_eq!(lets(&targets, "bearer_proxy").last(), Some(&Level::ERROR));
        assert_eq!(lets(&targets, "hyper").last(), Some(&Level::DEBUG));
        assert_eq!(lets(&filter(Level::INFO, Some("hyper=loud")), "bearer_proxy").last(), Some(&Level::INFO));
        assert_eq!(lets(&filter(Level::INFO, Some("")), "bearer_proxy").last(), Some(&Level::INFO));
    }

    struct Channel(mpsc::Sender<Vec<u8>>);

    impl io::Write for Channel {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(format: LogFormat, time: Timestamps) -> String {
        let (to, said) = mpsc::channel();
        let settings =
            spool::Settings { name: "test", linger: Duration::ZERO, dropped: Arc::default(), on_failure: |_| {} };
        let spool = Arc::new(Spool::start(settings, Sink::stream(Channel(to))).unwrap());
        let subscriber = tracing_subscriber::registry().with(lines(format, time, Lines(Arc::clone(&spool))));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(credential = "zpax", "the token was\nrefused");
        });
        drop(spool);
        String::from_utf8(said.iter().flatten().collect()).unwrap()
    }

    #[test]
    fn a_line_for_people_bears_no_time_in_the_journal() {
        let line = said(LogFormat::Text, Timestamps::Off);
        assert!(line.trim_start().starts_with("WARN bearer_proxy::telemetry::diagnostics::tests: "), "{line}");
        assert!(line.ends_with("credential=\"zpax\"\n"), "{line}");
        assert!(said(LogFormat::Text, Timestamps::On).starts_with("20"));
    }

    #[test]
    fn a_line_for_machines_is_one_object() {
        let line = said(LogFormat::Json, Timestamps::On);
        assert_eq!(line.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["level"], "WARN");
        assert_eq!(read["credential"], "zpax");
        assert_eq!(read["message"], "the token was\nrefused");
        assert!(read["timestamp"].is_string());
        let in_journal = said(LogFormat::Json, Timestamps::Off);
        assert!(serde_json::from_str::<serde_json::Value>(&in_journal).unwrap()["timestamp"].is_null());
    }
}
