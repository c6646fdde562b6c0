//! A token as a query parameter (RFC 6750 §2.3), for APIs that take it nowhere else.
//!
//! Everything of the target but parameters of that name stays as it came, byte for byte. Names are compared as a
//! server would read them, so a parameter cannot pass in another spelling (`%61ccess_token`).

use std::fmt::Write;

use http::Uri;
use http::uri::PathAndQuery;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// One parameter, finished.
pub(super) struct QueryParameter {
    name: String,
    /// `name=value`, percent-encoded.
    pair: Secret,
}

impl QueryParameter {
    /// This parameter with this value, both as they are meant.
    pub(super) fn new(name: &str, value: &Secret) -> Self {
        // Encoded text is at most three times as long, so the buffer never moves and leaves no copy behind.
        let mut pair = Zeroizing::new(String::with_capacity(3 * (name.len() + value.expose().len()) + 1));
        encode_onto(&mut pair, name);
        pair.push('=');
        encode_onto(&mut pair, value.expose());
        Self { name: name.to_owned(), pair: Secret::from(pair) }
    }

    /// Takes parameters of this name off a target and puts this one at its end.
    ///
    /// A target without a path (`*`, or that of CONNECT) has no query either and stays as it is.
    pub(super) fn write(&self, uri: &mut Uri) {
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        if !path.starts_with('/') {
            return;
        }
        let mut target = String::with_capacity(path.len() + query.len() + self.pair.expose().len() + 2);
        target.push_str(path);
        let mut separator = '?';
        let theirs = query.split('&').filter(|pair| !query.is_empty() && !self.is_named_in(pair));
        for pair in theirs.chain([self.pair.expose()]) {
            target.push(separator);
            target.push_str(pair);
            separator = '&';
        }

        let mut parts = uri.clone().into_parts();
        // Neither can fail: all of it was a URI before, and what was added is unreserved. If one did, the request would
        // go without our token, and the upstream say so: better than a target that nobody matched.
        let Ok(target) = PathAndQuery::from_maybe_shared(bytes::Bytes::from(target)) else { return };
        parts.path_and_query = Some(target);
        if let Ok(with_token) = Uri::from_parts(parts) {
            *uri = with_token;
        }
    }

    fn is_named_in(&self, pair: &str) -> bool {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        decoded(name.as_bytes()).eq(self.name.bytes())
    }
}

/// The bytes that a form-encoded name stands for; a `%` without two digits stands for itself.
fn decoded(mut name: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (byte, rest) = match name {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, rest),
                _ => (b'%', name.get(1..)?),
            },
            [b'+', rest @ ..] => (b' ', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        name = rest;
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Everything but the unreserved characters of RFC 3986 §2.3 is encoded: no server reads those in two ways.
fn encode_onto(text: &mut String, plain: &str) {
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(uri: &str) -> String {
        let mut uri: Uri = uri.parse().unwrap();
        QueryParameter::new("key", &Secret::new("a+b/c=")).write(&mut uri);
        uri.to_string()
    }

    #[test]
    fn the_token_is_appended_percent_encoded() {
        assert_eq!(written("/"), "/?key=a%2Bb%2Fc%3D");
        assert_eq!(written("/p?"), "/p?key=a%2Bb%2Fc%3D");
        assert_eq!(written("/p?a=1"), "/p?a=1&key=a%2Bb%2Fc%3D");
        assert_eq!(written("http://api.example:81/p?a=1"), "http://api.example:81/p?a=1&key=a%2Bb%2Fc%3D");
    }

    #[test]
    fn what_the_downstream_sent_under_that_name_is_removed_in_every_spelling() {
        for theirs in ["key=evil", "key", "key=", "%6Bey=evil", "%6bey=evil", "k%65y=1&key=2", "key=a=b"] {
            assert_eq!(written(&format!("/p?{theirs}")), "/p?key=a%2Bb%2Fc%3D", "{theirs}");
            assert_eq!(written(&format!("/p?a=1&{theirs}&b=2")), "/p?a=1&b=2&key=a%2Bb%2Fc%3D", "{theirs}");
        }
    }

    #[test]
    fn every_other_byte_stays() {
        let odd = "/p%2f;x/./~?a=%7e&&KEY=1&keys=2&=key&a+b='%zz'&x=key=1&%=&%6&";
        assert_eq!(written(odd), format!("{odd}&key=a%2Bb%2Fc%3D"));
    }

    #[test]
    fn a_name_with_a_space_is_known_in_both_spellings() {
        let mut uri: Uri = "/p?my+key=1&my%20key=2".parse().unwrap();
        QueryParameter::new("my key", &Secret::new("t")).write(&mut uri);
        assert_eq!(uri, "/p?my%20key=t");
    }

    #[test]
    fn a_target_without_a_path_stays() {
        assert_eq!(written("*"), "*");
        assert_eq!(written("api.example:443"), "api.example:443");
    }

    proptest! {
        #[test]
        fn any_query_survives_and_the_token_comes_last(query in "[a-jl-z0-9=&%;+/?.~-]{1,80}") {
            let target = format!("/p?{query}");
            prop_assert_eq!(written(&target), format!("{}&key=a%2Bb%2Fc%3D", target));
        }

        #[test]
        fn no_spelling_of_the_name_survives(value in "[a-z0-9=]{0,9}", encoded in proptest::collection::vec(any::<bool>(), 3)) {
            let name: String = "key".bytes().zip(encoded)
                .map(|(byte, encode)| if encode { format!("%{byte:02x}") } else { char::from(byte).to_string() })
                .collect();
            prop_assert_eq!(written(&format!("/p?{name}={value}&a=1")), "/p?a=1&key=a%2Bb%2Fc%3D");
        }
    }
}
