//! The wire to the authorization server: the one file that names `reqwest`.
//!
//! Follows no redirect (it would carry the client's secret elsewhere, RFC 9700 §4.11), keeps no cookie, uses no proxy
//! from the environment (it may be ourselves), repeats nothing by itself, and keeps no connection: with one request a
//! token lifetime, a kept one would only be found dead. Speaks https, and http to loopback.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::files;
use super::request::HttpRequest;
use crate::tls::{self, TlsError, TlsSettings};
use crate::token::TokenError;

/// Sends requests to a token endpoint, or for an issuer's metadata.
pub(super) struct TokenEndpoint {
    tls: TlsSettings,
    timeout: Duration,
    current: Mutex<Current>,
}

/// One client at a time, made of the TLS files as they were.
struct Current {
    http: reqwest::Client,
    files: u64,
}

/// What came back, whatever it is.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// At most [`MAX_ANSWER`] of it.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether that is all of it.
    pub(super) whole: bool,
}

impl TokenEndpoint {
    /// `timeout`: for a whole request, connection included.
    pub(super) fn new(tls: &TlsSettings, timeout: Duration) -> Result<Self, TlsError> {
        // First: a change while they are read is then seen as one.
        let files = files::fingerprint_of_tls(tls);
        let current = Mutex::new(Current { http: client(tls, timeout)?, files });
        Ok(Self { tls: tls.clone(), timeout, current })
    }

    /// The client, made anew when a TLS file has changed: a new certificate must not go on in a session that the old one
    /// began. Files that cannot be used are told of once, and the client that there is is kept: half a renewal (the
    /// certificate written, the key not yet) must not take a credential down.
    fn client(&self) -> reqwest::Client {
        let files = files::fingerprint_of_tls(&self.tls);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.files != files {
            current.files = files;
            match client(&self.tls, self.timeout) {
                Ok(http) => {
                    tracing::info!("the files of request.tls have changed and were read again");
                    current.http = http;
                }
                Err(error) => {
                    tracing::warn!(%error, "the changed files of request.tls cannot be used, the old ones are kept");
                }
            }
        }
        current.http.clone()
    }

    /// Sends one request, once.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<Answer, TokenError> {
        if !is_confidential(&request.url) {
            return Err(TokenError::Unreachable("its URL is neither https nor on this machine".to_owned()));
        }
        let HttpRequest { method, url, headers, body } = request;
        let mut message = reqwest::Request::new(method, url);
        *message.headers_mut() = headers;
        // Wiped when the last reference to it goes.
        *message.body_mut() = Some(Bytes::from_owner(body).into());
        read(self.client().execute(message).await.map_err(unreachable)?).await
    }
}

fn client(tls: &TlsSettings, timeout: Duration) -> Result<reqwest::Client, TlsError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(tls)?)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .timeout(timeout)
        .build()
        .map_err(|error| TlsError::Setup(rustls::Error::General(innermost(&error))))
}

/// No answer of a token endpoint is longer (REQUIREMENTS R72, DESIGN.md section 3).
pub(super) const MAX_ANSWER: usize = 1024 * 1024;

/// Whether what is sent there cannot be read on the way.
pub(super) fn is_confidential(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    }
}

/// Reads an answer up to its end or the limit. A body that breaks off after a refusal leaves the refusal standing.
async fn read(mut response: reqwest::Response) -> Result<Answer, TokenError> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    // Sized beforehand for what is usual: a buffer that grows leaves copies of a token behind, and nobody wipes those.
    let body = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut answer = Answer { status, headers, body, whole: true };
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(answer),
            Ok(Some(chunk)) => {
                let room = MAX_ANSWER.saturating_sub(answer.body.len());
                answer.body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if chunk.len() > room {
                    answer.whole = false;
                    return Ok(answer);
                }
            }
            Err(error) if status.is_success() => return Err(unreachable(error)),
            Err(_broken_off) => {
                answer.whole = false;
                return Ok(answer);
            }
        }
    }
}

fn unreachable(error: reqwest::Error) -> TokenError {
    match error.is_timeout() {
        true => TokenError::TimedOut,
        // Its own text names the URL, whose query may hold secrets; the causes do not.
        false => TokenError::Unreachable(innermost(&error.without_url())),
    }
}

/// The last cause says what happened ("connection refused"); the ones before it only whose fault it was not.
fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
