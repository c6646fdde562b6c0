//! The binary's verbs, its exit codes (0 well, 1 failed while running, 2 wrong file or arguments) and its signals
//! (DESIGN.md section 7).

use std::fs;
use std::sync::Arc;

use bearer_proxy::demo::{AuthorizationServer, Dialect};
use tokio::sync::Semaphore;

use super::support::binary::{bearer_proxy, ended, run_to_end};
use super::support::{Downstream, Files, Process, Proxy, ProxyBuilder, TokenEndpoint, Upstream, free_address, soon};

/// One route for everything, with a static token `T0KEN`.
fn to(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", "")
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

// DESIGN.md section 7
#[tokio::test]
async fn check_says_that_a_right_file_is_right() {
    let files = Files::new();
    let file = files.write("proxy.yaml", &to(&Upstream::saying("").await).text());

    let check = ended(&["check", "--config", text(&file)]).await;

    assert_eq!(check.stdout, format!("{}: right: 1 listener, 1 credential, 1 route\n", file.display()));
    assert_eq!((check.code, check.stderr.as_str()), (Some(0), ""));
}

const WRONG: &str = "\
listeners:
  - adress: 127.0.0.1:0
credentials:
  zpax:
    grant: client_credentials
    token_url: https://sso.zpax.example/connect/token
    client_id: someone
    client_secret: hunter2-on-the-line-above
    scoop: orders.read
    username: hunter3-on-the-line-below
routes:
  - path: /zpax/
    upstream: https://api.zpax.example/v1/
    credential: zpxa
";

// DESIGN.md section 1.7
#[tokio::test]
async fn check_tells_every_mistake_with_its_place_and_what_would_be_right_but_no_secret() {
    let files = Files::new();
    let file = files.write("proxy.yaml", WRONG);

    let check = ended(&["check", "--config", text(&file)]).await;

    assert_eq!((check.code, check.stderr.as_str()), (Some(2), ""));
    let told = check.stdout.replace(text(&file), "proxy.yaml");
    let has = |place: &str, what: &str| {
        let found = told.lines().any(|line| line.starts_with(&format!("proxy.yaml:{place}: ")) && line.contains(what));
        assert!(found, "{place} {what:?} is not in\n{told}");
    };
    has("2:5", "did you mean \"address\"");
    has("9:5", "did you mean \"scope\"");
    has("14:17", "did you mean \"zpax\"");
    assert!(!told.contains("hunter"), "{told}");
}

#[tokio::test]
async fn run_tells_the_same_on_standard_error_and_serves_nothing() {
    let files = Files::new();
    let file = files.write("proxy.yaml", WRONG);

    let check = ended(&["check", "--config", text(&file)]).await;
    let run = ended(&["run", "--config", text(&file)]).await;

    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(run.stderr, check.stdout);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_wrong_file() {
    for verb in ["run", "check", "explain"] {
        let mut arguments = vec![verb, "--config", "/nowhere/proxy.yaml"];
        arguments.extend(if verb == "explain" { &["GET", "/"][..] } else { &[] });
        let ended = ended(&arguments).await;
        assert_eq!(ended.code, Some(2), "{verb}");
        let told = ended.stdout + &ended.stderr;
        assert!(told.contains("/nowhere/proxy.yaml: there is no such file"), "{verb}: {told}");
    }
}

#[tokio::test]
async fn secrets_come_from_the_environment_and_one_that_is_missing_is_named() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let yaml = Proxy::new().static_token("api", "\"${API_TOKEN}\"").route("/", &upstream.url(), "api", "").text();
    let file = files.write("proxy.yaml", &yaml);

    let without = ended(&["run", "--config", text(&file)]).await;
    assert_eq!(without.code, Some(2));
    assert!(without.stderr.contains("API_TOKEN"), "{}", without.stderr);

    let mut command = bearer_proxy(&["--config", text(&file)]);
    command.env("API_TOKEN", "fr0m-outside");
    let process = Process::start(command);
    let answer = Downstream::connect(process.listening().await).await.get("/").await;
    assert_eq!(answer.body_text(), "hello");
    assert_eq!(upstream.requests()[0].field("authorization"), Some("Bearer fr0m-outside"));
    process.signal("TERM");
    let ended = process.ended().await;
    assert!(!(ended.stdout + &ended.stderr).contains("fr0m-outside"), "R38");
}

#[tokio::test]
async fn a_port_that_is_taken_fails_while_running() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let taken = upstream.address().to_string();
    let yaml = to(&upstream).text();
    for (yaml, what) in [
        (yaml.replace("127.0.0.1:0", &taken), format!("cannot listen on {taken}")),
        (format!("{yaml}admin: {{address: {taken}}}\n"), format!("cannot listen on {taken} (admin.address)")),
    ] {
        let file = files.write("proxy.yaml", &yaml);
        let run = ended(&["run", "--config", text(&file)]).await;
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains(&what), "{}", run.stderr);
    }
}

