//! A token request, read as strictly as RFC 6749 permits (§2.3, §3.2, appendix B).
//!
//! Refused: another method or content type, parameters in the query, a body that is no form, a parameter that comes
//! twice, two ways of proving oneself, credentials that are not the client's. Not refused: parameters nobody knows, and
//! those without a value, which count as absent (§3.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, Method, header};

use super::refusal::Refusal;
use super::{BasicEncoding, ServerSettings};

/// A well-formed token request; nothing in it is believed yet.
pub(super) struct TokenRequest {
    params: Vec<(String, String)>,
    authorization: Authorization,
}

/// What stood in `Authorization`.
enum Authorization {
    Nothing,
    /// What Basic held, base64 taken off: `id:secret`.
    Basic(String),
    Unreadable,
}

/// Where a confidential client may put its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretPlace {
    Header,
    HeaderOrBody,
}

impl TokenRequest {
    /// Reads a request whose body is there.
    pub(super) fn read(head: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::method());
        }
        if head.uri.query().is_some() {
            return Err(Refusal::invalid_request("parameters go in the body, not in the URL"));
        }
        if !is_form(&head.headers) {
            return Err(Refusal::invalid_request("the content type must be application/x-www-form-urlencoded"));
        }
        let params = form(body).ok_or_else(|| Refusal::invalid_request("the body is not a well-formed form"))?;
        if has_doubled(&params) {
            return Err(Refusal::invalid_request("a parameter comes more than once"));
        }
        Ok(Self { params, authorization: authorization(&head.headers)? })
    }

    /// A parameter's value; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A parameter's value, which must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    /// The scope asked for, if one is: well-formed (§3.3), and of values that this client may have.
    pub(super) fn scope(&self, settings: &ServerSettings) -> Result<Option<String>, Refusal> {
        let Some(scope) = self.get("scope") else { return Ok(None) };
        let token =
            |value: &str| !value.is_empty() && value.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !scope.split(' ').all(token) {
            return Err(Refusal::invalid_scope("scope values are separated by one space each"));
        }
        if !scope.split(' ').all(|value| settings.scopes.iter().any(|known| known == value)) {
            return Err(Refusal::invalid_scope("a scope value is unknown, or not for this client"));
        }
        Ok(Some(scope.to_owned()))
    }

    /// Whether this is the confidential client that the server knows.
    pub(super) fn authenticate(&self, settings: &ServerSettings, place: SecretPlace) -> Result<(), Refusal> {
        match &self.authorization {
            Authorization::Nothing if self.get("client_secret").is_none() => {
                Err(Refusal::challenge("the client did not prove itself"))
            }
            Authorization::Nothing if place == SecretPlace::Header => {
                Err(Refusal::challenge("this server takes client credentials in the Authorization header alone"))
            }
            Authorization::Nothing => self.authenticate_by_body(settings),
            Authorization::Basic(_) | Authorization::Unreadable if self.get("client_secret").is_some() => {
                Err(Refusal::invalid_request("the client proves itself in two ways at once"))
            }
            Authorization::Basic(text) => self.authenticate_by_header(text, settings),
            Authorization::Unreadable => {
                Err(Refusal::challenge("the Authorization header is not Basic as in RFC 7617"))
            }
        }
    }

    /// Whether this is the public client that the server knows; one that tries to prove itself is not (§2.3).
    pub(super) fn identify(&self, settings: &ServerSettings) -> Result<(), Refusal> {
        if !matches!(self.authorization, Authorization::Nothing) {
            return Err(Refusal::challenge("this client has no secret and must not send an Authorization header"));
        }
        if self.get("client_secret").is_some() {
            return Err(Refusal::invalid_client("this client has no secret and must not send one"));
        }
        if self.required("client_id")? != settings.client_id {
            return Err(Refusal::invalid_client(UNKNOWN_CLIENT));
        }
        Ok(())
    }

    fn authenticate_by_header(&self, text: &str, settings: &ServerSettings) -> Result<(), Refusal> {
        let (id, secret) = basic(text, settings.basic_encoding)
            .ok_or_else(|| Refusal::challenge("id and secret must be form-encoded before they become Basic"))?;
        if self.get("client_id").is_some_and(|other| other != id) {
            return Err(Refusal::invalid_request("client_id is not the client of the Authorization header"));
        }
        if id != settings.client_id || Some(&secret) != settings.client_secret.as_ref() {
            return Err(Refusal::challenge(UNKNOWN_CLIENT));
        }
        Ok(())
    }

    fn authenticate_by_body(&self, settings: &ServerSettings) -> Result<(), Refusal> {
        let id = self.required("client_id")?;
        if id != settings.client_id || self.get("client_secret") != settings.client_secret.as_deref() {
            return Err(Refusal::invalid_client(UNKNOWN_CLIENT));
        }
        Ok(())
    }
}

