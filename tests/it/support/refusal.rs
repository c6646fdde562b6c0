//! What a request that is refused gets, to the last byte (DESIGN.md section 6), and that nothing after it is answered.

use http::StatusCode;
use serde_json::Value;

use super::{Downstream, Proxy, Upstream};

/// A good request, which must not be answered after one that was refused.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends these bytes on a connection of their own, [`SMUGGLED`] behind them, and reads until the proxy closes: what came
/// must be one problem with this status that says it is the request's fault, and not a byte more.
pub async fn assert_refused(proxy: &Proxy, request: impl AsRef<[u8]>, status: u16) {
    let mut downstream = Downstream::of(proxy).await;
    downstream.send([request.as_ref(), SMUGGLED.as_bytes()].concat()).await;
    assert_problem(&downstream.read_to_end().await, status, &shown(request.as_ref()));
}

/// Checks that these are the bytes of one refusal of a request. Answers its problem document.
pub fn assert_problem(bytes: &[u8], status: u16, of: &str) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {text:?} to {of}"));
    let (detail, route) = (problem["detail"].as_str().unwrap(), problem["route"].as_str().unwrap());
    assert!(!detail.is_empty(), "{text:?} to {of}");
    assert_eq!(text, refusal(status, detail, route), "to {of}");
    problem
}

/// The bytes of a refusal.
pub fn refusal(status: u16, detail: &str, route: &str) -> String {
    let body = format!(
        "{{\"detail\":\"{detail}\",\"route\":\"{route}\",\"status\":{status},\"title\":\"The request is not acceptable\",\
         \"type\":\"urn:bearer-proxy:problem:http_request_error\"}}"
    );
    let reason = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
    let allow = match status {
        405 => "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         proxy-status: bearer-proxy; error=http_request_error\r\n{allow}connection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Checks that nothing has reached the upstream, not even a connection, and that the proxy still serves.
pub async fn assert_untouched(proxy: &Proxy, upstream: &Upstream) {
    assert_eq!(upstream.seen().connections(), 0, "{:?}", upstream.requests());
    assert_eq!(Downstream::of(proxy).await.get("/good").await.status(), 200);
    let lines: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(lines, ["GET /good HTTP/1.1"]);
}

/// Bytes as a failing test shows them.
pub fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}
