//! The four systems that the proxy began with, end to end: as `demo` writes their file, and as `proxy.yaml` ships.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bearer_proxy::config;
use bearer_proxy::demo::{AuthorizationServer, Dialect, RefreshTokens, Systems, What};
use tokio::task::JoinSet;

use super::support::proxy::parse;
use super::support::{Downstream, Proxy, soon};

/// The servers, the proxy in front of them from the demo's own file, and a caller.
async fn demo(lifetime: Duration) -> (Systems, Proxy, Downstream) {
    let systems = Systems::start(lifetime).await.unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = Proxy::from(&parse(&systems.configuration(any, any))).await;
    let downstream = Downstream::of(&proxy).await;
    (systems, proxy, downstream)
}

const AN_HOUR: Duration = Duration::from_secs(3600);

fn grants(server: &AuthorizationServer) -> Vec<String> {
    server.seen().iter().map(|request| request.param("grant_type").unwrap()).collect()
}

/// What a system is asked with at first, and what afterwards.
fn first_and_later(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Zpax | Dialect::ScreeningEagle => ("client_credentials", "refresh_token"),
        Dialect::Apiax => ("password", "refresh_token"),
        Dialect::Applixure => ("client_credentials", "client_credentials"),
    }
}

#[tokio::test]
async fn each_system_is_served_with_a_token_of_its_own() {
    let (systems, _proxy, mut downstream) = demo(AN_HOUR).await;

    for (server, api) in systems.iter() {
        let dialect = server.dialect();
        for number in 0..5 {
            let answer = downstream.get(&format!("/{}/orders/{number}?a=b", dialect.slug())).await;
            let said = answer.json();
            assert_eq!((answer.status(), &said["system"]), (200, &dialect.name().into()));
            assert_eq!((&said["path"], &said["token"]), (&format!("/orders/{number}").into(), &1.into()));
        }
        assert_eq!((server.token_requests(), server.tokens_issued(), api.requests()), (1, 1, 5));
        assert_eq!(grants(server), [first_and_later(dialect).0]);
    }
}

// R67
#[tokio::test]
async fn each_system_is_served_on_when_its_tokens_are_revoked() {
    let (systems, proxy, mut downstream) = demo(AN_HOUR).await;

    for (server, api) in systems.iter() {
        let (dialect, path) = (server.dialect(), format!("/{}/orders", server.dialect().slug()));
        assert_eq!(downstream.post(&path, "one").await.status(), 200);
        for round in 2..=4 {
            server.revoke_access_tokens();
            let answer = downstream.post(&path, "two").await;
            assert_eq!((answer.status(), &answer.json()["token"]), (200, &round.into()), "{dialect}");
        }
        let (first, later) = first_and_later(dialect);
        assert_eq!(grants(server), [first, later, later, later], "{dialect}");
        assert_eq!(api.requests(), 7);
        assert_eq!(proxy.figure(&format!("retries_total{{route=\"{}\",outcome=\"success\"}}", dialect.slug())), 3);
    }
}

// R67
#[tokio::test]
async fn each_system_is_served_on_when_its_refresh_tokens_are_revoked_too() {
    let (systems, _proxy, mut downstream) = demo(AN_HOUR).await;

    for (server, _) in systems.iter() {
        let (dialect, path) = (server.dialect(), format!("/{}/orders", server.dialect().slug()));
        assert_eq!(downstream.get(&path).await.status(), 200);
        server.revoke_all();
        assert_eq!(downstream.get(&path).await.status(), 200, "{dialect}");

        let (first, later) = first_and_later(dialect);
        let expected = if later == "refresh_token" { vec![first, later, first] } else { vec![first, first] };
        assert_eq!(grants(server), expected, "{dialect}");
    }
}

