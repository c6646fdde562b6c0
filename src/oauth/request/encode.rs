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
    /// Writes it as HTTP, in `format`.
    ///
    /// # Errors
    ///
    /// A header field has characters that none may hold: permanent, for nothing was even sent.
    pub(in crate::oauth) fn encode(&self, format: BodyFormat) -> Result<HttpRequest, TokenError> {
        let mut url = self.url.clone();
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let mut body = Zeroizing::new(Vec::with_capacity(self.most_bytes()));
        let content_type = match format {
            BodyFormat::Form => {
                let mut form = Zeroizing::new(String::with_capacity(self.most_bytes()));
                self.write_pairs(&mut form_urlencoded::Serializer::new(&mut *form));
                body.extend_from_slice(form.as_bytes());
                Some("application/x-www-form-urlencoded")
            }
            BodyFormat::Json => {
                serde_json::to_writer(&mut *body, self).map_err(|_| unwritable("a parameter", "is no JSON"))?;
                Some("application/json")
            }
            BodyFormat::Query => {
                if !self.parameters.is_empty() {
                    self.write_pairs(&mut url.query_pairs_mut());
                }
                None
            }
        };
        let mut headers = self.header_fields(content_type)?;
        if body.is_empty() {
            // RFC 9110 §8.6: a POST says so, or some servers answer 411.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(HttpRequest { method: Method::POST, url, headers, body })
    }

    /// A byte becomes three at most in a form, and six in JSON.
    fn most_bytes(&self) -> usize {
        let parameters = self.parameters.iter();
        parameters.map(|(name, value)| (name.len() + 8) * value.count() + value.length()).sum::<usize>() * 6 + 2
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

    /// Lists are repeated, as RFC 8707 §2 and RFC 8693 §2.1 have it.
    fn write_pairs<T: Target>(&self, pairs: &mut form_urlencoded::Serializer<'_, T>) {
        for (name, value) in &self.parameters {
            value.write_pairs(name, pairs);
        }
    }
}

impl Value {
    fn count(&self) -> usize {
        match self {
            Self::List(values) => values.iter().map(Self::count).sum::<usize>() + 1,
            Self::Text(_) | Self::Bool(_) | Self::Number(_) => 1,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.expose().len(),
            Self::Bool(_) | Self::Number(_) => 32,
            Self::List(values) => values.iter().map(Self::length).sum(),
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
        }
    }
}

impl Serialize for TokenRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.parameters.len()))?;
        for (name, value) in &self.parameters {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
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
