//! `bearer-proxy explain METHOD URL`: which route a request takes, which URL is asked, which headers are sent.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Uri};

use super::{Common, FAILURE, Output, SUCCESS, WRONG, output};
use crate::config::{Config, Route};
use crate::forward;
use crate::route::RouteTable;
use crate::route::path;
use crate::token::Inject;
use crate::upstream::settings::Scheme;

/// The arguments of `bearer-proxy explain`.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArguments {
    /// The request's method
    method: Method,
    /// The request's URL, as the application would ask the proxy for it: http://localhost:8080/zpax/orders, or /zpax/orders
    url: String,
    /// A header field of the request, for routes that look at them: "Name: value"; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
}

/// Explains.
pub(super) fn explain(common: &Common, arguments: &ExplainArguments, out: &mut Output) -> u8 {
    let Some(config) = common.load() else { return WRONG };
    let (uri, headers) = match request(arguments) {
        Ok(request) => request,
        Err(problem) => {
            output::complain(&problem);
            return WRONG;
        }
    };
    if let Err(ambiguous) = path::check(uri.path()) {
        out.line(format!("400: {ambiguous}"));
        return FAILURE;
    }
    if matches!(arguments.method, Method::TRACE | Method::CONNECT) {
        out.line(format!("405: {} is not served", arguments.method));
        return FAILURE;
    }
    let matchers = config.routes.iter().enumerate().map(|(index, route)| (route.matcher.clone(), index)).collect();
    let Ok(table) = RouteTable::new(matchers) else { return FAILURE };
    let host = uri.host().unwrap_or("localhost");
    if !config.listeners.iter().any(|listener| listener.access.knows_host(host, |name| table.names_host(name))) {
        out.line(format!("421, or 403 to HTTP_PROXY: {host} is no name of a listener, and no route names it"));
        return FAILURE;
    }
    let Some(route) =
        table.find(host, uri.path(), &arguments.method, &headers).and_then(|index| config.routes.get(*index))
    else {
        out.line(format!("404: no route matches {} {}", arguments.method, arguments.url));
        return FAILURE;
    };
    tell(&config, route, &arguments.method, &uri, out);
    SUCCESS
}

fn request(arguments: &ExplainArguments) -> Result<(Uri, HeaderMap), String> {
    let uri: Uri =
        arguments.url.parse().map_err(|error| format!("{}: this is no URL or path: {error}", arguments.url))?;
    let mut headers = HeaderMap::new();
    if let Some(host) = uri.host().and_then(|host| HeaderValue::from_str(host).ok()) {
        headers.insert(HOST, host);
    }
    for field in &arguments.headers {
        let wrong = || format!("{field}: a header field is written \"Name: value\"");
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name = http::HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    Ok((uri, headers))
}

fn tell(config: &Config, route: &Route, method: &Method, uri: &Uri, out: &mut Output) {
    let upstream = &route.upstream;
    let scheme = match upstream.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = crate::upstream::host_header(upstream);
    let host = host.to_str().unwrap_or_default();
    let target = forward::rewrite(&route.target, &upstream.path, uri).map(|uri| uri.to_string()).unwrap_or_default();
    out.line(format!("route       {}", route.target.name));
    out.line(format!("upstream    {method} {scheme}://{host}{target}"));
    let shown_host = if route.target.preserve_host { uri.host().unwrap_or("(the downstream's)") } else { host };
    out.line(format!("host        {shown_host}"));
    let credential = route.credential.and_then(|index| config.credentials.get(index));
    match credential {
        None if route.target.pass_authorization => out.line("credential  none; the downstream's Authorization passes"),
        None => out.line("credential  none; the downstream's Authorization is removed"),
        Some(credential) => {
            out.line(format!("credential  {}", credential.settings.name));
            if credential.settings.is_per_subject() {
                out.line("exchange    the request's own bearer token, without which it gets 401");
            }
            for inject in &credential.settings.inject {
                match inject {
                    Inject::Header { name, .. } => out.line(format!("set         {name}: (with the access token)")),
                    Inject::Query { name } => {
                        out.line(format!("set         query parameter {name}=(the access token)"))
                    }
                }
            }
        }
    }
    for name in &route.target.request_headers.remove {
        out.line(format!("remove      {name}"));
    }
    for (name, value) in &route.target.request_headers.set {
        let value = if value.is_sensitive() { "(sensitive)" } else { value.to_str().unwrap_or("(not text)") };
        out.line(format!("set         {name}: {value}"));
    }
    out.line("append      via: 1.1 bearer-proxy-…");
}
