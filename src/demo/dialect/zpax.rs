//! z-Pax: client credentials with id, secret and a scope of several values (docs.myzpax.com, "Authentication - Client
//! Credentials Flow").
//!
//! Access tokens live 20 minutes. A refresh token, good for 60 minutes, comes only when `offline_access` is asked for;
//! here it is good for one use. Errors as in RFC 6749 §5.2.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Approval, Dialect, Grant, Issued, scalar};
use crate::demo::refusal::Refusal;
use crate::demo::settings::ANY_PORT;
use crate::demo::token_request::{SecretPlace, TokenRequest};
use crate::demo::{BasicEncoding, Events, RefreshTokens, ServerSettings};

pub(super) const TOKEN_PATH: &str = "/connect/token";

pub(super) fn settings() -> ServerSettings {
    ServerSettings {
        dialect: Dialect::Zpax,
        address: ANY_PORT,
        client_id: "zpax-demo".to_owned(),
        // What form-encoding changes is in it on purpose: who forgets to encode is found out.
        client_secret: Some("z/secret+100% :)".to_owned()),
        basic_encoding: BasicEncoding::Form,
        user: None,
        scopes: ["orders.read", "orders.write", OFFLINE_ACCESS].map(str::to_owned).to_vec(),
        default_scope: None,
        lifetime: Duration::from_secs(20 * 60),
        refresh_tokens: RefreshTokens::Rotated,
        refresh_lifetime: Duration::from_secs(60 * 60),
        events: Events::new(),
    }
}

pub(super) fn credential(settings: &ServerSettings) -> Vec<String> {
    vec![
        "grant: client_credentials".to_owned(),
        format!("client_id: {}", scalar(&settings.client_id)),
        format!("client_secret: {}", scalar(settings.client_secret.as_deref().unwrap_or_default())),
        "client_auth: client_secret_basic".to_owned(),
        "scope: [orders.read, orders.write, offline_access]".to_owned(),
    ]
}

pub(super) fn approve(request: &TokenRequest, settings: &ServerSettings) -> Result<Approval, Refusal> {
    request.authenticate(settings, SecretPlace::HeaderOrBody)?;
    match request.required("grant_type")? {
        "client_credentials" => {
            let scope = request.scope(settings)?.or_else(|| settings.default_scope.clone());
            let scope = scope.ok_or_else(|| Refusal::invalid_scope("the parameter scope is missing"))?;
            let with_refresh_token = scope.split(' ').any(|value| value == OFFLINE_ACCESS);
            Ok(Approval { grant: Grant::ClientCredentials, scope: Some(scope), with_refresh_token })
        }
        "refresh_token" => Approval::refresh(request, settings),
        _ => Err(Refusal::unsupported_grant_type()),
    }
}

pub(super) fn reply(issued: &Issued) -> Value {
    let mut reply = json!({
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in(),
        "scope": issued.scope,
    });
    if let (Some(token), Some(members)) = (&issued.refresh_token, reply.as_object_mut()) {
        members.insert("refresh_token".to_owned(), token.as_str().into());
    }
    reply
}

pub(super) fn refuse(refusal: &Refusal) -> Value {
    refusal.as_rfc_6749()
}

/// Asks for a refresh token (OpenID Connect Core §11).
const OFFLINE_ACCESS: &str = "offline_access";
