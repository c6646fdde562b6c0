//! `${NAME}`, `${NAME:-default}`, `${file:/path}` and `$${` inside scalars.
//!
//! Replaced after the YAML is parsed, so that a value can never become structure; what is put in is never looked at
//! again. Keys are left alone. A file stays a reference here, so that it can be read again; that it can be read at all
//! is seen to now.

use std::path::Path;

use super::node::Node;
use super::node::Scalar;
use super::node::Value;
use super::read::Reader;
use crate::secret::Part;
use crate::secret::Secret;
use crate::secret::SecretSource;

/// Where environment variables come from.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces in every scalar below `node`.
pub(crate) fn substitute(node: &mut Node, environment: Environment<'_>, reader: &mut Reader<'_>) {
    let place = match &node.value {
        Value::Scalar(scalar) if scalar.text().is_some_and(|text| text.contains("${")) => reader.place(node),
        Value::List(_) | Value::Map(_) => reader.place(node),
        Value::Nothing | Value::Broken | Value::Scalar(_) => return,
    };
    match &mut node.value {
        Value::Scalar(scalar) => {
            let mut pieces =
                Pieces { parts: Vec::new(), mistakes: Vec::new(), directory: reader.directory, environment };
            pieces.read(scalar.text().unwrap_or_default());
            if pieces.mistakes.is_empty() {
                *scalar = Scalar { parts: pieces.parts, bare: false, substituted: true };
                return;
            }
            for mistake in pieces.mistakes {
                reader.wrong(&place, mistake);
            }
            node.value = Value::Broken;
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                reader.within(&format!("[{index}]"), |reader| substitute(item, environment, reader));
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                reader.within_key(&entry.key, |reader| substitute(&mut entry.node, environment, reader));
            }
        }
        Value::Nothing | Value::Broken => {}
    }
}

struct Pieces<'a> {
    parts: Vec<Part>,
    mistakes: Vec<String>,
    directory: &'a Path,
    environment: Environment<'a>,
}

impl Pieces<'_> {
    fn read(&mut self, text: &str) {
        let mut rest = text;
        let mut literal = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let Some((inside, behind)) = after.split_once('}') else {
                self.mistakes.push("`${` without `}`; write `$${` for a `${` that is meant as text".to_owned());
                return;
            };
            rest = behind;
            match self.resolve(inside) {
                Ok(Part::Value(value)) if value.expose().is_empty() => {}
                Ok(part) => {
                    self.push(&mut literal);
                    self.parts.push(part);
                }
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
        literal.push_str(rest);
        self.push(&mut literal);
    }

    fn push(&mut self, literal: &mut String) {
        let text = Secret::new(std::mem::take(literal));
        if !text.expose().is_empty() {
            self.parts.push(Part::Text(text));
        }
    }

    /// What stands between `${` and `}`.
    fn resolve(&self, inside: &str) -> Result<Part, String> {
        if inside.contains("${") {
            return Err("`${…}` cannot stand inside `${…}`".to_owned());
        }
        if let Some(path) = inside.strip_prefix("file:") {
            return self.file(path);
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err("after `${` comes NAME}, NAME:-default} or file:/path}; write `$${` for a `${` that is meant \
                        as text"
                .to_owned());
        }
        // As in a shell, `:-` also stands in for a variable that is set but empty.
        match ((self.environment)(name), default) {
            (Some(value), None) => Ok(Part::Value(Secret::new(value))),
            (Some(value), Some(_)) if !value.is_empty() => Ok(Part::Value(Secret::new(value))),
            (_, Some(default)) => Ok(Part::Value(Secret::new(default))),
            (None, None) => {
                Err(format!("the environment variable {name} is not set; set it, or write `${{{name}:-default}}`"))
            }
        }
    }

    fn file(&self, path: &str) -> Result<Part, String> {
        if path.is_empty() || path.chars().any(char::is_control) {
            return Err("`${file:` needs a path, as in `${file:/run/secrets/x}`".to_owned());
        }
        let part = Part::File(self.directory.join(path));
        match SecretSource::from_parts(vec![part.clone()]).read() {
            Ok(_) => Ok(part),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
