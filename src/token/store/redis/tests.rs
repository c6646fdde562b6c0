#[path = "../../../../tests/it/support/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the whole")]
mod redis_server;

use std::time::Instant;

use redis_server::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::contract;
use super::super::settings::RedisAddress;
use super::*;
use crate::tls::TlsSettings;

const KEY: &str = "an example of a key, 32 letters.";

fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        address: RedisAddress::Unix(server.socket()),
        database: 0,
        username: None,
        password: None,
        prefix: "test:".to_owned(),
        key: SecretSource::fixed(KEY),
        connect: Duration::from_secs(5),
        command: Duration::from_secs(5),
    }
}

fn open(server: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::open(&settings(server)).unwrap())
}

/// What the server itself says.
async fn raw<T: ::redis::FromRedisValue>(store: &RedisStore, words: &[&str]) -> T {
    let mut command = ::redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    store.shelf.link.ask(&command).await.unwrap()
}

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_keeps_the_contract() {
    let Some(server) = RedisServer::start() else { return };
    contract::holds(&*open(&server)).await;
    contract::forgets(&*open(&server)).await;
}

#[tokio::test]
async fn many_may_use_it_at_once() {
    let Some(server) = RedisServer::start() else { return };
    contract::holds_for_many(open(&server)).await;
}

#[tokio::test]
async fn two_hosts_share_it() {
    let Some(server) = RedisServer::start() else { return };
    contract::leases([open(&server), open(&server)]).await;
    contract::marks([open(&server), open(&server)]).await;
}

#[tokio::test]
async fn what_a_holder_saves_after_its_lease_went_to_another_is_refused() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (open(&server), open(&server));
    let slept = one.try_lease("a", Duration::from_millis(1)).await.unwrap().unwrap();
    let next = contract::lease(&*other, "a").await;
    assert!(next.fence() > slept.fence());
    for _ in 0..2 {
        let error = one.save(&slept, Some(contract::value("late"))).await.unwrap_err();
        assert!(matches!(error, StoreError::Overtaken), "{error}");
        assert!(matches!(one.save(&slept, None).await.unwrap_err(), StoreError::Overtaken));
        other.save(&next, Some(contract::value("right"))).await.unwrap();
    }
    // Nor does the end of the old one end the new one.
    drop(slept);
    tokio::task::yield_now().await;
    assert_eq!(contract::loaded(&*one, "a").await.as_deref(), Some("right"));
    assert!(one.try_lease("a", LIMIT).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_holder_saves_late_counts_if_nobody_came_in_between() {
    let Some(server) = RedisServer::start() else { return };
    let store = open(&server);
    let slept = store.try_lease("a", Duration::from_millis(1)).await.unwrap().unwrap();
    while raw::<bool>(&store, &["EXISTS", &store.shelf.names("a").lease]).await {}
    store.save(&slept, Some(contract::value("late"))).await.unwrap();
    assert_eq!(contract::loaded(&*store, "a").await.as_deref(), Some("late"));
}

#[tokio::test]
async fn the_lease_of_a_holder_that_died_ends_by_itself() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (open(&server), open(&server));
    std::mem::forget(one.try_lease("a", Duration::from_millis(100)).await.unwrap().unwrap());
    assert!(other.try_lease("a", LIMIT).await.unwrap().is_none());
    contract::lease(&*other, "a").await;
}

#[tokio::test]
async fn a_server_that_lost_everything_does_not_begin_to_count_anew() {
    let Some(server) = RedisServer::start() else { return };
    let store = open(&server);
    let before = contract::lease(&*store, "a").await;
    raw::<()>(&store, &["FLUSHALL"]).await;
    // The holder can still save: nobody is known to have come later.
    store.save(&before, Some(contract::value("kept"))).await.unwrap();
    assert_eq!(contract::loaded(&*store, "a").await.as_deref(), Some("kept"));
    assert!(contract::lease(&*store, "a").await.fence() > before.fence());
}