#[tokio::test]
async fn arguments_that_nobody_knows_are_refused() {
    for arguments in [&["--confg", "proxy.yaml"][..], &["chek"], &["explain", "GET"], &["run", "now"], &["token"]] {
        let ended = ended(arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains("Usage: bearer-proxy"), "{arguments:?}: {}", ended.stderr);
    }
    assert!(ended(&["chek"]).await.stderr.contains("check"));
}

#[tokio::test]
async fn help_and_version_are_no_mistakes() {
    let version = ended(&["--version"]).await;
    assert_eq!((version.code, version.stdout), (Some(0), format!("bearer-proxy {}\n", env!("CARGO_PKG_VERSION"))));
    let help = ended(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for verb in ["run", "check", "token", "explain", "demo", "healthcheck", "completions"] {
        assert!(help.stdout.contains(&format!("\n  {verb} ")), "{verb} in {}", help.stdout);
    }
}

// R60
#[tokio::test]
async fn sigterm_lets_requests_under_way_end_and_exits_well() {
    let (files, gate) = (Files::new(), Arc::new(Semaphore::new(0)));
    let upstream = Upstream::gated("late", &gate).await;
    let process = Process::serving(&files.write("proxy.yaml", &to(&upstream).text())).await;
    let address = process.listening().await;
    let mut idle = Downstream::connect(address).await;
    let mut busy = Downstream::connect(address).await;
    busy.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    upstream.seen().wait_for(1).await;

    process.signal("TERM");

    assert!(idle.is_closed().await);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "new connections are refused");
    gate.add_permits(1);
    assert_eq!(busy.answer().await.body_text(), "late");
    assert!(busy.is_closed().await);
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped"), "{}", ended.stderr);
    assert!(ended.stdout.contains(" status=200 "), "the last line of the access log is there: {}", ended.stdout);
}

#[tokio::test]
async fn sigint_does_the_same() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let process = Process::serving(&files.write("proxy.yaml", &to(&upstream).text())).await;
    let mut downstream = Downstream::connect(process.listening().await).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    process.signal("INT");

    assert!(downstream.is_closed().await);
    assert_eq!(process.ended().await.code, Some(0));
}

// R60
#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let (files, gate) = (Files::new(), Arc::new(Semaphore::new(0)));
    let upstream = Upstream::gated("never", &gate).await;
    let yaml = to(&upstream).top("shutdown: {drain: 1h}\n").text();
    let process = Process::serving(&files.write("proxy.yaml", &yaml)).await;
    let mut busy = Downstream::connect(process.listening().await).await;
    busy.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    upstream.seen().wait_for(1).await;

    process.signal("TERM");
    process.stderr.wait_for("a second signal stops at once").await;
    process.signal("TERM");

    assert!(busy.is_closed().await);
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("stopped at once"), "{}", ended.stderr);
}

