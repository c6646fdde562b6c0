//! The loopback redirect (RFC 8252 §7.3): a listener that the browser comes back to, once.
//!
//! On this machine alone, for one path, a few connections at once and none for long, and no body is read. Whoever does
//! not know the request's `state` changes nothing by calling. What is shown to the person holds nothing of what came.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Url};

use super::LoginError;
use super::answer::{Code, Expected};
use crate::oauth::settings::RedirectUri;

/// Where the browser comes back to.
pub(in crate::oauth) struct Callback {
    listener: TcpListener,
    path: String,
}

impl Callback {
    /// Listens where `redirect_uri` says, and says what it is then. `None`: it does not come back to this machine.
    pub(in crate::oauth) async fn bind(
        redirect_uri: Option<&RedirectUri>,
    ) -> Result<(Option<Self>, String), LoginError> {
        let default = || Url::parse(DEFAULT).ok();
        let Some(mut url) = redirect_uri.map(|uri| uri.url.clone()).or_else(default) else {
            return Ok((None, String::new()));
        };
        let Some(address) = loopback(&url) else {
            return Ok((None, redirect_uri.map(|uri| uri.text.clone()).unwrap_or_default()));
        };
        let failed = |source| LoginError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let path = url.path().to_owned();
        let text = match redirect_uri.filter(|_| url.port().is_some()) {
            Some(written) => written.text.clone(),
            None => {
                let port = listener.local_addr().map_err(failed)?.port();
                // Cannot fail for a URL that has a host.
                let _ = url.set_port(Some(port));
                url.into()
            }
        };
        Ok((Some(Self { listener, path }), text))
    }

    /// Waits for the one answer that is ours.
    pub(in crate::oauth) async fn wait(self, expected: Arc<Expected>) -> Result<Code, LoginError> {
        let (taker, mut taken) = oneshot::channel();
        let desk = Arc::new(Desk { path: self.path, expected, taker: Mutex::new(Some(taker)) });
        let mut connections = JoinSet::new();
        let answer = loop {
            tokio::select! {
                // The sender is at the desk, which is here: there always is an answer.
                answer = &mut taken => break answer.unwrap_or(Err(LoginError::NoCode)),
                // Nothing is lost when another branch wins: who is not accepted yet stays in the queue.
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, Arc::clone(&desk)));
                    }
                    // Out of file descriptors, as a rule: trying again at once would only burn a core.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            }
        };
        drop(self.listener);
        // The page is still to be written. Who does not read it is cut off with the set.
        let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
        answer
    }
}

/// What connections share.
struct Desk {
    path: String,
    expected: Arc<Expected>,
    /// Taken by the first answer that is ours.
    taker: Mutex<Option<oneshot::Sender<Result<Code, LoginError>>>>,
}

impl Desk {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.uri().path() != self.path {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        if request.method() != Method::GET {
            let mut answer = page(StatusCode::METHOD_NOT_ALLOWED, "This is for a browser that comes back.");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return answer;
        }
        let Some(answer) = self.expected.read(request.uri().query().unwrap_or_default()) else {
            tracing::debug!("somebody has called the redirect without knowing its state");
            return page(StatusCode::BAD_REQUEST, "This is no answer to the login that is under way.");
        };
        let Some(taker) = self.taker.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return page(StatusCode::GONE, "This login has had its answer already.");
        };
        let shown = match &answer {
            Ok(_) => page(StatusCode::OK, "You may close this window: the terminal says how it went on."),
            Err(_) => page(StatusCode::BAD_REQUEST, "The login came to nothing: the terminal says why."),
        };
        // Whoever waited has gone: then so will this process.
        let _ = taker.send(answer);
        shown
    }
}

async fn connection(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(move |request| {
        let answer = desk.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let _cut_off = timeout(PATIENCE, connection).await;
}

/// Ours, where the file says nothing. An address, not `localhost`: RFC 8252 §8.3.
const DEFAULT: &str = "http://127.0.0.1/callback";

/// A browser opens a few ahead of need.
const MAX_CONNECTIONS: usize = 16;

/// For a request's head, and for a connection as a whole.
const PATIENCE: Duration = Duration::from_secs(10);

/// For what is still being written when there is an answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// A browser brings cookies of other services on this machine along.
const MAX_HEAD: usize = 64 * 1024;

/// Fields of a head.
const MAX_HEADERS: usize = 100;

/// Where to listen for a redirect to this; port 0: whichever is free.
fn loopback(url: &Url) -> Option<SocketAddr> {
    let ip = match url.host() {
        _ if url.scheme() != "http" => return None,
        Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => Ipv4Addr::LOCALHOST.into(),
        Some(Host::Ipv4(ip)) if ip.is_loopback() => ip.into(),
        Some(Host::Ipv6(ip)) if ip == Ipv6Addr::LOCALHOST => ip.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, url.port().unwrap_or(0)))
}

fn page(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>bearer-proxy</title>\
         <style>body{{font:1.1rem system-ui;margin:4rem auto;max-width:32rem}}</style>\
         <h1>bearer-proxy</h1><p>{text}</p></html>\n"
    );
    let mut answer = Response::new(Full::from(html));
    *answer.status_mut() = status;
    let fields = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The code stands in the page's own address.
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (CONNECTION, "close"),
    ];
    answer.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri { text: text.to_owned(), url: Url::parse(text).unwrap() }
    }

    #[test]
    fn only_http_to_this_machine_is_listened_for() {
        let at = |text| loopback(&Url::parse(text).unwrap()).map(|address| address.to_string());
        assert_eq!(at("http://127.0.0.1/callback").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(at("http://localhost:8400/").as_deref(), Some("127.0.0.1:8400"));
        assert_eq!(at("http://[::1]:8400/").as_deref(), Some("[::1]:8400"));
        for elsewhere in [
            "https://localhost:1/",
            "http://10.0.0.1:1/",
            "https://app.example.com/cb",
            "urn:ietf:wg:oauth:2.0:oob",
            "com.example.app:/cb",
        ] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_told_to_the_server_as_it_was_registered() {
        let (callback, told) = Callback::bind(None).await.unwrap();
        let port = callback.unwrap().listener.local_addr().unwrap().port();
        assert_eq!(told, format!("http://127.0.0.1:{port}/callback"));

        let fixed = format!("http://127.0.0.1:{port}");
        let (callback, told) = Callback::bind(Some(&uri(&fixed))).await.unwrap();
        assert_eq!((callback.unwrap().path.as_str(), told), ("/", fixed), "without a slash that nobody wrote");

        let (callback, told) = Callback::bind(Some(&uri("https://app.example.com/cb"))).await.unwrap();
        assert!(callback.is_none());
        assert_eq!(told, "https://app.example.com/cb");
    }
}
