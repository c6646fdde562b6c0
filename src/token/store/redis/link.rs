//! The connection to the server: one, made when it is needed, made again when it breaks.
//!
//! Streams are ours, with the roots of `tls`. What the server says of itself is told by its code alone: a server that is
//! none may repeat what it was sent, the password too.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::super::StoreError;
use super::super::settings::{RedisAddress, RedisSettings};
use crate::secret::{Secret, SecretSource};
use crate::tls::{self, TlsError};

/// The way to the server.
pub(super) struct Link {
    target: Target,
    /// For people: without user, password and number.
    shown: String,
    user: Option<SecretSource>,
    password: Option<SecretSource>,
    database: i64,
    connect: Duration,
    command: Duration,
    /// Held while a connection is made, so that one is made for all.
    line: tokio::sync::Mutex<Line>,
    trouble: Mutex<Option<String>>,
}

enum Target {
    Tcp { host: String, port: u16, tls: Option<(TlsConnector, ServerName<'static>)> },
    Unix(PathBuf),
}

#[derive(Default)]
struct Line {
    live: Option<Live>,
    /// Counts connections.
    number: u64,
    /// Attempts that have failed one after the other, and when the next may be made.
    failures: u32,
    again_at: Option<Instant>,
}

/// A connection, and the task that drives it. Dropped, it is closed.
struct Live {
    connection: MultiplexedConnection,
    _driver: JoinSet<()>,
}

impl Link {
    /// To this server; nothing is sent yet.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, TlsError> {
        let (target, shown) = match &settings.address {
            RedisAddress::Unix(path) => (Target::Unix(path.clone()), format!("unix:{}", path.display())),
            RedisAddress::Tcp { host, port, tls } => {
                let connector = match tls {
                    Some(tls) => Some((TlsConnector::from(std::sync::Arc::new(tls::client_config(tls)?)), name(host)?)),
                    None => None,
                };
                let shown = format!("{}://{host}:{port}", if tls.is_some() { "rediss" } else { "redis" });
                (Target::Tcp { host: host.clone(), port: *port, tls: connector }, shown)
            }
        };
        Ok(Self {
            target,
            shown,
            user: settings.username.clone(),
            password: settings.password.clone(),
            database: i64::from(settings.database),
            connect: settings.connect,
            command: settings.command,
            line: tokio::sync::Mutex::default(),
            trouble: Mutex::new(None),
        })
    }

    /// Which server.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Why it cannot be used now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One command, and its answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let result = self.try_ask(command).await;
        let trouble = result.as_ref().err().map(|why| format!("{}: {why}", self.shown));
        let before =
            std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble.clone());
        match (&before, &trouble) {
            (None, Some(why)) => tracing::warn!(why, "the token store is away"),
            (Some(_), None) => tracing::info!(store = self.shown, "the token store is back"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        result.map_err(|_| StoreError::Failed(trouble.unwrap_or_default()))
    }

    async fn try_ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, String> {
        let (mut connection, number) = self.connection().await?;
        let answer = match timeout(self.command, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => described(&error),
            Err(_) => "it did not answer in time".to_owned(),
        };
        // Whatever it was: a server that was demoted or is starting is best asked by a new connection.
        let mut line = self.line.lock().await;
        if line.number == number {
            line.live = None;
            line.fail();
        }
        Err(answer)
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), String> {
        let mut line = self.line.lock().await;
        if let Some(live) = &line.live {
            return Ok((live.connection.clone(), line.number));
        }
        if line.again_at.is_some_and(|at| Instant::now() < at) {
            return Err(self.trouble().map_or_else(
                || "it was away a moment ago".to_owned(),
                |why| why.trim_start_matches(&self.shown).trim_start_matches(": ").to_owned(),
            ));
        }
        let made = timeout(self.connect, self.open()).await.unwrap_or_else(|_| Err("no connection in time".to_owned()));
        let live = made.inspect_err(|_| line.fail())?;
        let connection = live.connection.clone();
        let number = line.number.wrapping_add(1);
        *line = Line { live: Some(live), number, failures: 0, again_at: None };
        Ok((connection, number))
    }

    async fn open(&self) -> Result<Live, String> {
        match &self.target {
            Target::Unix(path) => self.greet(UnixStream::connect(path).await.map_err(|error| error.to_string())?).await,
            Target::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                match tls {
                    None => self.greet(stream).await,
                    Some((connector, name)) => {
                        let stream = connector.connect(name.clone(), stream).await;
                        self.greet(stream.map_err(|error| format!("TLS: {error}"))?).await
                    }
                }
            }
        }
    }

    /// Logs in, and has the connection driven.
    async fn greet(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Live, String> {
        let (user, password) = self.login().await?;
        let mut login = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        if let Some(user) = user {
            login = login.set_username(user.expose());
        }
        if let Some(password) = password {
            login = login.set_password(password.expose());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.command));
        let made = MultiplexedConnection::new_with_config(&login, stream, config).await;
        let (connection, driver) = made.map_err(|error| described(&error))?;
        let mut alone = JoinSet::new();
        alone.spawn(driver);
        Ok(Live { connection, _driver: alone })
    }

    /// User and password as they are now.
    async fn login(&self) -> Result<(Option<Secret>, Option<Secret>), String> {
        let (user, password) = (self.user.clone(), self.password.clone());
        let read = move || -> Result<_, crate::secret::SecretError> {
            Ok((user.map(|it| it.read()).transpose()?, password.map(|it| it.read()).transpose()?))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|_| "the work broke off".to_owned())?;
        read.map_err(|error| error.to_string())
    }
}

impl Line {
    /// The next attempt is made later, each time twice as much.
    fn fail(&mut self) {
        let delay = SHORTEST_DELAY.saturating_mul(1 << self.failures.min(6)).min(LONGEST_DELAY);
        self.failures = self.failures.saturating_add(1);
        self.again_at = Some(Instant::now() + delay);
    }
}

/// By its code, never in its own words.
fn described(error: &RedisError) -> String {
    if error.is_io_error() {
        return error.to_string();
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it has refused our login: check `username` and `password`".to_owned();
    }
    match error.code() {
        Some(code @ ("WRONGPASS" | "NOAUTH" | "NOPERM")) => {
            format!("it answered {code}: check `username`, `password`, and what that user may do")
        }
        Some(code) => {
            format!("it answered {}", code.chars().filter(char::is_ascii_alphanumeric).take(20).collect::<String>())
        }
        None => format!("its answer cannot be used ({})", error.category()),
    }
}

fn name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::File {
        path: PathBuf::from(host),
        reason: "is no name that a certificate can be for".to_owned(),
    })
}

const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