// R61
#[tokio::test]
async fn sighup_reads_the_file_again_and_a_wrong_one_changes_nothing() {
    let (files, first, second) = (Files::new(), Upstream::saying("first").await, Upstream::saying("second").await);
    let file = files.write("proxy.yaml", &to(&first).text());
    let process = Process::serving(&file).await;
    let address = process.listening().await;
    let mut downstream = Downstream::connect(address).await;
    assert_eq!(downstream.get("/").await.body_text(), "first");

    files.write("proxy.yaml", "listeners: [{address: 127.0.0.1:0}]\nrouts: []\n");
    process.signal("HUP");
    let problem = process.stderr.wait_for("did you mean").await;
    assert!(problem.contains(":2:1:") && problem.contains("the running configuration stays"), "{problem}");
    assert_eq!(downstream.get("/").await.body_text(), "first");

    files.write("proxy.yaml", &to(&second).text());
    process.signal("HUP");
    process.stderr.wait_for("is in force").await;
    assert_eq!(downstream.get("/").await.body_text(), "second", "on the same connection");
    assert_eq!(Downstream::connect(address).await.get("/").await.body_text(), "second");
    process.signal("TERM");
    assert_eq!(process.ended().await.code, Some(0));
}

fn with(server: &AuthorizationServer, upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().client_credentials("zpax", server, "    scope: [orders.read]\n").route(
        "/zpax/",
        &upstream.url(),
        "zpax",
        "",
    )
}

#[tokio::test]
async fn token_prints_a_token_that_works_and_nothing_else() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    let file = files.write("proxy.yaml", &with(&server, &upstream).text());

    let token = ended(&["token", "zpax", "--config", text(&file)]).await;

    assert_eq!((token.code, token.stderr.as_str()), (Some(0), ""));
    let (line, rest) = token.stdout.split_once('\n').unwrap();
    assert_eq!(rest, "");
    let presented = server.check(line);
    assert!(matches!(presented, bearer_proxy::demo::Presented::Valid { .. }), "{presented:?}");

    let verbose = ended(&["token", "zpax", "--verbose", "--config", text(&file)]).await;
    assert_eq!((verbose.code, verbose.stdout.lines().count()), (Some(0), 1));
    for step in ["grant client_credentials", "POST http://", "grant_type = client_credentials", "a token was obtained"]
    {
        assert!(verbose.stderr.contains(step), "{step} in {}", verbose.stderr);
    }
    let secret = server.settings().client_secret.clone().unwrap();
    for secret in [secret.as_str(), verbose.stdout.trim()] {
        assert!(!verbose.stderr.contains(secret), "R38: {}", verbose.stderr);
    }
}

#[tokio::test]
async fn token_explains_a_refusal_step_by_step_without_secrets() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    let right = format!("{:?}", server.settings().client_secret.as_deref().unwrap());
    let right = right.trim_matches('"');
    let file = files.write("proxy.yaml", &with(&server, &upstream).text().replace(right, "hunter2wrong"));

    let token = ended(&["token", "zpax", "--config", text(&file)]).await;

    assert_eq!((token.code, token.stdout.as_str()), (Some(1), ""));
    for part in ["1. ask 127.0.0.1", "sent", "received", "invalid_client", "check client_id and client_secret"] {
        assert!(token.stderr.contains(part), "{part:?} in {}", token.stderr);
    }
    assert!(token.stderr.contains("no token was obtained"), "{}", token.stderr);
    // In Base64 too, wherever it begins.
    for secret in ["hunter2wrong", "aHVudGVyMndyb25n", "h1bnRlcjJ3cm9uZ", "odW50ZXIyd3Jvbm"] {
        assert!(!token.stderr.contains(secret), "R38: {}", token.stderr);
    }
}

// R66
#[tokio::test]
async fn ctrl_c_costs_token_no_refresh_token_that_is_being_rotated() {
    let (files, endpoint, upstream) = (Files::new(), TokenEndpoint::start().await, Upstream::saying("").await);
    let keys = "    grant: refresh_token\n    refresh_token: first\n";
    let store = format!("token_store: {{file: {{path: ./tokens, key: '{}'}}}}\n", super::stores::KEY);
    let proxy = Proxy::new().credential(&endpoint.credential_with("api", keys)).top(&store);
    let file = files.write("proxy.yaml", &proxy.route("/", &upstream.url(), "api", "").text());
    endpoint.say_more(",\"refresh_token\":\"second\",\"expires_in\":3600");
    endpoint.hold();

    let process = Process::start(bearer_proxy(&["token", "api", "--config", text(&file)]));
    endpoint.wait_for(1).await;
    process.signal("INT");
    process.stderr.wait_for("a second Ctrl-C stops at once").await;
    endpoint.release();
    let interrupted = process.ended().await;
    assert_eq!((interrupted.code, interrupted.stdout.as_str()), (Some(1), ""));

    assert_eq!(ended(&["token", "api", "--config", text(&file)]).await.code, Some(0));
    let body = String::from_utf8(endpoint.requests()[1].body.clone()).unwrap();
    assert!(body.contains("refresh_token=second"), "{body}");
}

