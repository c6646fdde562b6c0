//! How the client proves itself: as written, and what it becomes.

use super::CredentialSection;
use super::client::GrantName;
use crate::config::node::Node;
use crate::config::node::Value;
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
}

words! {
    ClientAuthName {
        "client_secret_basic" => ClientAuthName::Basic,
        "client_secret_post" => ClientAuthName::Post,
        "none" => ClientAuthName::None,
    }
    later { "client_secret_jwt", "private_key_jwt", "tls_client_auth" }
}

/// `client_secret`.
#[derive(Clone, Debug)]
pub(crate) struct ClientSecret(SecretSource);

impl Read for ClientSecret {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::List(_) = node.value {
            let place = reader.place(node);
            return reader.later(&place, "a list of client secrets");
        }
        Read::read(node, reader).map(Self)
    }
}

/// `client_auth`; by default Basic if there is a secret, else none.
pub(super) fn client_auth(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<ClientAuthSettings> {
    let keys = &section.value;
    let encoding = keys.request.as_ref().and_then(|request| request.value.basic_encoding.clone());
    let name = match (&keys.client_auth, &keys.client_secret) {
        (Some(name), _) => name.value,
        (None, Some(_)) => ClientAuthName::Basic,
        (None, None) => ClientAuthName::None,
    };
    if let (Some(encoding), ClientAuthName::None | ClientAuthName::Post) = (&encoding, name) {
        reader.wrong(&encoding.at, "is for `client_auth: client_secret_basic` alone; remove it");
    }
    match (name, &keys.client_secret) {
        (ClientAuthName::None, None) => Some(ClientAuthSettings::None),
        (ClientAuthName::None, Some(secret)) => {
            reader.wrong(&secret.at, "`client_auth: none` sends no secret; remove one of the two");
            None
        }
        (ClientAuthName::Basic | ClientAuthName::Post, None) => {
            reader.absent(section, "\"client_secret\" is missing; this `client_auth` sends it");
            None
        }
        (ClientAuthName::Basic | ClientAuthName::Post, Some(_)) if keys.client_id.is_none() => {
            reader.absent(section, "\"client_id\" is missing; it goes with `client_secret`");
            None
        }
        (ClientAuthName::Basic, Some(secret)) => Some(ClientAuthSettings::SecretBasic {
            secret: secret.value.0.clone(),
            encoding: encoding.map_or(default_encoding(keys), Placed::into_value),
        }),
        (ClientAuthName::Post, Some(secret)) => Some(ClientAuthSettings::SecretPost { secret: secret.value.0.clone() }),
    }
}

/// A login that is no OAuth does not know RFC 6749 §2.3.1 either.
fn default_encoding(keys: &CredentialSection) -> BasicEncoding {
    match keys.grant.as_ref().map(|grant| grant.value) {
        Some(GrantName::Custom) => BasicEncoding::Raw,
        _ => BasicEncoding::Form,
    }
}
