//! YAML 1.2 text → [`Node`]s. The one file that names `serde_yaml` (serde-saphyr), and only the event parser inside it:
//! what deserializes through serde has already turned `0123` and `1.10` into numbers, stops at the first duplicate key,
//! and quotes neighbouring lines, secrets included.
//!
//! Refused: duplicate keys, tags, more than one document, and what is too deep or too large, aliases counted as what
//! they stand for. Anchors, aliases and `<<` work.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;

use serde_yaml::granit_parser;
use serde_yaml::granit_parser::ErrorKind;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;
use serde_yaml::granit_parser::ScanError;
use serde_yaml::granit_parser::Span;

use super::Problem;
use super::node::Entry;
use super::node::Node;
use super::node::Scalar;
use super::node::Value;
use super::read::printable;
use crate::secret::Part;
use crate::secret::Secret;

/// Levels of nesting. The deepest key of the format is at the sixth.
const MAX_DEPTH: usize = 32;

/// Nodes, aliases counted as what they stand for. A route of ten keys has twenty: ten thousand such routes fit twice.
const MAX_NODES: usize = 500_000;

/// Reads the one document of `text`: its root (`None`: there is nothing but comments), and mistakes after which reading
/// could go on.
///
/// # Errors
///
/// It is not YAML, or too deep or too large.
pub(crate) fn parse(text: &str) -> Result<(Option<Node>, Vec<Problem>), Problem> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut tree = Tree::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| not_yaml(&error))?;
        tree.take(event, span)?;
    }
    Ok((tree.root, tree.problems))
}

/// What was read so far.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Collection>,
    anchors: HashMap<usize, Finished>,
    documents: usize,
    nodes: usize,
    problems: Vec<Problem>,
}

/// A list or mapping whose end has not come.
struct Collection {
    node: Node,
    anchor: usize,
    /// Where the key stands whose value comes next, and the key.
    key: Option<(usize, usize, String)>,
    /// Of the highest node inside.
    height: usize,
    /// How many nodes are inside.
    nodes: usize,
}

/// A node with what lies below it measured.
#[derive(Clone)]
struct Finished {
    node: Node,
    height: usize,
    nodes: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let (line, column) = (span.start.line(), span.start.col().saturating_add(1));
        match event {
            Event::DocumentStart(..) => self.start_document(line, column),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_ref().is_some_and(|tag| tag.core_suffix() == Some("str"));
                self.refuse_tag(span, tag.is_some() && !is_text);
                let value = scalar(&text, style == ScalarStyle::Plain && !is_text);
                self.finish(Finished { node: Node { line, column, value }, height: 1, nodes: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(span, tag.is_some());
                self.start(Node { line, column, value: Value::List(Vec::new()) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(span, tag.is_some());
                self.start(Node { line, column, value: Value::Map(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.replay(anchor, line, column),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, line: usize, column: usize) -> Result<(), Problem> {
        self.documents = self.documents.saturating_add(1);
        match self.documents {
            1 => Ok(()),
            _ => Err(problem(line, column, "a second document begins here; a file is one document")),
        }
    }

    fn refuse_tag(&mut self, span: Span, tagged: bool) {
        if tagged {
            let start = span.tag_start().unwrap_or(span.start);
            let message = "tags (`!…`) have no meaning in this file; remove it";
            self.problems.push(problem(start.line(), start.col().saturating_add(1), message));
        }
    }

    fn start(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        let (line, column) = (node.line, node.column);
        self.open.push(Collection { node, anchor, key: None, height: 0, nodes: 0 });
        self.bound(self.open.len(), line, column)
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(mut collection) = self.open.pop() else { return Ok(()) };
        if let Value::Map(entries) = &mut collection.node.value {
            refuse_duplicates(entries, &mut self.problems);
            merge(entries, &mut self.problems);
        }
        let Collection { node, anchor, height, nodes, .. } = collection;
        self.finish(Finished { node, height: height.saturating_add(1), nodes: nodes.saturating_add(1) }, anchor)
    }

    /// An alias: a copy of what it stands for, measured before it is made.
    fn replay(&mut self, anchor: usize, line: usize, column: usize) -> Result<(), Problem> {
        let Some(finished) = self.anchors.get(&anchor) else {
            return Err(problem(line, column, "an alias cannot stand inside what it stands for"));
        };
        let (depth, nodes) = (self.open.len().saturating_add(finished.height), finished.nodes);
        self.nodes = self.nodes.saturating_add(nodes);
        self.bound(depth, line, column)?;
        match self.anchors.get(&anchor).cloned() {
            Some(copy) => self.attach(copy),
            None => Ok(()),
        }
    }

    /// A whole node: kept for aliases if it has an anchor, and put where it belongs.
    fn finish(&mut self, finished: Finished, anchor: usize) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(if anchor == 0 { 1 } else { finished.nodes.saturating_add(1) });
        self.bound(self.open.len(), finished.node.line, finished.node.column)?;
        if anchor != 0 {
            self.anchors.insert(anchor, finished.clone());
        }
        self.attach(finished)
    }

    /// Into the collection around it, or to the root.
    fn attach(&mut self, Finished { node, height, nodes }: Finished) -> Result<(), Problem> {
        let Some(around) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        around.height = around.height.max(height);
        around.nodes = around.nodes.saturating_add(nodes);
        match &mut around.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match around.key.take() {
                Some((line, column, key)) => entries.push(Entry { line, column, key, node }),
                None => around.key = Some(key(node)?),
            },
            Value::Nothing | Value::Broken | Value::Scalar(_) => {}
        }
        Ok(())
    }

    fn bound(&self, depth: usize, line: usize, column: usize) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(problem(line, column, too_deep()));
        }
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values, counting aliases as what they stand for");
            return Err(problem(line, column, message));
        }
        Ok(())
    }
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Nothing,
        text => {
            let parts = vec![Part::Text(Secret::new(text))];
            Value::Scalar(Scalar { parts, bare: plain, substituted: false })
        }
    }
}

fn key(node: Node) -> Result<(usize, usize, String), Problem> {
    match &node.value {
        Value::Nothing | Value::Broken => Ok((node.line, node.column, String::new())),
        Value::Scalar(scalar) => Ok((node.line, node.column, scalar.text().unwrap_or_default().to_owned())),
        Value::List(_) | Value::Map(_) => Err(problem(node.line, node.column, "a key must be text")),
    }
}

fn refuse_duplicates(entries: &[Entry], problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        if let Some(line) = first.get(entry.key.as_str()) {
            let name = printable(&entry.key).map(|key| format!(" \"{key}\"")).unwrap_or_default();
            let message = format!("the key{name} is here twice; the first is in line {line}");
            problems.push(problem(entry.line, entry.column, message));
        } else {
            first.insert(&entry.key, entry.line);
        }
    }
}