// R67
#[tokio::test]
async fn the_demos_own_revocation_is_survived() {
    let (systems, _proxy, mut downstream) = demo(AN_HOUR).await;

    for (server, _) in systems.iter() {
        let slug = server.dialect().slug();
        assert_eq!(downstream.post(&format!("/{slug}/revoke"), "").await.json()["revoked"], true);
        assert_eq!(downstream.get(&format!("/{slug}/orders")).await.json()["token"], 2);
        assert_eq!(downstream.post(&format!("/{slug}/revoke/all"), "").await.json()["revoked"], true);
        assert_eq!(downstream.get(&format!("/{slug}/orders")).await.json()["token"], 3);
    }
}

// R66
#[tokio::test]
async fn each_systems_tokens_are_renewed_ahead_of_their_end() {
    let (systems, proxy, mut downstream) = demo(Duration::from_secs(4)).await;
    let mut events = systems.events().subscribe();
    for (server, _) in systems.iter() {
        assert_eq!(downstream.get(&format!("/{}/", server.dialect().slug())).await.status(), 200);
    }

    // Nobody asks meanwhile; each token was used once, and is renewed for that.
    let mut renewed = HashMap::new();
    soon("four renewals", async {
        while renewed.len() < 4 {
            if let What::Issued { generation: 2, grant, .. } = events.recv().await.unwrap().what {
                renewed.insert(renewed.len(), grant);
            }
        }
    })
    .await;

    for (server, _) in systems.iter() {
        let answer = downstream.get(&format!("/{}/", server.dialect().slug())).await;
        assert_eq!((answer.status(), &answer.json()["token"]), (200, &2.into()), "{}", server.dialect());
    }
    assert_eq!(renewed.values().filter(|grant| **grant == "refresh_token").count(), 3);
    let slugs = Dialect::ALL.map(Dialect::slug);
    let unauthorized = |slug| proxy.figure(&format!("upstream_unauthorized_total{{route=\"{slug}\"}}"));
    assert_eq!(slugs.map(unauthorized), [0; 4]);
}

// R43, R67, R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_tokens_rotate_under_load_and_none_is_used_twice() {
    let (systems, proxy, _) = demo(AN_HOUR).await;
    let mut events = systems.events().subscribe();
    let rotating = [Dialect::Zpax, Dialect::Apiax];
    for round in 1..=5_u64 {
        let mut callers = JoinSet::new();
        for number in 0..60 {
            let mut downstream = Downstream::of(&proxy).await;
            let path = format!("/{}/orders", rotating[number % 2].slug());
            callers.spawn(async move { assert_eq!(downstream.get(&path).await.status(), 200) });
        }
        soon("all answers", callers.join_all()).await;
        for (server, _) in systems.iter().filter(|(server, _)| rotating.contains(&server.dialect())) {
            assert_eq!(server.tokens_issued(), round, "{}: one renewal for thirty refusals", server.dialect());
            server.revoke_access_tokens();
        }
    }

    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event.what, What::Revoked { reuse: true, .. } | What::Refused { .. }), "{event:?}");
    }
    for (server, _) in systems.iter().filter(|(server, _)| rotating.contains(&server.dialect())) {
        let (first, later) = first_and_later(server.dialect());
        assert_eq!(grants(server), [first, later, later, later, later]);
    }
}

#[tokio::test]
async fn a_system_that_stops_giving_refresh_tokens_is_asked_with_its_own_grant() {
    let (systems, _proxy, mut downstream) = demo(AN_HOUR).await;
    for (server, _) in systems.iter() {
        let path = format!("/{}/orders", server.dialect().slug());
        server.set_refresh_tokens(RefreshTokens::Never);
        for _ in 0..3 {
            assert_eq!(downstream.get(&path).await.status(), 200);
            server.revoke_access_tokens();
        }
        let first = first_and_later(server.dialect()).0;
        assert_eq!(grants(server), [first; 3], "{}", server.dialect());
    }
}

/// The host of each system's token endpoint and API in the file that ships.
fn hosts(dialect: Dialect) -> [&'static str; 2] {
    match dialect {
        Dialect::Zpax => ["https://sso.zpax.example/", "https://api.zpax.example/v1/"],
        Dialect::Apiax => ["https://login.apiax.example/", "https://api.apiax.example/"],
        Dialect::ScreeningEagle => ["https://id.screeningeagle.example/", "https://api.screeningeagle.example/"],
        Dialect::Applixure => ["https://login.applixure.example/", "https://api.applixure.example/"],
    }
}

