//! Where on a request the token is written.

use http::HeaderName;

use crate::secret::SecretSource;

/// One place of a request that a token fills (`inject` in the file). A credential has one or several.
#[derive(Clone, Debug)]
pub enum Inject {
    /// A header field. `format` is text in which `{token}` stands for the token; other braces are text.
    Header {
        /// The field, by default `authorization`.
        name: HeaderName,
        /// By default `Bearer {token}`.
        format: SecretSource,
    },
    /// A query parameter, percent-encoded, appended; a parameter of that name which the downstream sent is removed.
    Query {
        /// The parameter's name.
        name: String,
    },
}

impl Inject {
    /// The default of a token that is bound to a key (RFC 9449 §7.1).
    #[must_use]
    pub fn bound() -> Self {
        Self::Header { name: http::header::AUTHORIZATION, format: SecretSource::fixed("DPoP {token}") }
    }
}

impl Default for Inject {
    fn default() -> Self {
        Self::Header { name: http::header::AUTHORIZATION, format: SecretSource::fixed("Bearer {token}") }
    }
}
