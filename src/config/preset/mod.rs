//! `preset` and `with` of a credential: what is known of a provider, filled in as if it had been written.
//!
//! Happens to the tree, before anything in it is read: a preset is data (`presets.yaml`), and can say whatever a file
//! can. What the credential itself says goes before; mappings are merged key by key, and a key with nothing behind it
//! takes away what the preset says. Mistakes in what was filled in are told at the preset's name, or at the parameter
//! that made them.

mod catalogue;

use std::borrow::Cow;

pub use catalogue::Preset;
pub use catalogue::presets;

use super::node::Entry;
use super::node::Node;
use super::node::Scalar;
use super::node::Value;
use super::read::Place;
use super::read::Read;
use super::read::Reader;
use super::read::suggest;
use crate::secret::Part;
use crate::secret::Secret;

/// `preset` and `with`, once [`fill`] has read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled;

impl Read for Filled {
    fn read(_node: &Node, _reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// A credential with its preset filled in; as it is when it has none.
pub(crate) fn fill<'n>(node: &'n Node, reader: &mut Reader<'_>) -> Option<Cow<'n, Node>> {
    let Value::Map(written) = &node.value else { return Some(Cow::Borrowed(node)) };
    let with = written.iter().find(|entry| entry.key == "with");
    let Some(named) = written.iter().find(|entry| entry.key == "preset") else {
        if let Some(with) = with {
            let message = "fills in a preset; write `preset: NAME` beside it";
            reader.within("with", |reader| reader.refuse::<()>(&with.node, message));
        }
        return Some(Cow::Borrowed(node));
    };
    let preset = reader.within("preset", |reader| find(&named.node, reader))?;
    let arguments = arguments(preset, named, with, reader)?;
    reader.fill_from(&named.node);
    let said = preset.says().iter().map(|entry| placed(entry, &named.node, &arguments));
    let said: Vec<Entry> = said.filter(|entry| !written.iter().any(|own| rivals(&own.key, &entry.key))).collect();
    Some(Cow::Owned(Node { value: Value::Map(overlay(written, said)), ..*node }))
}

fn find(node: &Node, reader: &mut Reader<'_>) -> Option<&'static Preset> {
    let name = reader.text("the name of a preset", node)?;
    match Preset::find(&name) {
        Ok(preset) => Some(preset),
        Err(Some(meant)) => reader.refuse(node, format_args!("no preset has this name; did you mean \"{meant}\"?")),
        Err(None) => reader.refuse(node, "no preset has this name; `bearer-proxy presets` lists them"),
    }
}

/// A parameter of a preset, as it is to be filled in.
struct Argument<'n> {
    name: &'static str,
    text: String,
    /// Where it is written; `None`: it is the default.
    node: Option<&'n Node>,
}

/// Every parameter of the preset: from `with`, else its default.
fn arguments<'n>(
    preset: &'static Preset,
    named: &Entry,
    with: Option<&'n Entry>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Argument<'n>>> {
    let given = match with {
        None => &[][..],
        Some(Entry { node: Node { value: Value::Map(entries), .. }, .. }) => entries,
        Some(other) => {
            return reader.within("with", |reader| reader.expected("a mapping of parameters", &other.node));
        }
    };
    let mut sound = true;
    for entry in given.iter().filter(|entry| preset.parameters().iter().all(|known| known.name != entry.key)) {
        reader.within("with", |reader| {
            let at = Place { line: entry.line, column: entry.column, ..reader.place(&entry.node) };
            reader.wrong(&at, unknown(preset, &entry.key));
        });
        sound = false;
    }
    let mut arguments = Vec::new();
    for parameter in preset.parameters() {
        let entry = given.iter().find(|entry| entry.key == parameter.name);
        let text = match (entry, &parameter.default) {
            (Some(entry), _) => reader.within("with", |reader| {
                reader.within(&parameter.name, |reader| reader.parse("text", &entry.node, checked))
            }),
            (None, Some(default)) => Some(default.clone()),
            // Said once: whoever has misspelt it is told so above.
            (None, None) if !sound => None,
            (None, None) => {
                let (name, what, example) = (&parameter.name, &parameter.what, &parameter.example);
                reader.within("preset", |reader| {
                    let message = format_args!("\"{name}\" is missing ({what}); write `with: {{{name}: {example}}}`");
                    reader.refuse(&named.node, message)
                })
            }
        };
        sound &= text.is_some();
        let node = entry.map(|entry| &entry.node);
        arguments.extend(text.map(|text| Argument { name: &parameter.name, text, node }));
    }
    sound.then_some(arguments)
}

fn unknown(preset: &Preset, key: &str) -> String {
    let names = || preset.parameters().iter().map(|parameter| parameter.name.as_str());
    match (suggest(key, names()), names().collect::<Vec<_>>().join(", ")) {
        (Some(meant), _) => format!("the preset has no such parameter; did you mean \"{meant}\"?"),
        (None, known) if known.is_empty() => "the preset has no parameters; remove it".to_owned(),
        (None, known) => format!("the preset has no such parameter; there are {known}"),
    }
}

/// What could turn the URL around it into another one is no parameter: a query, a fragment, white space.
fn checked(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\<>\"{}".contains(&byte));
    match text {
        "" => Err("must not be empty"),
        _ if !plain => Err("must be visible ASCII without `?`, `#`, `\\`, quotes or brackets"),
        text => Ok(text.to_owned()),
    }
}

/// An entry of a preset, at the place of the preset's name, or of the first parameter in it.
fn placed(entry: &Entry, at: &Node, arguments: &[Argument<'_>]) -> Entry {
    Entry { line: at.line, column: at.column, key: entry.key.clone(), node: placed_node(&entry.node, at, arguments) }
}

fn placed_node(node: &Node, at: &Node, arguments: &[Argument<'_>]) -> Node {
    let (mut line, mut column) = (at.line, at.column);
    let value = match &node.value {
        Value::Map(entries) => Value::Map(entries.iter().map(|entry| placed(entry, at, arguments)).collect()),
        Value::List(items) => Value::List(items.iter().map(|item| placed_node(item, at, arguments)).collect()),
        Value::Scalar(scalar) => {
            let text = scalar.text().unwrap_or_default();
            let used = || arguments.iter().filter(|argument| text.contains(&format!("<{}>", argument.name)));
            if let Some(source) = used().find_map(|argument| argument.node) {
                (line, column) = (source.line, source.column);
            }
            match used().next() {
                None => Value::Scalar(scalar.clone()),
                Some(_) => filled(text, used()),
            }
        }
        Value::Nothing | Value::Broken => node.value.clone(),
    };
    Node { line, column, value }
}

fn filled<'a, 'n: 'a>(text: &str, arguments: impl Iterator<Item = &'a Argument<'n>>) -> Value {
    let mut text = text.to_owned();
    let mut substituted = false;
    for argument in arguments {
        text = text.replace(&format!("<{}>", argument.name), &argument.text);
        substituted |= matches!(argument.node, Some(Node { value: Value::Scalar(scalar), .. }) if scalar.substituted);
    }
    Value::Scalar(Scalar { parts: vec![Part::Text(Secret::new(text))], bare: false, substituted })
}

/// Two keys that say the same: the one that is written takes the other's place.
fn rivals(one: &str, other: &str) -> bool {
    matches!((one, other), ("issuer", "token_url") | ("token_url", "issuer"))
}

/// Mappings that mean one thing of several: half of one and half of another is neither.
const WHOLE: [&str; 2] = ["inject", "body"];

fn overlay(written: &[Entry], said: Vec<Entry>) -> Vec<Entry> {
    let mut merged: Vec<Entry> = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for entry in said {
        let Some(own) = written.iter().find(|own| own.key == entry.key) else {
            merged.push(entry);
            continue;
        };
        done.push(&own.key);
        match (&own.node.value, entry.node.value) {
            // `grant_type: null` has a meaning of its own: the parameter is left out.
            (Value::Nothing, _) if own.key != "grant_type" => {}
            (Value::Map(own_entries), Value::Map(said)) if !WHOLE.contains(&own.key.as_str()) => {
                let value = Value::Map(overlay(own_entries, said));
                merged.push(Entry { node: Node { value, ..own.node }, key: own.key.clone(), ..*own });
            }
            _ => merged.push(own.clone()),
        }
    }
    merged.extend(written.iter().filter(|own| !done.contains(&own.key.as_str())).cloned());
    merged
}
