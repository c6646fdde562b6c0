//! Which fields belong to a connection and not to a message (RFC 9110 §7.6.1; R21).
//!
//! A head is looked at once; only what is there is taken away. Fields are taken away before anything is added, so
//! that nothing a peer nominates can remove what we add.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What was found in a head, by one look at its names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    connection: bool,
    te: bool,
    upgrade: bool,
    /// Any other field that belongs to the connection.
    other_hop: bool,
    pub(super) authorization: bool,
    pub(super) expect: bool,
    pub(super) via: bool,
    pub(super) max_forwards: bool,
    pub(super) request_id: bool,
    pub(super) trailer: bool,
    /// A name with `_`, which some readers take for `-`.
    pub(super) underscore: bool,
}

/// `keep-alive`.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// `proxy-connection`.
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What belongs to the connection, whatever it says there.
static OTHER_HOP: [HeaderName; 5] =
    [KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING, header::PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION];

/// Looks at a request's head.
pub(super) fn look(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for name in headers.keys() {
        let name = name.as_str().as_bytes();
        if !found.note(name) {
            found.underscore |= has_underscore(name);
        }
    }
    found
}

/// Looks at an answer's head: what only requests have is not told.
pub(super) fn look_at_answer(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for name in headers.keys() {
        found.note(name.as_str().as_bytes());
    }
    found
}

impl Found {
    /// Whether this name is one of those that matter. By length first: it tells nearly every name from these few.
    fn note(&mut self, name: &[u8]) -> bool {
        let found = match name.len() {
            2 if name == b"te" => &mut self.te,
            3 if name == b"via" => &mut self.via,
            6 if name == b"expect" => &mut self.expect,
            7 if name == b"upgrade" => &mut self.upgrade,
            7 if name == b"trailer" => &mut self.trailer,
            10 if name == b"connection" => &mut self.connection,
            10 if name == b"keep-alive" => &mut self.other_hop,
            12 if name == b"max-forwards" => &mut self.max_forwards,
            12 if name == b"x-request-id" => &mut self.request_id,
            13 if name == b"authorization" => &mut self.authorization,
            16 if name == b"proxy-connection" => &mut self.other_hop,
            17 if name == b"transfer-encoding" => &mut self.other_hop,
            18 if name == b"proxy-authenticate" => &mut self.other_hop,
            19 if name == b"proxy-authorization" => &mut self.other_hop,
            _ => return false,
        };
        *found = true;
        true
    }
}

/// Eight bytes at a time.
fn has_underscore(name: &[u8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const UNDERSCORES: u64 = u64::from_le_bytes([b'_'; 8]);
    let (words, rest) = name.as_chunks::<8>();
    let in_words = words.iter().any(|word| {
        let differs = u64::from_le_bytes(*word) ^ UNDERSCORES;
        differs.wrapping_sub(ONES) & !differs & (ONES << 7) != 0
    });
    in_words || rest.contains(&b'_')
}

/// What a head said to the next hop alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HopByHop {
    /// `TE: trailers`.
    pub(super) te_trailers: bool,
    /// `Upgrade: websocket`, and `Connection` names it (RFC 9110 §7.8).
    pub(super) websocket: bool,
}

/// Takes away what belongs to the connection the head came over, and says what that was.
pub(super) fn strip(headers: &mut HeaderMap, found: Found) -> HopByHop {
    let mut hop = HopByHop::default();
    if found.te {
        hop.te_trailers = lists(headers, &header::TE, "trailers");
        headers.remove(header::TE);
    }
    if found.upgrade {
        let asked = found.connection && lists(headers, &header::CONNECTION, "upgrade");
        hop.websocket = asked && is_websocket(headers);
        headers.remove(header::UPGRADE);
    }
    if found.connection {
        strip_nominated(headers);
    }
    if found.other_hop {
        for name in &OTHER_HOP {
            headers.remove(name);
        }
    }
    hop
}

