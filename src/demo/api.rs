//! An API behind one authorization server: it answers a request that bears a good token of that server, and no other
//! (RFC 6750).
//!
//! Any path echoes what was asked, and which token came with it, by its number; never the token. Some paths do more, so
//! that things can be watched: see [`endpoint`]. Apiax' own guide writes the field as `Authentication: Bearer`; its API
//! here takes that too, but not both at once.

mod endpoint;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::issuer::Issuer;
use super::listener::{Body, Listening, json as json_response};
use super::settings::ANY_PORT;
use super::{AuthorizationServer, Dialect, Presented, What};

/// A running API; it ends when this is dropped.
pub struct Api {
    door: Arc<Door>,
    listening: Listening,
}

impl Api {
    /// Starts one that takes tokens of `server`, on any free port of loopback.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub async fn start(server: &AuthorizationServer) -> io::Result<Self> {
        Self::start_on(server, ANY_PORT).await
    }

    /// Starts one on a given address.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start_on(server: &AuthorizationServer, address: SocketAddr) -> io::Result<Self> {
        let issuer = Arc::clone(server.issuer());
        let door = Arc::new(Door { issuer, requests: AtomicU64::new(0), refusals: AtomicU64::new(0) });
        let keeper = Arc::clone(&door);
        let listening = Listening::start(address, move |request| handle(Arc::clone(&keeper), request)).await?;
        Ok(Self { door, listening })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Its root: an upstream for a route.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// How many requests it has seen, good and bad.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.door.requests.load(Ordering::Relaxed)
    }

    /// Refuses the next `times` good tokens with 401, as an API does that has lost its mind.
    pub fn refuse_next(&self, times: u64) {
        self.door.refusals.store(times, Ordering::Relaxed);
    }

    /// Stops; returns when its port refuses connections.
    pub async fn stop(self) {
        self.listening.stop().await;
    }
}

/// Who looks at the token before anybody comes in.
struct Door {
    issuer: Arc<Issuer>,
    requests: AtomicU64,
    refusals: AtomicU64,
}

impl Door {
    fn look(&self, headers: &HeaderMap) -> Presented {
        let presented = match bearer(headers, self.issuer.settings.dialect) {
            Bearer::Token(token) => self.issuer.check(token),
            Bearer::Malformed => Presented::Unknown,
            Bearer::Nothing => Presented::Nothing,
            Bearer::Several => Presented::Several,
        };
        match presented {
            Presented::Valid { generation, .. } if self.refuses() => Presented::Unwelcome { generation },
            other => other,
        }
    }

    fn refuses(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

enum Bearer<'a> {
    Token(&'a str),
    Malformed,
    Nothing,
    Several,
}

/// The one token of a request. The scheme must be written `Bearer`, capital B: some real APIs insist.
fn bearer(headers: &HeaderMap, dialect: Dialect) -> Bearer<'_> {
    let authentication = (dialect == Dialect::Apiax).then_some(AUTHENTICATION);
    let mut values = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .chain(authentication.into_iter().flat_map(|name| headers.get_all(name)));
    match (values.next(), values.next()) {
        (None, _) => Bearer::Nothing,
        (Some(_), Some(_)) => Bearer::Several,
        (Some(value), None) => {
            value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).map_or(Bearer::Malformed, Bearer::Token)
        }
    }
}

/// What the guide of Apiax calls it.
const AUTHENTICATION: HeaderName = HeaderName::from_static("authentication");

async fn handle(door: Arc<Door>, request: Request<Incoming>) -> Response<Body> {
    door.requests.fetch_add(1, Ordering::Relaxed);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let token = door.look(request.headers());
    let response = match token {
        Presented::Valid { generation, left } => endpoint::answer(&door.issuer, request, generation, left).await,
        Presented::Several => refuse(StatusCode::BAD_REQUEST, "invalid_request", token),
        Presented::Expired { .. }
        | Presented::Revoked { .. }
        | Presented::Unwelcome { .. }
        | Presented::Unknown
        | Presented::Nothing => refuse(StatusCode::UNAUTHORIZED, "invalid_token", token),
    };
    door.issuer.tell(What::Answered { method, path, status: response.status(), token });
    response
}

/// RFC 6750 §3: a challenge, with an error unless there was no token at all.
fn refuse(status: StatusCode, code: &'static str, token: Presented) -> Response<Body> {
    let description = match token {
        Presented::Expired { .. } => "the token has expired",
        Presented::Revoked { .. } => "the token was revoked",
        Presented::Several => "there is more than one token",
        Presented::Valid { .. } | Presented::Unwelcome { .. } | Presented::Unknown => "the token is not valid here",
        Presented::Nothing => "there is no token",
    };
    let challenge = match token {
        Presented::Nothing => "Bearer realm=\"demo\"".to_owned(),
        _ => format!("Bearer realm=\"demo\", error=\"{code}\", error_description=\"{description}\""),
    };
    let mut response = json_response(status, &json!({ "error": code, "error_description": description }));
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