#[tokio::test]
async fn the_server_sees_neither_tokens_nor_may_it_move_them() {
    let Some(server) = RedisServer::start() else { return };
    let store = open(&server);
    contract::save(&*store, "a", Some("hunter2")).await;
    contract::save(&*store, "b", Some("other")).await;
    let entry = |key| store.shelf.names(key).entry;
    for key in raw::<Vec<String>>(&store, &["KEYS", "*"]).await {
        assert!(key.starts_with("test:{"), "{key}");
        let dump: Vec<u8> = raw(&store, &["DUMP", &key]).await;
        assert!(!dump.windows(7).any(|window| window == b"hunter2"), "{key}");
    }
    raw::<()>(&store, &["COPY", &entry("a"), &entry("b"), "REPLACE"]).await;
    let error = store.load("b").await.unwrap_err().to_string();
    assert!(error.contains("is damaged") && error.contains("test:{b}:entry"), "{error}");
    raw::<()>(&store, &["HSET", &entry("a"), "fence", "99999999999999"]).await;
    assert!(store.load("a").await.unwrap_err().to_string().contains("is damaged"));

    let other = RedisSettings { key: SecretSource::fixed("another key of 32 letters or more"), ..settings(&server) };
    contract::save(&*store, "c", Some("hunter2")).await;
    let error = RedisStore::open(&other).unwrap().load("c").await.unwrap_err().to_string();
    assert!(error.contains("was written with another key; set `token_store.redis.key` right"), "{error}");
}

#[tokio::test]
async fn while_it_is_away_that_is_said_at_once_and_afterwards_it_is_used_again() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = open(&server);
    contract::save(&*store, "a", Some("kept")).await;
    for _ in 0..2 {
        server.stop();
        let began = Instant::now();
        for _ in 0..100 {
            let error = store.load("a").await.unwrap_err().to_string();
            assert!(error.contains("unix:") && !error.contains(KEY), "{error}");
            assert!(store.try_lease("a", LIMIT).await.is_err());
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(store.trouble().unwrap().starts_with("unix:"));
        server.run();
        // Nobody has to ask for that.
        while store.trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(contract::loaded(&*store, "a").await.as_deref(), Some("kept"));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let silent = RedisSettings {
        address: RedisAddress::Unix(path),
        database: 1,
        username: Some(SecretSource::fixed("user")),
        password: Some(SecretSource::fixed("hunter2")),
        prefix: String::new(),
        key: SecretSource::fixed(KEY),
        connect: Duration::from_millis(50),
        command: Duration::from_millis(50),
    };
    let store = RedisStore::open(&silent).unwrap();
    let error = store.load("a").await.unwrap_err().to_string();
    assert!(error.contains("no connection in time"), "{error}");

    // One that is something else may repeat what it is sent.
    let echo = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = vec![0; 4096];
            let length = stream.read(&mut sent).await.unwrap();
            let sent = String::from_utf8_lossy(&sent[..length]).replace("\r\n", " ");
            let _ = stream.write_all(format!("-ERR what is {sent}\r\n").repeat(3).as_bytes()).await;
        }
    });
    let mut told = String::new();
    while !told.contains("login") {
        told = store.load("a").await.unwrap_err().to_string();
        assert!(!told.contains("hunter2") && !store.trouble().unwrap_or_default().contains("hunter2"), "{told}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    echo.abort();
}

/// A server behind TLS alone, with a password and a user who may do what README.md says, and no more.
fn guarded() -> Option<(RedisServer, u16, TlsSettings)> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let directory = tempfile::tempdir().unwrap().keep();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = file("ca.pem", authority.pem());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (certificate, key) = (file("server.pem", certificate.pem()), file("server.key", key.serialize_pem()));
    let users = "--user proxy on >hunter2 ~test:* -@all +eval +time +get +set +del +exists +hget +hset +hmget +pexpire \
                 --user default off";
    let tls = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let arguments: Vec<&str> = tls.into_iter().chain(users.split_whitespace()).collect();
    let server = RedisServer::start_with(&arguments)?;
    Some((server, port, TlsSettings { ca: Some(ca.into()), ..TlsSettings::default() }))
}

#[tokio::test]
async fn tls_and_a_user_of_the_acl_are_enough() {
    let Some((server, port, tls)) = guarded() else { return };
    let guarded = |password: &str, tls: TlsSettings| RedisSettings {
        address: RedisAddress::Tcp { host: "localhost".to_owned(), port, tls: Some(tls) },
        username: Some(SecretSource::fixed("proxy")),
        password: Some(SecretSource::fixed(password)),
        ..settings(&server)
    };
    let store = Arc::new(RedisStore::open(&guarded("hunter2", tls.clone())).unwrap());
    contract::holds(&*store).await;
    let (one, other): (Arc<dyn TokenStore>, Arc<dyn TokenStore>) = (store.clone(), store);
    contract::leases([Arc::clone(&one), Arc::clone(&other)]).await;
    contract::marks([one, other]).await;

    let refused =
        async |settings: RedisSettings| RedisStore::open(&settings).unwrap().load("a").await.unwrap_err().to_string();
    let error = refused(guarded("hunter3", tls)).await;
    assert!(error.contains("has refused our login") && !error.contains("hunter3"), "{error}");
    let error = refused(guarded("hunter2", TlsSettings::default())).await;
    assert!(error.contains("TLS: "), "{error}");
}
