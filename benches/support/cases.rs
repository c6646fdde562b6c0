//! What is measured: whole requests, and parts of one.

use bearer_proxy::telemetry::settings::LogFormat;

/// The token that the upstream wants to see: as long as a JWT with a few claims.
pub const TOKEN_LENGTH: usize = 900;

/// One kind of request, and what the upstream answers.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// `None`: no access log.
    pub log: Option<LogFormat>,
    /// Whether the route's prefix is replaced by the upstream's path, as it is by default.
    pub rewrites: bool,
    /// Bytes of the request's body.
    pub sends: usize,
    /// Bytes of the answer's body.
    pub gets: usize,
    /// Fields of the request beside Host, User-Agent and Accept.
    pub fields: &'static str,
    /// Whether the upstream refuses every first attempt with 401.
    pub refuses: bool,
    /// No proxy: client and upstream talk to each other. What all the others contain and is not ours.
    pub direct: bool,
}

const W1: Case = Case {
    name: "W1",
    what: "GET, 200 B back, access log as JSON",
    log: Some(LogFormat::Json),
    rewrites: true,
    sends: 0,
    gets: 200,
    fields: "",
    refuses: false,
    direct: false,
};

/// All of them, the harness's own share first.
pub const CASES: [Case; 11] = [
    Case { name: "floor", what: "no proxy: the harness's own share of W1", direct: true, ..W1 },
    W1,
    Case { name: "W1-text", what: "access log as text", log: Some(LogFormat::Text), ..W1 },
    Case { name: "W1-off", what: "no access log", log: None, ..W1 },
    Case { name: "W1-kept", what: "the prefix stays: nothing to rewrite", rewrites: false, ..W1 },
    Case { name: "W1-hop", what: "with hop-by-hop fields to take away", fields: HOP_BY_HOP, ..W1 },
    Case { name: "W1-browser", what: "with 9 more fields, 700 B", fields: BROWSER, ..W1 },
    Case { name: "W2", what: "GET, 1 KiB back", gets: 1024, ..W1 },
    Case { name: "W3", what: "POST of 4 KiB, held for a retry", sends: 4096, ..W1 },
    Case { name: "W4", what: "GET, 100 KiB back", gets: 100 * 1024, ..W1 },
    Case { name: "401", what: "refused once, token renewed, sent again", refuses: true, ..W1 },
];

/// A route of its own for each, because a credential is renewed by force eight times at once and no more.
/// As many as that, because the runtime draws lots, and how often a task is polled depends on them.
pub const ROUTES_OF_REFUSALS: usize = 128;

const HOP_BY_HOP: &str = "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nTE: trailers\r\n";

const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cache-Control: no-cache\r\n\
    Cookie: session=7f1c2d9a4b6e8f0a1b3c5d7e9f0a2b4c; theme=dark; consent=analytics%3Dno%26marketing%3Dno; \
    csrf=f0e1d2c3b4a5968778695a4b3c2d1e0f; last=2026-11-21T22%3A05%3A11Z; path=%2Forders%2F2026%2F11%3Fpage%3D4\r\n\
    Pragma: no-cache\r\n\
    Referer: http://127.0.0.1:8080/orders/2026/11?page=3\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    X-Request-Id: 0f9d3c1e-5b7a-4c62-9e8d-1a2b3c4d5e6f\r\n";

impl Case {
    /// How many routes it needs.
    pub fn routes(&self) -> usize {
        if self.refuses { ROUTES_OF_REFUSALS } else { 1 }
    }

    /// How many requests are measured where `wanted` would be.
    pub fn count(&self, wanted: usize) -> usize {
        // The warm-up and six rounds: seven renewals of the eight that are allowed.
        if self.refuses { (wanted / ROUTES_OF_REFUSALS).clamp(1, 6) * ROUTES_OF_REFUSALS } else { wanted }
    }

    /// The request for one of its routes, as wrk would write it.
    pub fn request(&self, route: usize) -> Vec<u8> {
        let (method, length) = match self.sends {
            0 => ("GET", String::new()),
            length => ("POST", format!("Content-Length: {length}\r\n")),
        };
        let head = format!(
            "{method} /api{route}/s/200 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n{length}{}\r\n",
            self.fields
        );
        [head.into_bytes(), vec![b'x'; self.sends]].concat()
    }

    /// What the upstream answers.
    pub fn answer(&self) -> Vec<u8> {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", self.gets);
        [head.into_bytes(), vec![b'x'; self.gets]].concat()
    }

    /// What it answers when it refuses.
    pub fn refusal(&self) -> Vec<u8> {
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\n\
          Content-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"error\":\"invalid_token\"}"
            .to_vec()
    }

    /// The file that the proxy runs from.
    pub fn file(&self) -> String {
        let token = token();
        let mut file = String::from("listeners: [{address: 127.0.0.1:8080}]\ncredentials:\n");
        for route in 0..self.routes() {
            file.push_str(&format!("  c{route}: {{grant: static, token: {token}}}\n"));
        }
        file.push_str("routes:\n");
        for route in 0..self.routes() {
            let (path, keep) = if self.rewrites { ("/v1/", "false") } else { ("/", "true") };
            file.push_str(&format!(
                "  - {{path: /api{route}/, upstream: 'http://127.0.0.1:9{path}', keep_prefix: {keep}, credential: c{route}}}\n"
            ));
        }
        file
    }
}

/// The token.
pub fn token() -> String {
    "eyJhbGciOiJSUzI1NiJ9.".chars().chain(std::iter::repeat('x')).take(TOKEN_LENGTH).collect()
}
