//! Private keys in PEM (RFC 7468): PKCS#8, PKCS#1, SEC1. What else a PEM can hold is told by name.

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::KeyError;

/// What a key's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 5958.
    Pkcs8,
    /// RFC 8017 appendix A.1.2.
    Pkcs1,
    /// RFC 5915.
    Sec1,
}

/// The first private key of a text, in DER.
///
/// Where a variable of the environment cannot hold line ends they are written `\n`: those are read too.
pub(super) fn private_key(text: &str) -> Result<(Form, Zeroizing<Vec<u8>>), KeyError> {
    let unfolded = Zeroizing::new(if text.contains('\n') { String::new() } else { text.replace("\\n", "\n") });
    let text = if unfolded.is_empty() { text } else { &unfolded };
    let mut other = KeyError::NoKey;
    for section in sections(text) {
        let (label, body) = section?;
        let form = match label {
            "PRIVATE KEY" => Form::Pkcs8,
            "RSA PRIVATE KEY" => Form::Pkcs1,
            "EC PRIVATE KEY" => Form::Sec1,
            _ => {
                other = not_a_key(label).unwrap_or(other);
                continue;
            }
        };
        // RFC 1421 §4.6.1.1, which the older forms still use.
        if body.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        return Ok((form, decode(body)?));
    }
    Err(other)
}

/// The first certificate of a text, in DER.
pub(super) fn certificate(text: &str) -> Option<Vec<u8>> {
    let mut sections = sections(text).filter_map(Result::ok);
    let (_, body) = sections.find(|(label, _)| *label == "CERTIFICATE")?;
    decode(body).ok().map(|der| der.to_vec())
}

/// Labels with what stands between them.
fn sections(text: &str) -> impl Iterator<Item = Result<(&str, &str), KeyError>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, begun) = rest.split_once("-----BEGIN ")?;
        let section = begun.split_once("-----").and_then(|(label, after)| {
            let (body, after) = after.split_once("-----END ")?;
            rest = after;
            Some((label, body))
        });
        if section.is_none() {
            rest = "";
        }
        Some(section.ok_or(KeyError::Damaged))
    })
}

fn not_a_key(label: &str) -> Option<KeyError> {
    Some(match label {
        "ENCRYPTED PRIVATE KEY" => KeyError::Encrypted,
        "OPENSSH PRIVATE KEY" => KeyError::OpenSsh,
        "CERTIFICATE" => KeyError::NotPrivate("a certificate"),
        "CERTIFICATE REQUEST" => KeyError::NotPrivate("a certificate request"),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => KeyError::NotPrivate("a public key"),
        _ => return None,
    })
}

fn decode(body: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut plain = Zeroizing::new(String::with_capacity(body.len()));
    plain.extend(body.chars().filter(|letter| !letter.is_ascii_whitespace()));
    BASE64_STANDARD.decode(plain.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::Damaged)
}
