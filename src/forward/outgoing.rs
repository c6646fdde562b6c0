//! A request as the upstream will see it, made once, written for each attempt.

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};

use super::ForwardError;
use super::body::{BodySource, RequestBody};
use super::headers::{self, HopByHop};
use super::target::Target;
use crate::token::AccessToken;

/// One request, ready to be sent, and sent again.
pub(super) struct Outgoing {
    head: Parts,
    pub(super) body: BodySource,
    hop: HopByHop,
    /// Whether a name has `_`: it may look like one that we set.
    underscore: bool,
}

impl Outgoing {
    /// Turns a downstream's head into the upstream's: target, `Host`, `Via`; what belongs to the downstream's
    /// connection goes, and so do its credentials (R21, R37). The token comes later, attempt by attempt.
    pub(super) fn prepare(mut head: Parts, body: BodySource, target: &Target, via: &Via) -> Result<Self, ForwardError> {
        let found = headers::look(&head.headers);
        if found.via && via.is_in(&head) {
            return Err(ForwardError::Loop);
        }
        if found.max_forwards && head.method == Method::OPTIONS {
            count_down(&mut head);
        }
        let mut hop = headers::strip(&mut head.headers, found);
        // A server ignores an Upgrade of HTTP/1.0 (RFC 9110 §7.8).
        hop.websocket &= head.version == Version::HTTP_11;
        if found.expect {
            // hyper has answered it, or will when the body is asked for (R20).
            head.headers.remove(header::EXPECT);
        }
        if found.authorization && !(target.settings.pass_authorization && target.tokens.is_none()) {
            head.headers.remove(header::AUTHORIZATION);
        }
        set_host(&mut head, target)?;
        let uri = target.uri(&head.uri).ok_or(UNREADABLE)?;
        head.uri = uri;
        head.version = Version::HTTP_11;
        let mut outgoing = Self { head, body, hop, underscore: found.underscore };
        outgoing.frame();
        outgoing.edit(target);
        outgoing.head.headers.append(header::VIA, via.value.clone());
        Ok(outgoing)
    }

    /// Whether the downstream asks for a WebSocket.
    pub(super) fn wants_websocket(&self) -> bool {
        self.hop.websocket
    }

    /// Whether the request may be repeated although the upstream may have seen it (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.head.method.is_idempotent()
    }

    /// The request for one attempt.
    pub(super) fn request(&self, token: Option<&AccessToken>, body: RequestBody) -> Request<RequestBody> {
        let mut head = self.head.clone();
        if let Some(token) = token {
            if self.underscore {
                token.header_names().for_each(|name| headers::remove_look_alikes(&mut head.headers, name));
            }
            for name in token.header_names() {
                headers::forbid_trailer(&mut head.headers, name);
            }
            token.authorize(&mut head);
        }
        Request::from_parts(head, body)
    }

    /// Says how the body is framed, and what this hop wants of the next one.
    fn frame(&mut self) {
        let headers = &mut self.head.headers;
        if self.body.is_unsized() {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if self.hop.websocket {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        } else if self.hop.te_trailers {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }

    fn edit(&mut self, target: &Target) {
        let edit = &target.settings.request_headers;
        for name in &edit.remove {
            self.head.headers.remove(name);
        }
        for (name, value) in &edit.set {
            if self.underscore {
                headers::remove_look_alikes(&mut self.head.headers, name);
            }
            headers::forbid_trailer(&mut self.head.headers, name);
            self.head.headers.insert(name, value.clone());
        }
    }
}

/// What a request target becomes that cannot be written for the upstream.
const UNREADABLE: ForwardError =
    ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: "The request target is not understood." };

/// The upstream's own `Host`, or the downstream's; in absolute form the target's authority is the latter (R18).
fn set_host(head: &mut Parts, target: &Target) -> Result<(), ForwardError> {
    let host = match (target.settings.preserve_host, head.uri.authority()) {
        (false, _) => target.upstream.host().clone(),
        (true, None) if head.headers.contains_key(header::HOST) => return Ok(()),
        // HTTP/1.0 without Host: there is nothing to preserve, and HTTP/1.1 needs one.
        (true, None) => target.upstream.host().clone(),
        (true, Some(authority)) => HeaderValue::from_str(authority.as_str()).map_err(|_| UNREADABLE)?,
    };
    head.headers.insert(header::HOST, host);
    Ok(())
}

/// `Max-Forwards` of an OPTIONS request (RFC 9110 §7.6.2). Zero has been answered before.
fn count_down(head: &mut Parts) {
    if let Some(left) = max_forwards(head) {
        head.headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// How often the request may still be forwarded.
pub(super) fn max_forwards(head: &Parts) -> Option<u64> {
    head.headers.get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()
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

    fn is_in(&self, head: &Parts) -> bool {
        head.headers
            .get_all(header::VIA)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|entry| entry.trim_ascii().split(u8::is_ascii_whitespace).nth(1))
            .any(|by| by.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
    }
}

/// The authority that a request names: of its target, or of `Host`.
pub(super) fn authority(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(header::HOST)?.to_str().ok(),
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
