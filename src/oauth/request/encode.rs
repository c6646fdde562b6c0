//! A token request as HTTP: form (RFC 6749 appendix B), JSON, or query.
//!
//! Pure: nothing is sent here. Header values are marked sensitive, the body is wiped when it is dropped.

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
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

impl TokenRequest {
    /// Writes it as HTTP, in `format`.
    ///
    /// # Errors
    ///
    /// A header field has characters that none may hold: permanent, for nothing was even sent.
    pub(in crate::oauth) fn encode(&self, format: BodyFormat) -> Result<HttpRequest, TokenError> {
        let mut url = self.url.clone();
        let mut body = Zeroizing::new(Vec::new());
        let content_type = match format {
            BodyFormat::Form => {
                let mut form = Zeroizing::new(String::new());
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
        Ok(HttpRequest { method: Method::POST, url, headers: self.header_fields(content_type)?, body })
    }

    fn header_fields(&self, content_type: Option<&'static str>) -> Result<HeaderMap, TokenError> {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Some servers refuse a request without one (PEERS 3, no. 7).
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("bearer-proxy/", env!("CARGO_PKG_VERSION"))));
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
    fn write_pairs<T: Target>(&self, name: &str, pairs: &mut form_urlencoded::Serializer<'_, T>) {
        match self {
            Self::Text(text) => pairs.append_pair(name, text.expose()),
            Self::Bool(value) => pairs.append_pair(name, if *value { "true" } else { "false" }),
            Self::Number(number) => pairs.append_pair(name, &number.to_string()),
            Self::List(values) => return values.iter().for_each(|value| value.write_pairs(name, pairs)),
        };
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
