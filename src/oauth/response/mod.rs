//! The tolerant reader of what a token endpoint answers (RFC 6749 §§5.1, 5.2; DESIGN.md section 3).
//!
//! Accepts whatever a token can be read from, wherever the settings say that it stands; refuses what cannot be a token,
//! and what says that it is not one to be borne (`token_type` `mac`, `pop`, `dpop`, `N_A`). Pure: bytes in, token or
//! reason out, and no bytes make it panic.

mod body;
mod cookies;
mod lifetime;
mod refusal;
mod values;

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::endpoint::Answer;
use super::settings::{CredentialSettings, ResponseSettings, TokenPlace};
use crate::secret::Secret;
use crate::token::TokenError;

pub(super) use body::Body;
pub(super) use lifetime::{jwt_left, jwt_lifetime};
pub(super) use refusal::read as read_refusal;
pub(super) use refusal::{code, is_known, is_of_client, is_of_refresh_token, shortened};
pub(super) use values::Values;

/// A token, and what came with it.
pub(super) struct TokenResponse {
    pub(super) access_token: Secret,
    pub(super) lifetime: Duration,
    pub(super) refresh_token: Option<RefreshTokenAnswer>,
    /// OpenID Connect Core §3.1.3.3.
    pub(super) id_token: Option<Secret>,
    pub(super) values: Values,
}

/// A new refresh token.
pub(super) struct RefreshTokenAnswer {
    pub(super) token: Secret,
    /// `None`: no end that anybody knows of.
    pub(super) lifetime: Option<Duration>,
}

/// The body of an answer, by its content type and its looks.
pub(super) fn body(answer: &Answer) -> Body {
    Body::parse(answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()), &answer.body)
}

/// Reads an answer to a request that was sent at `now`, with what is looked for in these `places`.
///
/// # Errors
///
/// It is a refusal, or no token can be found in it.
pub(super) fn read(
    answer: &Answer,
    body: &Body,
    places: &ResponseSettings,
    settings: &CredentialSettings,
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let values = values(answer, body, places, now)?;
    let access_token = access_token(&answer.headers, body, places).map_err(|missing| match body.at("/errors/0") {
        Some(_) => refusal::read(answer, body, now),
        None => missing,
    })?;
    refuse_other_types(body, settings)?;
    Ok(TokenResponse {
        id_token: body.text_at("/id_token").map(Secret::new),
        lifetime: lifetime::of(answer, body, &access_token, places, &settings.lifetime, now),
        access_token,
        refresh_token: body.text_at(&places.refresh_token.0).filter(|text| !text.is_empty()).map(|text| {
            let token = Secret::new(text);
            RefreshTokenAnswer { lifetime: lifetime::of_refresh_token(body, &token, now), token }
        }),
        values,
    })
}

/// Reads of an answer what is kept beside a token.
///
/// # Errors
///
/// It is a refusal. A value that is missing is none yet.
pub(super) fn values(
    answer: &Answer,
    body: &Body,
    places: &ResponseSettings,
    now: SystemTime,
) -> Result<Values, TokenError> {
    if !answer.status.is_success() || body.says_error() {
        return Err(refusal::read(answer, body, now));
    }
    if !answer.whole {
        return Err(malformed("it is longer than 1 MiB"));
    }
    Ok(Values::read(&answer.headers, body, &places.values))
}

fn access_token(headers: &HeaderMap, body: &Body, places: &ResponseSettings) -> Result<Secret, TokenError> {
    let cookies;
    let token = match &places.access_token {
        TokenPlace::Header(name) => {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            let value = value.ok_or_else(|| malformed(&format!("it has no readable header field `{name}`")))?;
            // There the scheme is part of the field, not of the token (RFC 9110 §11.6.2).
            if *name == AUTHORIZATION { without_scheme(value) } else { value.trim() }
        }
        TokenPlace::Cookies(names) => {
            cookies =
                cookies::joined(headers, names).map_err(|name| malformed(&format!("it sets no cookie `{name}`")))?;
            cookies.expose()
        }
        TokenPlace::Body(pointer) if pointer.0.is_empty() => body.whole().ok_or_else(|| malformed(body.what()))?,
        TokenPlace::Body(pointer) => match body.text_at(&pointer.0) {
            Some(text) => text,
            None => return Err(malformed(&format!("no text at `{}` in {}", pointer.0, body.what()))),
        },
    };
    if token.is_empty() {
        return Err(malformed("the access token is empty"));
    }
    if token.len() > MAX_TOKEN {
        return Err(malformed("the access token is longer than 64 KiB"));
    }
    // A header field could hold more (RFC 9110 §5.5), but no token does.
    if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(malformed("the access token has characters that no token may have"));
    }
    Ok(Secret::new(token))
}

/// No header field longer than this goes through anything.
const MAX_TOKEN: usize = 64 * 1024;

fn without_scheme(value: &str) -> &str {
    let value = value.trim();
    match value.split_at_checked("bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim(),
        _ => value,
    }
}

/// Servers write `bearer`, `Application Access Token` or nothing at all and mean a bearer token. Refused are the names
/// of schemes in which the bare token is worth nothing; `N_A`, no access token, is right where another type was asked for.
///
/// A credential with `dpop` accepts a bound token alone (RFC 9449 §5): any other would be good for whoever gets hold of it.
fn refuse_other_types(body: &Body, settings: &CredentialSettings) -> Result<(), TokenError> {
    let given = body.text_at("/token_type");
    if settings.dpop.is_some() {
        return match given.is_some_and(|given| given.trim().eq_ignore_ascii_case("dpop")) {
            true => Ok(()),
            false => Err(malformed("its token_type is not `DPoP`: the token is not bound to the key, as `dpop` asks")),
        };
    }
    let Some(given) = given else { return Ok(()) };
    match NOT_BORNE.iter().find(|name| given.trim().eq_ignore_ascii_case(name)) {
        None => Ok(()),
        Some(&"N_A") if settings.grant.asks_for_a_type() => Ok(()),
        Some(name) => Err(malformed(&format!("its token_type is `{name}`, which is no bearer token"))),
    }
}

/// MAC and `PoP` drafts of old, RFC 9449, RFC 8693 §2.2.1.
const NOT_BORNE: [&str; 4] = ["mac", "pop", "dpop", "N_A"];

fn malformed(what: &str) -> TokenError {
    TokenError::Malformed(what.to_owned())
}
