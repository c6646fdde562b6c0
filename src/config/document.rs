//! The whole file: the top level as written, and [`Config`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::Config;
use super::TokenStore;
use super::credential::CredentialSection;
use super::credential::Credentials;
use super::credential::Fingerprinted;
use super::listener;
use super::listener::Listener;
use super::node::Node;
use super::read::Field;
use super::read::Named;
use super::read::Placed;
use super::read::Read;
use super::read::Reader;
use super::read::Wait;
use super::read::section;
use super::read::suggest;
use super::read::value_or;
use super::read::words;
use super::route;
use super::route::RouteSection;
use super::workers;
use super::workers::Workers;
use crate::admin::AdminSettings;
use crate::telemetry::settings::AccessLog;
use crate::telemetry::settings::LogFormat;
use crate::telemetry::settings::LogSettings;

section! {
    /// The top level.
    struct Document {
        listeners: Vec<Placed<Listener>>, required "[{address: 127.0.0.1:8080}]";
        admin: Admin;
        credentials: Named<Fingerprinted<CredentialSection>>;
        routes: Vec<Placed<RouteSection>>, required "[{path: /, upstream: https://api.example.com/, credential: none}]";
        log: Log;
        shutdown: Shutdown;
        workers: Workers;
        token_store: TokenStore;
    }
    later { clients }
}

section! {
    /// `admin`.
    struct Admin {
        address: SocketAddr, required "127.0.0.1:9090";
    }
}

section! {
    /// `log`.
    struct Log {
        format: LogFormat;
        level: Level;
        access: AccessLog;
    }
}

section! {
    /// `shutdown`.
    struct Shutdown {
        drain: Wait;
    }
}

words! { LogFormat { "text" => LogFormat::Text, "json" => LogFormat::Json } }

words! {
    Level {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
    }
}

impl Read for AccessLog {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WORDS: [&str; 3] = ["off", "stdout", "stderr"];
        let path = String::read(node, reader)?;
        match path.as_str() {
            "off" => Some(Self::Off),
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            // `on` would be a file of that name.
            word if !word.contains(['/', '.']) => match suggest(word, WORDS) {
                Some(meant) => reader.refuse(node, format_args!("unknown word; did you mean \"{meant}\"?")),
                None => reader.refuse(node, "write `off`, `stdout`, `stderr`, or a path as `./access.log`"),
            },
            path => log_file(reader.directory.join(path), node, reader),
        }
    }
}

fn log_file(path: PathBuf, node: &Node, reader: &mut Reader<'_>) -> Option<AccessLog> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        Some(directory) if !directory.is_dir() => {
            reader.refuse(node, "the directory of this file is not there; make it")
        }
        _ if path.is_dir() => reader.refuse(node, "is a directory, not a file"),
        _ => Some(AccessLog::File(path)),
    }
}

/// All of it. `None`: mistakes are noted.
pub(crate) fn config(root: &Node, reader: &mut Reader<'_>) -> Option<Config> {
    let Placed { value: document, sound, .. } = Placed::<Document>::read(root, reader)?;
    refuse_empty(document.listeners.as_ref(), "there must be at least one listener", reader);
    refuse_empty(document.routes.as_ref(), "there must be at least one route", reader);
    let complete = sound || document.credentials.is_some();
    let mut credentials = Credentials::new(document.credentials, complete, reader);
    let routes = document.routes.map(|routes| route::routes(routes.value, &mut credentials, reader));
    let token_store = document.token_store.map(Placed::into_value).unwrap_or_default();
    credentials.doubt_store(&token_store.settings, reader);
    let credentials = credentials.finish(reader);
    let admin = document.admin.and_then(|admin| admin.value.address);
    let listeners = document.listeners.map(|listeners| listener::listeners(listeners.value, admin.as_ref(), reader));
    if let Some(admin) = admin.as_ref().filter(|admin| !listener::is_loopback(&admin.value)) {
        reader.doubt(&admin.at, "whoever can reach this address can read metrics and status; it is not on loopback");
    }
    let (workers, worker_model) = workers::workers(document.workers);
    let shutdown = document.shutdown.and_then(|shutdown| shutdown.value.drain);
    Some(Config {
        listeners: listeners?,
        admin: admin.map(|address| AdminSettings { address: address.value }),
        credentials,
        routes: routes?,
        log: log(document.log),
        drain: value_or(shutdown, Wait(Duration::from_secs(30))).0,
        workers,
        worker_model,
        token_store,
        warnings: Vec::new(),
    })
}

fn refuse_empty<T>(list: Option<&Placed<Vec<T>>>, message: &str, reader: &mut Reader<'_>) {
    if let Some(list) = list.filter(|list| list.value.is_empty()) {
        reader.absent(list, message);
    }
}

fn log(written: Field<Log>) -> LogSettings {
    let default = LogSettings::default();
    let Some(Placed { value: Log { format, level, access }, .. }) = written else { return default };
    LogSettings {
        format: value_or(format, default.format),
        level: value_or(level, default.level),
        access: value_or(access, default.access),
    }
}
