//! The file as a tree with positions: what YAML says, before anybody asks what it means.
//!
//! Scalars keep their text: `0123`, `1.10`, `on` and `true` become numbers or truth values only where a key wants one.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::hash::RandomState;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use crate::secret::Part;

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// What stands there.
    pub(crate) value: Value,
}

/// What a node can be.
#[derive(Clone)]
pub(crate) enum Value {
    /// `key:` with nothing behind it, `~` or `null`.
    Nothing,
    /// Text in which something could not be replaced; the mistake is noted.
    Broken,
    /// Text.
    Scalar(Scalar),
    /// `- a`, or `[a]`.
    List(Vec<Node>),
    /// `key: value`, in the order written.
    Map(Vec<Entry>),
}

/// Text, in pieces since some may stand in files.
#[derive(Clone)]
pub(crate) struct Scalar {
    /// Never two texts in a row.
    pub(crate) parts: Vec<Part>,
    /// Written without quotes and without `${…}`, so that it may mean a number or a truth value.
    pub(crate) bare: bool,
    /// Written with `${…}`.
    pub(crate) substituted: bool,
}

impl Scalar {
    /// The text, when it is of one piece and stands in no file.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text) | Part::Value(text)] => Some(text.expose()),
            _ => None,
        }
    }

    /// Where a text comes from makes no difference, unless braces in it could mean something.
    fn write(&self, hasher: &mut impl Hasher) {
        let mut text = Zeroizing::new(String::new());
        for part in &self.parts {
            match part {
                Part::Text(piece) => text.push_str(piece.expose()),
                Part::Value(piece) if !piece.expose().contains(['{', '}']) => text.push_str(piece.expose()),
                Part::Value(piece) => (0_u8, std::mem::take(&mut text).as_str(), piece.expose()).hash(hasher),
                Part::File(path) => (1_u8, std::mem::take(&mut text).as_str(), path).hash(hasher),
            }
        }
        (2_u8, text.as_str()).hash(hasher);
    }

    /// Whether quotes around it could make a difference: `5` and `"5"` are two values of a parameter.
    fn is_typed(&self) -> bool {
        let number = |text: &str| text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        self.bare && self.text().is_some_and(|text| number(text) || matches!(text, "true" | "false"))
    }
}

/// One `key: value`.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Where the key begins.
    pub(crate) line: usize,
    /// Where the key begins.
    pub(crate) column: usize,
    /// The key.
    pub(crate) key: String,
    /// Its value.
    pub(crate) node: Node,
}

impl Node {
    /// What a message calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Nothing => "nothing",
            Value::Scalar(_) | Value::Broken => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Equal for nodes that say the same, whatever the order of their keys. Contents of files do not count, their paths
    /// do. Keyed by a random number of this process: it tells nothing of the secrets below.
    pub(crate) fn fingerprint(&self) -> u64 {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let mut hasher = KEY.get_or_init(RandomState::new).build_hasher();
        self.write(&mut hasher);
        hasher.finish()
    }

    fn write(&self, hasher: &mut impl Hasher) {
        match &self.value {
            Value::Nothing | Value::Broken => hasher.write_u8(0),
            Value::Scalar(scalar) => {
                (1_u8, scalar.is_typed()).hash(hasher);
                scalar.write(hasher);
            }
            Value::List(items) => {
                (2_u8, items.len()).hash(hasher);
                items.iter().for_each(|item| item.write(hasher));
            }
            Value::Map(entries) => {
                (3_u8, entries.len()).hash(hasher);
                let mut sorted: Vec<&Entry> = entries.iter().collect();
                sorted.sort_by(|a, b| a.key.cmp(&b.key));
                for entry in sorted {
                    entry.key.hash(hasher);
                    entry.node.write(hasher);
                }
            }
        }
    }
}
