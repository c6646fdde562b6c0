//! The keys of grant `token_exchange` (RFC 8693): as written, and what they become.
//!
//! Refused: a subject token that stands in the file itself, since it would be exchanged until it expires and then no
//! more; a type without its token; bounds for subjects where there is only one.

use std::time::Duration;

use super::CredentialSection;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Count;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::section;
use crate::oauth::settings::ActorSettings;
use crate::oauth::settings::GrantSettings;
use crate::oauth::settings::SubjectSource;
use crate::oauth::settings::TokenExchangeSettings;
use crate::secret::SecretSource;
use crate::token::SubjectSettings;

/// `subject_token`.
#[derive(Clone, Debug)]
pub(crate) enum SubjectToken {
    /// `request`.
    OfRequest,
    /// Anything that changes without the file being changed.
    Own(SecretSource),
}

impl Read for SubjectToken {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let source = <SecretSource as Read>::read(node, reader)?;
        match &node.value {
            Value::Scalar(scalar) if scalar.text() == Some("request") => Some(Self::OfRequest),
            Value::Scalar(scalar) if !scalar.substituted => reader.refuse(
                node,
                "is `request` (what the caller brings as a bearer token) or a file as `${file:/run/secrets/token}`",
            ),
            _ => Some(Self::Own(source)),
        }
    }
}

/// A token's type: one of RFC 8693 §3 by its last word, or any URI.
#[derive(Clone, Debug)]
pub(crate) struct TokenType(String);

impl Read for TokenType {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a token type as `access_token` or `jwt`", node, |text| match text {
            "access_token" | "refresh_token" | "id_token" | "saml1" | "saml2" | "jwt" => Ok(Self(registered(text))),
            uri if uri.contains(':') && uri.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(uri.to_owned())),
            _ => Err("is `access_token`, `refresh_token`, `id_token`, `saml1`, `saml2`, `jwt`, or a URI"),
        })
    }
}

fn registered(name: &str) -> String {
    format!("urn:ietf:params:oauth:token-type:{name}")
}

section! {
    /// `subjects`.
    struct SubjectBounds {
        max: Count<1, 1_000_000>;
        idle: Duration;
    }
}

/// The grant and its own keys.
pub(super) fn grant(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<GrantSettings> {
    let keys = &section.value;
    if let (None, Some(kind)) = (&keys.actor_token, &keys.actor_token_type) {
        reader
            .wrong(&kind.at, "is the type of `actor_token`, which is missing (RFC 8693 §2.1); add it, or remove this");
    }
    let Some(subject) = &keys.subject_token else {
        let message = "\"subject_token\" is missing; the grant `token_exchange` needs it: write `request`, or a file as \
                       `${file:/run/secrets/token}`";
        reader.absent(section, message);
        return None;
    };
    let kind = |field: &Option<Placed<TokenType>>| field.as_ref().map(|kind| kind.value.0.clone());
    let subject = match &subject.value {
        SubjectToken::OfRequest => SubjectSource::Request(bounds(keys)),
        SubjectToken::Own(source) => {
            if let Some(bounds) = &keys.subjects {
                reader.wrong(&bounds.at, "is for `subject_token: request`; here there is one subject: remove it");
            }
            SubjectSource::Own(source.clone())
        }
    };
    Some(GrantSettings::TokenExchange(TokenExchangeSettings {
        subject,
        subject_type: kind(&keys.subject_token_type).unwrap_or_else(|| registered("access_token")),
        actor: keys.actor_token.as_ref().map(|token| ActorSettings {
            token: token.value.clone(),
            kind: kind(&keys.actor_token_type).unwrap_or_else(|| registered("access_token")),
        }),
        requested_type: kind(&keys.requested_token_type),
    }))
}

fn bounds(keys: &CredentialSection) -> SubjectSettings {
    let bounds = keys.subjects.as_ref().map(|subjects| &subjects.value);
    let max = bounds.and_then(|bounds| bounds.max.as_ref()).map_or(10_000, |max| max.value.0);
    let idle = bounds.and_then(|bounds| bounds.idle.as_ref()).map_or(Duration::from_secs(3600), |idle| idle.value);
    SubjectSettings { max: u64::try_from(max).unwrap_or(u64::MAX), idle }
}
