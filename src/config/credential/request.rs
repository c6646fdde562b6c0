//! `request` of a credential: as written, and what it becomes.
//!
//! A parameter that the grant itself sends cannot be sent a second time (RFC 6749 §3.2), save `grant_type`, which may be
//! overwritten or left out.

use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;
use http::Method;

use super::CredentialSection;
use super::client::GrantName;
use super::described::Body;
use super::described::check_method;
use crate::config::node::Node;
use crate::config::node::Scalar;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::MaybeEmpty;
use crate::config::read::Named;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::TokenUrl;
use crate::config::read::field_name;
use crate::config::read::may_be_set;
use crate::config::read::section;
use crate::config::read::value_or;
use crate::config::read::words;
use crate::config::upstream::RequestTls;
use crate::config::upstream::request_tls;
use crate::oauth::settings::BasicEncoding;
use crate::oauth::settings::BodyFormat;
use crate::oauth::settings::ClientAuthSettings;
use crate::oauth::settings::ParamValue;
use crate::oauth::settings::RequestSettings;
use crate::secret::SecretSource;
use crate::token::template;
use crate::token::template::Words;

section! {
    /// `request` of a credential.
    struct Request {
        method: Method;
        url: TokenUrl;
        query: Named<Param>;
        body: Body;
        params: Named<Param>;
        headers: Named<MaybeEmpty>;
        format: BodyFormat;
        basic_encoding: BasicEncoding;
        scope_separator: String;
        timeout: Duration;
        refresh_url: TokenUrl;
        refresh_params: Named<Param>;
        tls: RequestTls;
    }
}

words! { BodyFormat { "form" => BodyFormat::Form, "json" => BodyFormat::Json, "query" => BodyFormat::Query } }

words! { BasicEncoding { "form" => BasicEncoding::Form, "raw" => BasicEncoding::Raw } }

/// A parameter's value.
#[derive(Clone, Debug)]
pub(crate) enum Param {
    /// `null`: the parameter is left out.
    Omitted,
    /// Anything else.
    Sent(ParamValue),
}

impl Read for Param {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Nothing => Some(Self::Omitted),
            Value::List(_) => {
                let list = Vec::<Placed<OneValue>>::read(node, reader)?;
                Some(Self::Sent(ParamValue::List(list.into_iter().map(|item| item.value.0).collect())))
            }
            _ => OneValue::read(node, reader).map(|value| Self::Sent(value.0)),
        }
    }
}

/// Text, a number, or a truth value.
#[derive(Clone, Debug)]
struct OneValue(ParamValue);

impl Read for OneValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar(scalar) => Some(Self(typed(scalar))),
            _ => reader.expected("text, a number, `true`, `false`, or a list of these", node),
        }
    }
}

/// Only what is written bare, in the file itself, and as JSON would write it back, is anything but text: `0123` and
/// `1.10` keep their look.
pub(super) fn typed(scalar: &Scalar) -> ParamValue {
    let text = scalar.text().filter(|_| scalar.bare).unwrap_or_default();
    match (text, text.parse::<serde_json::Number>()) {
        ("true", _) => ParamValue::Bool(true),
        ("false", _) => ParamValue::Bool(false),
        (text, Ok(number)) if number.to_string() == text => ParamValue::Number(number),
        _ => ParamValue::Text(SecretSource::from_parts(scalar.parts.clone())),
    }
}

/// The parameters that grant and client authentication send.
pub(super) struct Reserved {
    always: Vec<&'static str>,
    sends_authorization: bool,
    /// The request describes a login: method and header fields are that login's.
    is_written_out: bool,
}

impl Reserved {
    pub(super) fn new(keys: &CredentialSection, grant: GrantName, auth: Option<&ClientAuthSettings>) -> Self {
        let own: &[&str] = match grant {
            GrantName::Password => &["username", "password"],
            GrantName::RefreshToken => &["refresh_token"],
            GrantName::TokenExchange => {
                &["subject_token", "subject_token_type", "requested_token_type", "actor_token", "actor_token_type"]
            }
            GrantName::AuthorizationCode => &["code", "redirect_uri", "code_verifier"],
            GrantName::DeviceCode => &["device_code"],
            GrantName::JwtBearer => &["assertion"],
            GrantName::ClientCredentials
            | GrantName::SignedJwt
            | GrantName::Custom
            | GrantName::Exec
            | GrantName::Static => &[],
        };
        let basic = matches!(auth, Some(ClientAuthSettings::SecretBasic { .. }));
        let asserting =
            matches!(auth, Some(ClientAuthSettings::SecretJwt { .. } | ClientAuthSettings::PrivateKeyJwt { .. }));
        let written = [
            ("client_assertion", asserting),
            ("client_assertion_type", asserting),
            ("scope", keys.scope.is_some()),
            ("audience", keys.audience.is_some()),
            ("resource", keys.resource.is_some()),
            ("client_id", keys.client_id.is_some() && !basic),
            ("client_secret", keys.client_secret.is_some() && !basic),
        ];
        let written = written.into_iter().filter_map(|(name, sent)| sent.then_some(name));
        Self {
            always: own.iter().copied().chain(written).collect(),
            sends_authorization: basic,
            is_written_out: grant == GrantName::Custom,
        }
    }
}