fn strip_nominated(headers: &mut HeaderMap) {
    let nominations: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    headers.remove(header::CONNECTION);
    for option in nominations.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        if let Ok(name) = HeaderName::from_bytes(option.trim_ascii()) {
            // What frames or addresses the message is no hop's to take away (CVE-2024-45410).
            if name != header::HOST && name != header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
}

/// Forbids trailers to bear a field of this name: only what `Trailer` announces is sent (RFC 9110 §6.6.2), and an
/// announcement of what is ours to set is taken back whole (R14).
pub(super) fn forbid_trailer(headers: &mut HeaderMap, name: &HeaderName) {
    if headers.contains_key(header::TRAILER) && lists(headers, &header::TRAILER, name.as_str()) {
        headers.remove(header::TRAILER);
    }
}

/// Whether the answer to a handshake agrees to a WebSocket, and to nothing else (R19).
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// Takes away what a reader that takes `_` for `-` (every CGI-like one does) would see as the field of this name, which
/// is ours to set (R10).
pub(super) fn remove_look_alikes(headers: &mut HeaderMap, name: &HeaderName) {
    let look_alikes: Vec<HeaderName> = headers.keys().filter(|other| looks_like(other, name)).cloned().collect();
    for look_alike in look_alikes {
        headers.remove(look_alike);
    }
}

fn looks_like(one: &HeaderName, other: &HeaderName) -> bool {
    let with_hyphens = |name: &HeaderName| name.as_str().replace('_', "-");
    one != other && with_hyphens(one) == with_hyphens(other)
}

/// Whether a list field has this member, in whatever case.
fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn stripped(fields: &[(&str, &str)]) -> (HeaderMap, HopByHop) {
        let mut headers = map(fields);
        let found = look(&headers);
        let hop = strip(&mut headers, found);
        (headers, hop)
    }

    #[test]
    fn a_head_without_such_fields_is_left_alone() {
        let fields = [("host", "a"), ("accept", "*/*"), ("cookie", "a=b"), ("set-cookie", "1"), ("set-cookie", "2")];
        assert_eq!(stripped(&fields).0, map(&fields));
    }

    // R21
    #[test]
    fn what_connection_nominates_goes_but_for_host_and_content_length() {
        let (headers, _) = stripped(&[
            ("host", "a"),
            ("content-length", "3"),
            ("x-hop", "1"),
            ("x-end", "1"),
            ("connection", "close, X-Hop,host"),
            ("connection", "Content-Length , ,@"),
        ]);
        assert_eq!(headers, map(&[("host", "a"), ("content-length", "3"), ("x-end", "1")]));
    }

    // R21
    #[test]
    fn every_hop_by_hop_field_goes() {
        let (headers, _) = stripped(&[
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic x"),
            ("trailer", "digest"),
        ]);
        assert_eq!(headers, map(&[("trailer", "digest")]));
    }

    // R10
    #[test]
    fn only_names_that_look_alike_go() {
        let mut headers = map(&[("x-api-key", "1"), ("x_api_key", "2"), ("x_api-key", "3"), ("x_api_keys", "4")]);
        assert!(look(&headers).underscore);
        remove_look_alikes(&mut headers, &HeaderName::from_static("x-api-key"));
        assert_eq!(headers, map(&[("x-api-key", "1"), ("x_api_keys", "4")]));
        assert!(!look(&map(&[("x-api-key", "1")])).underscore);
    }

    // R19
    #[test]
    fn only_a_websocket_that_connection_names_is_an_upgrade() {
        assert!(stripped(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]).1.websocket);
        assert!(!stripped(&[("upgrade", "websocket")]).1.websocket);
        assert!(!stripped(&[("connection", "upgrade"), ("upgrade", "h2c")]).1.websocket);
        assert!(!stripped(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")]).1.websocket);
        assert!(!stripped(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]).1.websocket);
    }

    proptest! {
        // R21: whatever is nominated, what we frame by stays, and nothing that was not there appears.
        #[test]
        fn stripping_only_takes_away(
            names in proptest::collection::vec("[a-z][a-z0-9-]{0,12}", 0..8),
            nominated in proptest::collection::vec("[A-Za-z][A-Za-z0-9-]{0,12}| |,", 0..6),
        ) {
            let mut fields: Vec<(&str, &str)> = vec![("host", "h"), ("content-length", "0")];
            fields.extend(names.iter().map(|name| (name.as_str(), "v")));
            let connection = nominated.join(",");
            fields.push(("connection", &connection));
            let before = map(&fields);
            let (after, _) = stripped(&fields);
            prop_assert!(after.contains_key("host") && after.contains_key("content-length"));
            prop_assert!(!after.contains_key("connection"));
            for name in after.keys() {
                prop_assert!(before.contains_key(name));
            }
            for option in connection.split(',') {
                let option = option.trim().to_ascii_lowercase();
                if option != "host" && option != "content-length" && !option.is_empty() {
                    prop_assert!(!after.contains_key(option.as_str()));
                }
            }
        }
    }
}
