//! Text of the file in which a few words in braces stand for something computed (DESIGN.md section 4).
//!
//! `{token}`, names of `response.values`, and `{base64(TEXT)}`, whose TEXT may hold braces of its own as long as they
//! are in pairs. All other braces are text, because GraphQL and JSON are full of them. Only what was written in the file
//! is looked at: neither what is put in is read again, nor does a brace in a `${NAME}` or in a secret's file mean
//! anything, so that no password becomes structure.

use std::ops::Range;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretError, SecretSource};

/// What words in braces stand for. A word that is not among them is text.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<(String, Secret)>);

impl Words {
    /// These, and `{token}`.
    #[must_use]
    pub fn with_token(self, token: &Secret) -> Self {
        self.with("token", token.clone())
    }

    /// These, and another, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: Secret) -> Self {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), value));
        self
    }

    /// These, and others, which win.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        others.0.into_iter().fold(self, |words, (name, value)| words.with(&name, value))
    }

    /// The value of a word.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// All of them, each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    fn longest(&self) -> usize {
        self.0.iter().map(|(_, value)| value.expose().len()).max().unwrap_or(0)
    }
}

impl From<&Secret> for Words {
    /// `{token}` alone.
    fn from(token: &Secret) -> Self {
        Self::default().with_token(token)
    }
}

/// A text with its words replaced.
pub struct Filled {
    /// It.
    pub text: Secret,
    /// What was put in, each by itself and as base64 made of it: to be kept out of what is shown.
    pub secrets: Vec<Secret>,
}

/// The text with its words replaced; files are read now.
///
/// # Errors
///
/// A file cannot be read.
pub fn fill(source: &SecretSource, words: &Words) -> Result<Filled, SecretError> {
    let (text, secrets) = Text::read(source)?;
    let mut filling = Filling { words, secrets };
    let filled = filling.fill(&text, 0..text.all.len());
    Ok(Filled { text: Secret::from(filled), secrets: filling.secrets })
}

/// The words in braces that a text could mean, those inside `{base64(…)}` too.
///
/// # Errors
///
/// A `{base64(` without its `)}`. Files that cannot be read hold no words.
pub fn words(source: &SecretSource) -> Result<Vec<String>, UnclosedBase64> {
    let Ok((text, _)) = Text::read(source) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text.find('{', at..text.all.len()) {
        match text.word(open, text.all.len()) {
            Some(Word::Named { name, after }) => {
                found.push(name.to_owned());
                at = after;
            }
            Some(Word::Base64 { inside, .. }) => at = inside.start,
            Some(Word::Unclosed) => return Err(UnclosedBase64),
            None => at = open + 1,
        }
    }
    Ok(found)
}

/// A text has `{base64(` and no `)}` for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{base64(` has no `)}}` at its end; braces inside of it must be in pairs")]
pub struct UnclosedBase64;

/// What an opening brace begins.
enum Word<'a> {
    /// `{name}`.
    Named { name: &'a str, after: usize },
    /// `{base64(TEXT)}`.
    Base64 { inside: Range<usize>, after: usize },
    /// `{base64(` without an end.
    Unclosed,
}

/// A text, and which stretches of it were not written in the file.
struct Text {
    all: Zeroizing<String>,
    opaque: Vec<Range<usize>>,
}

const BASE64: &str = "{base64(";

impl Text {
    fn read(source: &SecretSource) -> Result<(Self, Vec<Secret>), SecretError> {
        let pieces = source.pieces()?;
        let mut all = Zeroizing::new(String::with_capacity(pieces.iter().map(|piece| piece.text.expose().len()).sum()));
        let (mut opaque, mut secrets) = (Vec::new(), Vec::new());
        for piece in pieces {
            let start = all.len();
            all.push_str(piece.text.expose());
            if !piece.is_written {
                opaque.push(start..all.len());
                secrets.push(piece.text);
            }
        }
        Ok((Self { all, opaque }, secrets))
    }

    fn part(&self, range: Range<usize>) -> &str {
        self.all.get(range).unwrap_or_default()
    }

    fn is_written(&self, range: &Range<usize>) -> bool {
        !self.opaque.iter().any(|opaque| opaque.start < range.end && range.start < opaque.end)
    }

    /// The first such character that was written in the file.
    fn find(&self, wanted: char, range: Range<usize>) -> Option<usize> {
        let places = self.part(range.clone()).match_indices(wanted).map(|(place, _)| range.start + place);
        places.into_iter().find(|place| self.is_written(&(*place..place + 1)))
    }

