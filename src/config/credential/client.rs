//! What a credential says of itself: grant, endpoint, and which keys belong together.

use super::CredentialSection;
use super::assertion;
use super::described;
use super::exec;
use super::login;
use super::private_key;
use super::request::Request;
use super::token_exchange;
use crate::config::read::Field;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Reader;
use crate::config::read::words;
use crate::oauth::settings::EndpointSettings;
use crate::oauth::settings::GrantSettings;
use crate::secret::SecretSource;

/// `grant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantName {
    ClientCredentials,
    Password,
    RefreshToken,
    JwtBearer,
    SignedJwt,
    Custom,
    Exec,
    Static,
    TokenExchange,
    AuthorizationCode,
    DeviceCode,
}

words! {
    GrantName {
        "client_credentials" => GrantName::ClientCredentials,
        "password" => GrantName::Password,
        "refresh_token" => GrantName::RefreshToken,
        "jwt_bearer" => GrantName::JwtBearer,
        "signed_jwt" => GrantName::SignedJwt,
        "custom" => GrantName::Custom,
        "exec" => GrantName::Exec,
        "static" => GrantName::Static,
        "token_exchange" => GrantName::TokenExchange,
        "authorization_code" => GrantName::AuthorizationCode,
        "device_code" => GrantName::DeviceCode,
    }
}

/// Keys that do not belong to this grant.
pub(super) fn refuse_foreign_keys(section: &CredentialSection, grant: GrantName, reader: &mut Reader<'_>) {
    const EXCHANGING: &[GrantName] = &[GrantName::TokenExchange];
    const OF_PEOPLE: &[GrantName] = &[GrantName::AuthorizationCode, GrantName::DeviceCode];
    let asking_or = |others: &[GrantName]| [ASKING, others].concat();
    // A token that is there already needs these only to go on with.
    let going_on: &[GrantName] = if section.then.is_some() { &[GrantName::Static, GrantName::SignedJwt] } else { &[] };
    let client = asking_or(&[GrantName::Custom]);
    let reading = asking_or(&[GrantName::Custom, GrantName::Exec]);
    let all = [reading.as_slice(), going_on].concat();
    let owners = [
        (at(&section.username), &[GrantName::Password][..]),
        (at(&section.password), &[GrantName::Password]),
        (at(&section.refresh_token), &[GrantName::RefreshToken]),
        (at(&section.token), &[GrantName::Static]),
        (at(&section.command), &[GrantName::Exec]),
        (at(&section.args), &[GrantName::Exec]),
        (at(&section.env), &[GrantName::Exec]),
        (at(&section.subject_token), EXCHANGING),
        (at(&section.subject_token_type), EXCHANGING),
        (at(&section.requested_token_type), EXCHANGING),
        (at(&section.actor_token), EXCHANGING),
        (at(&section.actor_token_type), EXCHANGING),
        (at(&section.subjects), EXCHANGING),
        (at(&section.authorization_url), &[GrantName::AuthorizationCode]),
        (at(&section.device_authorization_url), OF_PEOPLE),
        (at(&section.authorization), OF_PEOPLE),
        (at(&section.revocation_url), OF_PEOPLE),
        (at(&section.token_url), ASKING),
        (at(&section.issuer), ASKING),
        (at(&section.client_id), &client),
        (at(&section.client_secret), &client),
        (at(&section.client_auth), &client),
        (at(&section.client_assertion), &client),
        (at(&section.client_assertion_file), &client),
        (at(&section.assertion), ASSERTING),
        (at(&section.assertion_file), &[GrantName::JwtBearer, GrantName::Custom]),
        (at(&section.scope), ASKING),
        (at(&section.audience), ASKING),
        (at(&section.resource), ASKING),
        (at(&section.request), &all),
        (at(&section.response), &reading),
        (at(&section.dpop), ASKING),
        (at(&section.refresh), &[all.as_slice(), &[GrantName::SignedJwt]].concat()),
    ];
    refuse(&owners, grant, reader);
    login::refuse_keys_of_codes(section, grant, reader);
    if let Some(request) = &section.request {
        refuse_foreign_keys_of_request(&request.value, grant, &client, reader);
        if grant == GrantName::Exec && section.then.is_none() {
            refuse(&[(at(&request.value.tls), &client)], grant, reader);
        }
    }
}

/// Grants that ask a token endpoint.
const ASKING: &[GrantName] = &[
    GrantName::ClientCredentials,
    GrantName::Password,
    GrantName::RefreshToken,
    GrantName::JwtBearer,
    GrantName::TokenExchange,
    GrantName::AuthorizationCode,
    GrantName::DeviceCode,
];

/// Grants that can use an assertion.
const ASSERTING: &[GrantName] = &[GrantName::JwtBearer, GrantName::SignedJwt, GrantName::Custom];

