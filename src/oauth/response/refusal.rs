//! What an answer without a token means (RFC 6749 §5.2, and all that servers say instead).
//!
//! The question is whether asking again can help. 429, 5xx, redirects and whatever calls itself temporary: yes, later.
//! An OAuth error code or another 4xx: no, not before somebody changes something, be it a wrong secret or a wrong URL
//! (`http_404`), for a login repeated at speed locks an account. A 200 that says `error` with a code nobody knows is
//! taken for a passing fault.

use std::time::{Duration, SystemTime};

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use url::Url;

use super::Body;
use crate::oauth::endpoint::Answer;
use crate::token::TokenError;

/// Why there is no token in this answer.
pub(in crate::oauth) fn read(answer: &Answer, body: &Body, now: SystemTime) -> TokenError {
    let status = answer.status;
    let (code, description) = error_of(body);
    let verdict = code.as_deref().is_some_and(|code| VERDICTS.contains(&code));
    let temporary = code.as_deref().is_some_and(|code| TEMPORARY.contains(&code));
    let is_later = temporary || LATER.contains(&status) || (!verdict && !status.is_client_error());
    if is_later {
        let description = redirect(answer).or_else(|| joined(code, description)).or_else(|| looks(body));
        let retry_after = retry_after(&answer.headers, now);
        return TokenError::Unavailable { status: status.as_u16(), description, retry_after };
    }
    let code = code.unwrap_or_else(|| format!("http_{}", status.as_u16()));
    TokenError::Refused { code, description: description.or_else(|| looks(body)) }
}

/// Statuses of the 4xx that a later request need not get.
const LATER: [StatusCode; 3] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];

/// Codes that call themselves temporary, whatever the status.
const TEMPORARY: [&str; 8] = [
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "too_many_requests",
    "rate_limit_exceeded",
    "rate_limited",
    "service_unavailable",
    "internal_server_error",
];

/// Codes that are meant, whatever the status: RFC 6749 §5.2 and §4.1.2.1, RFC 8707, and those of GitHub, which come
/// with 200.
const VERDICTS: [&str; 11] = [
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "access_denied",
    "bad_refresh_token",
    "bad_verification_code",
    "incorrect_client_credentials",
];

/// Whether a code says that the refresh token itself is worth nothing any more.
pub(in crate::oauth) fn is_of_refresh_token(code: &str) -> bool {
    matches!(
        code,
        "invalid_grant"
            | "bad_refresh_token"
            | "bad_verification_code"
            | "invalid_refresh_token"
            | "refresh_token_expired"
            | "expired_token"
            | "token_expired"
            | "invalid_token"
    )
}

/// Whether a code says that the client was not believed, as servers say it: RFC 6749 §5.2; Keycloak; Auth0; GitHub; a
/// 401 without a code.
pub(in crate::oauth) fn is_of_client(code: &str) -> bool {
    matches!(
        code,
        "invalid_client" | "unauthorized_client" | "access_denied" | "incorrect_client_credentials" | "http_401"
    )
}

/// Whether a code is one of those we know by heart, and not a server's own word.
pub(in crate::oauth) fn is_known(code: &str) -> bool {
    VERDICTS.contains(&code) || TEMPORARY.contains(&code) || is_of_refresh_token(code) || code.starts_with("http_")
}

/// The error's code and text, in the shapes that servers write them: RFC 6749; Screening Eagle; Google's object; Fitbit's
/// list; Okta; RFC 9457.
fn error_of(body: &Body) -> (Option<String>, Option<String>) {
    let codes = ["/error", "/error/code", "/error/type", "/error/status", "/errors/0/errorType", "/errorCode", "/code"];
    let texts = [
        "/error_description",
        "/errorDescription",
        "/error/message",
        "/error_message",
        "/errors/0/message",
        "/errorSummary",
        "/message",
        "/detail",
        "/title",
    ];
    let said = codes.iter().find_map(|place| body.text_at(place)).filter(|said| !said.is_empty());
    let text = texts.iter().find_map(|place| body.text_at(place)).map(shortened).filter(|text| !text.is_empty());
    let code = said.and_then(code);
    // A sentence where the code should stand is a description.
    let text = text.or_else(|| said.filter(|_| code.is_none()).map(shortened));
    (code, text.or_else(|| body.at("/error").and_then(Value::as_i64).map(|number| format!("error {number}"))))
}

/// A code, reduced to 64 characters; nothing if it is no word, for codes are shown to everybody.
pub(in crate::oauth) fn code(said: &str) -> Option<String> {
    let word =
        said.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/'));
    word.then(|| said.chars().take(LONGEST_CODE).collect())
}

const LONGEST_CODE: usize = 64;

/// A server's text for our log: one line, 300 characters.
pub(in crate::oauth) fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split(|letter: char| letter.is_control() || letter.is_whitespace()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((place, _)) => format!("{}…", line.get(..place).unwrap_or_default()),
        None => line,
    }
}

/// Both in one text. What may have been cut off is no code, and a secret's beginning is found at the end of a text alone.
fn joined(code: Option<String>, description: Option<String>) -> Option<String> {
    match (code, description) {
        (Some(code), Some(description)) if code.len() >= LONGEST_CODE => Some(description),
        (Some(code), Some(description)) => Some(format!("{code}: {description}")),
        (code, description) => code.or(description),
    }
}

/// What it looks like, when it says nothing that we understand.
fn looks(body: &Body) -> Option<String> {
    match body {
        Body::Empty | Body::Data(_) => None,
        Body::Html | Body::Text(_) | Body::Broken => Some(body.what().to_owned()),
    }
}

/// A redirect is not followed; where it points to is what the operator needs, without a query that may hold anything.
fn redirect(answer: &Answer) -> Option<String> {
    if !answer.status.is_redirection() {
        return None;
    }
    let place = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let place = match Url::parse(place) {
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => place.to_owned(),
    };
    Some(format!("redirects are not followed; this one points to {}", shortened(&place)))
}

/// RFC 9110 §10.2.3: seconds, or a date. At most a day: who bans for longer is asked once a day.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.is_empty() {
        return None;
    }
    let wait = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        false => httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?,
    };
    (!wait.is_zero()).then(|| wait.min(Duration::from_secs(24 * 3600)))
}
