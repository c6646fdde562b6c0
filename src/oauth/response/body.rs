//! The body of an answer: JSON, form-encoded, bare text, or nothing of use.
//!
//! Looks count for more than `Content-Type`: servers send JSON as `text/html` and forms as `text/plain`. Texts are wiped
//! when it is dropped.

use serde_json::Value;
use url::form_urlencoded;
use zeroize::{Zeroize, Zeroizing};

/// What an answer says.
pub(in crate::oauth) enum Body {
    /// Nothing.
    Empty,
    /// JSON, or a form: then an object of texts.
    Data(Wiped),
    /// A page for people.
    Html,
    /// Text that is neither.
    Text(Zeroizing<String>),
    /// What begins as JSON and does not end so, or is not text at all.
    Broken,
}

impl Body {
    /// By content type and looks.
    pub(in crate::oauth) fn parse(content_type: Option<&str>, bytes: &[u8]) -> Self {
        // Some servers begin with a byte order mark, which RFC 8259 §8.1 lets a reader ignore.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Broken };
        match bytes.first() {
            None => Self::Empty,
            Some(b'{' | b'[' | b'"') => match serde_json::from_str(text) {
                Ok(value) => Self::Data(Wiped(value)),
                Err(_) => Self::Broken,
            },
            Some(b'<') => Self::Html,
            Some(_) if is_form(content_type, text) => Self::Data(Wiped(form(text))),
            Some(_) => Self::Text(Zeroizing::new(text.to_owned())),
        }
    }

    /// The value a JSON Pointer leads to.
    pub(in crate::oauth) fn at(&self, pointer: &str) -> Option<&Value> {
        match self {
            Self::Data(data) => data.0.pointer(pointer),
            _ => None,
        }
    }

    /// The text a JSON Pointer leads to.
    pub(in crate::oauth) fn text_at(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).and_then(Value::as_str)
    }

    /// The whole body, if it is one text: a JSON string, or a word.
    pub(super) fn whole(&self) -> Option<&str> {
        match self {
            Self::Data(data) => data.0.as_str(),
            Self::Text(text) if !text.contains(char::is_whitespace) => Some(text),
            _ => None,
        }
    }

    /// The members of an object.
    pub(in crate::oauth) fn members(&self) -> impl Iterator<Item = (&String, &Value)> {
        match self {
            Self::Data(data) => data.0.as_object(),
            _ => None,
        }
        .into_iter()
        .flatten()
    }

    /// Every text in it.
    pub(in crate::oauth) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Data(data) => texts(&data.0),
            Self::Text(text) => vec![text],
            Self::Empty | Self::Html | Self::Broken => Vec::new(),
        }
    }

    /// Whether it has an `error` that means one: `null`, `""`, `false` and `0` do not.
    pub(in crate::oauth) fn says_error(&self) -> bool {
        match self.at("/error") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(_) => true,
        }
    }

    /// What it is, for an error message.
    pub(in crate::oauth) fn what(&self) -> &'static str {
        match self {
            Self::Empty => "an empty body",
            Self::Data(data) => match &data.0 {
                Value::Object(_) => "an object",
                Value::Array(_) => "a list",
                _ => "a single value",
            },
            Self::Html => "a page of HTML",
            Self::Text(_) => "plain text",
            Self::Broken => "a body that is broken off or no text",
        }
    }
}

/// A value whose texts are wiped when it is dropped.
pub(in crate::oauth) struct Wiped(Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// One that says so, or looks so: names and values without spaces between them.
fn is_form(content_type: Option<&str>, text: &str) -> bool {
    let says_so = content_type
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let name = text.split('=').next().unwrap_or_default();
    let looks_so = text.len() > name.len()
        && !text.contains(char::is_whitespace)
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%'));
    // A bare token in base64 has its `=` at the end, where a form has a value.
    says_so || (looks_so && !text.trim_end_matches('=').is_empty() && text.trim_end_matches('=').contains('='))
}

fn form(text: &str) -> Value {
    form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
