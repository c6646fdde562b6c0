//! A value that cannot be printed by accident, and where it comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Text that must not be printed: no `Display`, no `Serialize`, no `PartialEq`, a `Debug` that says nothing, memory
/// wiped on drop. [`Secret::expose`] is the one way to read it, and a word to grep for.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Text of the configuration that may be secret, and may stand in files that change while we run.
///
/// `${file:/run/secrets/x}` inside a value becomes a [`Part::File`], read anew by every [`SecretSource::read`];
/// all else was known when the configuration was loaded.
#[derive(Clone)]
pub struct SecretSource {
    parts: Vec<Part>,
}

/// A piece of a [`SecretSource`].
#[derive(Clone, Debug)]
pub enum Part {
    /// Text that was in the file, or came from the environment.
    Text(Secret),
    /// The contents of a file, without one trailing line end.
    File(PathBuf),
}

impl SecretSource {
    /// A value that never changes.
    #[must_use]
    pub fn fixed(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(Secret::new(text))] }
    }

    /// A value put together from these pieces, in order.
    #[must_use]
    pub fn from_parts(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// The value as it is now: files are read again.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is larger than 1 MiB, or is not UTF-8.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let mut text = Zeroizing::new(String::new());
        for part in &self.parts {
            match part {
                Part::Text(secret) => text.push_str(secret.expose()),
                Part::File(path) => text.push_str(read_file(path)?.expose()),
            }
        }
        Ok(Secret(text))
    }

    /// The files it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::File(path) => Some(path.as_path()),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

/// A secret's file could not be used. Names the file, never its contents.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not text, or longer than any secret is.
    #[error("{path} is not UTF-8 text of at most 1 MiB")]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// No secret is longer; what is, is the wrong file.
const MAX_FILE: usize = 1024 * 1024;

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    use std::io::Read;

    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    match file.take(1024 * 1024 + 1).read_to_string(&mut text) {
        Ok(length) if length <= MAX_FILE => {}
        Err(error) if error.kind() != std::io::ErrorKind::InvalidData => return Err(unreadable(error)),
        Ok(_) | Err(_) => return Err(SecretError::NotText { path: path.to_owned() }),
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Secret(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_source_does_not_print_its_text() {
        let source = SecretSource::fixed("hunter2");
        assert!(!format!("{source:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_is_read_anew_each_time_and_loses_one_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old\n").unwrap();
        let source = SecretSource::from_parts(vec![
            Part::Text(Secret::new("<")),
            Part::File(file.path().to_owned()),
            Part::Text(Secret::new(">")),
        ]);
        assert_eq!(source.read().unwrap().expose(), "<old>");
        std::fs::write(file.path(), "new\r\n").unwrap();
        assert_eq!(source.read().unwrap().expose(), "<new>");
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = SecretSource::from_parts(vec![Part::File("/no/such/secret".into())]);
        assert!(source.read().unwrap_err().to_string().contains("/no/such/secret"));
    }
}
