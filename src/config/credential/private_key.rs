//! What an assertion is signed with: a private key or a shared secret.
//!
//! It is read here already, so that a certificate in its place, a short key or an algorithm of another key is found with
//! its line, and not when the first token is asked for.

use super::CredentialSection;
use super::assertion::Assertion;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::ReadableFile;
use crate::config::read::Reader;
use crate::config::read::TokenUrl;
use crate::config::read::words;
use crate::jose::Algorithm;
use crate::jose::KeyFile;
use crate::jose::SigningKey;
use crate::jose::certificate_thumbprint;
use crate::oauth::settings::AssertionKey;
use crate::oauth::settings::SecretEncoding;
use crate::secret::Part;
use crate::secret::SecretError;
use crate::secret::SecretSource;

words! {
    SecretEncoding {
        "text" => SecretEncoding::Text,
        "hex" => SecretEncoding::Hex,
        "base64" => SecretEncoding::Base64,
    }
}

impl Read for Algorithm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.word(node, &Self::ALL.map(|algorithm| (algorithm.name(), algorithm)), &[])
    }
}

/// `private_key`: a file, as everywhere, or the key itself out of a variable.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKey(SecretSource);

impl Read for PrivateKey {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let source = <SecretSource as Read>::read(node, reader)?;
        let itself = match &node.value {
            Value::Scalar(scalar) => scalar.text().is_none_or(|text| text.trim_start().starts_with(['-', '{'])),
            _ => false,
        };
        if itself {
            return Some(Self(source));
        }
        ReadableFile::read(node, reader).map(|file| Self(contents(file)))
    }
}

/// What stands in a file, whenever it is read.
pub(super) fn contents(file: ReadableFile) -> SecretSource {
    SecretSource::from_parts(vec![Part::File(file.0)])
}

/// `private_key` or `secret`, tried out.
pub(super) fn key(written: &Placed<Assertion>, reader: &mut Reader<'_>) -> Option<AssertionKey> {
    let Assertion { private_key, secret, secret_encoding, algorithm, .. } = &written.value;
    let algorithm = algorithm.as_ref().map(|algorithm| algorithm.value);
    if let (Some(encoding), None) = (secret_encoding, secret) {
        reader.wrong(&encoding.at, "is how a `secret` is written; there is none");
    }
    match (private_key, secret) {
        (Some(_), Some(secret)) => {
            reader.wrong(&secret.at, "is signed with `private_key` or with `secret`; remove one");
            None
        }
        (None, None) => {
            reader.absent(written, "\"private_key\" is missing; write `private_key: key.pem`, or `secret`");
            None
        }
        (Some(key), None) => {
            match key.value.0.read().map(|text| KeyFile::read(&text, algorithm)) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => reader.wrong(&key.at, error),
                // It was noted when it was named.
                Err(SecretError::Unreadable { .. }) => {}
                Err(error) => reader.wrong(&key.at, error),
            }
            Some(AssertionKey::Private(key.value.0.clone()))
        }
        (None, Some(secret)) => {
            let encoding = secret_encoding.as_ref().map_or(SecretEncoding::Text, |encoding| encoding.value);
            if let Ok(text) = secret.value.read() {
                match encoding.decode(&text).map(|bytes| SigningKey::from_secret(&bytes, algorithm)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => reader.wrong(&secret.at, error),
                    None => reader.wrong(&secret.at, "is not written as `secret_encoding` says"),
                }
            }
            Some(AssertionKey::Secret { secret: secret.value.clone(), encoding })
        }
    }
}

/// Whether it has one.
pub(super) fn check_certificate(file: &Placed<ReadableFile>, reader: &mut Reader<'_>) {
    let text = contents(file.value.clone()).read();
    if text.is_ok_and(|text| certificate_thumbprint(text.expose()).is_none()) {
        reader.wrong(&file.at, "holds no certificate: PEM (-----BEGIN CERTIFICATE-----) is needed");
    }
}

/// Where the key's file says that tokens are to be asked for: that of a Google service account does.
pub(super) fn token_url(keys: &CredentialSection, reader: &mut Reader<'_>) -> Option<TokenUrl> {
    let key = keys.assertion.as_ref()?.value.private_key.as_ref()?;
    match TokenUrl::parse(&token_uri(key)?) {
        Ok(url) => Some(url),
        Err(message) => {
            reader.wrong(&key.at, format_args!("its `token_uri` {message}; write `token_url`"));
            None
        }
    }
}

/// Whether it does.
pub(super) fn says_token_url(keys: &CredentialSection) -> bool {
    let key = keys.assertion.as_ref().and_then(|assertion| assertion.value.private_key.as_ref());
    key.and_then(token_uri).is_some()
}

fn token_uri(key: &Placed<PrivateKey>) -> Option<String> {
    KeyFile::read(&key.value.0.read().ok()?, None).ok()?.token_uri
}
