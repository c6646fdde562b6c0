//! Single values: text, durations, sizes, counts, truth values, files.
//!
//! The key decides how its text is read; YAML's own guess is not asked. Durations and sizes without a unit are refused.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use super::Node;
use super::Read;
use super::Reader;
use super::Value;
use super::suggest;
use crate::config::node::Scalar;
use crate::secret::SecretSource;

impl Reader<'_> {
    /// The text of a node, files read now.
    pub(crate) fn text(&mut self, what: &str, node: &Node) -> Option<String> {
        let Value::Scalar(scalar) = &node.value else {
            return self.expected(what, node);
        };
        match scalar.text() {
            Some(text) => Some(text.to_owned()),
            // Unreadable files were noted when they were named.
            None => SecretSource::from_parts(scalar.parts.clone()).read().ok().map(|text| text.expose().to_owned()),
        }
    }

    /// What `parse` makes of the text of a node, or its complaint.
    pub(crate) fn parse<T, M: std::fmt::Display>(
        &mut self,
        what: &str,
        node: &Node,
        parse: impl FnOnce(&str) -> Result<T, M>,
    ) -> Option<T> {
        let text = self.text(what, node)?;
        parse(&text).map_err(|message| self.refuse::<()>(node, message)).ok()
    }

    /// One of some words.
    pub(crate) fn word<T: Clone>(&mut self, node: &Node, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| *word);
        let text = self.text(&known().collect::<Vec<_>>().join(" or "), node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        if let Some(later) = later.iter().find(|word| **word == text) {
            let place = self.place(node);
            return self.later(&place, &format!("`{later}`"));
        }
        match suggest(&text, known()) {
            Some(meant) => self.refuse(node, format_args!("unknown word; did you mean \"{meant}\"?")),
            None => self.refuse(node, format_args!("unknown word; write {}", known().collect::<Vec<_>>().join(" or "))),
        }
    }
}

impl Read for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("text", node, |text| match text {
            "" => Err("must not be empty"),
            text if text.chars().any(char::is_control) => Err("must not have line breaks or other control characters"),
            text => Ok(text.to_owned()),
        })
    }
}

impl Read for SecretSource {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let source: MaybeEmpty = MaybeEmpty::read(node, reader)?;
        if matches!(&node.value, Value::Scalar(scalar) if scalar.text() == Some("")) {
            return reader.refuse(node, "must not be empty");
        }
        Some(source.0)
    }
}

/// A [`SecretSource`] that may be the empty text.
#[derive(Clone, Debug)]
pub(crate) struct MaybeEmpty(pub(crate) SecretSource);

impl Read for MaybeEmpty {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar(Scalar { parts, .. }) => Some(Self(SecretSource::from_parts(parts.clone()))),
            Value::Nothing | Value::Broken | Value::List(_) | Value::Map(_) => reader.expected("text", node),
        }
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.word(node, &[("true", true), ("false", false)], &[])
    }
}

/// The name of a route or a credential: it appears in logs, metrics and answers.
#[derive(Clone, Debug)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    /// Whether `text` may be a name, and if not, why.
    pub(crate) fn check(text: &str) -> Result<(), &'static str> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/*".contains(c));
        match text {
            "" => Err("a name must not be empty"),
            "none" => Err("`none` cannot be a name: it stands for no credential"),
            text if !plain || text.len() > 100 => {
                Err("a name is at most 100 letters, digits, and `.`, `_`, `-`, `/` or `*`")
            }
            _ => Ok(()),
        }
    }
}

impl Read for Name {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a name", node, |text| Self::check(text).map(|()| Self(text.to_owned())))
    }
}

/// A duration longer than nothing.
impl Read for Duration {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match Wait::read(node, reader)?.0 {
            Self::ZERO => reader.refuse(node, "must be longer than zero"),
            duration => Some(duration),
        }
    }
}

/// A duration that may be zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

impl Read for Wait {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a duration as 250ms, 30s, 5m or 2h", node, |text| match split_unit(text) {
            (Some(number), "ms") => bounded(Duration::from_millis(number)),
            (Some(number), "s") => bounded(Duration::from_secs(number)),
            (Some(number), "m") => bounded(Duration::from_secs(number.saturating_mul(60))),
            (Some(number), "h") => bounded(Duration::from_secs(number.saturating_mul(3600))),
            (Some(_), "") => Err("a duration needs a unit: write it as 250ms, 30s, 5m or 2h"),
            _ => Err("not a duration: write it as 250ms, 30s, 5m or 2h"),
        })
    }
}

/// Ten years: longer ones overflow clocks.
const LONGEST: Duration = Duration::from_secs(87_600 * 3600);

fn bounded(duration: Duration) -> Result<Wait, &'static str> {
    if duration > LONGEST { Err("must be at most 87600h") } else { Ok(Wait(duration)) }
}

/// Bytes, within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<const MIN: usize, const MAX: usize>(pub(crate) usize);

impl<const MIN: usize, const MAX: usize> Read for Size<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a size as 64KiB or 1MiB", node, |text| {
            let factor = match split_unit(text) {
                (Some(_), "") => return Err("a size needs a unit: write it as 64KiB or 1MiB".to_owned()),
                (Some(_), "B") => 1,
                (Some(_), "KiB") => 1024,
                (Some(_), "MiB") => 1024 * 1024,
                _ => return Err("not a size: write it as 64KiB or 1MiB".to_owned()),
            };
            let bytes = split_unit(text).0.and_then(|number| number.checked_mul(factor));
            match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
                Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
                _ => Err(format!("must be at least {} and at most {}", readable(MIN), readable(MAX))),
            }
        })
    }
}

fn readable(bytes: usize) -> String {
    match bytes {
        0 => "0B".to_owned(),
        bytes if bytes % (1024 * 1024) == 0 => format!("{}MiB", bytes / (1024 * 1024)),
        bytes if bytes % 1024 == 0 => format!("{}KiB", bytes / 1024),
        bytes => format!("{bytes}B"),
    }
}

/// `30s` → 30 and `s`.
fn split_unit(text: &str) -> (Option<u64>, &str) {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (text.strip_suffix(unit).and_then(|digits| digits.parse().ok()), unit)
}

/// A whole number, within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const MIN: usize, const MAX: usize>(pub(crate) usize);

impl<const MIN: usize, const MAX: usize> Read for Count<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a whole number", node, |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(number) if digits && (MIN..=MAX).contains(&number) => Ok(Self(number)),
                _ => Err(format!("must be a whole number from {MIN} to {MAX}")),
            }
        })
    }
}

/// A file that is there and can be read; its path is relative to the directory of the file.
#[derive(Clone, Debug)]
pub(crate) struct ReadableFile(pub(crate) PathBuf);

impl Read for ReadableFile {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let path = reader.directory.join(String::read(node, reader)?);
        // A key itself, where its path should be, must not be quoted.
        let quotable =
            matches!(&node.value, Value::Scalar(scalar) if !scalar.substituted) && path.as_os_str().len() < 256;
        let shown = if quotable { path.display().to_string() } else { "this path".to_owned() };
        match File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_dir() => {
                reader.refuse(node, format_args!("{shown} is a directory, not a file"))
            }
            Ok(_) => Some(Self(path)),
            Err(error) => reader.refuse(node, format_args!("cannot read {shown}: {error}")),
        }
    }
}
