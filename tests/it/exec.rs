//! A token that a command prints (`grant: exec`).

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use super::support::api::echo;
use super::support::binary::{Process, bearer_proxy, ended};
use super::support::{Captured, Downstream, Message, Proxy, Upstream, answer, eventually};

/// A proxy whose token this shell script prints; `more`: further keys, at four spaces.
async fn proxy(upstream: &Upstream, script: &str, more: &str) -> Proxy {
    Proxy::new().credential(&credential(script, more)).route("/", &upstream.url(), "api", "").start().await
}

fn credential(script: &str, more: &str) -> String {
    let script = script.replace('\'', "''");
    format!("  api:\n    grant: exec\n    command: sh\n    args: [-c, '{script}']\n{more}")
}

async fn ask(proxy: &Proxy) -> Message {
    Downstream::of(proxy).await.get("/orders").await
}

/// A path as text.
fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether a process with the number in this file is there. One that ended and was not waited for is not.
fn lives(file: &Path) -> bool {
    let number = std::fs::read_to_string(file).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

#[tokio::test]
async fn a_command_is_run_once_for_all_and_once_more_after_a_401() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let upstream = Upstream::answering_by(|request| match request.field("authorization") {
        Some("Bearer T1") if request.first_line().contains("/again") => answer("401 Unauthorized", &[], "no"),
        _ => echo(request),
    })
    .await;
    let script = format!(
        "echo x >> {0}; printf '{{\"access_token\":\"T%d\",\"expires_in\":3600}}' $(wc -l < {0})",
        shown(&count)
    );
    let proxy = proxy(&upstream, &script, "").await;

    let asked = futures(&proxy, 20).await;
    assert!(asked.iter().all(|status| *status == 200));
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    assert_eq!(Downstream::of(&proxy).await.get("/again").await.status(), 200);

    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\nx\n");
    assert_eq!(upstream.requests().pop().unwrap().fields("authorization"), ["Bearer T2"]);
}

/// The statuses of so many requests at once.
async fn futures(proxy: &Proxy, count: usize) -> Vec<u16> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..count {
        let mut downstream = Downstream::of(proxy).await;
        asked.spawn(async move { downstream.get("/orders").await.status() });
    }
    asked.join_all().await
}

#[tokio::test]
async fn what_helpers_print_is_understood() {
    let credential = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false},"status":{"expirationTimestamp":"2999-01-01T00:00:00Z","token":"K"}}"#;
    let gcloud = r#"{"credential":{"access_token":"G","token_expiry":"2999-01-01T00:00:00Z"}}"#;
    for (printed, more, token) in [
        (credential, "", "K"),
        (r#"{"access_token":"E","expiration":"2999-01-01T00:00:00Z"}"#, "", "E"),
        (gcloud, "    response: {access_token: /credential/access_token, expires_in: /credential/token_expiry}\n", "G"),
        ("plain-token\n", "    response: {access_token: \"\"}\n    lifetime: {default: 30m}\n", "plain-token"),
    ] {
        let upstream = Upstream::answering_by(echo).await;
        let proxy = proxy(&upstream, &format!("printf '%s' '{printed}'"), more).await;

        assert_eq!(ask(&proxy).await.status(), 200, "{printed}");

        assert_eq!(upstream.requests()[0].fields("authorization"), [format!("Bearer {token}")]);
    }
}

