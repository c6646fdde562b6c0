//! A token request before it is written to the wire (RFC 6749 §3.2).
//!
//! [`compose()`] puts it together from the settings and is pure; [`Inputs`] are the secrets it needs, as they are now;
//! `encode` turns it into HTTP. What the grant and the client authentication have written cannot be overwritten by
//! further parameters, save `grant_type`.

mod compose;
mod described;
mod encode;
mod inputs;
mod scrub;

use http::{HeaderName, Method};
use url::Url;

use super::grant::{AuthorizationCode, DeviceCode};
use super::settings::{BodyFormat, ParamValue};
use crate::secret::{Secret, SecretError};

pub(super) use compose::{compose, compose_beside, own_url};
pub(super) use described::Described;
pub(super) use encode::{HttpRequest, OUR_NAME};
pub(super) use inputs::Inputs;
pub(super) use scrub::{REDACTED, scrub};

/// Which request of a credential this is.
#[derive(Clone)]
pub(super) enum Ask {
    /// With its own grant.
    OwnGrant,
    /// With its own grant, on behalf of the subject that a request brought (RFC 8693).
    OnBehalf(Secret),
    /// With the code that a person's login brought (RFC 6749 §4.1.3).
    Code(AuthorizationCode),
    /// With the code of a device that a person may have confirmed (RFC 8628 §3.4).
    Device(DeviceCode),
    /// With a refresh token that an earlier answer brought (RFC 6749 §6).
    Refresh(Secret),
}

/// Parameters and header fields of a token request. Texts are wiped when it is dropped.
pub(super) struct TokenRequest {
    method: Method,
    url: Url,
    query: Vec<(String, Value)>,
    format: BodyFormat,
    parameters: Vec<(String, Value)>,
    /// In place of parameters.
    text: Option<Secret>,
    headers: Vec<(HeaderName, Secret)>,
    concealed: Vec<Secret>,
}

/// A parameter's value, with its JSON type.
#[derive(Clone)]
pub(super) enum Value {
    Text(Secret),
    Bool(bool),
    Number(serde_json::Number),
    List(Vec<Value>),
    /// In JSON alone.
    Null,
    /// In JSON alone.
    Object(Vec<(String, Value)>),
}

impl TokenRequest {
    /// A POST to this URL, with nothing in it; parameters go into a form.
    pub(super) fn new(url: Url) -> Self {
        Self {
            method: Method::POST,
            url,
            query: Vec::new(),
            format: BodyFormat::Form,
            parameters: Vec::new(),
            text: None,
            headers: Vec::new(),
            concealed: Vec::new(),
        }
    }

    /// By default POST.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Sends it with another method.
    pub(super) fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// Writes parameters in another format.
    pub(super) fn set_format(&mut self, format: BodyFormat) {
        self.format = format;
    }

    /// Sends this text as the body, whatever parameters there are.
    pub(super) fn set_body(&mut self, text: Secret) {
        self.text = Some(text);
    }

    /// Writes a parameter behind the URL, wherever the others go.
    pub(super) fn add_query(&mut self, name: &str, value: impl Into<Value>) {
        self.query.push((name.to_owned(), value.into()));
    }

    /// Where it goes.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Every parameter, in the order they are sent.
    pub(super) fn parameters(&self) -> &[(String, Value)] {
        &self.parameters
    }

    /// Those of them that stand behind the URL wherever the others do.
    pub(super) fn query(&self) -> &[(String, Value)] {
        &self.query
    }

    /// The body, where it is not made of parameters.
    pub(super) fn body(&self) -> Option<&Secret> {
        self.text.as_ref()
    }