    /// What the brace at `open` begins, if it is more than a brace.
    fn word(&self, open: usize, end: usize) -> Option<Word<'_>> {
        let rest = self.part(open..end);
        if rest.starts_with(BASE64) && self.is_written(&(open..open + BASE64.len())) {
            let start = open + BASE64.len();
            let close = self.end_of_base64(start, end);
            return Some(close.map_or(Word::Unclosed, |close| Word::Base64 { inside: start..close, after: close + 2 }));
        }
        let name = rest.get(1..)?.split('}').next().filter(|name| rest.len() > name.len() + 1)?;
        let after = open + name.len() + 2;
        (is_name(name) && self.is_written(&(open..after))).then_some(Word::Named { name, after })
    }

    /// Where the `)}` is that no brace inside has opened.
    fn end_of_base64(&self, start: usize, end: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut before = None;
        for (place, letter) in self.part(start..end).char_indices().map(|(place, letter)| (start + place, letter)) {
            let last = before.replace((place, letter));
            if !self.is_written(&(place..place + 1)) {
                before = None;
                continue;
            }
            match (letter, last) {
                ('{', _) => depth += 1,
                ('}', Some((bracket, ')'))) if depth == 0 => return Some(bracket),
                ('}', _) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

/// Whether this could be the name of a word.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

struct Filling<'a> {
    words: &'a Words,
    secrets: Vec<Secret>,
}

impl Filling<'_> {
    fn fill(&mut self, text: &Text, range: Range<usize>) -> Zeroizing<String> {
        let words = text.part(range.clone()).matches('{').count();
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let room = (range.len() + words * self.words.longest()) * if words > 0 { 2 } else { 1 };
        let mut filled = Zeroizing::new(String::with_capacity(room));
        let mut at = range.start;
        while let Some(open) = text.find('{', at..range.end) {
            filled.push_str(text.part(at..open));
            at = match text.word(open, range.end) {
                Some(Word::Named { name, after }) => match self.words.get(name) {
                    Some(value) => {
                        filled.push_str(value.expose());
                        self.secrets.push(value.clone());
                        after
                    }
                    None => {
                        filled.push_str(text.part(open..after));
                        after
                    }
                },
                Some(Word::Base64 { inside, after }) => {
                    let plain = self.fill(text, inside);
                    let encoded = Zeroizing::new(BASE64_STANDARD.encode(plain.as_bytes()));
                    filled.push_str(&encoded);
                    self.secrets.push(Secret::from(encoded));
                    after
                }
                Some(Word::Unclosed) | None => {
                    filled.push('{');
                    open + 1
                }
            };
        }
        filled.push_str(text.part(at..range.end));
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Part;

    fn with(source: &SecretSource) -> String {
        let words = Words::from(&Secret::new("t0k")).with("tenant", Secret::new("7"));
        fill(source, &words).unwrap().text.expose().to_owned()
    }

    fn filled(text: &str) -> String {
        with(&SecretSource::fixed(text))
    }

    #[test]
    fn the_token_takes_its_placeholder_wherever_and_however_often() {
        assert_eq!(filled("Bearer {token}"), "Bearer t0k");
        assert_eq!(filled("{token}"), "t0k");
        assert_eq!(filled("{token}:{tenant}:{token}"), "t0k:7:t0k");
        assert_eq!(filled("nothing"), "nothing");
        assert_eq!(filled(""), "");
    }

    #[test]
    fn other_braces_are_text() {
        for text in
            ["{", "}", "{}", "{ token }", "{Token}", "{token", "{\"a\": {}}", "query { me { id } }", "{me{id}}", "é{é}"]
        {
            assert_eq!(filled(text), text);
        }
        assert_eq!(filled("{{token}}"), "{t0k}");
        assert_eq!(filled("{tok{token}en}"), "{tokt0ken}");
    }

    #[test]
    fn what_is_put_in_is_not_read_again() {
        let words = Words::from(&Secret::new("{token}")).with("name", Secret::new("{token}{base64(x)}"));
        let filled = fill(&SecretSource::fixed("<{token}{name}>"), &words).unwrap();
        assert_eq!(filled.text.expose(), "<{token}{token}{base64(x)}>");
    }

    #[test]
    fn base64_may_hold_braces_of_its_own() {
        for (text, plain) in [
            ("{base64(user:pass)}", "user:pass"),
            ("{base64()}", ""),
            ("{base64({token}:x)}", "t0k:x"),
            ("{base64(f(x))}", "f(x)"),
            ("{base64({\"f(x)\":{\"a\":\"{tenant}\"}})}", "{\"f(x)\":{\"a\":\"7\"}}"),
            ("{base64({base64(a)})}", "YQ=="),
            ("{base64(é{})}", "é{}"),
        ] {
            assert_eq!(filled(text), BASE64_STANDARD.encode(plain), "{text}");
        }
        assert_eq!(filled("Basic {base64(a)}, {base64(b)}!"), "Basic YQ==, Yg==!");
    }

    #[test]
    fn no_secret_becomes_structure() {
        let value = |text: &str| Part::Value(Secret::new(text));
        let literal = |text: &str| Part::Text(Secret::new(text));
        let of = |parts: Vec<Part>| with(&SecretSource::from_parts(parts));
        assert_eq!(of(vec![value("{token}"), literal("{token}")]), "{token}t0k");
        assert_eq!(of(vec![literal("{to"), value("ken"), literal("}")]), "{token}");
        assert_eq!(of(vec![literal("{token"), value("}")]), "{token}");
        for password in ["p)}w", "{token}", "{", "}", ")", ")}", "{base64("] {
            let parts = vec![literal("{base64(u:"), value(password), literal(")}")];
            assert_eq!(of(parts), BASE64_STANDARD.encode(format!("u:{password}")), "{password}");
        }
    }

    #[test]
    fn what_was_put_in_is_told_by_itself() {
        let parts = vec![Part::Text(Secret::new("<{base64(u:{token})}>")), Part::Value(Secret::new("hunter2"))];
        let words = Words::from(&Secret::new("t0k"));
        let filled = fill(&SecretSource::from_parts(parts), &words).unwrap();
        let secrets: Vec<_> = filled.secrets.iter().map(Secret::expose).collect();
        assert_eq!(secrets, ["hunter2", "t0k", &BASE64_STANDARD.encode("u:t0k")]);
    }

    #[test]
    fn the_words_of_a_text_are_found() {
        let found = |text: &str| words(&SecretSource::fixed(text));
        assert_eq!(found("{a} { b } {base64({c}:{\"d\":1})} {e"), Ok(vec!["a".to_owned(), "c".to_owned()]));
        for unclosed in ["{base64(a", "{base64(a}", "{base64({)}", "x {base64(a) }"] {
            assert_eq!(found(unclosed), Err(UnclosedBase64), "{unclosed}");
        }
    }
}
