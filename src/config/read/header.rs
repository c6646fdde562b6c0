//! Header fields, methods and statuses.

use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;

use super::Node;
use super::Placed;
use super::Read;
use super::Reader;
use super::Value;

/// Whether the file may name this field to be written: hop-by-hop fields (RFC 9110 §7.6.1), those that frame a message,
/// and `Host` are ours.
pub(crate) fn may_be_set(name: &HeaderName) -> bool {
    const OURS: [&str; 11] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !OURS.contains(&name.as_str())
}

/// The name of a header field that is a key of a mapping.
pub(crate) fn field_name(key: &Placed<String>, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(key.value.as_bytes()).ok();
    if name.is_none() {
        reader.wrong(&key.at, "is not the name of a header field");
    }
    name
}

impl Read for HeaderName {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a header field's name", node, |text| {
            Self::from_bytes(text.as_bytes()).map_err(|_| "is not the name of a header field")
        })
    }
}

/// The value of a header field; sensitive when it came from elsewhere than the file.
#[derive(Clone, Debug)]
pub(crate) struct HeaderText(pub(crate) HeaderValue);

impl Read for HeaderText {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let mut value = reader.parse("text", node, |text| {
            HeaderValue::from_str(text).map_err(|_| "must be visible ASCII: it is the value of a header field")
        })?;
        value.set_sensitive(matches!(&node.value, Value::Scalar(scalar) if scalar.substituted));
        Some(Self(value))
    }
}

impl Read for Method {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a method", node, |text| match Self::from_bytes(text.as_bytes()) {
            Ok(_) if text.bytes().any(|byte| byte.is_ascii_lowercase()) => Err("write methods in upper case, as `GET`"),
            Ok(method) => Ok(method),
            Err(_) => Err("is not a method; write for example `GET`"),
        })
    }
}

impl Read for StatusCode {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a status", node, |text| match Self::from_bytes(text.as_bytes()) {
            Ok(status) if status.is_client_error() || status.is_server_error() => Ok(status),
            _ => Err("must be a status from 400 to 599"),
        })
    }
}
