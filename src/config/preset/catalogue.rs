//! The presets there are: `presets.yaml`, which is part of the program, as a list; and each as text to begin with.
//!
//! A test builds every one of them, so that what cannot be read here cannot ship.

use std::sync::OnceLock;

use crate::config::node::Entry;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::suggest;
use crate::config::yaml;

/// What is known of one provider: the keys of a credential that are the same for everybody.
pub struct Preset {
    name: String,
    title: String,
    parameters: Vec<Parameter>,
    /// The keys that a person writes, as lines of YAML at four spaces.
    yours: Vec<&'static str>,
    /// The keys it fills in, likewise.
    text: Vec<&'static str>,
    says: Vec<Entry>,
    api: String,
}

/// What differs from one customer of a provider to the next; `<name>` in what a preset says.
pub(super) struct Parameter {
    /// Its key below `with`.
    pub(super) name: String,
    /// What it is.
    pub(super) what: String,
    /// What it could be.
    pub(super) example: String,
    /// What it is when it is not written.
    pub(super) default: Option<String>,
}

/// All presets, in the order of their names.
#[must_use]
pub fn presets() -> &'static [Preset] {
    static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
    PRESETS.get_or_init(|| {
        let root = yaml::parse(TEXT).ok().and_then(|(root, _)| root);
        let mut presets: Vec<Preset> = root.iter().flat_map(entries).map(Preset::read).collect();
        presets.sort_by(|one, other| one.name.cmp(&other.name));
        presets
    })
}

const TEXT: &str = include_str!("../presets.yaml");

impl Preset {
    fn read(entry: &Entry) -> Self {
        let said = |key| member(&entry.node, key).map(|found| text(&found.node)).unwrap_or_default();
        let lines = |key| member(&entry.node, key).map(below).unwrap_or_default();
        let inside = |key| member(&entry.node, key).map(|found| entries(&found.node)).unwrap_or_default();
        Self {
            name: entry.key.clone(),
            title: said("title"),
            parameters: inside("with").iter().map(Parameter::read).collect(),
            yours: lines("yours"),
            text: lines("says"),
            says: inside("says").to_vec(),
            api: said("api"),
        }
    }

    /// The one of this name.
    ///
    /// # Errors
    ///
    /// There is none; the name that may have been meant.
    pub fn find(name: &str) -> Result<&'static Self, Option<&'static str>> {
        let found = presets().iter().find(|preset| preset.name == name);
        found.ok_or_else(|| suggest(name, presets().iter().map(Self::name)))
    }

    /// What `preset` says.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// A credential that uses it and a route for that, to begin with; and what the preset is short for, as a comment.
    #[must_use]
    pub fn recipe(&self) -> String {
        let Self { name, title, .. } = self;
        let mut text = format!("# {title}\n");
        for Parameter { name, what, default, .. } in &self.parameters {
            let default = default.as_ref().map(|default| format!("; {default} unless it is written"));
            text.push_str(&format!("#   {name}: {what}{}\n", default.unwrap_or_default()));
        }
        text.push_str(&format!("credentials:\n  {name}:\n    preset: {name}\n"));
        let with = self.parameters.iter().filter(|parameter| parameter.default.is_none());
        let with: Vec<_> = with.map(|parameter| format!("{}: {}", parameter.name, parameter.example)).collect();
        if !with.is_empty() {
            text.push_str(&format!("    with: {{{}}}\n", with.join(", ")));
        }
        self.yours.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        let api = self
            .parameters
            .iter()
            .fold(self.api.clone(), |api, parameter| api.replace(&format!("<{}>", parameter.name), &parameter.example));
        text.push_str(&format!("routes:\n  - path: /{name}/\n    upstream: {api}\n    credential: {name}\n"));
        text.push_str("# The preset is short for these keys. What the credential says itself goes before:\n");
        self.text.iter().for_each(|line| text.push_str(&format!("#{line}\n")));
        text
    }

    /// The keys it fills in, with `<name>` for its parameters.
    pub(super) fn says(&self) -> &[Entry] {
        &self.says
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

impl Parameter {
    fn read(entry: &Entry) -> Self {
        let part = |key| member(&entry.node, key).map(|found| text(&found.node));
        let default = part("default");
        let example = part("example").or_else(|| default.clone()).unwrap_or_default();
        Self { name: entry.key.clone(), what: part("what").unwrap_or_default(), example, default }
    }
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::List(_) | Value::Scalar(_) | Value::Nothing | Value::Broken => &[],
    }
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    entries(node).iter().find(|entry| entry.key == key)
}

fn text(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text().unwrap_or_default().to_owned(),
        Value::Map(_) | Value::List(_) | Value::Nothing | Value::Broken => String::new(),
    }
}

/// The lines below a key of a preset.
fn below(entry: &Entry) -> Vec<&'static str> {
    TEXT.lines().skip(entry.line).take_while(|line| line.starts_with("    ")).collect()
}
