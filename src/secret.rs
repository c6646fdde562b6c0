//! A value that cannot be printed by accident, and where it comes from.
//!
//! Values may stand in files that change while we run (a rotated Kubernetes secret): they are read when they are
//! needed, and [`SecretSource::fingerprint`] tells cheaply whether reading them again could make a difference. What is
//! read is wiped from memory after use, as far as the types we hand it to allow.

use std::fmt;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
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

impl From<Zeroizing<String>> for Secret {
    /// Takes over text that was already being wiped: nothing is copied.
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
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
    /// Text that was written there.
    Text(Secret),
    /// What a `${NAME}` stood for: text as it is, in which nothing in braces means anything.
    Value(Secret),
    /// The contents of a file, without one trailing line end.
    File(PathBuf),
}

/// A piece of a [`SecretSource`] as it is now.
pub struct Piece {
    /// It.
    pub text: Secret,
    /// Whether it was written there, and not put in for a `${…}`.
    pub is_written: bool,
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
        let pieces = self.pieces()?;
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let mut text =
            Zeroizing::new(String::with_capacity(pieces.iter().map(|piece| piece.text.expose().len()).sum()));
        for piece in &pieces {
            text.push_str(piece.text.expose());
        }
        Ok(Secret(text))
    }

    /// As [`SecretSource::read`], in the pieces that it was put together from.
    ///
    /// # Errors
    ///
    /// As [`SecretSource::read`].
    pub fn pieces(&self) -> Result<Vec<Piece>, SecretError> {
        let piece = |part: &Part| {
            Ok(match part {
                Part::Text(text) => Piece { text: text.clone(), is_written: true },
                Part::Value(text) => Piece { text: text.clone(), is_written: false },
                Part::File(path) => Piece { text: read_file(path)?, is_written: false },
            })
        };
        self.parts.iter().map(piece).collect()
    }

    /// A mark of its files as they are now, without reading them: path, inode, length, and when each was last changed.
    ///
    /// Another mark means that [`SecretSource::read`] may give something else, or succeed where it failed (a file that
    /// appeared, whose mode was changed, or to which a symbolic link leads now). One `stat` a file; always the same
    /// without files. Comparable within one process only.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        // Keyed alike each time, unlike a `RandomState`: two marks must be comparable.
        let mut mark = DefaultHasher::new();
        for path in self.files() {
            path.hash(&mut mark);
            match std::fs::metadata(path) {
                Ok(metadata) => stamp(&metadata, &mut mark),
                Err(error) => error.kind().hash(&mut mark),
            }
        }
        mark.finish()
    }

    /// The files it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::File(path) => Some(path.as_path()),
            Part::Text(_) | Part::Value(_) => None,
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
    /// It was read, and is not what it has to be: a key that cannot sign.
    #[error("the {what} {reason}")]
    Unusable {
        /// What it should be, and in which file it stands.
        what: String,
        /// What it is instead, and what would be right.
        reason: String,
    },
    /// It is not text, or longer than any secret is.
    #[error("{path} is not UTF-8 text of at most 1 MiB")]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// No secret is longer; what is, is the wrong file.
const MAX_FILE: u64 = 1024 * 1024;

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len()).min(MAX_FILE);
    // One byte more than it should need, so that finding its end does not make the buffer grow.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    match file.take(MAX_FILE + 1).read_to_string(&mut text) {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE) => {}
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

/// What of a file changes when somebody writes, replaces, moves or opens it up.
fn stamp(metadata: &Metadata, mark: &mut DefaultHasher) {
    metadata.len().hash(mark);
    metadata.modified().ok().hash(mark);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        // The last one also sees a change of the mode, and a copy that took the old time along.
        (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()).hash(mark);
    }
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

    #[test]
    fn only_one_line_end_is_cut() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = SecretSource::from_parts(vec![Part::File(file.path().to_owned())]);
        for (written, read) in [("", ""), ("\n", ""), ("a\n\n", "a\n"), ("a\r", "a\r"), (" a \n", " a ")] {
            std::fs::write(file.path(), written).unwrap();
            assert_eq!(source.read().unwrap().expose(), read);
        }
    }

    #[test]
    fn a_file_that_is_no_text_or_longer_than_any_secret_is_refused_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = SecretSource::from_parts(vec![Part::File(file.path().to_owned())]);
        for contents in [b"hunter2\xff".to_vec(), vec![b'x'; 1024 * 1024 + 1]] {
            std::fs::write(file.path(), contents).unwrap();
            let error = source.read().unwrap_err();
            assert!(matches!(error, SecretError::NotText { .. }));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        std::fs::write(file.path(), vec![b'x'; 1024 * 1024]).unwrap();
        assert_eq!(source.read().unwrap().expose().len(), 1024 * 1024);
    }

    #[test]
    fn what_is_read_fits_its_buffer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(5000)).unwrap();
        let read = read_file(file.path()).unwrap();
        assert_eq!(read.0.capacity(), 5001);
    }

    fn mark_of(path: &Path) -> u64 {
        SecretSource::from_parts(vec![Part::Text(Secret::new("<")), Part::File(path.to_owned())]).fingerprint()
    }

    #[test]
    fn a_file_that_changed_has_another_fingerprint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let missing = mark_of(&path);
        assert_eq!(missing, mark_of(&path));

        std::fs::write(&path, "old").unwrap();
        let old = mark_of(&path);
        assert_ne!(old, missing);
        assert_eq!(old, mark_of(&path));

        std::fs::write(&path, "newer").unwrap();
        let newer = mark_of(&path);
        assert_ne!(newer, old);

        // Replaced by a file of the same length: another inode.
        std::fs::write(directory.path().join("next"), "NEWER").unwrap();
        std::fs::rename(directory.path().join("next"), &path).unwrap();
        assert_ne!(mark_of(&path), newer);
    }

    // Kubernetes mounts `secret -> ..data/secret`, `..data -> ..2024_01_01`, and swaps the middle link.
    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_elsewhere_has_another_fingerprint() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("secret");
        for name in ["a", "b"] {
            std::fs::write(directory.path().join(name), "same").unwrap();
        }
        std::os::unix::fs::symlink("a", &link).unwrap();
        let first = mark_of(&link);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("b", &link).unwrap();
        assert_ne!(mark_of(&link), first);
    }

    #[test]
    fn a_fixed_value_has_always_the_same_fingerprint() {
        assert_eq!(SecretSource::fixed("one").fingerprint(), SecretSource::fixed("two").fingerprint());
    }
}