/// The same for a wrong id and a wrong secret: which it was is nobody's business.
const UNKNOWN_CLIENT: &str = "unknown client, or wrong secret";

/// Parameters that may come several times: RFC 8707 §2 and RFC 8693 §2.1 say so, against RFC 6749 §3.2.
const MAY_REPEAT: [&str; 2] = ["resource", "audience"];

fn has_doubled(params: &[(String, String)]) -> bool {
    params.iter().enumerate().any(|(index, (name, _))| {
        !MAY_REPEAT.contains(&name.as_str()) && params.iter().skip(index + 1).any(|(other, _)| other == name)
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let (media_type, parameter) = value.split_once(';').unwrap_or((value, "charset=utf-8"));
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && parameter.trim().eq_ignore_ascii_case("charset=utf-8")
}

fn authorization(headers: &HeaderMap) -> Result<Authorization, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Authorization::Nothing) };
    if values.next().is_some() {
        return Err(Refusal::invalid_request("there are two Authorization headers"));
    }
    let decoded = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(decoded.map_or(Authorization::Unreadable, Authorization::Basic))
}

/// Id and secret of Basic; the first colon parts them (RFC 7617 §2).
fn basic(text: &str, encoding: BasicEncoding) -> Option<(String, String)> {
    let (id, secret) = text.split_once(':')?;
    match encoding {
        BasicEncoding::Raw => Some((id.to_owned(), secret.to_owned())),
        BasicEncoding::Form => Some((decode(id)?, decode(secret)?)),
    }
}

/// The pairs of an `application/x-www-form-urlencoded` body, in order.
pub(super) fn form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let body = std::str::from_utf8(body).ok()?;
    if body.is_empty() {
        return Some(Vec::new());
    }
    body.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
        })
        .collect()
}

/// Takes form-encoding off: `+` is a space, `%` two hexadecimal digits. What had to be encoded and is not is no form:
/// a space, a control character, what is not ASCII.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte if byte.is_ascii_graphic() => byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_as_appendix_b_says() {
        // RFC 6749 appendix B: the six code points of its example.
        let decoded = form(b"x=+%25%26%2B%C2%A3%E2%82%AC").unwrap();
        assert_eq!(decoded, [("x".to_owned(), " %&+\u{a3}\u{20ac}".to_owned())]);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in ["a", "=b", "a=b&", "a=b&&c=d", "a=%", "a=%2", "a=%zz", "a=b c", "a=%ff", "a=\n", "a=\u{a3}"] {
            assert!(form(body.as_bytes()).is_none(), "{body:?}");
        }
        assert_eq!(form(b"").unwrap(), []);
    }

    #[test]
    fn basic_is_parted_at_its_first_colon() {
        assert_eq!(basic("id:a%3Ab", BasicEncoding::Form), Some(("id".to_owned(), "a:b".to_owned())));
        assert_eq!(basic("id:a%3Ab:c", BasicEncoding::Raw), Some(("id".to_owned(), "a%3Ab:c".to_owned())));
        assert_eq!(basic("id", BasicEncoding::Raw), None);
        assert_eq!(basic("id:100%", BasicEncoding::Form), None);
    }
}
