//! The access log: one line a request, text (logfmt) or JSON with the same keys. Never a query, a header or a token.

mod clock;
mod line;
mod room;
#[cfg(test)]
mod tests;
mod value;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clock::Clock;

use super::Metrics;
use super::settings::{self, LogFormat, LogSettings};
use super::spool::{self, Sink, Spool};

/// Where requests are written down. Cheap to clone; never blocks who records.
///
/// When the last clone is dropped, what is left is written behind the scenes; at the end of a process
/// [`flush`](Self::flush) before.
#[derive(Clone)]
pub struct AccessLog(Option<Arc<Open>>);

struct Open {
    spool: Spool<Clock>,
    format: LogFormat,
}

/// One request, when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The route's name; `None`: there was none.
    pub route: Option<&'a str>,
    /// The request's path as the downstream sent it, without its query.
    pub path: &'a str,
    /// The status that the downstream got.
    pub status: u16,
    /// Bytes of body sent to the downstream.
    pub bytes_sent: u64,
    /// Bytes of body received from the downstream.
    pub bytes_received: u64,
    /// From the end of the request's head to the end of the answer.
    pub duration: Duration,
    /// When that was.
    pub ended: SystemTime,
    /// How often it was sent to the upstream.
    pub attempts: u32,
    /// What was done about the token.
    pub token: TokenAction,
    /// The request's id, when it has one.
    pub request_id: Option<&'a str>,
    /// What went wrong, in one word, when something did.
    pub error: Option<&'a str>,
}

/// What was done about a request's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenAction {
    /// The route has no credential, or no token was looked for.
    None,
    /// The current one was there.
    Cached,
    /// There was none: the request waited for one.
    Waited,
    /// The upstream refused it; the request was sent once more with another.
    Retried,
    /// The upstream refused it, and the request was not sent again (body too long, cooldown, renewal failed).
    RetryRefused,
    /// None could be had.
    Failed,
}

impl TokenAction {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cached => "cached",
            Self::Waited => "waited",
            Self::Retried => "retried",
            Self::RetryRefused => "retry_refused",
            Self::Failed => "failed",
        }
    }
}

impl AccessLog {
    /// Opens what `log.access` names, and starts the thread that writes to it. Lines that had to be dropped are
    /// counted in `metrics`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or no thread started.
    pub fn open(settings: &LogSettings, metrics: &Metrics) -> io::Result<Self> {
        let sink = match &settings.access {
            settings::AccessLog::Off => return Ok(Self::off()),
            settings::AccessLog::Stdout => Sink::stdout()?,
            settings::AccessLog::Stderr => Sink::stderr()?,
            settings::AccessLog::File(path) => Sink::file(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
        };
        Self::start(sink, settings.format, metrics)
    }

    /// A log that ends in `to`, which is written to by a thread of its own.
    ///
    /// # Errors
    ///
    /// No thread could be started.
    pub fn to(to: impl io::Write + Send + 'static, format: LogFormat, metrics: &Metrics) -> io::Result<Self> {
        Self::start(Sink::stream(to), format, metrics)
    }

    /// No log.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Writes one request down: a line in memory, no system call, no wait.
    pub fn record(&self, record: &Record<'_>) {
        let Some(open) = &self.0 else { return };
        open.spool.append(|out, clock| match open.format {
            LogFormat::Text => line::text(record, clock.at(record.ended), out),
            LogFormat::Json => line::json(record, clock.at(record.ended), out),
        });
    }

    /// Waits until all that was recorded is written, for at most two seconds. Blocks: for the end of the process.
    pub fn flush(&self) {
        if let Some(open) = &self.0 {
            open.spool.flush();
        }
    }

    /// Opens the file again (SIGHUP), after another program has moved it away. The writer does it before its next
    /// line; a stream stays as it is.
    pub fn reopen(&self) {
        if let Some(open) = &self.0 {
            open.spool.reopen();
        }
    }

    fn start(sink: Sink, format: LogFormat, metrics: &Metrics) -> io::Result<Self> {
        let settings = spool::Settings {
            name: "access-log",
            linger: LINGER,
            dropped: metrics.access_log_dropped(),
            on_failure: |error| tracing::warn!(%error, "the access log cannot be written: its lines are dropped"),
        };
        Ok(Self(Some(Arc::new(Open { spool: Spool::start(settings, sink)?, format }))))
    }
}

/// Long enough that one write takes many lines, short enough that a person looking on does not notice.
const LINGER: Duration = Duration::from_millis(50);
