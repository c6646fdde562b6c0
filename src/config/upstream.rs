//! `upstream` of a route, and `tls` of whatever we call: as written, and what they become.

use std::time::Duration;

use super::node::Node;
use super::node::Value;
use super::read::Count;
use super::read::Field;
use super::read::Placed;
use super::read::Read;
use super::read::ReadableFile;
use super::read::Reader;
use super::read::ServerName;
use super::read::UpstreamUrl;
use super::read::section;
use super::read::value_or;
use super::read::words;
use crate::tls::IdentitySettings;
use crate::tls::TlsSettings;
use crate::upstream::settings::ConnectionSettings;
use crate::upstream::settings::Scheme;
use crate::upstream::settings::Timeouts;
use crate::upstream::settings::UpstreamSettings;

/// `upstream`: a URL, or a mapping with one in it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(UpstreamMapping);

impl Read for Upstream {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            return UpstreamMapping::read(node, reader).map(Self);
        }
        let url = Placed::read(node, reader)?;
        Some(Self(UpstreamMapping { url: Some(url), tls: None, connections: None, protocol: None }))
    }
}

section! {
    /// The long form of `upstream`.
    struct UpstreamMapping {
        url: UpstreamUrl, required "https://api.example.com/";
        tls: UpstreamTls;
        connections: Connections;
        #[expect(dead_code, reason = "there is one protocol as yet, so that reading it is all")]
        protocol: Protocol;
    }
}

section! {
    /// `upstream.tls`.
    struct UpstreamTls {
        ca: ReadableFile;
        certificate: ReadableFile;
        private_key: ReadableFile;
        server_name: ServerName;
    }
}

section! {
    /// `request.tls` of a credential.
    struct RequestTls {
        ca: ReadableFile;
        certificate: ReadableFile;
        private_key: ReadableFile;
    }
}

section! {
    /// `upstream.connections`.
    struct Connections {
        max: Count<1, 100_000>;
        idle_timeout: Duration;
        max_age: Duration;
    }
}

/// `upstream.protocol`: both words are HTTP/1.1 as yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol;

words! { Protocol { "auto" => Protocol, "http1" => Protocol } later { "http2" } }

section! {
    /// `timeouts` of a route.
    struct RouteTimeouts {
        connect: Duration;
        response_head: Duration;
        idle_body: Duration;
    }
}

/// What a route's `upstream` and `timeouts` make together.
pub(crate) fn upstream(
    written: Placed<Upstream>,
    timeouts: Field<RouteTimeouts>,
    reader: &mut Reader<'_>,
) -> Option<UpstreamSettings> {
    let UpstreamMapping { url, tls, connections, .. } = written.value.0;
    let url = url?.value;
    if let (Scheme::Http, Some(tls)) = (url.scheme, &tls) {
        reader.wrong(&tls.at, "only an `https://` upstream has TLS; change the URL or remove this");
    }
    Some(UpstreamSettings {
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        path: url.path,
        tls: tls.map(|tls| upstream_tls(tls, reader)).unwrap_or_default(),
        connections: connections_or_default(connections),
        timeouts: timeouts_or_default(timeouts),
    })
}

fn upstream_tls(written: Placed<UpstreamTls>, reader: &mut Reader<'_>) -> TlsSettings {
    let Placed { value: UpstreamTls { ca, certificate, private_key, server_name }, sound, .. } = written;
    TlsSettings {
        ca: ca.map(|file| file.value.0),
        identity: identity(certificate, private_key, sound, reader),
        server_name: server_name.map(|name| name.value.0),
    }
}

/// `request.tls` of a credential.
pub(crate) fn request_tls(written: Placed<RequestTls>, reader: &mut Reader<'_>) -> TlsSettings {
    let Placed { value: RequestTls { ca, certificate, private_key }, sound, .. } = written;
    TlsSettings {
        ca: ca.map(|file| file.value.0),
        identity: identity(certificate, private_key, sound, reader),
        server_name: None,
    }
}

/// Both or none.
fn identity(
    certificate: Field<ReadableFile>,
    private_key: Field<ReadableFile>,
    sound: bool,
    reader: &mut Reader<'_>,
) -> Option<IdentitySettings> {
    match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => {
            Some(IdentitySettings { certificate: certificate.value.0, private_key: private_key.value.0 })
        }
        (Some(alone), None) if sound => {
            reader.wrong(&alone.at, "a certificate needs its key: write `private_key` too");
            None
        }
        (None, Some(alone)) if sound => {
            reader.wrong(&alone.at, "a key needs its certificate: write `certificate` too");
            None
        }
        _ => None,
    }
}

fn connections_or_default(written: Field<Connections>) -> ConnectionSettings {
    let default = ConnectionSettings::default();
    let Some(Placed { value, .. }) = written else { return default };
    ConnectionSettings {
        max: value_or(value.max, Count(default.max)).0,
        idle_timeout: value_or(value.idle_timeout, default.idle_timeout),
        max_age: value_or(value.max_age, default.max_age),
    }
}

fn timeouts_or_default(written: Field<RouteTimeouts>) -> Timeouts {
    let default = Timeouts::default();
    let Some(Placed { value, .. }) = written else { return default };
    Timeouts {
        connect: value_or(value.connect, default.connect),
        response_head: value_or(value.response_head, default.response_head),
        idle_body: value_or(value.idle_body, default.idle_body),
    }
}
