//! The entries of a section: known ones by name, unknown ones refused.

use super::Field;
use super::Place;
use super::Placed;
use super::Read;
use super::Reader;
use super::printable;
use super::suggest;
use crate::config::node::Entry;
use crate::config::node::Node;
use crate::config::node::Value;

impl Reader<'_> {
    /// The entries of a section, after those that it does not know are refused.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, known: &[&str], later: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            return self.expected("a mapping", node);
        };
        let mut misspelt = Vec::new();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let at = Place { line: entry.line, column: entry.column, path: self.path.clone() };
            if later.contains(&entry.key.as_str()) {
                self.later::<()>(&at, &format!("the key \"{}\"", entry.key));
            } else {
                let meant = suggest(&entry.key, known.iter().copied());
                self.wrong(&at, unknown(&entry.key, meant, known));
                misspelt.extend(meant.map(str::to_owned));
            }
        }
        Some(Fields { entries, misspelt, at: self.place(node) })
    }
}

/// The entries of a section.
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    /// Keys that are meant by unknown ones, so that nobody calls them missing.
    misspelt: Vec<String>,
    at: Place,
}

impl Fields<'_> {
    /// One value. Absent, it is a mistake when there is an `example` of what to write.
    pub(crate) fn take<T: Read>(&self, key: &str, example: Option<&str>, reader: &mut Reader<'_>) -> Field<T> {
        match (self.entries.iter().find(|entry| entry.key == key), example) {
            (Some(entry), _) => reader.within(key, |reader| Placed::read(&entry.node, reader)),
            (None, Some(example)) if !self.misspelt.iter().any(|meant| meant == key) => {
                reader.wrong(&self.at, format_args!("\"{key}\" is missing; write for example `{key}: {example}`"));
                None
            }
            (None, _) => None,
        }
    }
}

fn unknown(key: &str, meant: Option<&str>, known: &[&str]) -> String {
    let name = printable(key).map(|key| format!(" \"{key}\"")).unwrap_or_default();
    match meant {
        Some(meant) => format!("unknown key{name}; did you mean \"{meant}\"?"),
        None => format!("unknown key{name}; there are {}", known.join(", ")),
    }
}
