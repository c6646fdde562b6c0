//! Opens connections: name look-up, TCP with happy eyeballs (RFC 8305), TLS. No plaintext fallback (R42).

use std::error::Error;
use std::io;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::driver::{self, Halves};
use super::settings::{Scheme, UpstreamSettings};
use super::{Environment, UpstreamError};
use crate::tcp::Tcp;
use crate::tls::TlsError;

/// Knows one scheme, host and port.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    target: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A stream to the upstream.
pub(super) enum Stream {
    /// Plain.
    Tcp(Tcp),
    /// Encrypted; the certificate has been verified.
    Tls(Box<TlsStream<Tcp>>),
}

impl Connector {
    pub(super) fn new(settings: &UpstreamSettings, environment: &Environment) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.timeouts.connect));
        tcp.set_keepalive(Some(KEEPALIVE));
        let tls = match settings.scheme {
            Scheme::Http => None,
            Scheme::Https => Some((environment.tls(&settings.tls)?.into(), server_name(settings)?)),
        };
        Ok(Self { tcp, target: target(settings)?, tls })
    }

    pub(super) async fn connect(&self) -> Result<Stream, UpstreamError> {
        let mut tcp = self.tcp.clone();
        // HttpConnector is always ready: `poll_ready` need not be asked.
        let stream = tcp.call(self.target.clone()).await.map_err(|error| connect_error(&error))?.into_inner();
        let stream = Tcp::from(stream);
        match &self.tls {
            None => Ok(Stream::Tcp(stream)),
            Some((connector, name)) => match connector.connect(name.clone(), stream).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(error) => Err(tls_error(&error)),
            },
        }
    }
}

/// TCP keep-alive probes begin after this time: a connection that a middlebox forgot is found out.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(60);

fn target(settings: &UpstreamSettings) -> Result<Uri, TlsError> {
    let host = settings.host_in_url();
    format!("http://{host}:{}/", settings.port)
        .parse()
        .map_err(|_| TlsError::from(rustls::Error::General(format!("{host} is no host name"))))
}

fn server_name(settings: &UpstreamSettings) -> Result<ServerName<'static>, TlsError> {
    let name = settings.tls.server_name.as_ref().unwrap_or(&settings.host);
    ServerName::try_from(name.clone())
        .map_err(|_| TlsError::from(rustls::Error::General(format!("{name} is no name that a certificate can have"))))
}

fn connect_error(error: &dyn Error) -> UpstreamError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return UpstreamError::Refused,
                io::ErrorKind::TimedOut => return UpstreamError::ConnectTimeout,
                _ => {}
            }
        }
        source = cause.source();
    }
    let text = describe(error);
    match error.to_string().starts_with("dns error") {
        true => UpstreamError::Dns(text),
        false => UpstreamError::Unreachable(text),
    }
}

fn tls_error(error: &io::Error) -> UpstreamError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => UpstreamError::Certificate(format!("{reason:?}")),
        _ => UpstreamError::Tls(error.to_string()),
    }
}

/// An error and its causes, in one line.
pub(super) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Stream {
    pub(super) fn handshake<B>(self, builder: &hyper::client::conn::http1::Builder) -> hyper::Result<Halves<B>>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match self {
            Self::Tcp(stream) => driver::handshake(builder, stream),
            Self::Tls(stream) => driver::handshake(builder, *stream),
        }
    }
}