// As long as any token may, and not the 5 minutes of one that says nothing.
#[tokio::test]
async fn the_expiry_that_a_command_prints_counts() {
    for printed in [
        r#"{"access_token":"E","expiration":"2999-01-01T00:00:00Z"}"#,
        r#"{"kind":"ExecCredential","status":{"token":"K","expirationTimestamp":"2999-01-01T00:00:00Z"}}"#,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path(), &format!("echo '{printed}'"), "");
        let ended = ended(&["--config", shown(&file), "token", "api", "--verbose"]).await;
        assert!(ended.stderr.contains("lives for 31622400s"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_command_has_an_environment_of_its_own_no_input_and_no_shell() {
    let directory = tempfile::tempdir().unwrap();
    let (script, seen) = (directory.path().join("helper"), directory.path().join("seen"));
    let body = format!(
        "#!/bin/sh\nenv | cut -d= -f1 | sort > {0}\necho \"$PROFILE|$#|$2\" >> {0}\nwc -c >> {0}\necho '{{\"access_token\":\"T\"}}'\n",
        shown(&seen)
    );
    std::fs::write(&script, body).unwrap();
    set_executable(&script);
    let upstream = Upstream::answering_by(echo).await;
    let yaml = format!(
        "  api:\n    grant: exec\n    command: {}\n    args: [one, '$HOME; echo \"two\" > /dev/null']\n    env: {{PROFILE: prod}}\n",
        shown(&script)
    );
    let proxy = Proxy::new().credential(&yaml).route("/", &upstream.url(), "api", "").start().await;

    assert_eq!(ask(&proxy).await.status(), 200);

    let seen = std::fs::read_to_string(&seen).unwrap();
    let lines: Vec<_> =
        seen.lines().map(str::trim).filter(|line| !["PWD", "SHLVL", "_", "OLDPWD"].contains(line)).collect();
    let (environment, rest) = lines.split_at(lines.len() - 2);
    assert!(environment.iter().all(|name| ["PATH", "HOME", "PROFILE"].contains(name)), "{seen}");
    assert!(environment.contains(&"PROFILE") && environment.contains(&"PATH"), "{seen}");
    assert_eq!(rest, ["prod|2|$HOME; echo \"two\" > /dev/null", "0"]);
}

fn set_executable(script: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_command_that_fails_is_explained_in_the_log_and_no_token_is_to_be_had() {
    for (script, why) in [
        ("echo cannot log in >&2; exit 3", "`sh` ended with exit code 3; it said: cannot log in"),
        ("exec no-such-command", "exit code 127: what it wanted to run was not found"),
        ("exec /dev/null", "exit code 126: what it wanted to run cannot be run"),
        ("kill -9 $$", "`sh` was ended by signal 9"),
        ("exit 143", "something in it was ended by signal 15"),
        ("true", "what it printed is no token: no text at `/access_token` in an empty body"),
        ("echo '<html>'", "what it printed is no token: no text at `/access_token` in a page of HTML"),
        ("echo '{\"access_token\":\"T'", "a body that is broken off or no text"),
        ("echo '{\"access_token\":\"\"}'", "the access token is empty"),
        ("echo '{\"kind\":\"ExecCredential\",\"status\":{}}'", "no text at `/status/token` in an object"),
        ("echo '{\"access_token\":\"T\"}'; exit 1", "`sh` ended with exit code 1"),
        ("exec yes '{\"access_token\":\"T\"}'", "`sh` was killed: it printed more than 1 MiB"),
        ("exec sleep 1000", "`sh` was killed: it did not end within request.timeout"),
    ] {
        let captured = Captured::start();
        let upstream = Upstream::answering_by(echo).await;
        let timeout = if script.contains("sleep") { "200ms" } else { "20s" };
        let proxy = proxy(&upstream, script, &format!("    request: {{timeout: {timeout}}}\n")).await;

        // A caller may have waited for as long as the command may take.
        let answer = ask(&proxy).await;
        assert_eq!(answer.status(), 503, "{script}: {}", answer.text());
        eventually(script, || captured.text().contains(why)).await;
        let answer = ask(&proxy).await;
        let details = answer.field("proxy-status").unwrap().to_owned();

        assert!(details.contains("command_failed"), "{script}: {details}");
        assert!(!answer.body_text().contains("cannot log in") && !details.contains("cannot log in"));
        assert!(upstream.requests().is_empty());
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_said_so() {
    let captured = Captured::start();
    let upstream = Upstream::answering_by(echo).await;
    let yaml = "  api:\n    grant: exec\n    command: no-such-command-anywhere\n";
    let proxy = Proxy::new().credential(yaml).route("/", &upstream.url(), "api", "").start().await;

    assert_eq!(ask(&proxy).await.status(), 503);

    let why = "`no-such-command-anywhere` could not be started: there is no such command";
    assert!(captured.text().contains(why), "{}", captured.text());
}

#[tokio::test]
async fn at_the_time_limit_all_that_a_command_has_started_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let upstream = Upstream::answering_by(echo).await;
    // The shell ends at once; what it has started keeps the output open.
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}", shown(&child));
    let proxy = proxy(&upstream, &script, "    request: {timeout: 1s}\n").await;

    let began = Instant::now();
    assert_eq!(ask(&proxy).await.status(), 503);

    assert!(began.elapsed().as_secs() < 20);
    eventually("the end of the command's child", || child.exists() && !lives(&child)).await;
}

// R38
#[tokio::test]
async fn what_a_command_says_is_told_line_by_line_without_secrets_and_not_for_ever() {
    let captured = Captured::start();
    let mut script = String::from("echo \"first with $KEY and M4RK3D-token and $0\" >&2; ");
    script.push_str("i=0; while [ $i -lt 100 ]; do echo \"line $i\" >&2; i=$((i+1)); done; ");
    let _ = write!(script, "echo '{{\"access_token\":\"M4RK3D-token\"}}'; exit $CODE");
    for (code, status) in [(0, 200), (1, 503)] {
        let upstream = Upstream::answering_by(echo).await;
        let more = format!("    env: {{KEY: M4RK3D-key, CODE: \"{code}\"}}\n");
        let yaml = credential(&script, &more).replacen("']\n", "', '${ARG:-M4RK3D-arg}']\n", 1);
        let proxy = Proxy::new().credential(&yaml).route("/", &upstream.url(), "api", "").start().await;
        assert_eq!(ask(&proxy).await.status(), status);
        proxy.stop().await;
    }
    let told = captured.text();
    assert!(told.contains("first with <redacted> and <redacted> and <redacted>"), "{told}");
    assert!(told.contains("line 48") && !told.contains("line 49") && told.contains("(and more)"), "{told}");
    assert!(!told.contains("M4RK3D"), "{told}");
}

#[tokio::test]
async fn steps_may_follow_a_command() {
    let login = Upstream::answering(super::support::json_answer(r#"{"access_token":"B"}"#)).await;
    let upstream = Upstream::answering_by(echo).await;
    let more = format!("    then: [{{request: {{url: {}then, headers: {{x-a: '{{token}}'}}}}}}]\n", login.url());
    let proxy = proxy(&upstream, "echo '{\"access_token\":\"A\"}'", &more).await;

    assert_eq!(ask(&proxy).await.status(), 200);

    assert_eq!(login.requests()[0].fields("x-a"), ["A"]);
    assert_eq!(upstream.requests()[0].fields("authorization"), ["Bearer B"]);
}

/// A file for the binary, with a command beside it.
fn file(directory: &Path, script: &str, more: &str) -> std::path::PathBuf {
    let (helper, file) = (directory.join("helper"), directory.join("proxy.yaml"));
    std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
    set_executable(&helper);
    let text = format!(
        "listeners: [{{address: 127.0.0.1:0}}]\nlog: {{access: \"off\"}}\ncredentials:\n  api:\n    grant: exec\n\
         \x20   command: ./helper\n{more}routes: [{{upstream: 'http://127.0.0.1:9/', credential: api}}]\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn a_command_beside_the_file_is_found_and_token_explains_it() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo \"about $KEY\" >&2; echo '{\"access_token\":\"T\",\"expires_in\":60}'";
    let file = file(directory.path(), script, "    args: [one]\n    env: {KEY: M4RK3D-key}\n");

    let ended = ended(&["--config", shown(&file), "token", "api", "--verbose"]).await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "T\n"), "{ended:?}");
    for line in ["helper", "arguments: 1", "environment: PATH, HOME, KEY", "it ended well", "it said: about <redacted>"]
    {
        assert!(ended.stderr.contains(line), "{line} is not in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("M4RK3D") && ended.stderr.contains("60s"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_command_ends_with_the_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", shown(&child));
    let file = file(directory.path(), &script, "    request: {timeout: 100s}\n");
    for signals in [["TERM", "TERM"], ["INT", "TERM"]] {
        let process = Process::serving(&file).await;
        let mut downstream = Downstream::connect(process.listening().await).await;
        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        eventually("the command", || child.exists()).await;
        assert!(lives(&child));

        process.signal(signals[0]);
        process.stderr.wait_for("a second signal stops at once").await;
        process.signal(signals[1]);
        process.ended().await;

        eventually("the end of the command", || !lives(&child)).await;
        std::fs::remove_file(&child).unwrap();
    }

    let process = Process::start(bearer_proxy(&["--config", shown(&file), "token", "api"]));
    eventually("the command", || child.exists()).await;
    process.signal("INT");
    assert_eq!(process.ended().await.code, Some(1));
    eventually("the end of the command", || !lives(&child)).await;
}
