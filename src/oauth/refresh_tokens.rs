//! Under what name a credential's tokens are kept.
//!
//! Under the credential's name and a digest of what the refresh token was granted for, so that a changed scope, user or
//! endpoint is not served with a token that was granted for another.

use aws_lc_rs::digest;

use super::grant;
use super::settings::{
    AssertionSource, CredentialSettings, DescribedBody, DescribedRequest, EndpointSettings, GrantSettings, ParamValue,
    Subject,
};
use crate::secret::SecretError;

/// Two names.
pub(super) struct Names {
    /// Where the store keeps it. For everybody's eyes.
    pub(super) key: String,
    /// What an access token was asked for with. Those of one credential whose files differ are not each other's. Kept
    /// encrypted.
    pub(super) mark: String,
}

/// The names of a credential as it is now. Blocks while secrets' files are read.
pub(super) fn names(settings: &CredentialSettings) -> Result<Names, SecretError> {
    Ok(Names { key: key(settings)?, mark: mark(settings)? })
}

fn key(settings: &CredentialSettings) -> Result<String, SecretError> {
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
        GrantSettings::Custom { request, .. } => login(request, &mut add)?,
        GrantSettings::JwtBearer { assertion } | GrantSettings::SignedJwt { assertion } => {
            said_of(assertion, &mut add)?;
            granted_for(settings, &mut add);
        }
        GrantSettings::ClientCredentials
        | GrantSettings::Exec(_)
        | GrantSettings::Static { .. }
        | GrantSettings::TokenExchange(_)
        | GrantSettings::Login(_) => granted_for(settings, &mut add),
    }
    Ok(format!("{} {}", settings.name, hex(context)))
}

/// What else token requests say that may make of the access token another one, and where it is looked for. Texts out
/// of files count by their file where they are of a further step.
fn mark(settings: &CredentialSettings) -> Result<String, SecretError> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |part: &str| {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    };
    granted_for(settings, &mut add);
    for (name, value) in &settings.request.params {
        add(name);
        parameter(value, &mut add)?;
    }
    for (name, value) in &settings.request.headers {
        add(name.as_str());
        add(value.read()?.expose());
    }
    add(&format!("{:?} {:?} {:?}", settings.response, settings.then, settings.dpop));
    Ok(hex(context))
}

fn parameter(value: &ParamValue, add: &mut impl FnMut(&str)) -> Result<(), SecretError> {
    match value {
        ParamValue::Text(text) => add(text.read()?.expose()),
        ParamValue::Bool(value) => add(&value.to_string()),
        ParamValue::Number(number) => add(&number.to_string()),
        ParamValue::Null => add("null"),
        ParamValue::List(values) => {
            add(&values.len().to_string());
            values.iter().try_for_each(|value| parameter(value, add))?;
        }
        ParamValue::Object(members) => {
            add(&members.len().to_string());
            for (name, value) in members {
                add(name);
                parameter(value, add)?;
            }
        }
    }
    Ok(())
}

fn hex(context: digest::Context) -> String {
    context.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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

/// Whom an assertion is from and about, and what else it claims. Of a ready-made one nothing is known.
fn said_of(assertion: &AssertionSource, add: &mut impl FnMut(&str)) -> Result<(), SecretError> {
    let AssertionSource::Signed(settings) = assertion else { return Ok(()) };
    if let Some(issuer) = &settings.issuer {
        add(issuer.read()?.expose());
    }
    if let Subject::Named(subject) = &settings.subject {
        add(subject.read()?.expose());
    }
    add(&format!("{:?}", settings.audience));
    settings.claims.iter().try_for_each(|(name, value)| said(name, value, add))
}

fn granted_for(settings: &CredentialSettings, add: &mut impl FnMut(&str)) {
    for list in [&settings.scope, &settings.audience, &settings.resource] {
        add(&list.len().to_string());
        list.iter().for_each(|value| add(value));
    }
}
