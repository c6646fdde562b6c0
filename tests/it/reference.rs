//! What README.md says is so: its files are right, its keys, metrics, errors and commands are those there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use bearer_proxy::config;
use bearer_proxy::config::Config;
use bearer_proxy::config::ConfigError;

use super::support::{Downstream, Proxy, Upstream};

const README: &str = include_str!("../../README.md");
const EVERYTHING: &str = include_str!("reference/everything.yaml");

// DESIGN.md section 4
#[test]
fn every_file_in_the_readme_is_right() {
    let blocks = blocks("yaml");
    assert!(blocks.len() > 6, "{} found", blocks.len());
    for block in blocks {
        let config = parse(&complete(block)).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(config.warnings, [], "{block}");
    }
}

// DESIGN.md section 4
#[test]
fn a_file_with_every_key_is_right() {
    let config = parse(EVERYTHING).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings, []);
    let written: BTreeSet<_> = words(EVERYTHING, |text| text.starts_with(':')).collect();
    // There is one store in a file.
    let other = ["file", "path"];
    let missing: Vec<_> =
        keys().into_iter().filter(|key| !written.contains(key.as_str()) && !other.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "everything.yaml lacks {missing:?}");
}

#[test]
fn the_readme_knows_every_key_and_no_other() {
    let (_, reference) = README.split_once("\n## The file\n").unwrap();
    let (reference, _) = reference.split_once("\n## Commands\n").unwrap();
    let keys = keys();
    let spans: Vec<&str> = reference.split('`').skip(1).step_by(2).collect();
    let named: BTreeSet<&str> = spans.iter().flat_map(|span| span.split(['.', ':', '{', '}', ',', ' '])).collect();
    let missing: Vec<_> = keys.iter().filter(|key| !named.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "README.md lacks {missing:?}");

    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let described =
        rows.flat_map(|cell| cell.split(['`', ',', '.', ' '])).filter(|word| !word.is_empty() && *word != "or");
    for word in described {
        assert!(keys.contains(word), "README.md describes {word}, which is no key");
    }
}

#[tokio::test]
async fn the_readme_knows_every_metric_and_no_other() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    Downstream::of(&proxy).await.get("/").await;
    let there: BTreeSet<String> = proxy
        .metrics()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let named: BTreeSet<String> =
        words(README, |_| true).filter(|word| word.starts_with("bearer_proxy_")).map(str::to_owned).collect();
    assert_eq!(named, there);
}

#[tokio::test]
async fn a_request_that_gets_no_route_is_counted_by_its_status() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new().route("/api/", &upstream.url(), "none", "").start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/elsewhere").await.status(), 404);
    assert_eq!(Downstream::of(&proxy).await.get("/api/../x").await.status(), 400);
    let metrics = proxy.metrics();
    for status in [404, 400] {
        let line = format!("bearer_proxy_requests_refused_total{{status=\"{status}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

// DESIGN.md section 6
#[test]
fn the_readme_knows_every_error_and_no_other() {
    let source = include_str!("../../src/forward/respond.rs").split("mod tests").next().unwrap();
    let errors: BTreeSet<&str> = source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    let (_, table) = README.split_once("| what | status | `error` |\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| *word != "details")
        .collect();
    assert_eq!(named, errors);
}

// DESIGN.md section 7
#[test]
fn the_readme_knows_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_bearer-proxy")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let commands: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run"), "{help}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(README.contains(&format!("| `bearer-proxy {command}")), "README.md lacks {command}");
    }
}

/// What is fenced as `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    README.split(fence.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// A block that is a part of a file, made whole: with a listener, with a store that lasts, with routes that use its
/// credentials.
fn complete(block: &str) -> String {
    let mut text = format!("{block}\n");
    let has = |section: &str| text.lines().any(|line| line == section);
    let (listeners, routes) = (has("listeners:"), has("routes:"));
    if !listeners {
        text.push_str("listeners: [{address: 127.0.0.1:0}]\n");
        if !block.contains("token_store:") {
            text.push_str("token_store: {file: {path: ./tokens, key: \"${STORE_KEY}\"}}\n");
        }
    }
    if !routes {
        text.push_str("routes:\n");
        let credentials = block.lines().skip_while(|line| *line != "credentials:").skip(1);
        let credentials = credentials.take_while(|line| line.starts_with(' ') || line.is_empty());
        let names = credentials.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        for name in names.filter(|name| !name.starts_with(' ')) {
            text.push_str(&format!("  - {{path: /{name}/, upstream: https://api.example.com/, credential: {name}}}\n"));
        }
    }
    text
}

/// As `check` does, on a machine that has every file that the text names, and every variable.
fn parse(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let text = ["/run/", "/etc/"].iter().fold(text.to_owned(), |text, place| {
        text.replace(&format!("file:{place}"), &format!("file:{}{place}", root.display()))
    });
    let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    let pair = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let account = serde_json::json!({"type": "service_account", "client_email": "me@example.com",
        "private_key": made.signing_key.serialize_pem(), "token_uri": "https://oauth2.googleapis.com/token"});
    let account = account.to_string();
    for path in text.split([' ', '\n', '}', ',', '"']).filter_map(|word| {
        let word = word.strip_prefix("${file:").unwrap_or(word);
        let is_key = [".pem", ".key", ".p8", ".json", ".jwt"].iter().any(|end| word.ends_with(end));
        (is_key || word.contains("secret") || word.contains("/run/")).then_some(word)
    }) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let is_text = path.to_str().is_some_and(|path| path.contains("secret") || path.contains("/run/"));
        let content = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => &account,
            Some("key") => rsa(),
            _ if is_text => "something that is long enough to be a key",
            _ => &pair,
        };
        fs::write(&path, content).unwrap();
    }
    config::parse(&text, &root.join("proxy.yaml"), &|_| Some("a value that is long enough to be a key".to_owned()))
}

/// A private key, made once: that takes a while.
fn rsa() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem())
}

/// The keys of every section of the file, out of the source that reads it.
fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect_keys(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config"), &mut keys);
    assert!(keys.len() > 80, "only {keys:?}");
    keys
}

fn collect_keys(directory: &Path, keys: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            collect_keys(&path, keys);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            for section in source.split("\nsection! {").skip(1) {
                let (body, _) = section.split_once("\n}").unwrap();
                let fields = body.lines().skip_while(|line| !line.contains("struct ")).skip(1);
                let fields = fields.take_while(|line| *line != "    }").filter(|line| !line.trim().starts_with('#'));
                keys.extend(fields.filter_map(|line| line.trim().split_once(':')).map(|(key, _)| key.to_owned()));
            }
        }
    }
}

/// The words of a text behind which something stands.
fn words(text: &str, behind: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|char: char| char.is_alphanumeric() || char == '_')?;
            let word = &rest[start..];
            let end = word.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(word.len());
            rest = &word[end..];
            if behind(rest) {
                return Some(&word[..end]);
            }
        }
    })
}
