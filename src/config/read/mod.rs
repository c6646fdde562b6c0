//! From [`Node`]s to the file's sections, written down once by [`section!`], with every mistake noted and none in the way
//! of the next.
//!
//! A value that cannot be read leaves `None` where it belongs: whoever finds it knows that the mistake is noted. Messages
//! never quote a value: it may be a secret that slipped into the wrong line.

mod address;
mod fields;
mod header;
mod redis_url;
mod scalar;
mod section;
mod suggest;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use super::Problem;
use super::node::Entry;
use super::node::Node;
use super::node::Value;
pub(crate) use address::IssuerUrl;
pub(crate) use address::Origin;
pub(crate) use address::RoutePath;
pub(crate) use address::ServerName;
pub(crate) use address::TokenUrl;
pub(crate) use address::UpstreamUrl;
pub(crate) use address::is_loopback;
pub(crate) use header::HeaderText;
pub(crate) use header::field_name;
pub(crate) use header::may_be_set;
pub(crate) use redis_url::RedisUrl;
pub(crate) use scalar::Count;
pub(crate) use scalar::MaybeEmpty;
pub(crate) use scalar::Name;
pub(crate) use scalar::ReadableFile;
pub(crate) use scalar::Size;
pub(crate) use scalar::Wait;
pub(crate) use section::section;
pub(crate) use section::words;
pub(crate) use suggest::suggest;

/// What can be read from a node.
pub(crate) trait Read: Sized {
    /// The value; `None`: the mistake is noted.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A place in the file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1.
    pub(crate) column: usize,
    /// As `routes[2].upstream`; empty at the root.
    pub(crate) path: String,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    /// The value.
    pub(crate) value: T,
    /// Where.
    pub(crate) at: Place,
    /// Nothing in it was wrong: what is absent was not written.
    pub(crate) sound: bool,
}

impl<T> Placed<T> {
    /// Without its place.
    pub(crate) fn into_value(self) -> T {
        self.value
    }
}

impl<T: Read> Read for Placed<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let (at, before) = (reader.place(node), reader.faults);
        T::read(node, reader).map(|value| Self { value, at, sound: reader.faults == before })
    }
}

/// A key that may be absent.
pub(crate) type Field<T> = Option<Placed<T>>;

/// What was written, else `default`.
pub(crate) fn value_or<T>(field: Field<T>, default: T) -> T {
    field.map_or(default, Placed::into_value)
}

impl<T: Read> Read for Vec<Placed<T>> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return reader.expected("a list", node);
        };
        let read = |(index, item)| reader.within(&format!("[{index}]"), |reader| Placed::read(item, reader));
        Some(items.iter().enumerate().filter_map(read).collect())
    }
}

/// A mapping whose keys are the writer's own names.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(Vec<(Placed<String>, Field<T>)>);

impl<T> Named<T> {
    /// What could be read.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Placed<String>, &Placed<T>)> {
        self.0.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
    }

    /// All names, each with what could be read.
    pub(crate) fn into_all(self) -> Vec<(Placed<String>, Field<T>)> {
        self.0
    }
}

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            return reader.expected("a mapping of names", node);
        };
        let read = |entry: &Entry| {
            reader.within_key(&entry.key, |reader| {
                let at = Place { line: entry.line, column: entry.column, path: reader.path.clone() };
                (Placed { value: entry.key.clone(), at, sound: true }, Placed::read(&entry.node, reader))
            })
        };
        Some(Self(entries.iter().map(read).collect()))
    }
}

/// Where we are in the file, and what was found wrong with it.
pub(crate) struct Reader<'a> {
    /// Relative paths begin here.
    pub(crate) directory: &'a Path,
    /// Where systemd has put credentials (`$CREDENTIALS_DIRECTORY`), if it has.
    pub(crate) credentials: Option<PathBuf>,
    path: String,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    faults: usize,
    /// Where presets are named: what is there was not written there.
    presets: Vec<(usize, usize)>,
}

