//! Many proxies that keep their tokens on one Redis server: one renewal does for all of them, whoever dies meanwhile, and
//! while the server is away each goes on with what it has (R76). Against a real server.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bearer_proxy::config::Config;

use super::stores::{KEY, each_once, futures, logged_in, rotating, share_one_login, status, used};
use super::support::binary::ended;
use super::support::redis_server::RedisServer;
use super::support::{Downstream, Process, Proxy, ProxyBuilder, TokenEndpoint, Upstream, soon};

/// `token_store` on that server.
fn redis_store(server: &RedisServer) -> String {
    format!("token_store: {{redis: {{url: 'unix:{}', key: '{KEY}'}}}}\n", server.socket().display())
}

async fn five(config: &Config) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for _ in 0..5 {
        proxies.push(Proxy::from(config).await);
    }
    proxies
}

/// A credential that asks that endpoint, which is given up after a second.
fn builder(endpoint: &TokenEndpoint, api: &Upstream, redis: &RedisServer) -> ProxyBuilder {
    let credential = endpoint.credential_with("api", "    request: {timeout: 1s}\n");
    Proxy::new().credential(&credential).route("/", &api.url(), "api", "").top(&redis_store(redis))
}

/// The tokens that came to the API from this proxy, each once, in order.
fn tokens_of(api: &Upstream, number: usize) -> Vec<String> {
    let path = format!("GET /{number} ");
    let mut tokens: Vec<String> = Vec::new();
    for request in api.requests().iter().filter(|request| request.first_line().starts_with(&path)) {
        let token = request.field("authorization").unwrap();
        if tokens.last().is_none_or(|last| last != token) {
            tokens.push(token.to_owned());
        }
    }
    tokens
}

// R66, R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_proxies_cost_one_token_request_per_expiry() {
    let Some(redis) = RedisServer::start() else { return };
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.say_more(",\"expires_in\":4");
    let proxies = five(&builder(&endpoint, &api, &redis).config()).await;

    let asking = proxies.iter().enumerate().map(async |(number, proxy)| {
        while tokens_of(&api, number).len() < 4 {
            assert_eq!(Downstream::of(proxy).await.get(&format!("/{number}")).await.status(), 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    futures(asking).await;

    // The first to see its fourth may be about to see its fifth.
    assert!((4..=5).contains(&endpoint.asked()), "{} requests", endpoint.asked());
    let expected = ["Bearer T1", "Bearer T2", "Bearer T3", "Bearer T4"];
    for number in 0..5 {
        assert_eq!(tokens_of(&api, number)[..4], expected, "proxy {number}");
    }
}

// R66, R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_one_that_asks_is_killed_one_other_asks_for_all() {
    let Some(redis) = RedisServer::start() else { return };
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let builder = builder(&endpoint, &api, &redis);
    let file = redis.directory().join("proxy.yaml");
    fs::write(&file, builder.text()).unwrap();
    let process = Process::serving(&file).await;
    endpoint.hold();
    let address = process.listening().await;
    let asking = tokio::spawn(async move {
        Downstream::connect(address).await.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        std::future::pending::<()>().await;
    });
    endpoint.wait_for(1).await;
    process.signal("KILL");
    assert_eq!(process.ended().await.code, None);
    asking.abort();

    endpoint.recover();
    endpoint.release();
    let proxies = five(&builder.config()).await;
    let asking = proxies.iter().map(async |proxy| {
        // No longer than a lease lasts, and a request gives up earlier.
        while status(proxy).await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    tokio::time::timeout(Duration::from_secs(20), futures(asking)).await.unwrap();
    assert_eq!(endpoint.asked(), 2, "the one that was killed, and one for all others");
    let tokens: BTreeSet<_> =
        api.requests().iter().map(|request| request.field("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
}

// R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_shared_and_no_refresh_token_is_used_twice_across_a_restart_of_redis() {
    let Some(mut redis) = RedisServer::start() else { return };
    let (server, api) = rotating().await;
    let config = logged_in(&server, &api, &redis_store(&redis)).await.config();
    share_one_login(&server, &config).await;
    redis.stop();
    redis.run();
    share_one_login(&server, &config).await;
    each_once(&used(&server));
}

/// Waits until the metric says so.
async fn up(admin: SocketAddr, expected: u8) {
    let line = format!("\nbearer_proxy_token_store_up {expected}\n");
    soon("the token store's metric", async {
        while !Downstream::connect(admin).await.get("/metrics").await.body_text().contains(&line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

// R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_no_refresh_token_is_rotated_and_what_there_is_serves() {
    let Some(mut redis) = RedisServer::start() else { return };
    let (server, api) = rotating().await;
    let admin = super::support::free_address();
    let top = format!("{}admin: {{address: '{admin}'}}\n", redis_store(&redis));
    let proxy = logged_in(&server, &api, &top).await.start().await;
    assert_eq!(status(&proxy).await, 200);
    let before = used(&server);

    redis.stop();
    up(admin, 0).await;
    assert_eq!(status(&proxy).await, 200);
    let page = async |path: &str| {
        let answer = Downstream::connect(admin).await.get(path).await;
        (answer.status(), answer.json())
    };
    let (ready, body) = page("/readyz").await;
    // A server that is away must not take all replicas out of service at once.
    assert_eq!((ready, &body["ready"], &body["token_store"]["kind"]), (200, &true.into(), &"redis".into()));
    assert!(body["token_store"]["trouble"].as_str().unwrap().contains("unix:"), "{body}");

    server.revoke_access_tokens();
    for _ in 0..3 {
        assert_eq!(status(&proxy).await, 401, "the API's own answer");
    }
    assert_eq!(used(&server), before);

    redis.run();
    up(admin, 1).await;
    assert_eq!(page("/status").await.1["token_store"], serde_json::json!({ "kind": "redis", "trouble": null }));
    let mut answers = 401;
    while answers != 200 {
        answers = status(&proxy).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    each_once(&used(&server));
    assert_eq!(used(&server).len(), before.len() + 1);
}

#[tokio::test]
async fn while_redis_is_away_a_grant_that_may_be_repeated_goes_on() {
    let Some(mut redis) = RedisServer::start() else { return };
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    redis.stop();
    let config = builder(&endpoint, &api, &redis).config();
    let proxies = five(&config).await;
    for proxy in &proxies {
        assert_eq!(status(proxy).await, 200);
    }
    assert_eq!(endpoint.asked(), 5, "each for itself");
}

// A lease that it left behind would last longer than a test waits.
#[tokio::test]
async fn the_command_token_leaves_no_lease_behind() {
    let Some(redis) = RedisServer::start() else { return };
    let (server, api) = rotating().await;
    let builder = logged_in(&server, &api, &redis_store(&redis)).await;
    let file = redis.directory().join("proxy.yaml");
    fs::write(&file, builder.text()).unwrap();
    for _ in 0..3 {
        let printed = ended(&["token", "person", "-c", file.to_str().unwrap()]).await;
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    }
    let proxy = builder.start().await;
    let asked = server.token_requests();
    assert_eq!((status(&proxy).await, server.token_requests()), (200, asked));
    each_once(&used(&server));
}