/// Keys of `request` that do not belong to this grant; all but these belong to each that may have a `request`.
fn refuse_foreign_keys_of_request(request: &Request, grant: GrantName, client: &[GrantName], reader: &mut Reader<'_>) {
    let owners = [
        (at(&request.url), &[GrantName::Custom][..]),
        (at(&request.query), &[GrantName::Custom]),
        (at(&request.body), &[GrantName::Custom]),
        (at(&request.params), ASKING),
        (at(&request.format), ASKING),
        (at(&request.scope_separator), ASKING),
        (at(&request.method), client),
        (at(&request.headers), client),
        (at(&request.basic_encoding), client),
        (at(&request.refresh_url), client),
        (at(&request.refresh_params), client),
    ];
    refuse(&owners, grant, reader);
}

fn at<T>(field: &Field<T>) -> Option<Place> {
    field.as_ref().map(|field| field.at.clone())
}

fn refuse(owners: &[(Option<Place>, &[GrantName])], grant: GrantName, reader: &mut Reader<'_>) {
    for (place, owners) in owners {
        if let Some(place) = place.as_ref().filter(|_| !owners.contains(&grant)) {
            let owners: Vec<_> = owners.iter().map(|owner| format!("`{}`", owner.word())).collect();
            let message = format!("belongs to the grant {}, not to `{}`; remove it", owners.join(" or "), grant.word());
            reader.wrong(place, message);
        }
    }
}

impl GrantName {
    fn word(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::JwtBearer => "jwt_bearer",
            Self::SignedJwt => "signed_jwt",
            Self::Custom => "custom",
            Self::Exec => "exec",
            Self::Static => "static",
            Self::TokenExchange => "token_exchange",
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
        }
    }
}

/// `grant` and its own keys.
pub(super) fn grant(
    section: &Placed<CredentialSection>,
    grant: GrantName,
    reader: &mut Reader<'_>,
) -> Option<GrantSettings> {
    let mut needed = |field: &Field<SecretSource>, key: &str| {
        if field.is_none() {
            let message = format!("\"{key}\" is missing; the grant `{}` needs it", grant.word());
            reader.absent(section, message);
        }
        field.clone().map(Placed::into_value)
    };
    let keys = &section.value;
    match grant {
        GrantName::ClientCredentials => Some(GrantSettings::ClientCredentials),
        GrantName::Password => {
            let (username, password) = (needed(&keys.username, "username"), needed(&keys.password, "password"));
            Some(GrantSettings::Password { username: username?, password: password? })
        }
        GrantName::RefreshToken => {
            Some(GrantSettings::RefreshToken { refresh_token: needed(&keys.refresh_token, "refresh_token")? })
        }
        GrantName::JwtBearer => Some(GrantSettings::JwtBearer { assertion: assertion::needed(section, reader)? }),
        GrantName::SignedJwt => Some(GrantSettings::SignedJwt { assertion: assertion::needed(section, reader)? }),
        GrantName::Custom => {
            let assertion = assertion::of_grant(section, reader);
            Some(GrantSettings::Custom { request: described::login(section, reader)?, assertion })
        }
        GrantName::Exec => exec::exec(section, reader).map(GrantSettings::Exec),
        GrantName::Static => Some(GrantSettings::Static { token: needed(&keys.token, "token")? }),
        GrantName::TokenExchange => token_exchange::grant(section, reader),
        GrantName::AuthorizationCode | GrantName::DeviceCode => login::grant(section, grant, reader),
    }
}

/// `token_url` or `issuer`; `Some(None)` for a grant that asks nobody.
#[expect(clippy::option_option, reason = "outside: whether it is right; inside: whether there is one")]
pub(super) fn endpoint(
    section: &Placed<CredentialSection>,
    grant: GrantName,
    reader: &mut Reader<'_>,
) -> Option<Option<EndpointSettings>> {
    match (&section.value.token_url, &section.value.issuer) {
        _ if !ASKING.contains(&grant) => Some(None),
        (Some(url), None) => Some(Some(EndpointSettings::TokenUrl(url.value.0.clone()))),
        (None, Some(issuer)) => Some(Some(EndpointSettings::Issuer(issuer.value.0.clone()))),
        (Some(_), Some(issuer)) => {
            reader.wrong(&issuer.at, "`token_url` and `issuer` say the same thing twice; remove one");
            None
        }
        (None, None) if grant == GrantName::JwtBearer && private_key::says_token_url(&section.value) => {
            private_key::token_url(&section.value, reader).map(|url| Some(EndpointSettings::TokenUrl(url.0)))
        }
        (None, None) => {
            let message = "\"token_url\" is missing; write `token_url: https://host/path`, or `issuer: https://host`";
            reader.absent(section, message);
            None
        }
    }
}