    /// Writes a parameter, over one of the same name; with case, as RFC 6749 §3.2 has it.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.parameters.iter_mut().find(|(other, _)| other == name) {
            Some((_, there)) => *there = value,
            None => self.parameters.push((name.to_owned(), value)),
        }
    }

    /// Writes a parameter whose text we know.
    pub(super) fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, Secret::new(text));
    }

    /// Sends a parameter under another name.
    pub(super) fn rename(&mut self, standard: &str, theirs: &str) {
        if let Some((name, _)) = self.parameters.iter_mut().find(|(name, _)| name == standard) {
            theirs.clone_into(name);
        }
    }

    /// Leaves a parameter out.
    pub(super) fn remove(&mut self, name: &str) {
        self.parameters.retain(|(other, _)| other != name);
    }

    /// The header field of this name, in lower case.
    #[cfg(test)]
    pub(super) fn header(&self, name: &str) -> Option<&Secret> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Writes a header field, over one of the same name.
    pub(super) fn set_header(&mut self, name: HeaderName, value: Secret) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
    }

    /// Whether there is a header field of this name.
    pub(super) fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(other, _)| other == name)
    }

    /// Remembers a secret that is in this request but does not stand in it as it is.
    pub(super) fn conceal(&mut self, secret: Secret) {
        self.concealed.push(secret);
    }

    /// Takes out of a server's text whatever secret of this request it repeats.
    pub(super) fn scrub(&self, text: &str) -> String {
        let parameters = self.parameters.iter().chain(&self.query).flat_map(|(name, value)| value.secrets(name));
        let headers = self.headers.iter().map(|(_, value)| value);
        let secrets = parameters.chain(headers).chain(&self.concealed).chain(&self.text).map(Secret::expose);
        // `Basic` and what follows it may be told apart.
        let credentials = self.headers.iter().filter_map(|(_, value)| value.expose().split_once(' '));
        scrub::scrub(text, secrets.chain(credentials.map(|(_, credentials)| credentials)))
    }
}

impl Value {
    /// A value of the file as it is now.
    pub(super) fn read(value: &ParamValue) -> Result<Self, SecretError> {
        Ok(match value {
            ParamValue::Text(text) => Self::Text(text.read()?),
            ParamValue::Bool(value) => Self::Bool(*value),
            ParamValue::Number(number) => Self::Number(number.clone()),
            ParamValue::List(values) => Self::List(values.iter().map(Self::read).collect::<Result<_, _>>()?),
            ParamValue::Null => Self::Null,
            ParamValue::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Self::read(value)?)))
                    .collect::<Result<_, SecretError>>()?,
            ),
        })
    }

    /// One text as it is, several as a list.
    pub(super) fn one_or_list(texts: &[String]) -> Option<Self> {
        match texts {
            [] => None,
            [one] => Some(Self::Text(Secret::new(one.as_str()))),
            several => Some(Self::List(several.iter().map(|text| Self::Text(Secret::new(text.as_str()))).collect())),
        }
    }

    /// The texts that must not be shown of a parameter with this name.
    fn secrets(&self, name: &str) -> Vec<&Secret> {
        match self {
            Self::Text(text) if is_secret(name) => vec![text],
            Self::List(values) => values.iter().flat_map(|value| value.secrets(name)).collect(),
            Self::Object(members) => members.iter().flat_map(|(name, value)| value.secrets(name)).collect(),
            Self::Text(_) | Self::Bool(_) | Self::Number(_) | Self::Null => Vec::new(),
        }
    }
}

impl From<Secret> for Value {
    fn from(text: Secret) -> Self {
        Self::Text(text)
    }
}

/// Whether a parameter's value must not be shown. Everything, but what RFC 6749 and its relatives say is none.
pub(super) fn is_secret(name: &str) -> bool {
    !SHOWN.contains(&name)
}

const SHOWN: [&str; 11] = [
    "grant_type",
    "client_id",
    "username",
    "scope",
    "audience",
    "resource",
    "realm",
    "client_assertion_type",
    "subject_token_type",
    "actor_token_type",
    "requested_token_type",
];

#[cfg(test)]
impl TokenRequest {
    /// A request to somewhere.
    pub(super) fn for_test() -> Self {
        Self::new(Url::parse("https://as.example/token").unwrap())
    }

    /// Its form-encoded body.
    pub(super) fn form(&self) -> String {
        let http = self.encode().unwrap();
        String::from_utf8(http.body.to_vec()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_repeats_our_secrets_is_not_quoted() {
        let mut request = TokenRequest::for_test();
        request.set_text("client_id", "shown");
        request.set_text("password", "hunter2");
        request.set("codes", Value::List(vec![Value::Text(Secret::new("hunter2-and-more"))]));
        request.set_text("empty", "");
        request.conceal(Secret::new("s3cret"));
        let said = request.scrub("shown: bad hunter2, hunter2-and-more or s3cret");
        assert_eq!(said, "shown: bad <redacted>, <redacted> or <redacted>");
    }
}
