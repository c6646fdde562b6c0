//! `routes`: as written, and what they become, joined by name with `credentials`.
//!
//! Refused: two routes that match the same, names that nobody has, and `pass_authorization` beside a credential.

mod edit;
mod names;

use std::collections::HashMap;

use edit::Edit;
use edit::edit;
use http::Method;
use http::StatusCode;
use names::Names;

use crate::config::Route;
use crate::config::credential::Credentials;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::read::Field;
use crate::config::read::HeaderText;
use crate::config::read::Name;
use crate::config::read::Named;
use crate::config::read::Place;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::Reader;
use crate::config::read::RoutePath;
use crate::config::read::Size;
use crate::config::read::Wait;
use crate::config::read::field_name;
use crate::config::read::is_loopback;
use crate::config::read::section;
use crate::config::read::value_or;
use crate::config::upstream;
use crate::config::upstream::RouteTimeouts;
use crate::config::upstream::Upstream;
use crate::forward::settings::RetrySettings;
use crate::forward::settings::TargetSettings;
use crate::route::HostPattern;
use crate::route::Matcher;
use crate::upstream::settings::Scheme;
use crate::upstream::settings::UpstreamSettings;

section! {
    /// One of `routes`.
    struct RouteSection {
        name: Name;
        path: RoutePath;
        host: HostPattern;
        methods: Vec<Placed<Method>>;
        headers: Named<HeaderText>;
        upstream: Upstream, required "https://api.example.com/";
        keep_prefix: bool;
        credential: String, required "none";
        preserve_host: bool;
        pass_authorization: bool;
        retry: Retry;
        timeouts: RouteTimeouts;
        request_headers: Edit;
        response_headers: Edit;
    }
}

/// `retry`: `off`, or how.
#[derive(Clone, Debug)]
pub(crate) enum Retry {
    /// `retry: off`.
    Off,
    /// `retry: {…}`.
    On(RetrySection),
}

impl Read for Retry {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Scalar(scalar) if scalar.text() == Some("off") => Some(Self::Off),
            Value::Map(_) => RetrySection::read(node, reader).map(Self::On),
            Value::Scalar(_) => {
                reader.refuse(node, "write `off`, or a mapping with `statuses`, `max_body` or `cooldown`")
            }
            _ => reader.expected("`off` or a mapping", node),
        }
    }
}

section! {
    /// The long form of `retry`.
    struct RetrySection {
        statuses: Vec<Placed<StatusCode>>;
        max_body: Size<0, LARGEST_BODY>;
        cooldown: Wait;
    }
}

/// Every request under way may hold as much.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// All routes.
pub(crate) fn routes(
    written: Vec<Placed<RouteSection>>,
    credentials: &mut Credentials,
    reader: &mut Reader<'_>,
) -> Vec<Route> {
    let mut names = Names::new(&written, reader);
    let mut matchers: HashMap<String, usize> = HashMap::new();
    let mut routes = Vec::new();
    for Placed { value, at, sound } in written {
        let name = names.of(&value);
        let matcher = matcher(&value, reader);
        // A matcher that was read in part says nothing.
        let earlier = if sound { matchers.insert(same(&matcher), at.line) } else { None };
        if let Some(line) = earlier {
            let message = "matches the same as the route in line";
            reader.wrong(&at, format_args!("{message} {line}; change its path, host, methods or headers"));
        }
        routes.extend(route(name, matcher, value, credentials, reader));
    }
    routes
}

