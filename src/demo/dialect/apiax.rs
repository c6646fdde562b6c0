//! Apiax: a user's name and password, and a client without a secret (docs.apiax.io, "Retrieving an API Access Token").
//!
//! `expires_in` and `expires_at` are Java timestamps: milliseconds since 1970, not seconds from now. Refresh tokens live
//! 14 days (`refresh_expires_in: 0`) and serve once; a second use voids all tokens of that login. A refresh must say
//! `client_assertion_type`, though no assertion goes with it. Errors as in RFC 6749 §5.2.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Approval, Dialect, Grant, Issued, scalar};
use crate::demo::refusal::Refusal;
use crate::demo::settings::ANY_PORT;
use crate::demo::token_request::TokenRequest;
use crate::demo::{BasicEncoding, Events, RefreshTokens, ServerSettings};

pub(super) const TOKEN_PATH: &str = "/auth/realms/apiax/protocol/openid-connect/token";

pub(super) fn settings() -> ServerSettings {
    ServerSettings {
        dialect: Dialect::Apiax,
        address: ANY_PORT,
        client_id: "integration-api".to_owned(),
        client_secret: None,
        basic_encoding: BasicEncoding::Form,
        // A password that is no password if it is not form-encoded.
        user: Some(("demo@apiax.example".to_owned(), "pass&word=1+1".to_owned())),
        scopes: ["email", "profile"].map(str::to_owned).to_vec(),
        default_scope: Some("email profile".to_owned()),
        lifetime: Duration::from_secs(30 * 60),
        refresh_tokens: RefreshTokens::Rotated,
        refresh_lifetime: Duration::from_secs(14 * 24 * 60 * 60),
        events: Events::new(),
    }
}

pub(super) fn credential(settings: &ServerSettings) -> Vec<String> {
    let (username, password) = settings.user.clone().unwrap_or_default();
    vec![
        "grant: password".to_owned(),
        format!("client_id: {}", scalar(&settings.client_id)),
        "client_auth: none".to_owned(),
        format!("username: {}", scalar(&username)),
        format!("password: {}", scalar(&password)),
        format!("request: {{refresh_params: {{client_assertion_type: {}}}}}", scalar(ASSERTION_TYPE)),
    ]
}

pub(super) fn approve(request: &TokenRequest, settings: &ServerSettings) -> Result<Approval, Refusal> {
    request.identify(settings)?;
    match request.required("grant_type")? {
        "password" => {
            let user = (request.required("username")?, request.required("password")?);
            if settings.user.as_ref().is_none_or(|(name, password)| user != (name.as_str(), password.as_str())) {
                return Err(Refusal::invalid_grant("wrong user name or password"));
            }
            let scope = request.scope(settings)?.or_else(|| settings.default_scope.clone());
            Ok(Approval { grant: Grant::Password, scope, with_refresh_token: true })
        }
        "refresh_token" => {
            if request.required("client_assertion_type")? != ASSERTION_TYPE {
                return Err(Refusal::invalid_request("client_assertion_type is not the one of RFC 7523"));
            }
            Approval::refresh(request, settings)
        }
        _ => Err(Refusal::unsupported_grant_type()),
    }
}

pub(super) fn reply(issued: &Issued) -> Value {
    let mut reply = json!({
        "access_token": issued.access_token,
        "expires_in": issued.expires_at_millis(),
        "expires_at": issued.expires_at_millis(),
        "refresh_expires_in": 0,
        "token_type": "bearer",
        "not-before-policy": 0,
        "session_state": format!("00000000-0000-4000-8000-{:012x}", issued.family),
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

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
