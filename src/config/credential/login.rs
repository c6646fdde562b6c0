//! The keys of `authorization_code` and `device_code`, the grants that need a person: as written, and what they become.
//!
//! Refused: parameters that the login itself sends, and keys of a browser that comes back where none does.

use std::time::Duration;

use url::Url;

use super::CredentialSection;
use super::client::GrantName;
use super::response::is_value_name;
use crate::config::node::Node;
use crate::config::read::Field;
use crate::config::read::MaybeEmpty;
use crate::config::read::Named;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::TokenUrl;
use crate::config::read::is_loopback;
use crate::config::read::section;
use crate::config::read::value_or;
use crate::config::read::words;
use crate::oauth::settings::AuthorizationSettings;
use crate::oauth::settings::GrantSettings;
use crate::oauth::settings::LoginSettings;
use crate::oauth::settings::LoginWay;
use crate::oauth::settings::Pkce;
use crate::oauth::settings::RedirectUri;

section! {
    /// `authorization`.
    struct Authorization {
        params: Named<MaybeEmpty>;
        pkce: Pkce;
        redirect_uri: RedirectUri;
        code_parameter: String;
        rename: Named<String>;
        values: Named<String>;
        timeout: Duration;
    }
}

words! { Pkce { "S256" => Pkce::S256, "off" => Pkce::Off } }

impl Read for RedirectUri {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a URL", node, |text| {
            let url = Url::parse(text).map_err(|_| "must be a URL: write `http://127.0.0.1/callback`")?;
            let is_loopback = url.host_str().is_some_and(is_loopback);
            if url.scheme() == "http" && !is_loopback {
                return Err("must be https, or http to loopback: the code goes there");
            }
            if url.fragment().is_some() {
                return Err("must have no fragment (`#`, RFC 6749 §3.1.2)");
            }
            Ok(Self { text: text.to_owned(), url })
        })
    }
}

/// Keys that only a browser that comes back has a use for.
pub(super) fn refuse_keys_of_codes(section: &CredentialSection, grant: GrantName, reader: &mut Reader<'_>) {
    let Some(Placed { value: keys, .. }) = &section.authorization else { return };
    let places = [
        keys.pkce.as_ref().map(|field| &field.at),
        keys.redirect_uri.as_ref().map(|field| &field.at),
        keys.code_parameter.as_ref().map(|field| &field.at),
        keys.values.as_ref().map(|field| &field.at),
        keys.timeout.as_ref().map(|field| &field.at),
    ];
    for at in places.into_iter().flatten().filter(|_| grant == GrantName::DeviceCode) {
        reader.wrong(at, "belongs to the grant `authorization_code`, not to `device_code`; remove it");
    }
}

/// The grant and its own keys.
pub(super) fn grant(
    section: &Placed<CredentialSection>,
    grant: GrantName,
    reader: &mut Reader<'_>,
) -> Option<GrantSettings> {
    let keys = &section.value;
    let (way, needed, key) = match grant {
        GrantName::DeviceCode => {
            (LoginWay::DeviceCode, keys.device_authorization_url.as_ref(), "device_authorization_url")
        }
        _ => (LoginWay::AuthorizationCode, keys.authorization_url.as_ref(), "authorization_url"),
    };
    if needed.is_none() && keys.issuer.is_none() {
        reader.absent(
            section,
            format!("\"{key}\" is missing; write `{key}: https://host/path`, or `issuer: https://host`"),
        );
    }
    if keys.client_id.is_none() {
        reader.absent(section, "\"client_id\" is missing; a person logs in to a client that the server knows");
    }
    let url = |field: &Field<TokenUrl>| field.as_ref().map(|url| url.value.0.clone());
    Some(GrantSettings::Login(Box::new(LoginSettings {
        way,
        authorization_url: url(&keys.authorization_url),
        device_authorization_url: url(&keys.device_authorization_url),
        revocation_url: url(&keys.revocation_url),
        authorization: authorization(keys.authorization.clone(), reader),
    })))
}

/// Names by which `authorization.values` can be used elsewhere.
pub(super) fn kept(grant: Option<&GrantSettings>) -> impl Iterator<Item = &str> {
    let login = match grant {
        Some(GrantSettings::Login(login)) => login.authorization.values.as_slice(),
        _ => &[],
    };
    login.iter().map(|(name, _)| name.as_str())
}

fn authorization(written: Field<Authorization>, reader: &mut Reader<'_>) -> AuthorizationSettings {
    let default = AuthorizationSettings::default();
    let Some(Placed { value: written, .. }) = written else { return default };
    let mut params = Vec::new();
    for (name, value) in written.params.iter().flat_map(|params| params.value.iter()) {
        if OURS.contains(&name.value.as_str()) {
            reader.wrong(&name.at, "is sent already, by another key of this credential; remove it");
        }
        params.push((name.value.clone(), value.value.0.clone()));
    }
    let values = written.values.iter().flat_map(|values| values.value.iter());
    // The mistake is noted: what is made of the rest is not used.
    for (name, _) in values {
        let _noted = is_value_name(name, reader);
    }
    let texts = |field: Field<Named<String>>| {
        let named = field.iter().flat_map(|named| named.value.iter());
        named.map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
    };
    AuthorizationSettings {
        params,
        pkce: value_or(written.pkce, default.pkce),
        redirect_uri: written.redirect_uri.map(Placed::into_value),
        code_parameter: value_or(written.code_parameter, default.code_parameter),
        rename: texts(written.rename),
        values: texts(written.values),
        timeout: value_or(written.timeout, default.timeout),
    }
}

/// What a login sends of its own; `response_type` may be another.
const OURS: [&str; 9] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "device_code",
];
