//! What an upstream's refusal means (DESIGN.md section 2; RFC 6750 §3, RFC 9449 §9).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::token::dpop::DPOP_NONCE;

/// Whether the challenge says that a fresh token of the same kind cannot help.
pub(super) fn is_insufficient_scope(headers: &HeaderMap) -> bool {
    names(headers, b"insufficient_scope")
}

/// Whether the challenge says that the proof lacks a nonce, and the answer offers one.
pub(super) fn wants_nonce(headers: &HeaderMap) -> bool {
    headers.contains_key(DPOP_NONCE) && names(headers, b"use_dpop_nonce")
}

fn names(headers: &HeaderMap, error: &[u8]) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|challenge| names_error(challenge.as_bytes(), error))
}

/// Looks for the parameter `error` with this value, quoted or not, with or without white space
/// around the `=`; not for the words inside another parameter's text.
fn names_error(challenge: &[u8], error: &[u8]) -> bool {
    let mut quoted = false;
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, byte) in challenge.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' | b' ' if !quoted => {
                parts.push(challenge.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(challenge.get(start..).unwrap_or_default());
    // `error = "…"` falls into three parts, `error="…"` into one: joined again, both read the same.
    let joined = parts.iter().filter(|part| !part.is_empty()).fold(Vec::new(), |mut all: Vec<u8>, part| {
        let glued = all.ends_with(b"=") || part.starts_with(b"=");
        if !all.is_empty() && !glued {
            all.push(b'\n');
        }
        all.extend_from_slice(part);
        all
    });
    joined.split(|byte| *byte == b'\n').any(|parameter| {
        parameter.split_at_checked(6).is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case(b"error=")
                && (value == error
                    || value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) == Some(error))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insufficient_scope_is_found_however_it_is_written() {
        for challenge in [
            r#"Bearer error="insufficient_scope""#,
            r#"Bearer realm="a, b", error="insufficient_scope", scope="x y""#,
            r#"Bearer error=insufficient_scope"#,
            r#"bearer scope="x",ERROR = "insufficient_scope""#,
            r#"Basic realm="x", Bearer error="insufficient_scope""#,
        ] {
            assert!(names_error(challenge.as_bytes(), b"insufficient_scope"), "{challenge}");
        }
    }

    #[test]
    fn other_errors_and_other_texts_are_not_it() {
        for challenge in [
            r#"Bearer error="invalid_token""#,
            r#"Bearer error_description="error=insufficient_scope ""#,
            r#"Bearer realm="error="insufficient_scope""#,
            r#"Bearer error="insufficient_scope_x""#,
            "Bearer",
            "",
        ] {
            assert!(!names_error(challenge.as_bytes(), b"insufficient_scope"), "{challenge}");
        }
    }

    // RFC 9449 §9
    #[test]
    fn a_proof_without_a_nonce_is_known_where_a_nonce_is_offered() {
        let challenge =
            r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof""#;
        let mut headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
        assert!(!wants_nonce(&headers), "without a nonce there is nothing to send once more");
        headers.insert(DPOP_NONCE, "eyJ7S_zG.eyJH0-Z.HX4w-7v".parse().unwrap());
        assert!(wants_nonce(&headers));
        headers.insert(WWW_AUTHENTICATE, r#"DPoP error="invalid_token""#.parse().unwrap());
        assert!(!wants_nonce(&headers));
    }
}
