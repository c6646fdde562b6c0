//! Screening Eagle ID: client credentials, Basic alone (docs-io.screeningeagle.com, "Generate Auth Access Token").
//!
//! Id and secret become Basic as they are, not form-encoded first. Tokens live a week. The reply may add an id token and
//! a refresh token; here it does both, and a refresh token serves until it expires, so that the reply to a refresh has
//! none. Errors are `{"error", "errorDescription"}`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Approval, Dialect, Grant, Issued, scalar};
use crate::demo::refusal::Refusal;
use crate::demo::settings::ANY_PORT;
use crate::demo::token_request::{SecretPlace, TokenRequest};
use crate::demo::{BasicEncoding, Events, RefreshTokens, ServerSettings};

pub(super) const TOKEN_PATH: &str = "/api/id/v1/auth/token";

pub(super) fn settings() -> ServerSettings {
    ServerSettings {
        dialect: Dialect::ScreeningEagle,
        address: ANY_PORT,
        client_id: "eagle-demo".to_owned(),
        // Who encodes it finds out that this server does not decode.
        client_secret: Some("eagle/eye=20+20".to_owned()),
        basic_encoding: BasicEncoding::Raw,
        user: None,
        scopes: ["openid", "email", "profile", "inspect"].map(str::to_owned).to_vec(),
        default_scope: None,
        lifetime: Duration::from_secs(7 * 24 * 60 * 60),
        refresh_tokens: RefreshTokens::Kept,
        refresh_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
        events: Events::new(),
    }
}

pub(super) fn credential(settings: &ServerSettings) -> Vec<String> {
    vec![
        "grant: client_credentials".to_owned(),
        format!("client_id: {}", scalar(&settings.client_id)),
        format!("client_secret: {}", scalar(settings.client_secret.as_deref().unwrap_or_default())),
        "client_auth: client_secret_basic".to_owned(),
        "scope: [openid, inspect]".to_owned(),
        "request: {basic_encoding: raw}".to_owned(),
    ]
}

pub(super) fn approve(request: &TokenRequest, settings: &ServerSettings) -> Result<Approval, Refusal> {
    request.authenticate(settings, SecretPlace::Header)?;
    match request.required("grant_type")? {
        "client_credentials" => {
            let scope = request.scope(settings)?.or_else(|| settings.default_scope.clone());
            let scope = scope.ok_or_else(|| Refusal::missing("scope"))?;
            Ok(Approval { grant: Grant::ClientCredentials, scope: Some(scope), with_refresh_token: true })
        }
        "refresh_token" => Approval::refresh(request, settings),
        _ => Err(Refusal::unsupported_grant_type()),
    }
}

pub(super) fn reply(issued: &Issued) -> Value {
    let mut reply = json!({
        "scope": issued.scope,
        "token_type": "Bearer",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in(),
        "id_token": id_token(issued),
    });
    if let (Some(token), Some(members)) = (&issued.refresh_token, reply.as_object_mut()) {
        members.insert("refresh_token".to_owned(), token.as_str().into());
    }
    reply
}

pub(super) fn refuse(refusal: &Refusal) -> Value {
    json!({ "error": refusal.code, "errorDescription": refusal.description })
}

/// An unsecured JWT (RFC 7519 §6.1): there to be ignored, and to be refused by the API when somebody takes it for the
/// access token.
fn id_token(issued: &Issued) -> String {
    let header = json!({ "alg": "none" }).to_string();
    let claims = json!({ "sub": "eagle-demo", "exp": issued.expires_at_millis() / 1000 }).to_string();
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}
