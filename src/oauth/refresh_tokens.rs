//! Keeps a credential's refresh token (RFC 6749 §6): in the store, and in memory what the store does not know.
//!
//! A rotated refresh token is saved before its access token is used: who loses it has lost the login. It is kept under
//! the credential's name and a digest of what it was granted for, so that a changed scope, user or endpoint is not
//! served with a token that was granted for another.

use std::sync::Arc;

use aws_lc_rs::digest;

use super::grant;
use super::settings::{
    CredentialSettings, DescribedBody, DescribedRequest, EndpointSettings, GrantSettings, ParamValue,
};
use crate::secret::{Secret, SecretError};
use crate::token::Moment;
use crate::token::TokenError;
use crate::token::store::TokenStore;

/// The refresh token of one credential.
pub(super) struct RefreshTokens {
    store: Arc<dyn TokenStore>,
    known: Option<Known>,
}

/// What the store does not keep of a refresh token.
struct Known {
    key: String,
    token: Secret,
    ends: Option<Moment>,
    /// The store has failed to save it: memory is the only place that has it.
    is_unsaved: bool,
}

impl RefreshTokens {
    /// None yet, but what `store` may have.
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self { store, known: None }
    }

    /// The refresh token to use, unless it has expired.
    pub(super) async fn current(&mut self, key: &str, now: Moment) -> Result<Option<Secret>, TokenError> {
        let known = self.known.as_ref().filter(|known| known.key == key);
        let token = match known {
            Some(known) if known.is_unsaved => Some(known.token.clone()),
            _ => self.store.load(key).await?,
        };
        let Some(token) = token else { return Ok(None) };
        let ends = known.filter(|known| known.token.expose() == token.expose()).and_then(|known| known.ends);
        Ok(ends.is_none_or(|ends| !now.reached(ends)).then_some(token))
    }

    /// Saves a new one. If the store fails, memory keeps it and the log says so: losing the access token as well would
    /// help nobody.
    pub(super) async fn keep(&mut self, key: &str, token: Secret, ends: Option<Moment>) {
        let is_unsaved = match self.store.save(key, Some(token.clone())).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(%error, "a new refresh token is kept in memory only: a restart loses it");
                true
            }
        };
        self.known = Some(Known { key: key.to_owned(), token, ends, is_unsaved });
    }

    /// Forgets it: the server has refused it.
    pub(super) async fn forget(&mut self, key: &str) {
        self.known = None;
        if let Err(error) = self.store.save(key, None).await {
            tracing::warn!(%error, "a refused refresh token stays in the store");
        }
    }
}

/// Under what name a credential's refresh token is kept. Blocks while secrets' files are read.
pub(super) fn key(settings: &CredentialSettings) -> Result<String, SecretError> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |part: &str| {
        // With its length, so that no two lists of parts read the same.
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    };
    add(grant::name(&settings.grant));
    match &settings.endpoint {
        Some(EndpointSettings::TokenUrl(url) | EndpointSettings::Issuer(url)) => add(url.as_str()),
        None => {}
    }
    if let Some(client_id) = &settings.client_id {
        add(client_id.read()?.expose());
    }
    match &settings.grant {
        // Each refresh says its scope anew: it is no part of what the token is. A new first token is a new login.
        GrantSettings::RefreshToken { refresh_token } => add(refresh_token.read()?.expose()),
        GrantSettings::Password { username, .. } => {
            add(username.read()?.expose());
            granted_for(settings, &mut add);
        }
        GrantSettings::Custom { request } => login(request, &mut add)?,
        GrantSettings::ClientCredentials | GrantSettings::Static { .. } | GrantSettings::TokenExchange(_) => {
            granted_for(settings, &mut add);
        }
    }
    let digest = context.finish();
    let mark: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{} {mark}", settings.name))
}

/// Which login a refresh token is of: where, and as whom. A password is no part of that, and easily guessed from a
/// digest; other secrets are not.
fn login(request: &DescribedRequest, add: &mut impl FnMut(&str)) -> Result<(), SecretError> {
    add(request.url.as_str());
    let body = match &request.body {
        DescribedBody::Form(members) | DescribedBody::Json(members) => members.as_slice(),
        DescribedBody::None | DescribedBody::Text(_) => &[],
    };
    request.query.iter().chain(body).try_for_each(|(name, value)| said(name, value, add))
}

fn said(name: &str, value: &ParamValue, add: &mut impl FnMut(&str)) -> Result<(), SecretError> {
    let lower = name.to_ascii_lowercase();
    match value {
        ParamValue::Text(_) if ["pass", "pwd", "secret", "pin"].iter().any(|word| lower.contains(word)) => {}
        ParamValue::Text(text) => {
            add(name);
            add(text.read()?.expose());
        }
        ParamValue::Number(number) => {
            add(name);
            add(&number.to_string());
        }
        ParamValue::List(values) => values.iter().try_for_each(|value| said(name, value, add))?,
        ParamValue::Object(members) => members.iter().try_for_each(|(name, value)| said(name, value, add))?,
        ParamValue::Bool(_) | ParamValue::Null => {}
    }
    Ok(())
}

fn granted_for(settings: &CredentialSettings, add: &mut impl FnMut(&str)) {
    for list in [&settings.scope, &settings.audience, &settings.resource] {
        add(&list.len().to_string());
        list.iter().for_each(|value| add(value));
    }
}
