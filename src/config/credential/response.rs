//! `response`, `lifetime` and `refresh` of a credential: as written, and what they become.

use std::time::Duration;

use http::HeaderName;

use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::Wait;
use crate::config::read::section;
use crate::config::read::value_or;
use crate::config::read::words;
use crate::oauth::settings::ExpiresUnit;
use crate::oauth::settings::LifetimeSettings;
use crate::oauth::settings::Pointer;
use crate::oauth::settings::RefreshSettings;
use crate::oauth::settings::ResponseSettings;
use crate::oauth::settings::TokenPlace;

section! {
    /// `response` of a credential.
    struct Response {
        access_token: TokenPlace;
        expires_in: Member;
        refresh_token: Member;
        expires_unit: ExpiresUnit;
    }
    later { values }
}

section! {
    /// `response.access_token: {header: NAME}`.
    struct TokenHeader {
        header: HeaderName, required "X-Token";
    }
    later { cookies }
}

section! {
    /// `lifetime` of a credential.
    struct Lifetime {
        default: Duration;
        max: Duration;
    }
}

section! {
    /// `refresh` of a credential.
    struct Refresh {
        margin: Wait;
        ahead: Wait;
        use_refresh_token: bool;
    }
}

words! {
    ExpiresUnit {
        "auto" => ExpiresUnit::Auto,
        "seconds" => ExpiresUnit::Seconds,
        "milliseconds" => ExpiresUnit::Milliseconds,
    }
}

impl Read for Pointer {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a JSON Pointer as `/access_token`", node, |text| {
            let escapes_end = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            match text {
                text if text.starts_with('$') => Err("is a JSON Pointer (RFC 6901), not JSONPath: write `/data/token`"),
                text if !text.is_empty() && !text.starts_with('/') => {
                    Err("is a JSON Pointer (RFC 6901) and begins with `/`: write `/access_token`")
                }
                _ if !escapes_end => {
                    Err("in a JSON Pointer `~` is written `~0`, and `/` inside a name `~1` (RFC 6901)")
                }
                text => Ok(Self(text.to_owned())),
            }
        })
    }
}

/// A pointer to something inside the reply.
#[derive(Clone, Debug)]
pub(crate) struct Member(Pointer);

impl Read for Member {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match Pointer::read(node, reader)? {
            Pointer(text) if text.is_empty() => {
                reader.refuse(node, "must name a member of the reply, as `/expires_in`")
            }
            pointer => Some(Self(pointer)),
        }
    }
}

impl Read for TokenPlace {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Map(_) => TokenHeader::read(node, reader)?.header.map(|name| Self::Header(name.value)),
            _ => Pointer::read(node, reader).map(Self::Body),
        }
    }
}

/// `response.*`.
pub(super) fn response(written: Field<Response>) -> ResponseSettings {
    let member = |field: Field<Member>, default: &str| match field {
        Some(member) => member.value.0,
        None => Pointer(default.to_owned()),
    };
    let written = written.map(Placed::into_value);
    let Response { access_token, expires_in, refresh_token, expires_unit } =
        written.unwrap_or(Response { access_token: None, expires_in: None, refresh_token: None, expires_unit: None });
    ResponseSettings {
        access_token: value_or(access_token, TokenPlace::Body(Pointer("/access_token".to_owned()))),
        expires_in: member(expires_in, "/expires_in"),
        refresh_token: member(refresh_token, "/refresh_token"),
        expires_unit: value_or(expires_unit, ExpiresUnit::Auto),
    }
}

/// `lifetime.*`. A reply that is nothing but a token says no lifetime, unless the token is a JWT: that is worth a word.
pub(super) fn lifetime(
    written: Field<Lifetime>,
    response: Option<&Placed<Response>>,
    reader: &mut Reader<'_>,
) -> LifetimeSettings {
    let (default, max) = written.map_or((None, None), |lifetime| (lifetime.value.default, lifetime.value.max));
    let token = response.and_then(|response| response.value.access_token.as_ref());
    if let (Some(token), None) = (token, &default)
        && matches!(&token.value, TokenPlace::Body(Pointer(pointer)) if pointer.is_empty())
    {
        let message = "the reply holds the token alone, so that its lifetime is not known unless it is a JWT; 5m are \
                       assumed; write `lifetime: {default: …}`";
        reader.doubt(&token.at, message);
    }
    if let (Some(default), Some(max)) = (&default, &max)
        && default.value > max.value
    {
        reader.wrong(&default.at, "is longer than `lifetime.max`; make it shorter, or `max` longer");
    }
    let max = max.map(Placed::into_value);
    LifetimeSettings { default: value_or(default, Duration::from_secs(300)), max }
}

/// `refresh.*`.
pub(super) fn refresh(written: Field<Refresh>) -> RefreshSettings {
    let Some(Placed { value: Refresh { margin, ahead, use_refresh_token }, .. }) = written else {
        return RefreshSettings { margin: None, ahead: None, use_refresh_token: true };
    };
    RefreshSettings {
        margin: margin.map(|margin| margin.value.0),
        ahead: ahead.map(|ahead| ahead.value.0),
        use_refresh_token: value_or(use_refresh_token, true),
    }
}
