//! Why a token request is refused (RFC 6749 §5.2), before it is written in a system's own form.
//!
//! A description never repeats what the client sent, and keeps to the characters that §5.2 allows (no `"`, no `\`).

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// A refusal, ready to be written down.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) description: Cow<'static, str>,
    /// A field that goes with the status.
    pub(super) field: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("invalid_request", description)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::invalid_request(format!("the parameter {parameter} is missing"))
    }

    pub(super) fn invalid_grant(description: &'static str) -> Self {
        Self::bad_request("invalid_grant", description)
    }

    pub(super) fn invalid_scope(description: &'static str) -> Self {
        Self::bad_request("invalid_scope", description)
    }

    pub(super) fn unauthorized_client() -> Self {
        Self::bad_request("unauthorized_client", "this client may not use this grant type")
    }

    pub(super) fn unsupported_grant_type() -> Self {
        Self::bad_request("unsupported_grant_type", "this server does not know this grant type")
    }

    /// The client failed to prove itself in the body, where no challenge could help it.
    pub(super) fn invalid_client(description: &'static str) -> Self {
        Self::bad_request("invalid_client", description)
    }

    /// The client failed to prove itself in `Authorization`, or nowhere: §5.2 demands 401 and a challenge for the
    /// former, RFC 9110 §15.5.2 for the latter.
    pub(super) fn challenge(description: &'static str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            field: Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"token\", charset=\"UTF-8\""),
            )),
            ..Self::invalid_client(description)
        }
    }

    /// §3.2: the client must use POST.
    pub(super) fn method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            field: Some((header::ALLOW, HeaderValue::from_static("POST"))),
            ..Self::invalid_request("the token endpoint takes POST alone")
        }
    }

    pub(super) fn too_large() -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..Self::invalid_request("the body is too large") }
    }

    pub(super) fn too_slow() -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, ..Self::invalid_request("the body took too long") }
    }

    /// As RFC 6749 §5.2 writes it.
    pub(super) fn as_rfc_6749(&self) -> Value {
        json!({ "error": self.code, "error_description": self.description })
    }

    fn bad_request(code: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: description.into(), field: None }
    }
}