/// `<<: *base` and `<<: [*a, *b]`: entries that are not there yet are taken over, earlier ones first.
fn merge(entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    if !entries.iter().any(|entry| entry.key == "<<") {
        return;
    }
    let (merges, mut kept): (Vec<Entry>, Vec<Entry>) = mem::take(entries).into_iter().partition(|e| e.key == "<<");
    let mut known: HashSet<String> = kept.iter().map(|entry| entry.key.clone()).collect();
    for Entry { node, .. } in merges {
        let bases = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for base in bases {
            match base.value {
                Value::Map(entries) => kept.extend(entries.into_iter().filter(|e| known.insert(e.key.clone()))),
                _ => problems.push(problem(base.line, base.column, "`<<` takes a mapping or a list of mappings")),
            }
        }
    }
    *entries = kept;
}

/// The parser's own words, save where they quote the file or are of no help.
fn not_yaml(error: &ScanError) -> Problem {
    let reason = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return at(error, too_deep()),
        ErrorKind::UnknownAnchor => {
            return at(error, "this alias (`*name`) has no anchor (`&name`) before it".to_owned());
        }
        ErrorKind::UnexpectedCharacter { .. } => "text that begins with this character must be in quotes".to_owned(),
        ErrorKind::MappingValueNotAllowed => {
            "text with `: ` in it must be in quotes, or a line is indented wrongly".to_owned()
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            format!("{}; inside `{{…}}` and `[…]` a `${{NAME}}` must be in quotes", error.info())
        }
        ErrorKind::Custom(_) | ErrorKind::InputIo { .. } | ErrorKind::InputDecoding { .. } => "unreadable".to_owned(),
        _ => error.info(),
    };
    at(error, format!("not YAML: {reason}"))
}

fn at(error: &ScanError, message: String) -> Problem {
    problem(error.marker().line(), error.marker().col().saturating_add(1), message)
}

fn too_deep() -> String {
    format!("nested more than {MAX_DEPTH} levels deep")
}

fn problem(line: usize, column: usize, message: impl Into<String>) -> Problem {
    Problem { line, column, message: message.into() }
}
