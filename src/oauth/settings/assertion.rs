//! What an assertion is configured to be: who signs it with what, or where a ready-made one is (RFC 7521).

use std::time::Duration;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use zeroize::Zeroizing;

use super::ParamValue;
use crate::jose::Algorithm;
use crate::secret::{Secret, SecretSource};

/// `assertion` or `assertion_file`; for a client the same with `client_` before it.
#[derive(Clone, Debug)]
pub enum AssertionSource {
    /// Signed by us, anew each time.
    Signed(Box<AssertionSettings>),
    /// Out of a file, read anew each time: a JWT as it is, XML in base64url (RFC 7522 §2.1).
    Ready(SecretSource),
}

/// An assertion that we sign.
#[derive(Clone, Debug)]
pub struct AssertionSettings {
    /// `private_key` or `secret`.
    pub key: AssertionKey,
    /// `algorithm`; `None`: the first that suits the key.
    pub algorithm: Option<Algorithm>,
    /// `key_id`; `None`: what the key's file says.
    pub key_id: Option<SecretSource>,
    /// `certificate`, in PEM, whose thumbprint goes into the header.
    pub certificate: Option<SecretSource>,
    /// `issuer`; `None`: that of the key's file, else `default_issuer`.
    pub issuer: Option<SecretSource>,
    /// The client's id, if it has one.
    pub default_issuer: Option<SecretSource>,
    /// `subject`.
    pub subject: Subject,
    /// `audience`; empty: none.
    pub audience: Vec<AssertionAudience>,
    /// A service account's scope stands in its assertion; empty: none.
    pub account_scope: String,
    /// `lifetime`, by default 5 minutes.
    pub lifetime: Duration,
    /// `header`: further members; `null` leaves one of ours out.
    pub header: Vec<(String, ParamValue)>,
    /// `claims`: further ones; `null` leaves one of ours out.
    pub claims: Vec<(String, ParamValue)>,
}

/// What an assertion is signed with.
#[derive(Clone, Debug)]
pub enum AssertionKey {
    /// PEM, a JWK, or the JSON file of a Google service account.
    Private(SecretSource),
    /// A shared secret.
    Secret {
        /// It.
        secret: SecretSource,
        /// `secret_encoding`, by default `text`.
        encoding: SecretEncoding,
    },
}

/// Whom an assertion is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Nobody in particular.
    None,
    /// Whom it is from, save for a service account, which is about nobody else only if it says so.
    Issuer,
    /// `subject`.
    Named(SecretSource),
}

/// One of those an assertion is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The URL that the request goes to.
    Endpoint,
    /// This.
    Named(String),
}

/// `secret_encoding`: how a shared secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretEncoding {
    /// As it is.
    Text,
    /// Two digits a byte.
    Hex,
    /// Either alphabet, padded or not.
    Base64,
}

impl SecretEncoding {
    /// The bytes of a secret; `None`: it is not written like that.
    #[must_use]
    pub fn decode(self, secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        let text = secret.expose();
        let bytes = match self {
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Hex => hex(text),
            Self::Base64 => {
                let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
                let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
                GeneralPurpose::new(alphabet, lenient).decode(text).ok()
            }
        };
        bytes.map(Zeroizing::new)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_is_written() {
        let decode = |encoding: SecretEncoding, text: &str| encoding.decode(&Secret::new(text)).map(|it| it.to_vec());
        assert_eq!(decode(SecretEncoding::Text, "00ff"), Some(b"00ff".to_vec()));
        assert_eq!(decode(SecretEncoding::Hex, "00fFa0"), Some(vec![0, 255, 160]));
        for wrong in ["0", "0g", "é0", "+1"] {
            assert_eq!(decode(SecretEncoding::Hex, wrong), None, "{wrong}");
        }
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(decode(SecretEncoding::Base64, text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(decode(SecretEncoding::Base64, "not base64"), None);
    }
}