/// The prefix of each system in the file that ships.
fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::ScreeningEagle => "/screening-eagle",
        Dialect::Zpax | Dialect::Apiax | Dialect::Applixure => "",
    }
}

/// What the environment holds for a system.
fn environment(server: &AuthorizationServer) -> Vec<(String, String)> {
    let settings = server.settings();
    let name = match server.dialect() {
        Dialect::Zpax => "ZPAX",
        Dialect::Apiax => "APIAX",
        Dialect::ScreeningEagle => "SCREENING_EAGLE",
        Dialect::Applixure => "APPLIXURE",
    };
    let (user, password) = settings.user.clone().unwrap_or_default();
    vec![
        (format!("{name}_CLIENT_ID"), settings.client_id.clone()),
        (format!("{name}_CLIENT_SECRET"), settings.client_secret.clone().unwrap_or_default()),
        (format!("{name}_USERNAME"), user),
        (format!("{name}_PASSWORD"), password),
    ]
}

/// The file that ships, with nothing changed but its hosts, ports, and the path of an endpoint that an installation
/// chooses; and what its environment holds.
fn shipped(systems: &Systems) -> (String, HashMap<String, String>) {
    let mut text = include_str!("../../proxy.yaml").to_owned();
    let mut variables = HashMap::new();
    for (server, api) in systems.iter() {
        let [login, upstream] = hosts(server.dialect());
        let place = text.find(login).unwrap_or_else(|| panic!("{login} is not in the file"));
        let end = place + text[place..].find([' ', '\n']).unwrap();
        text.replace_range(place..end, &server.token_url());
        assert!(text.contains(upstream), "{upstream} is not in the file");
        text = text.replace(upstream, &api.url());
        variables.extend(environment(server));
    }
    for (listed, free) in [("127.0.0.1:8080 ", "127.0.0.1:0 "), ("127.0.0.1:9090 ", "127.0.0.1:0 ")] {
        assert!(text.contains(listed));
        text = text.replacen(listed, free, 1);
    }
    (text, variables)
}

#[tokio::test]
async fn the_file_as_shipped_gets_tokens_from_all_four_systems() {
    let systems = Systems::start(AN_HOUR).await.unwrap();
    let (text, variables) = shipped(&systems);
    let config = config::parse(&text, Path::new("proxy.yaml"), &|name| variables.get(name).cloned());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings, []);
    let proxy = Proxy::from(&config).await;
    let mut downstream = Downstream::of(&proxy).await;

    for (server, api) in systems.iter() {
        let dialect = server.dialect();
        let path = match prefix(dialect) {
            "" => format!("/{}", dialect.slug()),
            prefix => prefix.to_owned(),
        };
        for round in 1..=3_u64 {
            let answer = downstream.get(&format!("{path}/orders?open=1")).await;
            assert_eq!(answer.status(), 200, "{dialect}: {}", answer.body_text());
            let said = answer.json();
            assert_eq!((&said["system"], &said["token"]), (&dialect.name().into(), &round.into()));
            assert!(said["path"].as_str().unwrap().ends_with("/orders"));
            server.revoke_access_tokens();
        }
        let (first, later) = first_and_later(dialect);
        assert_eq!(grants(server), [first, later, later], "{dialect}");
        assert_eq!(server.tokens_issued(), 3, "{dialect}: no token request was refused");
        assert_eq!(api.requests(), 5);
    }
}

#[tokio::test]
async fn the_file_as_shipped_needs_its_environment() {
    let text = include_str!("../../proxy.yaml");
    let error = config::parse(text, Path::new("proxy.yaml"), &|_| None).unwrap_err().to_string();

    for (name, _) in [("ZPAX_CLIENT_ID", ""), ("APIAX_PASSWORD", ""), ("SCREENING_EAGLE_CLIENT_SECRET", "")] {
        assert!(error.contains(name), "{error}");
    }
}
