//! The file as people write it: what it becomes, and what is said of its mistakes.

mod limits;
mod meaning;
mod mistakes;
mod presets;
mod secrets;

use super::*;

/// Parses with `ID`, `SECRET` and `EMPTY` in the environment.
fn parse_text(text: &str) -> Result<Config, ConfigError> {
    let environment = |name: &str| match name {
        "ID" => Some("the-id".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        "HASH" => Some("a: {b: ${ID}} # c".to_owned()),
        "OTHER" => Some("other".to_owned()),
        _ => None,
    };
    parse(text, Path::new("proxy.yaml"), &environment)
}

fn right(text: &str) -> Config {
    parse_text(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Each line two spaces deeper, after the first.
fn indent(text: &str, by: usize) -> String {
    text.trim().lines().collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(by)))
}

/// A file with these keys beside the address of a listener.
fn listener_with(keys: &str) -> String {
    format!("routes: [{{upstream: https://api.example, credential: none}}]\nlisteners:\n  - {}\n", indent(keys, 4))
}

/// A file with these keys beside the `upstream` of a route without credential.
fn route_with(keys: &str) -> String {
    format!("listeners: [{{address: 127.0.0.1:1}}]\nroutes:\n  - {}\n", indent(keys, 4))
}

/// A file with these keys as a credential that a route uses.
fn credential_with(keys: &str) -> String {
    format!(
        "listeners: [{{address: 127.0.0.1:1}}]\nroutes: [{{upstream: https://api.example, credential: one}}]\n\
         credentials:\n  one:\n    {}\n",
        indent(keys, 4)
    )
}

/// A file with these keys at the top level.
fn top_with(keys: &str) -> String {
    format!(
        "listeners: [{{address: 127.0.0.1:1}}]\nroutes: [{{upstream: https://api.example, credential: none}}]\n{keys}\n"
    )
}
