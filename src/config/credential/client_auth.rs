//! How the client proves itself: as written, and what it becomes.
//!
//! Refused: a secret, key or certificate that the chosen way does not use, and one that it lacks. Nothing is guessed but
//! from what is there: a secret means Basic, an assertion `private_key_jwt`.

use super::CredentialSection;
use super::assertion;
use super::client::GrantName;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::words;
use crate::oauth::settings::BasicEncoding;
use crate::oauth::settings::ClientAuthSettings;
use crate::secret::SecretSource;

/// `client_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuthName {
    None,
    Basic,
    Post,
    SecretJwt,
    PrivateKeyJwt,
    /// Both ways of RFC 8705: what differs is how the server knows the certificate.
    Tls,
}

words! {
    ClientAuthName {
        "client_secret_basic" => ClientAuthName::Basic,
        "client_secret_post" => ClientAuthName::Post,
        "client_secret_jwt" => ClientAuthName::SecretJwt,
        "private_key_jwt" => ClientAuthName::PrivateKeyJwt,
        "tls_client_auth" => ClientAuthName::Tls,
        "self_signed_tls_client_auth" => ClientAuthName::Tls,
        "none" => ClientAuthName::None,
    }
}

/// `client_secret`: one, or several to be tried in turn while the server changes from one to the other.
#[derive(Clone, Debug)]
pub(crate) struct ClientSecret(Vec<Placed<SecretSource>>);

impl Read for ClientSecret {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.value, Value::List(_)) {
            return Placed::read(node, reader).map(|secret| Self(vec![secret]));
        }
        let secrets = Vec::<Placed<SecretSource>>::read(node, reader)?;
        match secrets.len() {
            1..=MOST_SECRETS => Some(Self(secrets)),
            0 => reader.refuse(node, "has no secret in it"),
            _ => reader
                .refuse(node, format_args!("has more than {MOST_SECRETS} secrets: a server would lock the client")),
        }
    }
}

/// The new one, the old one, and one that nobody has dared to remove yet.
const MOST_SECRETS: usize = 3;

/// `client_auth` with each secret: the first, and the others.
pub(super) fn client_auths(
    section: &Placed<CredentialSection>,
    reader: &mut Reader<'_>,
) -> Option<(ClientAuthSettings, Vec<ClientAuthSettings>)> {
    let keys = &section.value;
    let name = named(keys);
    let encoding = keys.request.as_ref().and_then(|request| request.value.basic_encoding.clone());
    if let (Some(encoding), false) = (&encoding, name == ClientAuthName::Basic) {
        reader.wrong(&encoding.at, "is for `client_auth: client_secret_basic` alone; remove it");
    }
    refuse_unused(keys, name, reader);
    let encoding = encoding.map_or(default_encoding(keys), Placed::into_value);
    match name {
        ClientAuthName::None if keys.client_secret.is_some() => None,
        ClientAuthName::None => Some((ClientAuthSettings::None, Vec::new())),
        ClientAuthName::Basic | ClientAuthName::Post | ClientAuthName::SecretJwt => {
            let secrets = secrets(section, reader)?;
            let each = secrets.into_iter().map(|secret| match name {
                ClientAuthName::Basic => Some(ClientAuthSettings::SecretBasic { secret: secret.value, encoding }),
                ClientAuthName::Post => Some(ClientAuthSettings::SecretPost { secret: secret.value }),
                _ => assertion::of_client_secret(section, &secret, reader)
                    .map(|assertion| ClientAuthSettings::SecretJwt { assertion }),
            });
            let mut each = each.collect::<Option<Vec<_>>>()?.into_iter();
            Some((each.next()?, each.collect()))
        }
        ClientAuthName::PrivateKeyJwt => {
            // A ready-made assertion says itself whose it is.
            if keys.client_id.is_none() && keys.client_assertion_file.is_none() {
                reader.absent(section, "\"client_id\" is missing; the assertion is from and about it");
            }
            let assertion = assertion::of_client(section, reader)?;
            Some((ClientAuthSettings::PrivateKeyJwt { assertion }, Vec::new()))
        }
        ClientAuthName::Tls => {
            if keys.client_id.is_none() {
                reader.absent(section, "\"client_id\" is missing; it goes with the certificate (RFC 8705 §2)");
            }
            let tls = keys.request.as_ref().and_then(|request| request.value.tls.as_ref());
            if tls.is_none_or(|tls| tls.value.certificate.is_none() && tls.sound) {
                let message = "\"request.tls\" has no certificate; write \
                               `request: {tls: {certificate: client.pem, private_key: client.key}}`";
                reader.absent(section, message);
            }
            Some((ClientAuthSettings::Tls, Vec::new()))
        }
    }
}

fn named(keys: &CredentialSection) -> ClientAuthName {
    let has_assertion = keys.client_assertion.is_some() || keys.client_assertion_file.is_some();
    match (&keys.client_auth, &keys.client_secret) {
        (Some(name), _) => name.value,
        (None, Some(_)) => ClientAuthName::Basic,
        (None, None) if has_assertion => ClientAuthName::PrivateKeyJwt,
        (None, None) => ClientAuthName::None,
    }
}

/// What is there and would never be used.
fn refuse_unused(keys: &CredentialSection, name: ClientAuthName, reader: &mut Reader<'_>) {
    fn at<T>(field: &Field<T>) -> Option<&Place> {
        field.as_ref().map(|field| &field.at)
    }
    let secret = at(&keys.client_secret);
    match name {
        ClientAuthName::Basic | ClientAuthName::Post | ClientAuthName::SecretJwt => {}
        ClientAuthName::None => secret.into_iter().for_each(|at| {
            reader.wrong(at, "`client_auth: none` sends no secret; remove one of the two");
        }),
        ClientAuthName::PrivateKeyJwt | ClientAuthName::Tls => secret.into_iter().for_each(|at| {
            reader.wrong(at, "this `client_auth` sends no secret; remove one of the two");
        }),
    }
    if !matches!(name, ClientAuthName::SecretJwt | ClientAuthName::PrivateKeyJwt) {
        for at in [at(&keys.client_assertion), at(&keys.client_assertion_file)].into_iter().flatten() {
            reader.wrong(at, "is for `client_auth: private_key_jwt` or `client_secret_jwt`; remove one of the two");
        }
    }
}

fn secrets(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<Vec<Placed<SecretSource>>> {
    let keys = &section.value;
    if keys.client_secret.is_none() {
        reader.absent(section, "\"client_secret\" is missing; this `client_auth` sends it");
    } else if keys.client_id.is_none() {
        reader.absent(section, "\"client_id\" is missing; it goes with `client_secret`");
        return None;
    }
    keys.client_secret.as_ref().map(|secret| secret.value.0.clone())
}

/// A login that is no OAuth does not know RFC 6749 §2.3.1 either.
fn default_encoding(keys: &CredentialSection) -> BasicEncoding {
    match keys.grant.as_ref().map(|grant| grant.value) {
        Some(GrantName::Custom) => BasicEncoding::Raw,
        _ => BasicEncoding::Form,
    }
}
