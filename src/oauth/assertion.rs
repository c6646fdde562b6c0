//! Assertions (RFC 7521, RFC 7523): signed by us, or ready-made out of a file.
//!
//! The key and all texts are read where reading may wait, and signing does no I/O. Each time that it signs, an assertion
//! bears another `jti`: one that was sent is never sent again (PEERS.md section 3, 9).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Value};
use url::Url;

use super::settings::{AssertionAudience, AssertionKey, AssertionSettings, AssertionSource, ParamValue, Subject};
use crate::jose::{self, KeyFile, SignError, SigningKey};
use crate::secret::{Secret, SecretError, SecretSource};
use crate::token::TokenError;

/// An assertion as it can be made now.
pub(super) enum Assertion {
    /// Ready-made.
    Ready(Secret),
    /// To be signed.
    Signed(Box<Signer>),
}

/// What signs, and what it says.
pub(super) struct Signer {
    key: SigningKey,
    header: Map<String, Value>,
    /// Ours, of those that are the same each time.
    claims: Map<String, Value>,
    /// Those of the file, which win; `null`: left out.
    written: Map<String, Value>,
    audience: Vec<AssertionAudience>,
    lifetime: Duration,
}

impl Assertion {
    /// Reads it. Blocks while files are read.
    pub(super) fn read(source: &AssertionSource) -> Result<Self, SecretError> {
        match source {
            AssertionSource::Ready(source) => ready(source).map(Self::Ready),
            AssertionSource::Signed(settings) => Signer::read(settings).map(|signer| Self::Signed(Box::new(signer))),
        }
    }

    /// One for no request to a token endpoint. Blocks while files are read.
    pub(super) fn alone(source: &AssertionSource) -> Result<Secret, SecretError> {
        Self::read(source)?
            .make(None)
            .map_err(|error| SecretError::Unusable { what: "assertion".to_owned(), reason: error.to_string() })
    }

    /// The assertion for a request to `endpoint`: another each time, if it is us who sign it.
    pub(super) fn text(&self, endpoint: &Url) -> Result<Secret, TokenError> {
        self.make(Some(endpoint)).map_err(|error| TokenError::Refused {
            code: "invalid_request".to_owned(),
            description: Some(format!("nothing was sent: the assertion {error}")),
        })
    }

    fn make(&self, endpoint: Option<&Url>) -> Result<Secret, SignError> {
        match self {
            Self::Ready(text) => Ok(text.clone()),
            Self::Signed(signer) => signer.sign(endpoint),
        }
    }
}

impl Signer {
    fn read(settings: &AssertionSettings) -> Result<Self, SecretError> {
        let KeyFile { key, key_id, client_email, token_uri: _ } = key(settings)?;
        let mut header = Map::from_iter([("typ".to_owned(), Value::from("JWT"))]);
        if let Some(key_id) = text(settings.key_id.as_ref())?.or(key_id) {
            header.insert("kid".to_owned(), key_id.into());
        }
        if let Some(certificate) = &settings.certificate {
            let thumbprint = jose::certificate_thumbprint(certificate.read()?.expose());
            let thumbprint =
                thumbprint.ok_or_else(|| unusable("certificate", certificate, "holds none: PEM is needed"))?;
            header.insert("x5t#S256".to_owned(), thumbprint.into());
        }
        merge(&mut header, object(&settings.header)?);
        Ok(Self {
            key,
            header,
            claims: claims(settings, client_email)?,
            written: object(&settings.claims)?,
            audience: settings.audience.clone(),
            lifetime: settings.lifetime,
        })
    }

    fn sign(&self, endpoint: Option<&Url>) -> Result<Secret, SignError> {
        let mut claims = self.claims.clone();
        let audience = self.audience.iter().filter_map(|audience| match audience {
            AssertionAudience::Endpoint => endpoint.map(Url::to_string),
            AssertionAudience::Named(name) => Some(name.clone()),
        });
        let mut audience: Vec<Value> = audience.map(Value::from).collect();
        match audience.len() {
            0 => {}
            // Some servers read no list.
            1 => claims.extend(audience.pop().map(|one| ("aud".to_owned(), one))),
            _ => claims.extend([("aud".to_owned(), Value::Array(audience))]),
        }
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(self.backdated());
        claims.insert("iat".to_owned(), issued.as_secs().into());
        claims.insert("exp".to_owned(), issued.saturating_add(self.lifetime).as_secs().into());
        claims.insert("jti".to_owned(), jose::unique_id()?.into());
        merge(&mut claims, self.written.clone());
        self.key.sign(self.header.clone(), &claims)
    }