#[tokio::test]
async fn token_says_which_credentials_there_are() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let file = files.write("proxy.yaml", &to(&upstream).text());

    let token = ended(&["token", "apo", "--config", text(&file)]).await;

    assert_eq!((token.code, token.stdout.as_str()), (Some(2), ""));
    assert!(token.stderr.contains("no credential is named \"apo\"; there are: api"), "{}", token.stderr);
}

#[tokio::test]
async fn explain_says_where_a_request_goes_and_with_what() {
    let files = Files::new();
    let yaml = Proxy::new()
        .static_token("zpax", "T0KEN")
        .route("/zpax/", "https://api.zpax.example/v1/", "zpax", "    request_headers: {set: {x-tenant: acme}}\n")
        .raw_route("  - {name: posts, path: /zpax/, methods: [POST], headers: {x-kind: a}, upstream: 'https://b.example:8443', credential: none}\n")
        .text();
    let file = files.write("proxy.yaml", &yaml);
    let explain = async |arguments: &[&str]| {
        let mut all = vec!["explain", "--config", text(&file)];
        all.extend(arguments);
        ended(&all).await
    };

    let get = explain(&["GET", "http://localhost:8080/zpax/orders?open=1"]).await;
    assert_eq!((get.code, get.stderr.as_str()), (Some(0), ""));
    for line in [
        "upstream    GET https://api.zpax.example/v1/orders?open=1",
        "host        api.zpax.example",
        "credential  zpax",
        "set         authorization: (with the access token)",
        "set         x-tenant: acme",
    ] {
        assert!(get.stdout.lines().any(|said| said == line), "{line:?} in {}", get.stdout);
    }
    assert!(!get.stdout.contains("T0KEN"), "R38");

    let post = explain(&["POST", "/zpax/orders", "-H", "X-Kind: a"]).await;
    assert_eq!(post.code, Some(0));
    assert!(post.stdout.contains("route       posts\n"), "{}", post.stdout);
    assert!(post.stdout.contains("POST https://b.example:8443/orders\n"), "{}", post.stdout);

    let other = explain(&["GET", "/other"]).await;
    assert_eq!((other.code, other.stdout.as_str()), (Some(1), "404: no route matches GET /other\n"));
    // R40
    for path in ["/zpax/../admin", "/zpax/%2e%2e/admin", "/zpax/..%2Fadmin"] {
        let ambiguous = explain(&["GET", path]).await;
        assert_eq!(ambiguous.code, Some(1), "{path}");
        assert!(ambiguous.stdout.starts_with("400: "), "{path}: {}", ambiguous.stdout);
    }
    assert_eq!(explain(&["GET", "not a url"]).await.code, Some(2));
    assert_eq!(explain(&["GET", "/", "-H", "no colon"]).await.code, Some(2));
}

#[tokio::test]
async fn healthcheck_asks_the_admin_listener() {
    let (files, upstream, admin) = (Files::new(), Upstream::saying("").await, free_address());
    let yaml = to(&upstream).top(&format!("admin: {{address: {admin}}}\n")).text();
    let file = files.write("proxy.yaml", &yaml);
    let check = async || ended(&["healthcheck", "--config", text(&file)]).await;

    let before = check().await;
    assert_eq!(before.code, Some(1));
    assert!(before.stderr.contains("does not answer"), "{}", before.stderr);

    let process = Process::serving(&file).await;
    let running = check().await;
    assert_eq!((running.code, running.stdout + &running.stderr), (Some(0), String::new()));
    assert_eq!(ended(&["healthcheck", "--ready", "--address", &admin.to_string()]).await.code, Some(0));
    process.signal("TERM");
    process.ended().await;
    assert_eq!(check().await.code, Some(1));

    let without = files.write("without.yaml", &to(&upstream).text());
    let nobody = ended(&["healthcheck", "--config", text(&without)]).await;
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("there is no admin.address to ask"), "{}", nobody.stderr);
}

