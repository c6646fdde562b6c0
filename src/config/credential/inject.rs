//! `inject` of a credential: as written, and what it becomes.

use http::HeaderName;

use super::request::refuse_unwritable;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::may_be_set;
use crate::config::read::section;
use crate::secret::SecretSource;
use crate::token::Inject;
use crate::token::template;

/// `inject`: one place, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct Injects(Vec<Placed<InjectSection>>);

impl Read for Injects {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(items) if items.is_empty() => reader.refuse(node, "names no place; remove the key"),
            Value::List(_) => Vec::read(node, reader).map(Self),
            _ => Placed::read(node, reader).map(|one| Self(vec![one])),
        }
    }
}

section! {
    /// One place of `inject`.
    struct InjectSection {
        header: HeaderName;
        format: SecretSource;
        query: String;
    }
}

/// `inject`; by default `Authorization: Bearer {token}`.
///
/// `values`: the names of `response.values`. `bound`: the token is no bearer's, and the scheme is `DPoP` (RFC 9449 §7.1).
pub(super) fn inject(written: Field<Injects>, values: &[&str], bound: bool, reader: &mut Reader<'_>) -> Vec<Inject> {
    let default = if bound { Inject::bound() } else { Inject::default() };
    let Some(Placed { value: Injects(places), .. }) = written else { return vec![default] };
    let mut seen: Vec<Option<HeaderName>> = Vec::new();
    let mut injects = Vec::new();
    for place in places {
        let at = place.at.clone();
        let Some(inject) = one(place.value, values, &default, reader) else { continue };
        if let Inject::Header { name, .. } = &inject {
            if seen.contains(&Some(name.clone())) {
                reader.wrong(&at, "this header field is here twice");
            }
            seen.push(Some(name.clone()));
        }
        injects.push(inject);
    }
    injects
}

fn one(written: InjectSection, values: &[&str], default: &Inject, reader: &mut Reader<'_>) -> Option<Inject> {
    let InjectSection { header, format, query } = written;
    if let Some(query) = query {
        if let Some(at) = header.map(|header| header.at).or(format.map(|format| format.at)) {
            reader.wrong(&at, "`query` stands alone; write a list to inject in several places");
        }
        return Some(Inject::Query { name: query.value });
    }
    if let Some(header) = header.as_ref().filter(|header| !may_be_set(&header.value)) {
        reader.wrong(&header.at, "cannot bear a token: it belongs to the connection or frames the message");
    }
    if let Some(format) = &format {
        refuse_unwritable(&format.value, &format.at, reader);
        let words = template::words(&format.value).unwrap_or_else(|_noted| vec!["token".to_owned()]);
        if !words.iter().any(|word| word == "token" || values.contains(&word.as_str())) {
            let message = match values {
                [] => "has no `{token}`; write for example `Bearer {token}`",
                _ => {
                    "has neither `{token}` nor a name of `response.values`; what never changes belongs into \
                      `request_headers` of the route"
                }
            };
            reader.wrong(&format.at, message);
        }
    }
    let Inject::Header { name, format: default } = default.clone() else { return None };
    let name = header.map_or(name, Placed::into_value);
    Some(Inject::Header { name, format: format.map_or(default, Placed::into_value) })
}