    /// A server whose clock is a little behind ours refuses what is issued in its future.
    fn backdated(&self) -> Duration {
        CLOCKS_APART.min(self.lifetime / 10)
    }
}

/// What servers of today differ by.
const CLOCKS_APART: Duration = Duration::from_secs(5);

fn key(settings: &AssertionSettings) -> Result<KeyFile, SecretError> {
    match &settings.key {
        AssertionKey::Private(source) => {
            KeyFile::read(&source.read()?, settings.algorithm).map_err(|error| unusable("private key", source, error))
        }
        AssertionKey::Secret { secret: source, encoding } => {
            let secret = encoding.decode(&source.read()?);
            let secret =
                secret.ok_or_else(|| unusable("secret", source, "is not written as `secret_encoding` says"))?;
            let key = SigningKey::from_secret(&secret, settings.algorithm);
            let key = key.map_err(|error| unusable("secret", source, error))?;
            Ok(KeyFile { key, key_id: None, client_email: None, token_uri: None })
        }
    }
}

/// Of those that are the same each time. Google's accounts are about somebody else only where that is written, and say
/// their scope here.
fn claims(settings: &AssertionSettings, account: Option<String>) -> Result<Map<String, Value>, SecretError> {
    let mut claims = Map::new();
    let is_account = account.is_some();
    let issuer = match text(settings.issuer.as_ref())?.or(account) {
        Some(issuer) => Some(issuer),
        None => text(settings.default_issuer.as_ref())?,
    };
    let subject = match &settings.subject {
        Subject::Named(subject) => text(Some(subject))?,
        Subject::Issuer if !is_account => issuer.clone(),
        Subject::Issuer | Subject::None => None,
    };
    let scope = (is_account && !settings.account_scope.is_empty()).then(|| settings.account_scope.clone());
    let said = [("iss", issuer), ("sub", subject), ("scope", scope)];
    claims.extend(said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    Ok(claims)
}

/// A ready-made one. What is XML goes in base64url (RFC 7522 §2.1).
fn ready(source: &SecretSource) -> Result<Secret, SecretError> {
    let read = source.read()?;
    match read.expose().trim() {
        "" => Err(unusable("assertion", source, "is empty")),
        xml if xml.starts_with('<') => Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(xml))),
        text => Ok(Secret::new(text)),
    }
}

fn text(source: Option<&SecretSource>) -> Result<Option<String>, SecretError> {
    source.map(|source| source.read().map(|text| text.expose().to_owned())).transpose()
}

/// Others over ours; `null`: none of them.
fn merge(ours: &mut Map<String, Value>, others: Map<String, Value>) {
    for (name, value) in others {
        match value {
            Value::Null => ours.remove(&name),
            value => ours.insert(name, value),
        };
    }
}

fn object(members: &[(String, ParamValue)]) -> Result<Map<String, Value>, SecretError> {
    members.iter().map(|(name, value)| Ok((name.clone(), json(value)?))).collect()
}

fn json(value: &ParamValue) -> Result<Value, SecretError> {
    Ok(match value {
        ParamValue::Text(text) => text.read()?.expose().into(),
        ParamValue::Bool(value) => (*value).into(),
        ParamValue::Number(number) => Value::Number(number.clone()),
        ParamValue::Null => Value::Null,
        ParamValue::List(values) => Value::Array(values.iter().map(json).collect::<Result<_, _>>()?),
        ParamValue::Object(members) => Value::Object(object(members)?),
    })
}

fn unusable(what: &str, source: &SecretSource, reason: impl ToString) -> SecretError {
    let what = match source.files().next() {
        Some(file) => format!("{what} in {}", file.display()),
        None => what.to_owned(),
    };
    SecretError::Unusable { what, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
