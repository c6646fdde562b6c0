//! A request that is written out in the file (`request` of `custom`, and of a step of `then`), filled with what is known
//! now.
//!
//! Where it goes is not this file's affair: the URL is literal, and nothing of a reply can change it.

use http::{HeaderName, Method};

use super::{TokenRequest, Value, is_secret};
use crate::oauth::settings::{BodyFormat, DescribedBody, DescribedRequest, ParamValue};
use crate::secret::{Secret, SecretError, SecretSource};
use crate::token::template::{self, Words};

/// A described request with its secrets as they are now.
pub(in crate::oauth) struct Described {
    method: Method,
    query: Vec<(String, Value)>,
    headers: Vec<(HeaderName, Secret)>,
    body: Body,
    /// What was put into it.
    secrets: Vec<Secret>,
}

enum Body {
    None,
    Members(BodyFormat, Vec<(String, Value)>),
    Text(Secret),
}

impl Described {
    /// Reads and fills it. Blocks while files are read.
    pub(in crate::oauth) fn read(settings: &DescribedRequest, words: &Words) -> Result<Self, SecretError> {
        let mut filler = Filler { words, secrets: Vec::new() };
        let query = filler.members(&settings.query)?;
        let headers = settings.headers.iter().map(|(name, value)| Ok((name.clone(), filler.text(value)?)));
        let headers = headers.collect::<Result<_, SecretError>>()?;
        let body = match &settings.body {
            DescribedBody::None => Body::None,
            DescribedBody::Form(members) => Body::Members(BodyFormat::Form, filler.members(members)?),
            DescribedBody::Json(members) => Body::Members(BodyFormat::Json, filler.members(members)?),
            DescribedBody::Text(text) => Body::Text(filler.text(text)?),
        };
        Ok(Self { method: settings.method.clone(), query, headers, body, secrets: filler.secrets })
    }

    /// Writes it.
    pub(in crate::oauth) fn write(&self, request: &mut TokenRequest) {
        request.set_method(self.method.clone());
        for (name, value) in &self.query {
            request.add_query(name, value.clone());
        }
        for (name, value) in &self.headers {
            request.set_header(name.clone(), value.clone());
        }
        match &self.body {
            // Without parameters, that is an empty one.
            Body::None => request.set_format(BodyFormat::Query),
            Body::Members(format, members) => {
                request.set_format(*format);
                members.iter().for_each(|(name, value)| request.set(name, value.clone()));
            }
            Body::Text(text) => request.set_body(text.clone()),
        }
        self.secrets.iter().for_each(|secret| request.conceal(secret.clone()));
    }
}

struct Filler<'a> {
    words: &'a Words,
    secrets: Vec<Secret>,
}

impl Filler<'_> {
    fn text(&mut self, source: &SecretSource) -> Result<Secret, SecretError> {
        let filled = template::fill(source, self.words)?;
        self.secrets.extend(filled.secrets);
        Ok(filled.text)
    }

    fn members(&mut self, members: &[(String, ParamValue)]) -> Result<Vec<(String, Value)>, SecretError> {
        members
            .iter()
            .map(|(name, value)| {
                let before = self.secrets.len();
                let value = self.value(value)?;
                if !is_secret(name) {
                    self.secrets.truncate(before);
                }
                Ok((name.clone(), value))
            })
            .collect()
    }

    fn value(&mut self, value: &ParamValue) -> Result<Value, SecretError> {
        Ok(match value {
            ParamValue::Text(text) => Value::Text(self.text(text)?),
            ParamValue::List(values) => {
                Value::List(values.iter().map(|value| self.value(value)).collect::<Result<_, SecretError>>()?)
            }
            ParamValue::Object(members) => Value::Object(self.members(members)?),
            ParamValue::Bool(_) | ParamValue::Number(_) | ParamValue::Null => Value::read(value)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::secret::Part;

    fn described(body: DescribedBody) -> DescribedRequest {
        let url = Url::parse("https://login.example/session?v=1").unwrap();
        DescribedRequest { method: Method::POST, url, query: Vec::new(), headers: Vec::new(), body }
    }

    fn text(text: &str) -> ParamValue {
        ParamValue::Text(SecretSource::fixed(text))
    }

    fn written(settings: &DescribedRequest) -> TokenRequest {
        let words = Words::default().with("token", Secret::new("t\"0k"));
        let mut request = TokenRequest::new(settings.url.clone());
        Described::read(settings, &words).unwrap().write(&mut request);
        request
    }

    fn body(settings: &DescribedRequest) -> (String, Option<String>) {
        let http = written(settings).encode().unwrap();
        let content_type = http.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
        (String::from_utf8(http.body.to_vec()).unwrap(), content_type)
    }

    #[test]
    fn json_keeps_its_types_its_nesting_and_its_order_and_escapes_what_is_put_in() {
        let deep = ParamValue::Object(vec![("z".to_owned(), text("<{token}>")), ("a".to_owned(), ParamValue::Null)]);
        let list = ParamValue::List(vec![ParamValue::Bool(true), deep]);
        let members = vec![("query".to_owned(), text("{ me { id } }")), ("variables".to_owned(), list)];
        let (body, content_type) = body(&described(DescribedBody::Json(members)));
        assert_eq!(body, r#"{"query":"{ me { id } }","variables":[true,{"z":"<t\"0k>","a":null}]}"#);
        assert_eq!(content_type.as_deref(), Some("application/json"));
    }

    #[test]
    fn a_form_and_a_text_are_what_they_are() {
        let form = vec![("user".to_owned(), text("a b")), ("basic".to_owned(), text("{base64(a:{token})}"))];
        assert_eq!(body(&described(DescribedBody::Form(form))).0, "user=a+b&basic=YTp0IjBr");
        let (body, content_type) = body(&described(DescribedBody::Text(SecretSource::fixed("<l>{token}</l>"))));
        assert_eq!((body.as_str(), content_type.as_deref()), ("<l>t\"0k</l>", Some("text/plain; charset=utf-8")));
    }

    #[test]
    fn nothing_is_sent_with_a_length_where_a_method_would_have_a_body() {
        let mut settings = described(DescribedBody::None);
        settings.query = vec![("key".to_owned(), text("{token}"))];
        let http = written(&settings).encode().unwrap();
        assert_eq!(http.url.as_str(), "https://login.example/session?v=1&key=t%220k");
        assert_eq!((http.headers["content-length"].to_str().unwrap(), http.body.len()), ("0", 0));
        assert!(!http.headers.contains_key("content-type"));
        settings.method = Method::GET;
        let http = written(&settings).encode().unwrap();
        assert!(http.method == Method::GET && !http.headers.contains_key("content-length"));
    }

    #[test]
    fn what_was_put_into_a_text_is_not_repeated_by_us() {
        let parts = vec![Part::Text(Secret::new("<u>{token}</u>")), Part::Value(Secret::new("hunter2"))];
        let request = written(&described(DescribedBody::Text(SecretSource::from_parts(parts))));
        assert_eq!(request.scrub("bad hunter2 in t\"0k"), "bad <redacted> in <redacted>");
        let named = vec![(
            "username".to_owned(),
            ParamValue::Text(SecretSource::from_parts(vec![Part::Value(Secret::new("alice"))])),
        )];
        let request = written(&described(DescribedBody::Json(named)));
        assert_eq!(request.scrub("no such user: alice"), "no such user: alice");
    }
}
