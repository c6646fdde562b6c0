//! What else of a reply is kept beside its token (`response.values`): a tenant, a second key, a cookie.

use http::HeaderMap;

use super::{Body, cookies};
use crate::oauth::settings::TokenPlace;
use crate::secret::Secret;
use crate::token::TokenError;
use crate::token::template::Words;

/// The values of a reply.
#[derive(Debug, Default)]
pub(in crate::oauth) struct Values {
    found: Words,
    /// The others: name, and why there is none.
    missing: Vec<(String, String)>,
}

impl Values {
    /// Those that the reply has.
    pub(super) fn read(headers: &HeaderMap, body: &Body, wanted: &[(String, TokenPlace)]) -> Self {
        let mut values = Self::default();
        for (name, place) in wanted {
            match value(headers, body, place) {
                Ok(value) => values.found = std::mem::take(&mut values.found).with(name, value),
                Err(why) => values.missing.push((name.clone(), why)),
            }
        }
        values
    }

    /// These, over `earlier` ones.
    ///
    /// # Errors
    ///
    /// One is in neither.
    pub(in crate::oauth) fn over(self, earlier: &Words) -> Result<Words, TokenError> {
        let mut words = earlier.clone().and(self.found);
        for (name, why) in self.missing {
            let known = earlier
                .get(&name)
                .ok_or_else(|| TokenError::Malformed(format!("{why}, where `response.values.{name}` should stand")))?;
            words = words.with(&name, known.clone());
        }
        Ok(words)
    }
}

/// Numbers and truth values are as good as texts here.
fn value(headers: &HeaderMap, body: &Body, place: &TokenPlace) -> Result<Secret, String> {
    let text = match place {
        TokenPlace::Header(name) => {
            let value = headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
            value.map(str::to_owned).ok_or_else(|| format!("it has no readable header field `{name}`"))?
        }
        TokenPlace::Cookies(names) => {
            return cookies::joined(headers, names).map_err(|name| format!("it sets no cookie `{name}`"));
        }
        TokenPlace::Body(pointer) if pointer.0.is_empty() => {
            body.whole().map(str::to_owned).ok_or_else(|| body.what().to_owned())?
        }
        TokenPlace::Body(pointer) => match body.at(&pointer.0) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            Some(serde_json::Value::Bool(value)) => value.to_string(),
            _ => return Err(format!("no text at `{}` in {}", pointer.0, body.what())),
        },
    };
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::oauth::settings::Pointer;

    fn read(wanted: &[(&str, &str)]) -> Values {
        let body = Body::parse(None, br#"{"tenant":"t","id":7,"deep":{"is":true},"none":null,"empty":""}"#);
        let place = |pointer: &str| match pointer.strip_prefix('@') {
            Some(name) => TokenPlace::Header(HeaderName::from_bytes(name.as_bytes()).unwrap()),
            None => TokenPlace::Body(Pointer(pointer.to_owned())),
        };
        let wanted: Vec<_> = wanted.iter().map(|(name, pointer)| ((*name).to_owned(), place(pointer))).collect();
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-uid"), HeaderValue::from_static(" u "))]);
        Values::read(&headers, &body, &wanted)
    }

    fn text(words: &Words, name: &str) -> String {
        words.get(name).unwrap().expose().to_owned()
    }

    #[test]
    fn texts_numbers_and_truth_values_are_kept() {
        let wanted = [("a", "/tenant"), ("b", "/id"), ("c", "/deep/is"), ("d", "@x-uid"), ("e", "/empty")];
        let words = read(&wanted).over(&Words::default()).unwrap();
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| text(&words, name)), ["t", "7", "true", "u", ""]);
    }

    #[test]
    fn one_that_is_missing_is_named_with_its_place() {
        for (pointer, why) in [
            ("/nothing", "no text at `/nothing` in an object, where `response.values.a` should stand"),
            ("/none", "no text at `/none` in an object"),
            ("/deep", "no text at `/deep` in an object"),
            ("@x-other", "it has no readable header field `x-other`"),
        ] {
            let error = read(&[("a", pointer)]).over(&Words::default()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_earlier_value_stands_in_for_one_that_is_missing() {
        let earlier = Words::default().with("a", Secret::new("old")).with("b", Secret::new("old"));
        let words = read(&[("a", "/tenant"), ("b", "/nothing")]).over(&earlier).unwrap();
        assert_eq!((text(&words, "a"), text(&words, "b")), ("t".to_owned(), "old".to_owned()));
    }
}
