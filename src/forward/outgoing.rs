//! A request as the upstream will see it: made of what came, and made again for another attempt.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::ForwardError;
use super::body::{BodySource, RequestBody};
use super::headers::{self, Found, HopByHop};
use super::target::Target;
use crate::token::AccessToken;
use crate::upstream::Reuse;
use crate::upstream::Upload;

/// A request on its way through: as it came, and then as it goes out. It lies in one place all the way. Its body comes in
/// when it is sent.
pub type Passing = Request<Upload<RequestBody>>;

/// A request that has come, and its body.
pub fn receive(request: Request<Incoming>) -> (Passing, Incoming) {
    let (head, body) = request.into_parts();
    (Request::from_parts(head, Upload::default()), body)
}

/// What one request's attempts are made with, besides its head.
pub(super) struct Outgoing {
    /// What the first attempt has left for another.
    kept: Option<Kept>,
    pub(super) body: BodySource,
    is_idempotent: bool,
    is_1_1: bool,
    hop: HopByHop,
    /// What may be among the fields.
    found: Found,
}

/// What of a downstream's head goes on to the upstream, but for the target.
struct Kept {
    method: Method,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Outgoing {
    /// Of what came.
    pub(super) fn new(request: &Passing, body: BodySource, found: Found) -> Self {
        let is_idempotent = request.method().is_idempotent();
        let is_1_1 = request.version() == Version::HTTP_11;
        Self { kept: None, body, is_idempotent, is_1_1, hop: HopByHop::default(), found }
    }

    /// Takes away what belongs to the downstream's connection, and its credentials (R21, R37). What is ours comes with
    /// each attempt.
    pub(super) fn prepare(&mut self, request: &mut Passing, target: &Target, via: &Via) -> Result<(), ForwardError> {
        let found = self.found;
        let counts_down = found.max_forwards && *request.method() == Method::OPTIONS;
        let headers = request.headers_mut();
        if found.via && via.is_in(headers) {
            return Err(ForwardError::Loop);
        }
        if counts_down {
            count_down(headers);
        }
        self.hop = headers::strip(headers, found);
        // A server ignores an Upgrade of HTTP/1.0 (RFC 9110 §7.8).
        self.hop.websocket &= self.is_1_1;
        if found.expect {
            // hyper has answered it, or will when the body is asked for (R20).
            headers.remove(header::EXPECT);
        }
        if found.authorization && !(target.settings.pass_authorization && target.tokens.is_none()) {
            headers.remove(header::AUTHORIZATION);
        }
        Ok(())
    }

    /// Whether the downstream asks for a WebSocket.
    pub(super) fn wants_websocket(&self) -> bool {
        self.hop.websocket
    }

    /// Whether the request may be repeated although the upstream may have seen it (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    /// Which connection the first attempt may take.
    pub(super) fn reuse(&self) -> Reuse {
        match self.is_idempotent {
            true => Reuse::Allowed,
            false => Reuse::Cautious,
        }
    }

    /// Makes the request for one attempt, where it goes out from, of what came: with our target, `Host`, `Via`, edits and
    /// token. The first time that is what lies there.
    pub(super) fn write(
        &mut self,
        target: &Target,
        received: &Uri,
        via: &Via,
        token: Option<&AccessToken>,
        going: &mut Option<Passing>,
    ) -> Result<(), ForwardError> {
        // Asked before it is taken: of a body that is sent once nothing is known afterwards.
        let is_unsized = self.body.is_unsized();
        let body = self.body.take().ok_or(BROKEN_OFF)?;
        let request = match (&self.kept, going) {
            (None, Some(request)) => {
                self.kept = Some(Kept::of(request, target));
                request
            }
            (Some(kept), going) => going.insert(kept.again(target)),
            (None, None) => return Err(BROKEN_OFF),
        };
        *request.body_mut() = Upload::new(body);
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = target.uri(received).ok_or(UNREADABLE)?;
        let headers = request.headers_mut();
        set_host(headers, received, target)?;
        frame(headers, is_unsized, self.hop);
        edit(headers, self.found, target);
        headers.append(header::VIA, via.value.clone());
        if let Some(token) = token {
            for name in token.header_names() {
                make_way(headers, self.found, name);
            }
            token.authorize(request);
            token.prove(request, target.upstream.origin());
        }
        Ok(())
    }
}

impl Kept {
    fn of(request: &Passing, target: &Target) -> Self {
        let replaced = !target.settings.preserve_host;
        let fields = request.headers().iter().filter(|(name, _)| !(replaced && *name == header::HOST));
        let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { method: request.method().clone(), fields }
    }

