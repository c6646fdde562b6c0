//! The house as DESIGN.md section 8 draws it: which room may know which, which file may name which dependency, how many
//! seams there are, how long a file may be. Reads the source as text; knows no Rust beyond what that takes.
//!
//! A failure here is a question: does the code belong in another room, or is the drawing to be changed? An exception
//! is written down below, with its reason, and is a failure itself when nobody needs it any more.

#![allow(clippy::expect_used, reason = "a test that cannot read the source has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Which room may name which others. Anything not written here is forbidden.
const MAY_NAME: &[(&str, &[&str])] = &[
    // Leaves: they know nobody, but what a secret is.
    ("allocator", &[]),
    ("secret", &[]),
    ("tcp", &[]),
    ("jose", &["secret"]),
    ("tls", &[]),
    ("access", &[]),
    ("route", &[]),
    ("telemetry", &[]),
    ("demo", &[]),
    // Getting and keeping tokens; talking to an API.
    ("upstream", &["tcp", "tls"]),
    ("token", &["secret", "tls"]),
    ("oauth", &["token", "secret", "tls", "jose"]),
    // A request's way. `forward` and `oauth` do not know each other: that is the wall that matters.
    ("forward", &["route", "token", "upstream", "telemetry"]),
    ("server", &["forward", "access", "telemetry", "tcp", "tls"]),
    ("admin", &["token", "telemetry"]),
    // What is written in the file becomes the settings of every room.
    (
        "config",
        &[
            "secret",
            "jose",
            "tls",
            "access",
            "route",
            "telemetry",
            "upstream",
            "token",
            "oauth",
            "forward",
            "server",
            "admin",
        ],
    ),
    // Puts the rooms together, and knows them all but those that begin the process.
    (
        "app",
        &["config", "server", "admin", "forward", "route", "upstream", "token", "oauth", "telemetry", "tls", "secret"],
    ),
    ("cli", &["app", "config", "demo"]),
];

/// What single files may name beyond what their room may.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[
    ("src/cli/mod.rs", &["telemetry"], "`--log-format` overrides what the file says, in the file's own type"),
    ("src/cli/run.rs", &["telemetry"], "diagnostics begin before anything runs and end after everything"),
    ("src/cli/credential.rs", &["oauth", "token"], "the client of one credential, with its store and without a proxy"),
    ("src/cli/login.rs", &["oauth"], "asks the authorization server itself: a login needs no proxy"),
    ("src/cli/logout.rs", &["oauth"], "likewise"),
    ("src/cli/status.rs", &["oauth", "token"], "what the store knows, where no proxy runs that could be asked"),
    ("src/cli/token.rs", &["oauth", "secret"], "asks for one token as the proxy would, without a proxy"),
    (
        "src/cli/explain.rs",
        &["route", "forward", "upstream", "token"],
        "asks the very functions that a request meets: a second opinion would be another opinion",
    ),
];

/// Dependencies that have one place, so that moving to another is a change of that place.
const NAMED_IN: &[(&str, &[&str], &str)] = &[
    ("reqwest", &["src/oauth/endpoint.rs"], "the one HTTP call of the control plane"),
    ("serde_yaml", &["src/config/yaml.rs"], "the crate behind the name has had two majors in a year"),
    (
        "rustls",
        &[
            "src/tls/",
            "src/server/mod.rs",
            "src/upstream/connector.rs",
            "src/upstream/environment.rs",
            "src/oauth/endpoint.rs",
            "src/token/store/redis/link.rs",
            "src/app/listening.rs",
            "src/cli/mod.rs",
        ],
        "built in tls/; beside it are those who hold what was built, tell its errors apart, or begin the process",
    ),
    ("tokio::process", &["src/oauth/process.rs"], "the one place that starts a process"),
    ("tokio_rustls", &["src/server/", "src/upstream/connector.rs", "src/token/store/redis/link.rs"], "handshakes"),
    (
        "redis",
        &["src/token/store/redis/", "src/token/store/mod.rs"],
        "its protocol; the second names the module that is called so",
    ),
    (
        "aws_lc_rs",
        &[
            "src/tls/",
            "src/jose/",
            "src/oauth/refresh_tokens.rs",
            "src/oauth/login/",
            "src/token/subjects.rs",
            "src/token/dpop/",
            "src/token/store/seal.rs",
            "src/demo/",
            "src/cli/mod.rs",
        ],
        "randomness, digests, signatures, and what a store encrypts with",
    ),
    ("hyper_util::client", &["src/upstream/connector.rs"], "for its connector: the pool is ours"),
    ("prometheus_client", &["src/telemetry/metrics/exposition.rs"], "the hot path counts in plain atomics"),
    ("tracing_subscriber", &["src/telemetry/diagnostics.rs"], "the library only speaks; the process listens"),
    ("httparse", &["src/upstream/interim/heads.rs"], "the heads that hyper skips; it reads all others itself"),
    ("moka", &["src/token/subjects.rs"], "a bounded map of what callers bring; all else is known by name"),
    ("open", &["src/cli/login.rs"], "a browser is for the person at this terminal"),
    ("qrcode", &["src/cli/login.rs"], "likewise, for the telephone beside it"),
    ("clap", &["src/cli/"], "arguments are the binary's"),
    (
        "std::env",
        &[
            "src/config/mod.rs",
            "src/telemetry/diagnostics.rs",
            "src/server/bound.rs",
            "src/cli/",
            "src/oauth/process.rs",
        ],
        "the environment is read by the file's reader, and for RUST_LOG, the journal, systemd's sockets, NO_COLOR, and \
         what a command needs of it",
    ),
];

