//! A request that is written out in the file: `request` of the grant `custom`, and of the steps of `then`.
//!
//! Texts in it may have words in braces, its URL may not: no reply decides where a secret goes.

use http::HeaderName;
use http::Method;

use super::CredentialSection;
use super::client_auth::ClientAuthName;
use super::request::Param;
use super::request::Request;
use super::request::header_source;
use super::request::typed;
use super::response::StepResponse;
use super::response::step_response;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::MaybeEmpty;
use crate::config::read::Named;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::TokenUrl;
use crate::config::read::section;
use crate::oauth::settings::DescribedBody;
use crate::oauth::settings::DescribedRequest;
use crate::oauth::settings::ParamValue;
use crate::oauth::settings::StepSettings;
use crate::secret::SecretSource;
use crate::token::template;

section! {
    /// A step of `then`.
    struct Step {
        request: Described, required "{url: https://host/path}";
        response: StepResponse;
    }
}

section! {
    /// `request` of a step.
    struct Described {
        method: Method;
        url: TokenUrl, required "https://host/path";
        query: Named<Param>;
        headers: Named<MaybeEmpty>;
        body: Body;
    }
}

section! {
    /// `body` of a request that is written out: one of them.
    struct Body {
        form: Named<Param>;
        json: Json;
        text: MaybeEmpty;
    }
}

/// Members of an object, whose values may have any type and depth.
#[derive(Clone, Debug)]
pub(crate) struct Json(Vec<(String, ParamValue)>);

impl Json {
    /// In file order.
    pub(super) fn members(&self) -> &[(String, ParamValue)] {
        &self.0
    }
}

impl Read for Json {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match json(node, reader)? {
            ParamValue::Object(members) => Some(Self(members)),
            _ => reader.expected("a mapping (write `text` for any other JSON)", node),
        }
    }
}

fn json(node: &Node, reader: &mut Reader<'_>) -> Option<ParamValue> {
    match &node.value {
        Value::Nothing => Some(ParamValue::Null),
        Value::Broken => reader.expected("a value", node),
        Value::Scalar(scalar) => {
            let value = typed(scalar);
            let place = reader.place(node);
            refuse_unclosed(&value, &place, reader);
            Some(value)
        }
        Value::List(items) => {
            let item = |(index, item)| reader.within(&format!("[{index}]"), |reader| json(item, reader));
            let values: Vec<_> = items.iter().enumerate().map(item).collect();
            values.into_iter().collect::<Option<_>>().map(ParamValue::List)
        }
        Value::Map(entries) => {
            let members: Vec<_> = entries
                .iter()
                .map(|entry| {
                    let value = reader.within_key(&entry.key, |reader| json(&entry.node, reader));
                    value.map(|value| (entry.key.clone(), value))
                })
                .collect();
            members.into_iter().collect::<Option<_>>().map(ParamValue::Object)
        }
    }
}