fn route(
    name: String,
    matcher: Matcher,
    written: RouteSection,
    credentials: &mut Credentials,
    reader: &mut Reader<'_>,
) -> Option<Route> {
    let credential = match written.credential {
        Some(name) if name.value == "none" => None,
        // What cannot be found is not used, and the mistake is noted.
        Some(name) => credentials.find(&name, reader),
        None => None,
    };
    let bears = credential.is_some();
    if let (Some(pass), true) = (&written.pass_authorization, bears)
        && pass.value
    {
        reader.wrong(
            &pass.at,
            "only with `credential: none`: here the credential writes the token; remove one of the two",
        );
    }
    if let (Some(preserve), true) = (&written.preserve_host, bears)
        && preserve.value
        && !matches!(matcher.host, Some(HostPattern::Exact(_)))
    {
        reader.wrong(
            &preserve.at,
            "with a credential only on a route with an exact `host`: else the caller would choose which of the \
             upstream's hosts gets the token",
        );
    }
    let injected = credential.map(|index| credentials.fields(index)).unwrap_or_default();
    let target = TargetSettings {
        name,
        prefix: matcher.path.clone(),
        keep_prefix: value_or(written.keep_prefix, false),
        preserve_host: value_or(written.preserve_host, false),
        pass_authorization: value_or(written.pass_authorization, false),
        retry: retry(written.retry, reader),
        request_headers: edit(written.request_headers, &injected, reader),
        response_headers: edit(written.response_headers, &[], reader),
    };
    let at = written.upstream.as_ref().map(|upstream| upstream.at.clone());
    let upstream = upstream::upstream(written.upstream?, written.timeouts, reader)?;
    if bears && let Some(at) = at {
        doubt_plain_http(&upstream, &at, reader);
    }
    Some(Route { matcher, upstream, credential, target })
}

/// A token in clear text is allowed to loopback; elsewhere it is for the network to be trusted.
fn doubt_plain_http(upstream: &UpstreamSettings, at: &Place, reader: &mut Reader<'_>) {
    if upstream.scheme == Scheme::Http && !is_loopback(&upstream.host) {
        reader.doubt(
            at,
            "the token goes to this host over plain http, where it can be read on the way; use https if it can",
        );
    }
}

fn matcher(written: &RouteSection, reader: &mut Reader<'_>) -> Matcher {
    if let Some(methods) = &written.methods
        && methods.value.is_empty()
        && methods.sound
    {
        reader.wrong(&methods.at, "names no method; remove the key to match all");
    }
    let methods = written.methods.iter().flat_map(|methods| &methods.value).map(|method| method.value.clone());
    let headers = written.headers.iter().flat_map(|headers| headers.value.iter());
    Matcher {
        host: written.host.as_ref().map(|host| host.value.clone()),
        path: written.path.as_ref().map_or_else(|| "/".to_owned(), |path| path.value.0.clone()),
        methods: methods.collect(),
        headers: headers.filter_map(|(name, value)| Some((field_name(name, reader)?, value.value.0.clone()))).collect(),
    }
}

/// Equal for matchers that match the same: the order of methods and headers does not count.
fn same(matcher: &Matcher) -> String {
    let mut methods: Vec<&str> = matcher.methods.iter().map(Method::as_str).collect();
    methods.sort_unstable();
    methods.dedup();
    let mut headers: Vec<(&str, &[u8])> =
        matcher.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.sort_unstable();
    headers.dedup();
    format!("{:?} {:?} {methods:?} {headers:?}", matcher.host, matcher.path)
}

fn retry(written: Field<Retry>, reader: &mut Reader<'_>) -> Option<RetrySettings> {
    let default = RetrySettings::default();
    let section = match written.map(Placed::into_value) {
        None => return Some(default),
        Some(Retry::Off) => return None,
        Some(Retry::On(section)) => section,
    };
    if let Some(statuses) = &section.statuses
        && statuses.value.is_empty()
        && statuses.sound
    {
        reader.wrong(&statuses.at, "names no status; write `retry: off` to retry never");
    }
    let statuses = section.statuses.map(|list| list.value.into_iter().map(Placed::into_value).collect());
    Some(RetrySettings {
        statuses: statuses.unwrap_or(default.statuses),
        max_body: value_or(section.max_body, Size(default.max_body)).0,
        cooldown: value_or(section.cooldown, Wait(default.cooldown)).0,
    })
}
