//! `token_store`: a word, or a mapping with one store in it.

use std::path::PathBuf;
use std::time::Duration;

use super::TokenStore;
use super::node::Node;
use super::node::Value;
use super::read::Place;
use super::read::Placed;
use super::read::Read;
use super::read::Reader;
use super::read::RedisUrl;
use super::read::section;
use super::read::value_or;
use super::upstream::RequestTls;
use super::upstream::request_tls;
use crate::secret::Part;
use crate::secret::SecretSource;
use crate::token::store::FileSettings;
use crate::token::store::RedisSettings;
use crate::token::store::StoreSettings;

impl Read for TokenStore {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        settings(node, reader).map(|settings| Self { settings, fingerprint: node.fingerprint() })
    }
}

fn settings(node: &Node, reader: &mut Reader<'_>) -> Option<StoreSettings> {
    if !matches!(node.value, Value::Map(_)) {
        return reader.word(node, &[("memory", StoreSettings::Memory)], &[]);
    }
    let written = Placed::<StoreMapping>::read(node, reader)?;
    let StoreMapping { file, redis } = written.value;
    match (file, redis) {
        (Some(file), None) => file_store(file, reader).map(StoreSettings::File),
        (None, Some(redis)) => redis_store(redis, reader).map(Box::new).map(StoreSettings::Redis),
        (Some(_), Some(_)) => reader.refuse(node, "one store is enough: write `file` or `redis`"),
        (None, None) if written.sound => {
            reader.refuse(node, "write `memory`, or one store as `{file: tokens}` or `{redis: {url: …, key: …}}`")
        }
        (None, None) => None,
    }
}

section! {
    /// The long form of `token_store`.
    struct StoreMapping {
        file: FileStore;
        redis: RedisMapping;
    }
}

/// `file`: a path, or a mapping with one in it.
#[derive(Clone, Debug)]
pub(crate) struct FileStore(FileMapping);

impl Read for FileStore {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            return FileMapping::read(node, reader).map(Self);
        }
        let path = Placed::read(node, reader)?;
        Some(Self(FileMapping { path: Some(path), key: None }))
    }
}

section! {
    /// The long form of `file`.
    struct FileMapping {
        path: StorePath, required "/var/lib/bearer-proxy/tokens";
        key: StoreKey;
    }
}

section! {
    /// `redis`.
    struct RedisMapping {
        url: RedisUrl, required "rediss://redis.example.com:6379";
        username: SecretSource;
        password: SecretSource;
        prefix: String;
        key: StoreKey;
        tls: RequestTls;
        timeouts: RedisTimeouts;
    }
}

section! {
    /// `timeouts` of `redis`.
    struct RedisTimeouts {
        connect: Duration;
        command: Duration;
    }
}

/// `path` of a file that is or can be there; relative to the directory of the file.
#[derive(Clone, Debug)]
pub(crate) struct StorePath(PathBuf);

impl Read for StorePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let path = reader.directory.join(String::read(node, reader)?);
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match directory {
            Some(directory) if !directory.is_dir() => {
                reader.refuse(node, "the directory of this file is not there; make it, with mode 0700")
            }
            _ if path.is_dir() => reader.refuse(node, "is a directory; write a file in it, as `tokens`"),
            _ => Some(Self(path)),
        }
    }
}

/// `key`: what nobody can guess.
#[derive(Clone, Debug)]
pub(crate) struct StoreKey(SecretSource);

impl Read for StoreKey {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let source = <SecretSource as Read>::read(node, reader)?;
        // An unreadable file was noted when it was named.
        let key = source.read().ok()?;
        match key.expose().chars().count() < SHORTEST_KEY {
            true => reader.refuse(node, SHORT_KEY),
            false => Some(Self(source)),
        }
    }
}

/// 128 bits in hexadecimal: as the store itself has it.
const SHORTEST_KEY: usize = 32;

const SHORT_KEY: &str = "must have at least 32 characters; make one with `openssl rand -base64 32`";

fn file_store(written: Placed<FileStore>, reader: &mut Reader<'_>) -> Option<FileSettings> {
    let Placed { value: FileStore(FileMapping { path, key }), at, sound } = written;
    let key = match key {
        Some(key) => Some(key.value.0),
        None if sound => credential_key(&at, reader),
        None => None,
    };
    Some(FileSettings { path: path?.value.0, key: key? })
}

fn redis_store(written: Placed<RedisMapping>, reader: &mut Reader<'_>) -> Option<RedisSettings> {
    let Placed { value: RedisMapping { url, username, password, prefix, key, tls, timeouts }, at, sound } = written;
    let key = match key {
        Some(key) => Some(key.value.0),
        None if sound => credential_key(&at, reader),
        None => None,
    };
    let Placed { value: url, at: url_at, .. } = url?;
    if let (Some(tls), false) = (&tls, url.is_tls()) {
        reader.wrong(&tls.at, "only a `rediss://` server has TLS; change the URL or remove this");
    }
    if let (Some(username), None) = (&username, &password) {
        reader.wrong(&username.at, "a user needs a `password` too");
    }
    if url.is_exposed() {
        reader.doubt(&url_at, "the password and what is asked for go there in clear text; write `rediss://`");
    }
    let tls = tls.map(|tls| request_tls(tls, reader)).unwrap_or_default();
    let (connect, command) = match timeouts {
        Some(Placed { value: RedisTimeouts { connect, command }, .. }) => (connect, command),
        None => (None, None),
    };
    let (address, database) = url.into_parts(tls);
    Some(RedisSettings {
        address,
        database,
        username: username.map(Placed::into_value),
        password: password.map(Placed::into_value),
        prefix: value_or(prefix, "bearer-proxy:".to_owned()),
        key: key?,
        connect: value_or(connect, Duration::from_secs(5)),
        command: value_or(command, Duration::from_secs(2)),
    })
}

/// The key of whom the file names none: systemd's credential of this name.
fn credential_key(at: &Place, reader: &mut Reader<'_>) -> Option<SecretSource> {
    const ADVICE: &str = "its key is missing; write `key: ${file:…}` or `key: ${NAME}` beside it, or give systemd's \
                          service `LoadCredentialEncrypted=bearer-proxy-store-key`";
    let Some(directory) = reader.credentials.clone() else {
        reader.wrong(at, ADVICE);
        return None;
    };
    let source = SecretSource::from_parts(vec![Part::File(directory.join(KEY_CREDENTIAL))]);
    match source.read() {
        Ok(key) if key.expose().chars().count() < SHORTEST_KEY => {
            reader.wrong(at, format_args!("the credential {KEY_CREDENTIAL} {SHORT_KEY}"));
            None
        }
        Ok(_) => Some(source),
        Err(error) => {
            reader.wrong(at, format_args!("{ADVICE} ({error})"));
            None
        }
    }
}

/// The name of the credential in `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
const KEY_CREDENTIAL: &str = "bearer-proxy-store-key";
