//! What an upstream's refusal means (DESIGN.md section 2; RFC 6750 §3).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Whether the challenge says that a fresh token of the same kind cannot help.
pub(super) fn is_insufficient_scope(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|challenge| names_insufficient_scope(challenge.as_bytes()))
}

/// Looks for the parameter `error` with the value `insufficient_scope`, quoted or not, with or without white space
/// around the `=`; not for the words inside another parameter's text.
fn names_insufficient_scope(challenge: &[u8]) -> bool {
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
            name.eq_ignore_ascii_case(b"error=") && (value == b"insufficient_scope" || value == b"\"insufficient_scope\"")
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
            assert!(names_insufficient_scope(challenge.as_bytes()), "{challenge}");
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
            assert!(!names_insufficient_scope(challenge.as_bytes()), "{challenge}");
        }
    }
}