/// The seams (DESIGN.md section 8), and two traits that are none: how a type reads itself from the file; and what moves a
/// connection's bytes, for those who need not know of what stream and what body.
const TRAITS: &[&str] = &["TokenSource", "TokenStore", "Grant", "ClientAuth", "Read", "Driver"];

/// Lines of a file without its tests.
const LONGEST: usize = 300;

/// Files that may be longer, and how long.
const LONGER: &[(&str, usize, &str)] =
    &[("src/forward/body.rs", 340, "the replayed body is one state machine; its halves have no meaning alone")];

/// A file of `src/`.
struct Source {
    /// `src/oauth/endpoint.rs`.
    path: String,
    /// `oauth`; `lib` and `main` are none.
    room: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 100, "only {} files found: is this the right directory?", files.len());
    files
        .into_iter()
        .map(|file| {
            let inside = file.strip_prefix(root).expect("it was found below");
            let path = inside.to_str().expect("names are ASCII").to_owned();
            let room = path.split('/').nth(1).expect("below src/").trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a source file can be read");
            Source { path, room, text }
        })
        .collect()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory can be read") {
        let path = entry.expect("its entries too").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The text without the unit tests at its end.
    fn code(&self) -> &str {
        let tests = self.text.find("#[cfg(test)]\nmod tests {");
        tests.and_then(|at| self.text.get(..at)).unwrap_or(&self.text)
    }

    /// The rooms it names by `crate::`, or by more `super::` than it is deep. Another thing than a room is `""`:
    /// `use crate::{a, b}` would hide rooms from this test and from readers.
    fn rooms(&self) -> BTreeSet<&str> {
        let mut named: BTreeSet<&str> = self.text.split("crate::").skip(1).map(first_word).collect();
        let depth = self.path.trim_end_matches("/mod.rs").split('/').count() - 1;
        let climb = "super::".repeat(depth);
        let known = |word: &&str| MAY_NAME.iter().any(|(room, _)| room == word);
        named.extend(self.text.split(&climb).skip(1).map(first_word).filter(known));
        named
    }

    /// The rooms it names and may not.
    fn forbidden(&self) -> Vec<&str> {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(room, _)| *room == self.room) else { return Vec::new() };
        let excepted = EXCEPTIONS.iter().filter(|(file, ..)| *file == self.path).flat_map(|(_, rooms, _)| *rooms);
        let allowed: Vec<_> = allowed.iter().chain(excepted).collect();
        self.rooms().into_iter().filter(|room| *room != self.room && !allowed.contains(&room)).collect()
    }
}

/// What stands at the beginning of `text` and could be a name.
fn first_word(text: &str) -> &str {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or_default()
}