/// The login of the grant `custom`.
pub(super) fn login(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<DescribedRequest> {
    let keys = &section.value;
    let Some(request) = &keys.request else {
        let example = "write for example `request: {url: https://host/path, body: {json: {user: …}}}`";
        reader.absent(section, format_args!("\"request\" is missing; the grant `custom` needs it; {example}"));
        return None;
    };
    if request.value.url.is_none() {
        reader.absent(request, "\"url\" is missing; write for example `url: https://host/path`");
    }
    let Request { method, url, query, headers, body, .. } = request.value.clone();
    let login = described(Described { method, url, query, headers, body }, reader)?;
    let has_members = matches!(login.body, DescribedBody::Form(_) | DescribedBody::Json(_));
    let auth = keys.client_auth.as_ref().map(|name| name.value);
    if let (Some(auth), Some(ClientAuthName::Post), false) = (&keys.client_auth, auth, has_members) {
        reader.wrong(&auth.at, "needs a body to be in; write `request: {body: {form: …}}`, or `json`");
    }
    let proves = keys.client_assertion.is_some() || keys.client_assertion_file.is_some() || keys.assertion.is_some();
    if let (Some(client_id), None, false) = (&keys.client_id, &keys.client_secret, proves) {
        reader.wrong(&client_id.at, "nothing sends it without a `client_secret`; write it into `request.body`");
    }
    Some(login)
}

/// The steps of `then`.
pub(super) fn steps(written: Field<Vec<Placed<Step>>>, reader: &mut Reader<'_>) -> Vec<StepSettings> {
    let Some(Placed { value: steps, at, .. }) = written else { return Vec::new() };
    if steps.is_empty() {
        reader.wrong(&at, "has no step; remove the key");
    }
    if steps.len() > MOST_STEPS {
        reader.wrong(&at, format_args!("has more than {MOST_STEPS} steps"));
    }
    let steps = steps.into_iter().filter_map(|Placed { value: step, .. }| {
        let (response, keeps_token) = step_response(step.response, reader);
        Some(StepSettings { request: described(step.request?.value, reader)?, response, keeps_token })
    });
    steps.collect()
}

/// No login that anybody has seen takes more than three.
const MOST_STEPS: usize = 5;

fn described(written: Described, reader: &mut Reader<'_>) -> Option<DescribedRequest> {
    let query = members(written.query, reader);
    let headers = headers(written.headers, reader);
    let body_at = written.body.as_ref().map(|body| body.at.clone());
    let body = body(written.body, reader);
    let method = match written.method {
        Some(method) => {
            check_method(&method, body_at.as_ref(), reader);
            method.value
        }
        None if body_at.is_some() => Method::POST,
        None => Method::GET,
    };
    Some(DescribedRequest { method, url: written.url?.value.0, query, headers, body: body? })
}

/// Of a request whose answer is to have a body.
pub(super) fn check_method(method: &Placed<Method>, body: Option<&Place>, reader: &mut Reader<'_>) {
    match method.value {
        Method::HEAD | Method::TRACE | Method::CONNECT | Method::OPTIONS => {
            reader.wrong(&method.at, "no login uses this method; write `POST` or `GET`");
        }
        Method::GET if body.is_some() => {
            reader.wrong(&method.at, "a GET has no body; write `query`, or another method");
        }
        _ => {}
    }
}

fn body(written: Field<Body>, reader: &mut Reader<'_>) -> Option<DescribedBody> {
    let Some(Placed { value, at, sound }) = written else { return Some(DescribedBody::None) };
    match value {
        Body { form: Some(form), json: None, text: None } => Some(DescribedBody::Form(members(Some(form), reader))),
        Body { form: None, json: Some(json), text: None } => Some(DescribedBody::Json(json.value.0)),
        Body { form: None, json: None, text: Some(text) } => {
            refuse_unclosed(&ParamValue::Text(text.value.0.clone()), &text.at, reader);
            Some(DescribedBody::Text(text.value.0))
        }
        Body { form: None, json: None, text: None } if !sound => None,
        _ => {
            reader.wrong(&at, "is one of `form`, `json` or `text`");
            None
        }
    }
}

fn members(written: Field<Named<Param>>, reader: &mut Reader<'_>) -> Vec<(String, ParamValue)> {
    let mut members = Vec::new();
    for (name, value) in written.iter().flat_map(|members| members.value.iter()) {
        match &value.value {
            Param::Omitted => reader.wrong(&value.at, "has no value; write `\"\"` for an empty one"),
            Param::Sent(sent) => {
                refuse_unclosed(sent, &value.at, reader);
                members.push((name.value.clone(), sent.clone()));
            }
        }
    }
    members
}

fn headers(written: Field<Named<MaybeEmpty>>, reader: &mut Reader<'_>) -> Vec<(HeaderName, SecretSource)> {
    let headers = written.iter().flat_map(|headers| headers.value.iter());
    headers.filter_map(|(key, value)| header_source(key, value, reader)).collect()
}

fn refuse_unclosed(value: &ParamValue, at: &Place, reader: &mut Reader<'_>) {
    match value {
        ParamValue::Text(text) => {
            if let Err(unclosed) = template::words(text) {
                reader.wrong(at, unclosed);
            }
        }
        ParamValue::List(values) => values.iter().for_each(|value| refuse_unclosed(value, at, reader)),
        ParamValue::Bool(_) | ParamValue::Number(_) | ParamValue::Null | ParamValue::Object(_) => {}
    }
}
