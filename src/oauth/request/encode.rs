//! A token request as HTTP: form (RFC 6749 appendix B), JSON, or query.
//!
//! Pure: nothing is sent here. Header values are marked sensitive, the body is wiped when it is dropped.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use url::Url;
use url::form_urlencoded::{self, Target};
use zeroize::Zeroizing;

use super::{TokenRequest, Value};
use crate::oauth::settings::BodyFormat;
use crate::token::TokenError;

/// What goes on the wire.
pub(in crate::oauth) struct HttpRequest {
    pub(in crate::oauth) method: Method,
    pub(in crate::oauth) url: Url,
    pub(in crate::oauth) headers: HeaderMap,
    pub(in crate::oauth) body: Zeroizing<Vec<u8>>,
}

/// Some servers refuse a request without one.
pub(in crate::oauth) const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("bearer-proxy/", env!("CARGO_PKG_VERSION")));

impl TokenRequest {
    /// Writes it as HTTP.
    ///
    /// # Errors
    ///
    /// A header field has characters that none may hold: permanent, for nothing was even sent.
    pub(in crate::oauth) fn encode(&self) -> Result<HttpRequest, TokenError> {
        let mut url = self.url.clone();
        append(&mut url, &self.query);
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let mut body = Zeroizing::new(Vec::with_capacity(self.most_bytes()));
        let content_type = match (&self.text, self.format) {
            (Some(text), _) => {
                body.extend_from_slice(text.expose().as_bytes());
                Some("text/plain; charset=utf-8")
            }
            (None, BodyFormat::Form) => {
                let mut form = Zeroizing::new(String::with_capacity(self.most_bytes()));
                write_pairs(&self.parameters, &mut form_urlencoded::Serializer::new(&mut *form));
                body.extend_from_slice(form.as_bytes());
                Some("application/x-www-form-urlencoded")
            }
            (None, BodyFormat::Json) => {
                serde_json::to_writer(&mut *body, self).map_err(|_| unwritable("a parameter", "is no JSON"))?;
                Some("application/json")
            }
            (None, BodyFormat::Query) => {
                append(&mut url, &self.parameters);
                None
            }
        };
        let mut headers = self.header_fields(content_type)?;
        if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            // RFC 9110 §8.6: a POST says so, or some servers answer 411.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(HttpRequest { method: self.method.clone(), url, headers, body })
    }

    /// A byte becomes three at most in a form, and six in JSON.
    fn most_bytes(&self) -> usize {
        let parameters = self.parameters.iter().map(|(name, value)| value.most_bytes(name)).sum::<usize>();
        parameters * 6 + 2 + self.text.as_ref().map_or(0, |text| text.expose().len())
    }

    fn header_fields(&self, content_type: Option<&'static str>) -> Result<HeaderMap, TokenError> {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(USER_AGENT, OUR_NAME);
        if let Some(content_type) = content_type {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &self.headers {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad_header(name))?;
            value.set_sensitive(true);
            fields.insert(name.clone(), value);
        }
        Ok(fields)
    }
}

/// Puts parameters behind what a URL has of its own.
fn append(url: &mut Url, parameters: &[(String, Value)]) {
    if !parameters.is_empty() {
        write_pairs(parameters, &mut url.query_pairs_mut());
    }
}

/// Lists are repeated, as RFC 8707 §2 and RFC 8693 §2.1 have it.
fn write_pairs<T: Target>(parameters: &[(String, Value)], pairs: &mut form_urlencoded::Serializer<'_, T>) {
    for (name, value) in parameters {
        value.write_pairs(name, pairs);
    }
}

impl Value {
    /// Name, value and what stands between them, before anything is encoded.
    fn most_bytes(&self, name: &str) -> usize {
        match self {
            Self::Text(text) => name.len() + 8 + text.expose().len(),
            Self::Bool(_) | Self::Number(_) | Self::Null => name.len() + 40,
            Self::List(values) => name.len() + 8 + values.iter().map(|value| value.most_bytes(name)).sum::<usize>(),
            Self::Object(members) => {
                name.len() + 8 + members.iter().map(|(name, value)| value.most_bytes(name)).sum::<usize>()
            }
        }
    }

    fn write_pairs<T: Target>(&self, name: &str, pairs: &mut form_urlencoded::Serializer<'_, T>) {
        let mut append = |text: &str| {
            pairs.append_pair(name, text);
        };
        match self {
            Self::Text(text) => append(text.expose()),
            Self::Bool(value) => append(if *value { "true" } else { "false" }),
            Self::Number(number) => append(&number.to_string()),
            Self::List(values) => values.iter().for_each(|value| value.write_pairs(name, pairs)),
            // The file's reader lets neither into a form or a query.
            Self::Null | Self::Object(_) => {}
        }
    }
}

impl Serialize for TokenRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object(&self.parameters, serializer)
    }
}

fn object<S: Serializer>(members: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(members.len()))?;
    for (name, value) in members {
        object.serialize_entry(name, value)?;
    }
    object.end()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text.expose()),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Null => serializer.serialize_unit(),
            Self::Object(members) => object(members, serializer),
        }
    }
}

fn bad_header(name: &HeaderName) -> TokenError {
    unwritable(name.as_str(), "has characters that no header field may hold")
}

fn unwritable(what: &str, why: &str) -> TokenError {
    TokenError::Refused {
        code: "invalid_request".to_owned(),
        description: Some(format!("nothing was sent: {what} {why}")),
    }
}
