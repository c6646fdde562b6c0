//! Which paths are refused before a route is looked for (R40, R16; RFC 3986 §3.3, §6.2.2.3).

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmbiguousPath(pub &'static str);

/// Looks for everything that another reader could read differently: dot segments plain or encoded, an encoded `/` or
/// `\` or NUL inside a dot segment, `\`, `;` after dots, double encoding of these, control characters.
///
/// # Errors
///
/// It has one; the text says which.
pub fn check(_path: &str) -> Result<(), AmbiguousPath> {
    todo!()
}