/// `request.*`.
pub(super) fn request(written: Field<Request>, reserved: &Reserved, reader: &mut Reader<'_>) -> RequestSettings {
    let mut settings = RequestSettings {
        method: Method::POST,
        params: Vec::new(),
        omit_grant_type: false,
        headers: Vec::new(),
        format: BodyFormat::Form,
        scope_separator: " ".to_owned(),
        timeout: Duration::from_secs(10),
        refresh_url: None,
        refresh_params: Vec::new(),
        tls: crate::tls::TlsSettings::default(),
    };
    let Some(Placed { value: request, at, .. }) = written else { return settings };
    for (name, value) in request.params.iter().flat_map(|params| params.value.iter()) {
        match &value.value {
            Param::Omitted if name.value == "grant_type" => settings.omit_grant_type = true,
            _ => settings.params.extend(param(name, value, &reserved.always, reader)),
        }
    }
    let refreshing: Vec<_> = reserved.always.iter().copied().chain(["refresh_token"]).collect();
    for (name, value) in request.refresh_params.iter().flat_map(|params| params.value.iter()) {
        settings.refresh_params.extend(param(name, value, &refreshing, reader));
    }
    for (key, value) in request.headers.iter().flat_map(|headers| headers.value.iter()) {
        settings.headers.extend(header(key, value, reserved, reader));
    }
    settings.format = value_or(request.format, settings.format);
    if let Some(method) = request.method.filter(|_| !reserved.is_written_out) {
        let body = (settings.format != BodyFormat::Query).then_some(&at);
        check_method(&method, body, reader);
        settings.method = method.value;
    }
    settings.scope_separator = value_or(request.scope_separator, settings.scope_separator);
    settings.timeout = value_or(request.timeout, settings.timeout);
    settings.refresh_url = request.refresh_url.map(|url| url.value.0);
    settings.tls = request.tls.map(|tls| request_tls(tls, reader)).unwrap_or_default();
    settings
}

fn param(
    name: &Placed<String>,
    value: &Placed<Param>,
    reserved: &[&str],
    reader: &mut Reader<'_>,
) -> Option<(String, ParamValue)> {
    if name.value.is_empty() {
        reader.wrong(&name.at, "a parameter needs a name");
    }
    if reserved.contains(&name.value.as_str()) {
        reader.wrong(&name.at, "is sent already, by another key of this credential; remove one of the two");
    }
    match &value.value {
        Param::Omitted => {
            reader.wrong(&value.at, "has no value; write `\"\"` for an empty one (only `grant_type` can be left out)");
            None
        }
        Param::Sent(value) => Some((name.value.clone(), value.clone())),
    }
}

fn header(
    key: &Placed<String>,
    value: &Placed<MaybeEmpty>,
    reserved: &Reserved,
    reader: &mut Reader<'_>,
) -> Option<(HeaderName, SecretSource)> {
    if reserved.sends_authorization && key.value.eq_ignore_ascii_case("authorization") {
        reader.wrong(&key.at, "is sent already, by `client_secret_basic`; remove it or change `client_auth`");
    }
    // Those of a login that is written out are read with it.
    if reserved.is_written_out { None } else { header_source(key, value, reader) }
}

/// A header field of a request.
pub(super) fn header_source(
    key: &Placed<String>,
    value: &Placed<MaybeEmpty>,
    reader: &mut Reader<'_>,
) -> Option<(HeaderName, SecretSource)> {
    let name = field_name(key, reader)?;
    if !may_be_set(&name) {
        reader.wrong(&key.at, "cannot be set: it belongs to the connection or frames the message");
    }
    refuse_unwritable(&value.value.0, &value.at, reader);
    Some((name, value.value.0.clone()))
}

/// Refuses what cannot be the value of a header field, whatever words in braces stand for.
pub(super) fn refuse_unwritable(source: &SecretSource, at: &Place, reader: &mut Reader<'_>) {
    if let Err(unclosed) = template::words(source) {
        reader.wrong(at, unclosed);
    }
    let Ok(filled) = template::fill(source, &Words::default()) else { return };
    if HeaderValue::from_str(filled.text.expose()).is_err() {
        reader.wrong(at, "must be visible ASCII: it is the value of a header field");
    }
}
