//! Puts a token request together: grant, scope, audience, resource, client authentication, further parameters.
//!
//! A refresh request (RFC 6749 §6) says no `scope`: left out, it means what was granted first, and some servers refuse
//! any other spelling of it; `request.refresh_params` can add one. It does say `audience` and `resource` (RFC 8707
//! §2.2), without which servers fall back to another audience. `request.params.grant_type` is for the credential's own
//! grant alone.

use http::HeaderName;
use url::Url;

use super::{Ask, Inputs, TokenRequest, Value};
use crate::oauth::settings::{ClientAuthSettings, CredentialSettings, GrantSettings};
use crate::secret::Secret;
use crate::token::TokenError;

/// The request that `ask` means, to `url`.
pub(in crate::oauth) fn compose(
    settings: &CredentialSettings,
    inputs: Inputs,
    ask: &Ask,
    url: Url,
) -> Result<TokenRequest, TokenError> {
    let kind = Kind::of(settings, ask);
    let mut request = TokenRequest::new(url);
    request.set_method(settings.request.method.clone());
    request.set_format(settings.request.format);
    inputs.grant.apply(&mut request)?;
    // Scope was said when the person was asked (RFC 6749 §4.1.3, RFC 8628 §3.4 know none here).
    let is_of_login = matches!(ask, Ask::Code(_) | Ask::Device(_));
    if kind.own && !is_of_login && !settings.scope.is_empty() {
        request.set("scope", Secret::new(settings.scope.join(&settings.request.scope_separator)));
    }
    for (name, values) in [("audience", &settings.audience), ("resource", &settings.resource)] {
        if let Some(value) = Value::one_or_list(values) {
            request.set(name, value);
        }
    }
    // A client without a secret is not named in a login that is written out, unless it is written there.
    let is_written_out = matches!((&settings.grant, ask), (GrantSettings::Custom { .. }, Ask::OwnGrant));
    if !(is_written_out && matches!(settings.client_auth, ClientAuthSettings::None | ClientAuthSettings::Tls)) {
        inputs.auth.sign(&mut request)?;
    }
    if settings.request.omit_grant_type {
        request.remove("grant_type");
    }
    rename(&mut request, settings);
    add_parameters(&mut request, inputs.params, inputs.refresh_params, kind);
    inputs.concealed.into_iter().for_each(|secret| request.conceal(secret));
    add_headers(&mut request, inputs.headers);
    Ok(request)
}

/// A request to an endpoint beside the token endpoint, at which the client proves itself alike (RFC 7009 §2.1, RFC 8628
/// §3.1): a form with these parameters.
pub(in crate::oauth) fn compose_beside(
    settings: &CredentialSettings,
    inputs: Inputs,
    url: Url,
    parameters: Vec<(String, Secret)>,
) -> Result<TokenRequest, TokenError> {
    let mut request = TokenRequest::new(url);
    parameters.into_iter().for_each(|(name, value)| request.set(&name, value));
    inputs.auth.sign(&mut request)?;
    rename(&mut request, settings);
    inputs.concealed.into_iter().for_each(|secret| request.conceal(secret));
    add_headers(&mut request, inputs.headers);
    Ok(request)
}

/// Parameters that this server calls otherwise.
fn rename(request: &mut TokenRequest, settings: &CredentialSettings) {
    if let GrantSettings::Login(login) = &settings.grant {
        login.authorization.rename.iter().for_each(|(standard, theirs)| request.rename(standard, theirs));
    }
}

fn add_headers(request: &mut TokenRequest, headers: Vec<(HeaderName, Secret)>) {
    for (name, value) in headers {
        // The client authentication's own header field stays; the length and the connection are the wire's affair.
        if !request.has_header(&name) && !FRAMING.contains(&name.as_str()) {
            request.set_header(name, value);
        }
    }
}

/// Header fields that no file may write: they decide where a message ends.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

/// Both are true of a credential whose own grant is a refresh token.
#[derive(Clone, Copy)]
struct Kind {
    own: bool,
    refresh: bool,
}

impl Kind {
    fn of(settings: &CredentialSettings, ask: &Ask) -> Self {
        let both = matches!(settings.grant, GrantSettings::RefreshToken { .. });
        let refresh = matches!(ask, Ask::Refresh(_));
        Self { own: both || !refresh, refresh: both || refresh }
    }
}

/// Further parameters: those for a refresh win over those for every request, and neither over what is there already.
fn add_parameters(
    request: &mut TokenRequest,
    params: Vec<(String, Value)>,
    refresh_params: Vec<(String, Value)>,
    kind: Kind,
) {
    let ours: Vec<String> = request.parameters().iter().map(|(name, _)| name.clone()).collect();
    let params = params.into_iter().filter(|(name, _)| kind.own || name != "grant_type");
    let refresh_params = refresh_params.into_iter().filter(|_| kind.refresh);
    for (name, value) in params.chain(refresh_params) {
        if name == "grant_type" || !ours.contains(&name) {
            request.set(&name, value);
        } else {
            tracing::debug!(parameter = name, "a further parameter is left out: the grant itself sends it");
        }
    }
}

/// Where the request that `ask` means goes, when it is not the token endpoint: `request.refresh_url` for a refresh, and
/// the URL of a login that is written out.
pub(in crate::oauth) fn own_url<'a>(settings: &'a CredentialSettings, ask: &Ask) -> Option<&'a Url> {
    match (&settings.grant, ask) {
        (GrantSettings::Custom { request, .. }, Ask::OwnGrant) => Some(&request.url),
        _ => settings.request.refresh_url.as_ref().filter(|_| Kind::of(settings, ask).refresh),
    }
}
