//! Applixure: client credentials, by Basic or in the body (developers.applixure.com, "Client Credentials Grant").
//!
//! The scope may be left to the server's default, and then the reply says which it was. Tokens live an hour; there is
//! never a refresh token: the server knows that grant, but not for this client. 400 as in RFC 6749 §5.2 (401 where
//! that section demands it); 500 and 503 are temporary, and come when it is told to
//! ([`AuthorizationServer::fail_with`](crate::demo::AuthorizationServer::fail_with)).

use std::time::Duration;

use serde_json::{Value, json};

use super::{Approval, Dialect, Grant, Issued, scalar};
use crate::demo::refusal::Refusal;
use crate::demo::settings::ANY_PORT;
use crate::demo::token_request::{SecretPlace, TokenRequest};
use crate::demo::{BasicEncoding, Events, RefreshTokens, ServerSettings};

pub(super) const TOKEN_PATH: &str = "/oauth2/token";

pub(super) fn settings() -> ServerSettings {
    ServerSettings {
        dialect: Dialect::Applixure,
        address: ANY_PORT,
        client_id: "applixure-demo".to_owned(),
        client_secret: Some("key secret&more".to_owned()),
        basic_encoding: BasicEncoding::Form,
        user: None,
        scopes: ["account-all:read", "account-data:manage"].map(str::to_owned).to_vec(),
        default_scope: Some("account-all:read".to_owned()),
        lifetime: Duration::from_secs(60 * 60),
        refresh_tokens: RefreshTokens::Never,
        refresh_lifetime: Duration::ZERO,
        events: Events::new(),
    }
}

pub(super) fn credential(settings: &ServerSettings) -> Vec<String> {
    vec![
        "grant: client_credentials".to_owned(),
        format!("client_id: {}", scalar(&settings.client_id)),
        format!("client_secret: {}", scalar(settings.client_secret.as_deref().unwrap_or_default())),
        "client_auth: client_secret_post".to_owned(),
    ]
}

pub(super) fn approve(request: &TokenRequest, settings: &ServerSettings) -> Result<Approval, Refusal> {
    request.authenticate(settings, SecretPlace::HeaderOrBody)?;
    match request.required("grant_type")? {
        "client_credentials" => {
            let scope = request.scope(settings)?.or_else(|| settings.default_scope.clone());
            let scope = scope.ok_or_else(|| Refusal::invalid_scope("this client has no default scope"))?;
            Ok(Approval { grant: Grant::ClientCredentials, scope: Some(scope), with_refresh_token: false })
        }
        "refresh_token" | "authorization_code" => Err(Refusal::unauthorized_client()),
        _ => Err(Refusal::unsupported_grant_type()),
    }
}

pub(super) fn reply(issued: &Issued) -> Value {
    json!({
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in(),
        "scope": issued.scope,
    })
}

pub(super) fn refuse(refusal: &Refusal) -> Value {
    refusal.as_rfc_6749()
}