/// Whether `text` names the crate or module, other than in a longer name.
fn names(text: &str, module: &str) -> bool {
    let path = format!("{module}::");
    let begins = |at: usize| !text[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_');
    text.match_indices(&path).any(|(at, _)| begins(at))
}

#[test]
fn every_room_is_drawn() {
    let drawn: BTreeSet<_> = MAY_NAME.iter().map(|(room, _)| (*room).to_owned()).collect();
    let mut built: BTreeSet<_> = sources().into_iter().map(|source| source.room).collect();
    assert!(built.remove("lib") && built.remove("main"));
    assert_eq!(built, drawn);
}

#[test]
fn no_room_names_one_that_it_may_not_know() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|source| source.forbidden().into_iter().map(|room| format!("{} names `{room}`", source.path)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n(one `use crate::room::…;` a line)");
}

#[test]
fn every_arrow_and_every_exception_is_needed() {
    let sources = sources();
    for (room, allowed) in MAY_NAME {
        for other in *allowed {
            let used = sources.iter().any(|source| source.room == *room && source.rooms().contains(other));
            assert!(used, "{room} may name {other}, and does not: take the arrow away");
        }
    }
    for (file, rooms, _) in EXCEPTIONS {
        let source = sources.iter().find(|source| source.path == *file).expect("an exception is for a file");
        for room in *rooms {
            assert!(source.rooms().contains(room), "{file} may name {room}, and does not: take it away");
        }
    }
}

#[test]
fn the_arrows_make_no_circle() {
    let mut left: Vec<_> = MAY_NAME.to_vec();
    while !left.is_empty() {
        let names: Vec<_> = left.iter().map(|(room, _)| *room).collect();
        let before = left.len();
        left.retain(|(_, others)| others.iter().any(|other| names.contains(other)));
        assert!(left.len() < before, "a circle: {names:?}");
    }
}

#[test]
fn the_data_plane_cannot_learn_how_a_token_was_got() {
    let source = |text: &str| Source {
        path: "src/forward/mod.rs".to_owned(),
        room: "forward".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(source("use crate::oauth::Grant;").forbidden(), ["oauth"]);
    assert_eq!(source("use super::oauth::Grant;").forbidden(), ["oauth"]);
    assert_eq!(source("use crate::{oauth, token};").forbidden(), [""]);
    assert!(source("use crate::token::TokenCache;\nuse super::Target;").forbidden().is_empty());
}

#[test]
fn a_dependency_is_named_where_it_belongs() {
    let sources: Vec<_> = sources().into_iter().filter(|source| !source.is_test()).collect();
    for (module, places, reason) in NAMED_IN {
        for source in &sources {
            let at_home = places.iter().any(|place| source.path.starts_with(place));
            assert!(
                at_home || !names(source.code(), module),
                "{} names {module}; only {places:?}: {reason}",
                source.path
            );
        }
        for place in *places {
            let mut there = sources.iter().filter(|source| source.path.starts_with(place));
            assert!(there.any(|source| names(source.code(), module)), "{place} may name {module}, and does not");
        }
    }
}

#[test]
fn there_are_four_seams() {
    let mut traits: Vec<String> = Vec::new();
    for source in sources() {
        let lines = source.code().lines().map(|line| line.trim_start().trim_start_matches("pub"));
        let lines =
            lines.map(|line| line.split_once(") ").filter(|_| line.starts_with('(')).map_or(line, |(_, rest)| rest));
        traits.extend(
            lines.filter_map(|line| line.trim_start().strip_prefix("trait ")).map(|rest| first_word(rest).to_owned()),
        );
    }
    traits.sort();
    let mut drawn = TRAITS.to_vec();
    drawn.sort_unstable();
    assert_eq!(traits, drawn);
}

#[test]
fn nothing_is_unsafe_but_the_allocator() {
    assert!(include_str!("../src/lib.rs").contains("#![deny(unsafe_code)]"));
    assert!(include_str!("../src/main.rs").contains("#![forbid(unsafe_code)]"));
    for source in sources() {
        // What says so in one file; a macro of a dependency could still write it for us.
        let is_unsafe = source.text.contains("unsafe {") || source.text.contains("allow(unsafe_code");
        assert_eq!(is_unsafe, source.path == UNSAFE, "{}", source.path);
    }
}

/// The one file that may be, and says why.
const UNSAFE: &str = "src/allocator.rs";

#[test]
fn a_file_is_read_in_one_sitting() {
    let sources = sources();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let length = source.code().lines().count();
        let longest = LONGER.iter().find(|(file, ..)| *file == source.path).map_or(LONGEST, |(_, length, _)| *length);
        assert!(length <= longest, "{} has {length} lines without its tests, and may have {longest}", source.path);
    }
    for (file, ..) in LONGER {
        let source = sources.iter().find(|source| source.path == *file).expect("an exception is for a file");
        assert!(source.code().lines().count() > LONGEST, "{file} is short enough: take the exception away");
    }
}

#[test]
fn a_module_begins_by_saying_what_it_is_for() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        assert!(source.text.starts_with("//! "), "{} has no header", source.path);
    }
}