#[tokio::test]
async fn readiness_is_red_while_the_authorization_server_refuses() {
    let (files, upstream, admin) = (Files::new(), Upstream::saying("").await, free_address());
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    let yaml = with(&server, &upstream).top(&format!("admin: {{address: {admin}}}\n")).text();
    server.fail_with(http::StatusCode::INTERNAL_SERVER_ERROR, 1000);
    let process = Process::serving(&files.write("proxy.yaml", &yaml)).await;
    assert_eq!(Downstream::connect(process.listening().await).await.get("/zpax/").await.status(), 503);

    let address = admin.to_string();
    let ready = ended(&["healthcheck", "--ready", "--address", &address]).await;
    assert_eq!((ready.code, ready.stderr.as_str()), (Some(1), "/readyz answers 503\n"));
    assert_eq!(ended(&["healthcheck", "--address", &address]).await.code, Some(0));
}

#[tokio::test]
async fn completions_are_for_the_shell_that_was_asked_for() {
    let bash = ended(&["completions", "bash"]).await;
    assert_eq!((bash.code, bash.stderr.as_str()), (Some(0), ""));
    assert!(bash.stdout.contains("complete -F _bearer__proxy "), "no completion for bash");
    assert_eq!(ended(&["completions", "basic"]).await.code, Some(2));
}

/// A command whose reader goes away after its first line; its exit code ends up on standard error.
fn with_an_impatient_reader(arguments: &str) -> std::process::Command {
    let mut sh = std::process::Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_bearer-proxy");
    sh.args(["-c", &format!("{{ {binary} {arguments}; echo code $? >&2; }} | head -1")]);
    super::support::binary::clean(&mut sh);
    sh
}

#[tokio::test]
async fn a_reader_that_goes_away_does_no_harm() {
    for arguments in ["completions zsh", "--help", "explain GET / --config proxy.yaml"] {
        let mut command = with_an_impatient_reader(arguments);
        for name in ["ZPAX", "APIAX", "SCREENING_EAGLE", "APPLIXURE"] {
            for what in ["CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"] {
                command.env(format!("{name}_{what}"), "x");
            }
        }
        let piped = run_to_end(command).await;
        assert_eq!(piped.stdout.lines().count(), 1, "{arguments}");
        assert!(matches!(piped.stderr.as_str(), "code 0\n" | "code 1\n"), "{arguments}: {}", piped.stderr);
    }
}

#[tokio::test]
async fn a_demo_that_nobody_looks_at_any_more_ends_well() {
    let address = free_address();
    let arguments = format!("demo --port {} --admin-port 0", address.port());
    let piped = Process::start(with_an_impatient_reader(&arguments));
    piped.stdout.wait_for("Four systems").await;

    // It notices with the next line that it writes.
    let asked = soon("an answer of the demo, or its end", async {
        while piped.stderr.text().is_empty() {
            if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
                let mut downstream = Downstream::over(stream);
                downstream.send("GET /zpax/orders HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
                let _ = downstream.answer_to("GET").await;
            }
        }
    });
    asked.await;

    assert_eq!(piped.ended().await.stderr, "code 0\n");
}

#[tokio::test]
async fn the_file_and_the_log_format_can_be_named_in_the_environment() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let file = files.write("elsewhere.yaml", &to(&upstream).text());
    let mut command = bearer_proxy(&["check"]);
    command.env("BEARER_PROXY_CONFIG", &file);
    let check = run_to_end(command).await;
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    assert!(check.stdout.starts_with(text(&file)));

    let mut command = bearer_proxy(&[]);
    command.env("BEARER_PROXY_CONFIG", &file).env("BEARER_PROXY_LOG_FORMAT", "json");
    let process = Process::start(command);
    let line = process.stderr.wait_for("listening").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["message"], "listening");
}

