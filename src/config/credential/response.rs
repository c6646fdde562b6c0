//! `response`, `lifetime` and `refresh` of a credential: as written, and what they become.

use std::time::Duration;

use http::HeaderName;

use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::Named;
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
use crate::token::template;

section! {
    /// `response` of a credential.
    struct Response {
        access_token: TokenPlace;
        expires_in: Member;
        refresh_token: Member;
        expires_unit: ExpiresUnit;
        values: Named<TokenPlace>;
    }
}

section! {
    /// `response` of a step of `then`.
    struct StepResponse {
        access_token: StepToken;
        expires_in: Member;
        expires_unit: ExpiresUnit;
        values: Named<TokenPlace>;
    }
}

section! {
    /// `response.access_token: {header: NAME}`, or `{cookies: [NAME, …]}`.
    struct Elsewhere {
        header: HeaderName;
        cookies: Vec<Placed<CookieName>>;
    }
}

/// The name of a cookie.
#[derive(Clone, Debug)]
pub(crate) struct CookieName(String);

impl Read for CookieName {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse("a cookie's name", node, |text| {
            let is_name = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"=;,\"".contains(&byte));
            if is_name && !text.is_empty() { Ok(Self(text.to_owned())) } else { Err("is not the name of a cookie") }
        })
    }
}

/// Where a step's reply has its token.
#[derive(Clone, Debug)]
pub(crate) enum StepToken {
    /// `null`: it has none, and the one before stays.
    Kept,
    /// There.
    At(TokenPlace),
}

impl Read for StepToken {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Nothing => Some(Self::Kept),
            _ => TokenPlace::read(node, reader).map(Self::At),
        }
    }
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
            Value::Map(_) => match Elsewhere::read(node, reader)? {
                Elsewhere { header: Some(name), cookies: None } => Some(Self::Header(name.value)),
                Elsewhere { header: None, cookies: Some(names) } if !names.value.is_empty() => {
                    Some(Self::Cookies(names.value.into_iter().map(|name| name.value.0).collect()))
                }
                Elsewhere { cookies: Some(names), .. } if !names.sound => None,
                _ => reader.refuse(node, "is a JSON Pointer, `{header: NAME}`, or `{cookies: [NAME, …]}`"),
            },
            _ => Pointer::read(node, reader).map(Self::Body),
        }
    }
}

/// `response.*`.
pub(super) fn response(written: Field<Response>, reader: &mut Reader<'_>) -> ResponseSettings {
    let Some(Placed { value: written, .. }) = written else { return ResponseSettings::default() };
    let default = ResponseSettings::default();
    ResponseSettings {
        access_token: value_or(written.access_token, default.access_token),
        expires_in: written.expires_in.map_or(default.expires_in, |member| member.value.0),
        refresh_token: written.refresh_token.map_or(default.refresh_token, |member| member.value.0),
        expires_unit: value_or(written.expires_unit, default.expires_unit),
        values: values(written.values, reader),
    }
}

/// `response` of a step, and whether it brings no token.
pub(super) fn step_response(written: Field<StepResponse>, reader: &mut Reader<'_>) -> (ResponseSettings, bool) {
    let Some(Placed { value: written, at, .. }) = written else { return (ResponseSettings::default(), false) };
    let StepResponse { access_token, expires_in, expires_unit, values: kept } = written;
    let (access_token, keeps_token) = match access_token.map(Placed::into_value) {
        Some(StepToken::Kept) => (None, true),
        Some(StepToken::At(place)) => (Some(place), false),
        None => (None, false),
    };
    if keeps_token && kept.is_none() {
        reader.wrong(&at, "brings neither a token nor `values`; remove the step");
    }
    let default = ResponseSettings::default();
    let settings = ResponseSettings {
        access_token: access_token.unwrap_or(default.access_token),
        expires_in: expires_in.map_or(default.expires_in, |member| member.value.0),
        expires_unit: value_or(expires_unit, default.expires_unit),
        values: values(kept, reader),
        ..ResponseSettings::default()
    };
    (settings, keeps_token)
}

fn values(written: Field<Named<TokenPlace>>, reader: &mut Reader<'_>) -> Vec<(String, TokenPlace)> {
    let mut values = Vec::new();
    for (name, place) in written.iter().flat_map(|named| named.value.iter()) {
        if is_value_name(name, reader) {
            values.push((name.value.clone(), place.value.clone()));
        }
    }
    values
}

/// Whether a value may be kept under this name.
pub(super) fn is_value_name(name: &Placed<String>, reader: &mut Reader<'_>) -> bool {
    let wrong = match name.value.as_str() {
        "token" | "assertion" => "stands for something else already; choose another name",
        text if !template::is_name(text) => "must be of letters, digits and `_`, to stand in braces as `{name}`",
        _ => return true,
    };
    reader.wrong(&name.at, wrong);
    false
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
