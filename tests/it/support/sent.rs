//! What the upstream has seen of a request that was forwarded, to the last byte.

use super::Message;

/// Checks that this is a request with this first line and exactly these fields (beside `via` and the credential
/// `Bearer T0KEN`, each there once), in whatever order; then an empty line.
pub fn assert_sent(request: &Message, line: &str, fields: &[&str]) {
    let via = request.field("via").unwrap_or_default();
    let pseudonym = via.strip_prefix("1.1 bearer-proxy-").unwrap_or_else(|| panic!("via is {via:?}"));
    assert!(!pseudonym.is_empty() && pseudonym.bytes().all(|byte| byte.is_ascii_alphanumeric()), "via is {via:?}");
    let via = format!("via: {via}");
    let mut expected: Vec<&str> = fields.iter().copied().chain([via.as_str(), "authorization: Bearer T0KEN"]).collect();
    let head = request.text().strip_suffix("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some(line));
    let mut seen: Vec<&str> = lines.collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected, "{line}");
}

/// The first lines of these requests.
pub fn first_lines(requests: &[Message]) -> Vec<&str> {
    requests.iter().map(Message::first_line).collect()
}