impl<'a> Reader<'a> {
    /// At the root; `problems` are those that are known already.
    pub(crate) fn new(directory: &'a Path, problems: Vec<Problem>) -> Self {
        Self {
            directory,
            credentials: None,
            path: String::new(),
            problems,
            warnings: Vec::new(),
            faults: 0,
            presets: Vec::new(),
        }
    }

    /// Mistakes and doubts, each in file order.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>) {
        for list in [&mut self.problems, &mut self.warnings] {
            list.sort_by_key(|problem| (problem.line, problem.column));
        }
        (self.problems, self.warnings)
    }

    /// The place of a node that is being read.
    pub(crate) fn place(&self, node: &Node) -> Place {
        Place { line: node.line, column: node.column, path: self.path.clone() }
    }

    /// Notes a mistake.
    pub(crate) fn wrong(&mut self, at: &Place, message: impl fmt::Display) {
        self.faults = self.faults.saturating_add(1);
        let is_filled_in = !at.path.ends_with(".preset") && self.presets.contains(&(at.line, at.column));
        let origin = if is_filled_in { " (the preset says it; `null` takes it away)" } else { "" };
        self.problems.push(problem(at, format_args!("{message}{origin}")));
    }

    /// From now on, what stands where this node does was filled in by the preset that it names.
    pub(crate) fn fill_from(&mut self, preset: &Node) {
        self.presets.push((preset.line, preset.column));
    }

    /// Notes that something is not there, unless it may be that it is there and wrong.
    pub(crate) fn absent<T>(&mut self, from: &Placed<T>, message: impl fmt::Display) {
        if from.sound {
            self.wrong(&from.at, message);
        }
    }

    /// Notes what is right but probably not meant.
    pub(crate) fn doubt(&mut self, at: &Place, message: impl fmt::Display) {
        self.warnings.push(problem(at, message));
    }

    /// Notes a mistake in the node that is being read.
    pub(crate) fn refuse<T>(&mut self, node: &Node, message: impl fmt::Display) -> Option<T> {
        let place = self.place(node);
        self.wrong(&place, message);
        None
    }

    /// Notes that a node is not of the right kind.
    pub(crate) fn expected<T>(&mut self, what: &str, node: &Node) -> Option<T> {
        if let Value::Broken = node.value {
            self.faults = self.faults.saturating_add(1);
            return None;
        }
        let forgotten_space = match &node.value {
            Value::Scalar(scalar) if what.starts_with("a mapping") => {
                scalar.bare && scalar.text().is_some_and(|text| text.contains(':'))
            }
            _ => false,
        };
        let hint = if forgotten_space { "; a colon after a key needs a space behind it" } else { "" };
        self.refuse(node, format_args!("expected {what}, found {}{hint}", node.kind()))
    }

    /// Notes that a word belongs to a later version.
    pub(crate) fn later<T>(&mut self, at: &Place, what: &str) -> Option<T> {
        self.wrong(at, format_args!("{what} is not in this version of bearer-proxy"));
        None
    }

    /// Reads one step further down: `[2]`.
    pub(crate) fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if !self.path.is_empty() && !segment.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(segment);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    /// Reads one step further down: a key, unless it cannot be shown.
    pub(crate) fn within_key<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.within(printable(key).unwrap_or("…"), read)
    }
}

/// A key or name that may be shown: short, and of characters that keys are made of. `{secret:hunter2}` with its space
/// forgotten is a key to YAML.
pub(crate) fn printable(key: &str) -> Option<&str> {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '<'));
    (plain && !key.is_empty() && key.len() <= 40).then_some(key)
}

fn problem(at: &Place, message: impl fmt::Display) -> Problem {
    let message = match at.path.as_str() {
        "" => message.to_string(),
        path => format!("{path}: {message}"),
    };
    Problem { line: at.line, column: at.column, message }
}