    fn again(&self, target: &Target) -> Passing {
        let mut request = Request::new(Upload::default());
        *request.method_mut() = self.method.clone();
        let headers = request.headers_mut();
        if !target.settings.preserve_host {
            // It goes first, where it was.
            headers.insert(header::HOST, target.upstream.host().clone());
        }
        // As many as came once before.
        headers.extend(self.fields.iter().map(|(name, value)| (Some(name.clone()), value.clone())));
        request
    }
}

/// Says how the body is framed, and what this hop wants of the next one.
fn frame(headers: &mut HeaderMap, is_unsized: bool, hop: HopByHop) {
    if is_unsized {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if hop.websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    } else if hop.te_trailers {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn edit(headers: &mut HeaderMap, found: Found, target: &Target) {
    let edit = &target.settings.request_headers;
    for name in &edit.remove {
        headers.remove(name);
    }
    for (name, value) in &edit.set {
        make_way(headers, found, name);
        headers.insert(name, value.clone());
    }
}

/// Takes away what could pass for a field that is ours to set.
fn make_way(headers: &mut HeaderMap, found: Found, name: &HeaderName) {
    if found.underscore {
        headers::remove_look_alikes(headers, name);
    }
    if found.trailer {
        headers::forbid_trailer(headers, name);
    }
}

/// What becomes of a request whose body cannot be had again.
pub(super) const BROKEN_OFF: ForwardError =
    ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: "The request's body broke off." };

/// What a request target becomes that cannot be written for the upstream.
const UNREADABLE: ForwardError =
    ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: "The request target is not understood." };

/// The upstream's own `Host`, or the downstream's; in absolute form the target's authority is the latter (R18).
fn set_host(headers: &mut HeaderMap, received: &Uri, target: &Target) -> Result<(), ForwardError> {
    let host = match (target.settings.preserve_host, received.authority()) {
        (false, _) => target.upstream.host().clone(),
        (true, None) if headers.contains_key(header::HOST) => return Ok(()),
        // HTTP/1.0 without Host: there is nothing to preserve, and HTTP/1.1 needs one.
        (true, None) => target.upstream.host().clone(),
        (true, Some(authority)) => HeaderValue::from_str(authority.as_str()).map_err(|_| UNREADABLE)?,
    };
    headers.insert(header::HOST, host);
    Ok(())
}

/// `Max-Forwards` of an OPTIONS request (RFC 9110 §7.6.2). Zero has been answered before.
fn count_down(headers: &mut HeaderMap) {
    if let Some(left) = max_forwards(headers) {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// How often the request may still be forwarded.
pub(super) fn max_forwards(headers: &HeaderMap) -> Option<u64> {
    headers.get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()
}

const MAX_FORWARDS: HeaderName = header::MAX_FORWARDS;

/// Our entry in `Via` (RFC 9110 §7.6.3), by which we know our own requests again.
pub(super) struct Via {
    pub(super) value: HeaderValue,
    pseudonym: String,
}

impl Via {
    pub(super) fn new(pseudonym: &str) -> Self {
        let value = HeaderValue::from_str(&format!("1.1 {pseudonym}"));
        Self { value: value.unwrap_or(HeaderValue::from_static("1.1 bearer-proxy")), pseudonym: pseudonym.to_owned() }
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::VIA)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|entry| entry.trim_ascii().split(u8::is_ascii_whitespace).nth(1))
            .any(|by| by.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
    }
}

/// The authority that a request names: of its target, or of `Host`.
pub(super) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// Host and port of an authority; an IPv6 address keeps its brackets, as in the routes.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    if let Some(end) = authority.strip_prefix('[').and_then(|rest| rest.find(']')) {
        let (host, after) = authority.split_at_checked(end + 2).unwrap_or((authority, ""));
        return (host, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}