#[tokio::test]
async fn log_format_json_makes_every_line_an_object() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let file = files.write("proxy.yaml", &to(&upstream).text());
    let process =
        Process::start(bearer_proxy(&["--config", text(&file), "--log-format", "json", "--log-level", "debug"]));
    let line = process.stderr.wait_for("listening").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = line["listener"].as_str().unwrap().parse().unwrap();
    assert_eq!(Downstream::connect(address).await.get("/a?b=c").await.status(), 200);
    process.signal("TERM");
    let ended = process.ended().await;

    for line in ended.stderr.lines().chain(ended.stdout.lines()) {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let access: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&access["path"], &access["status"]), (&"/a".into(), &200.into()));
}

#[tokio::test]
async fn the_access_log_is_a_file_that_sighup_opens_again() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let yaml = to(&upstream).top("log: {access: ./access.log}\n").text();
    let process = Process::serving(&files.write("proxy.yaml", &yaml)).await;
    let mut downstream = Downstream::connect(process.listening().await).await;
    downstream.get("/first").await;
    let lines = async |name: &str, count: usize| {
        soon("lines in the log", async {
            while files.read(name).lines().count() < count {
                tokio::task::yield_now().await;
            }
            files.read(name)
        })
        .await
    };
    assert!(lines("access.log", 1).await.contains(" path=/first "));

    fs::rename(files.path("access.log"), files.path("access.log.1")).unwrap();
    downstream.get("/second").await;
    assert!(lines("access.log.1", 2).await.contains(" path=/second "), "it still writes where it wrote");
    process.signal("HUP");
    process.stderr.wait_for("is in force").await;
    downstream.get("/third").await;

    assert!(lines("access.log", 1).await.contains(" path=/third "));
    assert_eq!(files.read("access.log.1").lines().count(), 2);
    process.signal("TERM");
    assert_eq!(process.ended().await.stdout, "");
}

/// Runs what the demo says is to be typed.
async fn curl(line: &str) -> super::support::binary::Ended {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &line.replacen("curl ", "curl -sS --max-time 15 --noproxy '*' ", 1)]);
    run_to_end(command).await
}

#[tokio::test]
async fn what_the_demo_says_is_to_be_typed_works() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl here");
        return;
    }
    let demo = Process::start(bearer_proxy(&["demo", "--port", "0", "--admin-port", "0"]));
    demo.stdout.wait_for("What the authorization servers and the APIs see:").await;
    let said = demo.stdout.text();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 9, "{said}");

    for line in lines {
        let ended = if line.contains("/stream") { curl(&format!("{line}?ticks=1")).await } else { curl(line).await };
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}: {}", ended.stdout);
        let expected = match line {
            line if line.contains("-i ") => "HTTP/1.1 200 OK",
            line if line.contains("/echo") => "hello",
            line if line.contains("/stream") => "event: tick",
            line if line.contains("/metrics") => "bearer_proxy_build_info",
            line if line.contains("/revoke") => "\"revoked\":true",
            _ => "\"token\":",
        };
        assert!(ended.stdout.contains(expected), "{line}: {}", ended.stdout);
    }
    let shown = demo.stdout.wait_for("GET /orders with token 1, which was revoked").await;
    assert!(shown.contains("z-Pax") && shown.contains(" 401 "), "{shown}");
    demo.signal("INT");
    let ended = demo.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_port_that_the_demo_cannot_have_is_named() {
    let upstream = Upstream::saying("").await;
    let port = upstream.address().port().to_string();
    let demo = ended(&["demo", "--port", &port, "--admin-port", "0"]).await;
    assert_eq!((demo.code, demo.stdout.as_str()), (Some(1), ""));
    assert!(demo.stderr.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{}", demo.stderr);
    assert!(demo.stderr.contains("--port"), "{}", demo.stderr);
}

// R39: what would be refused is not explained as if it were not
#[tokio::test]
async fn explain_knows_what_is_refused_before_a_route_is_looked_for() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let file = files.write("proxy.yaml", &to(&upstream).text());
    for (method, url, status) in
        [("GET", "http://evil.example/orders", "421"), ("TRACE", "/orders", "405"), ("CONNECT", "/orders", "405")]
    {
        let said = ended(&["explain", method, url, "--config", text(&file)]).await;
        assert_eq!(said.code, Some(1), "{method} {url}");
        assert!(said.stdout.starts_with(status), "{method} {url}: {}", said.stdout);
    }
}
