//! Errors → answers, all in one place (DESIGN.md section 6; RFC 9457, RFC 9209).
//!
//! The caller learns *what*, never *why*: no address, no text of an upstream or an authorization server. Every answer
//! says by `Proxy-Status` that it is ours.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::ForwardError;
use crate::token::{Failure, TokenError};
use crate::upstream::UpstreamError;

/// `Proxy-Status` (RFC 9209).
pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// How an error looks from outside.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The error type of RFC 9209 §2.3; also the word in the access log.
    pub(super) error: &'static str,
    details: Option<String>,
    title: &'static str,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

/// The answer to an error on this route; `-` when none was found.
pub(super) fn respond(problem: &Problem, route: &str) -> Response<Bytes> {
    let body = serde_json::json!({
        "type": format!("urn:bearer-proxy:problem:{}", problem.error),
        "title": problem.title,
        "status": problem.status.as_u16(),
        "detail": problem.detail,
        "route": route,
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PROXY_STATUS, proxy_status(problem));
    if let Some(wait) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let Some(challenge) = problem.challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if problem.status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 §15.5.6 wants one: what is refused here is refused whatever the resource.
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if problem.error == "http_request_error" {
        // Whatever follows on this connection is not to be trusted.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn proxy_status(problem: &Problem) -> HeaderValue {
    let text = match &problem.details {
        Some(details) => format!("bearer-proxy; error={}; details=\"{details}\"", problem.error),
        None => format!("bearer-proxy; error={}", problem.error),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bearer-proxy"))
}

impl Problem {
    fn new(status: StatusCode, error: &'static str, title: &'static str, detail: &'static str) -> Self {
        Self { status, error, details: None, title, detail: Cow::Borrowed(detail), retry_after: None, challenge: None }
    }

    /// A new failure must choose its status here.
    pub(super) fn of(error: &ForwardError) -> Self {
        match error {
            ForwardError::BadRequest { status, detail } => {
                Self::new(*status, "http_request_error", "The request is not acceptable", detail)
            }
            ForwardError::Denied(detail) => {
                Self::new(StatusCode::FORBIDDEN, "http_request_denied", "Not allowed", detail)
            }
            ForwardError::UnknownHost => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "http_request_denied",
                "Unknown host",
                "This proxy does not serve the host that the request names.",
            ),
            ForwardError::HostNotRouted => Self::new(
                StatusCode::FORBIDDEN,
                "http_request_denied",
                "Host not proxied",
                "No route of this proxy names the host of the request.",
            ),
            ForwardError::Loop => Self::new(
                StatusCode::LOOP_DETECTED,
                "proxy_loop_detected",
                "Loop",
                "The request has passed through this proxy before: an upstream points back at it.",
            ),
            ForwardError::NoRoute => Self::new(
                StatusCode::NOT_FOUND,
                "destination_not_found",
                "No route",
                "No route of this proxy matches the request.",
            ),
            ForwardError::NoToken(failure) => Self::of_token(failure),
            ForwardError::Upstream(error) => Self::of_upstream(error),
            ForwardError::BadUpgrade(detail) => Self::new(
                StatusCode::BAD_GATEWAY,
                "http_protocol_error",
                "The upstream's answer is not understood",
                detail,
            ),
        }
    }

    fn of_token(failure: &Failure) -> Self {
        let details = Some(printable(failure.error.code()));
        match &*failure.error {
            TokenError::NoSubject => {
                let detail = "The request needs a bearer token of its own.";
                return Self { details, ..Self::of_subject("Bearer", detail) };
            }
            TokenError::BadSubject { .. } => {
                let challenge = "Bearer error=\"invalid_token\"";
                return Self { details, ..Self::of_subject(challenge, "The request's bearer token is not accepted.") };
            }
            TokenError::NeedsLogin { credential, .. } => {
                let detail = format!("A person has to log in: run `bearer-proxy login {credential}`.");
                return Self { details, detail: Cow::Owned(detail), ..Self::needs_login(failure.retry_after) };
            }
            _ => {}
        }
        if let TokenError::Refused { code, .. } = &*failure.error {
            let detail = format!("The authorization server refuses this proxy's credential: {}.", printable(code));
            return Self {
                details,
                detail: Cow::Owned(detail),
                ..Self::new(StatusCode::BAD_GATEWAY, "proxy_configuration_error", "No access token", "")
            };
        }
        Self {
            details,
            retry_after: Some(failure.retry_after),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "destination_unavailable",
                "No access token at the moment",
                "The authorization server gives no access token at the moment. Try again later.",
            )
        }
    }

    /// Somebody may log in at any time, and is noticed within a second.
    fn needs_login(retry_after: Duration) -> Self {
        const SOON: Duration = Duration::from_secs(10);
        Self {
            retry_after: Some(retry_after.min(SOON)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "destination_unavailable",
                "No access token before somebody logs in",
                "",
            )
        }
    }

    /// The caller's own token is what is wanting (RFC 6750 §3).
    fn of_subject(challenge: &'static str, detail: &'static str) -> Self {
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, "http_request_denied", "Not authenticated", detail)
        }
    }

    fn of_upstream(error: &UpstreamError) -> Self {
        let gateway = |error, detail| Self::new(StatusCode::BAD_GATEWAY, error, "No answer from the upstream", detail);
        let late = |error, detail| Self::new(StatusCode::GATEWAY_TIMEOUT, error, "The upstream is too slow", detail);
        match error {
            UpstreamError::Dns(_) => gateway("dns_error", "The upstream's name cannot be resolved."),
            UpstreamError::Refused => gateway("connection_refused", "The upstream refuses connections."),
            UpstreamError::Unreachable(_) => gateway("destination_ip_unroutable", "The upstream cannot be reached."),
            UpstreamError::Certificate(_) => {
                gateway("tls_certificate_error", "The upstream's certificate is not accepted.")
            }
            UpstreamError::Tls(_) => gateway("tls_protocol_error", "No TLS session with the upstream."),
            UpstreamError::Terminated(_) => {
                gateway("connection_terminated", "The upstream ended the connection without an answer.")
            }
            UpstreamError::Malformed(_) => gateway("http_protocol_error", "The upstream's answer is not understood."),
            UpstreamError::HeadTooLarge => {
                gateway("http_response_header_section_size", "The head of the upstream's answer is too large.")
            }
            // Sent again with another token; only a second expiry in a row comes to this.
            UpstreamError::TooLate => late("connection_timeout", "No connection to the upstream in time."),
            UpstreamError::ConnectTimeout => late("connection_timeout", "No connection to the upstream in time."),
            UpstreamError::ResponseHeadTimeout => late("http_response_timeout", "No answer from the upstream in time."),
            UpstreamError::WriteTimeout => {
                late("connection_write_timeout", "The upstream does not take the request in time.")
            }
            UpstreamError::TooManyConnections => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "connection_limit_reached",
                    "Too many requests to the upstream",
                    "All connections to the upstream are in use.",
                )
            },
            UpstreamError::UploadTimeout => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "http_request_error",
                "The request is too slow",
                "The request's body stood still for too long.",
            ),
            UpstreamError::UploadAborted(_) => Self::new(
                StatusCode::BAD_REQUEST,
                "http_request_error",
                "The request is not acceptable",
                "The request's body broke off or is not well-formed.",
            ),
        }
    }
}

/// What may stand in a quoted string of RFC 8941 and in a sentence: letters, digits and a few marks.
fn printable(code: &str) -> String {
    code.chars().filter(|char| char.is_ascii_alphanumeric() || "_-. ".contains(*char)).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn answer(error: &ForwardError) -> (StatusCode, String, serde_json::Value) {
        let response = respond(&Problem::of(error), "orders");
        let status = response.headers()[PROXY_STATUS].to_str().unwrap().to_owned();
        let body = serde_json::from_slice(response.body()).unwrap();
        (response.status(), status, body)
    }

    fn no_token(error: TokenError) -> ForwardError {
        ForwardError::NoToken(Failure { error: Arc::new(error), retry_after: Duration::from_millis(2500) })
    }

    #[test]
    fn an_authorization_server_that_is_away_is_503_with_retry_after() {
        let error = no_token(TokenError::Unreachable("10.0.0.7:443 refused".to_owned()));
        let (status, proxy_status, body) = answer(&error);
        assert_eq!(status, 503);
        assert_eq!(proxy_status, "bearer-proxy; error=destination_unavailable; details=\"unreachable\"");
        assert!(!body.to_string().contains("10.0.0.7"));
        assert_eq!(respond(&Problem::of(&error), "-").headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn a_refusal_for_good_is_502_with_the_oauth_code_and_never_the_servers_text() {
        let refused = TokenError::Refused {
            code: "invalid_client".to_owned(),
            description: Some("client zpax-7 is locked".to_owned()),
        };
        let (status, proxy_status, body) = answer(&no_token(refused));
        assert_eq!(status, 502);
        assert_eq!(proxy_status, "bearer-proxy; error=proxy_configuration_error; details=\"invalid_client\"");
        assert!(!body.to_string().contains("locked"));
        assert_eq!(body["route"], "orders");
    }

    #[test]
    fn a_credential_that_needs_a_person_is_503_and_says_what_to_run() {
        let error = TokenError::NeedsLogin { credential: "crm".to_owned(), refused: Some("invalid_grant".to_owned()) };
        let failure = Failure { error: Arc::new(error), retry_after: Duration::from_secs(900) };
        let error = ForwardError::NoToken(failure);
        let (status, proxy_status, body) = answer(&error);
        assert_eq!(status, 503);
        assert_eq!(proxy_status, "bearer-proxy; error=destination_unavailable; details=\"needs_login\"");
        assert_eq!(body["detail"], "A person has to log in: run `bearer-proxy login crm`.");
        assert_eq!(respond(&Problem::of(&error), "-").headers()[RETRY_AFTER], "10");
    }

    // RFC 6750 §3
    #[test]
    fn a_caller_whose_own_token_is_wanting_is_401_with_a_challenge() {
        let challenged = |error| respond(&Problem::of(&no_token(error)), "-").headers()[WWW_AUTHENTICATE].clone();
        assert_eq!(challenged(TokenError::NoSubject), "Bearer");
        let refused = || TokenError::BadSubject { code: "invalid_grant".to_owned(), description: Some("x".to_owned()) };
        assert_eq!(challenged(refused()), "Bearer error=\"invalid_token\"");
        let (status, proxy_status, body) = answer(&no_token(refused()));
        assert_eq!(status, 401);
        assert_eq!(proxy_status, "bearer-proxy; error=http_request_denied; details=\"invalid_grant\"");
        assert_eq!(body["detail"], "The request's bearer token is not accepted.");
    }

    #[test]
    fn a_code_cannot_break_out_of_its_quotes() {
        let refused = TokenError::Refused { code: "a\"; x=\"\r\nb".to_owned(), description: None };
        assert_eq!(answer(&no_token(refused)).1, "bearer-proxy; error=proxy_configuration_error; details=\"a xb\"");
    }

    #[test]
    fn a_refused_request_closes_its_connection() {
        let error = ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: "two lengths" };
        assert_eq!(respond(&Problem::of(&error), "-").headers()[CONNECTION], "close");
    }
}
