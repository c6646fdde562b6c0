//! No message quotes a value: it may be a secret, whatever the line it stands in.

use super::*;

const MARK: &str = "Marked.Secret-4711";

/// A file that uses every key, with a value for each that is right.
const EVERYTHING: &str = "
listeners:
  - address: 127.0.0.1:8080
    tls: {certificate: Cargo.toml, private_key: Cargo.toml, client_ca: Cargo.toml}
    access: local
    hosts: [a.example]
    allowed_origins: [https://a.example]
    timeouts: {request_head: 10s, idle: 75s, tls_handshake: 10s}
    limits: {connections: 10, request_head: 64KiB, headers: 100}
admin: {address: 127.0.0.1:9090}
credentials:
  one:
    grant: password
    token_url: https://a.example/token
    client_id: i
    client_secret: s
    client_auth: client_secret_basic
    scope: [a, b]
    audience: x
    resource: [y]
    username: u
    password: p
    request:
      params: {p: 1, q: [a, true]}
      headers: {X-A: b}
      format: form
      basic_encoding: raw
      scope_separator: ','
      timeout: 5s
      refresh_url: https://a.example/refresh
      refresh_params: {r: s}
      tls: {ca: Cargo.toml, certificate: Cargo.toml, private_key: Cargo.toml}
    response: {access_token: /a, expires_in: /b, refresh_token: /c, expires_unit: seconds}
    lifetime: {default: 5m, max: 1h}
    refresh: {margin: 10s, ahead: 5s, use_refresh_token: false}
    inject: [{header: X-B, format: 'x {token}'}, {query: t}]
  two:
    grant: custom
    client_id: i
    client_secret: s
    client_auth: client_secret_post
    request:
      method: PUT
      url: https://a.example/login
      query: {p: 1}
      headers: {X-A: b}
      body: {json: {a: {b: [c, 1]}}}
    response: {access_token: {cookies: [t]}, values: {v: /w, x: {header: y}}}
    then:
      - request:
          method: PATCH
          url: https://a.example/then
          query: {p: 1}
          headers: {X-A: b}
          body: {form: {a: b}}
        response: {access_token: /a, expires_in: /b, expires_unit: seconds, values: {v: /w}}
      - request: {url: https://a.example/then, body: {text: c}}
    inject: [{header: X-B, format: '{v}'}, {header: X-C, format: '{token}'}]
  three: {grant: exec, command: c, args: [a, b], env: {E: f}, request: {timeout: 5s}, response: {values: {v: /w}}}
routes:
  - path: /three/
    upstream: https://c.example/
    credential: three
  - path: /two/
    upstream: https://c.example/
    credential: two
  - name: first
    path: /a/
    host: b.example
    methods: [GET]
    headers: {X-C: d}
    upstream:
      url: https://c.example/
      tls: {ca: Cargo.toml, certificate: Cargo.toml, private_key: Cargo.toml, server_name: d.example}
      connections: {max: 5, idle_timeout: 60s, max_age: 10m}
      protocol: http1
    keep_prefix: true
    credential: one
    preserve_host: true
    pass_authorization: false
    retry: {statuses: [401], max_body: 1KiB, cooldown: 0s}
    timeouts: {connect: 5s, response_head: 60s, idle_body: 5m}
    request_headers: {set: {X-D: e}, remove: [X-E]}
    response_headers: {set: {X-F: g}, remove: [X-G]}
log: {format: json, level: debug, access: stderr}
shutdown: {drain: 5s}
workers: 2
token_store: {file: {path: tokens, key: 0123456789abcdef0123456789abcdef}}
";

#[test]
fn a_file_with_every_key_is_right() {
    right(EVERYTHING);
}

/// Every position at which a value begins in [`EVERYTHING`], with the value's length.
fn values() -> Vec<(usize, usize)> {
    let mut values = Vec::new();
    for (at, _) in EVERYTHING.match_indices([':', ',', '[', '-']) {
        let rest = &EVERYTHING[at + 1..];
        let skipped = rest.len() - rest.trim_start_matches([' ', '{', '[']).len();
        let value = &rest[skipped..];
        let length = value.find([',', ']', '}', '\n']).unwrap_or(value.len());
        let is_value = length > 0 && !value[..length].contains(": ") && !value[..length].ends_with(':');
        if is_value && (skipped > 0 || rest.starts_with('[')) {
            values.push((at + 1 + skipped, length));
        }
    }
    values
}

#[test]
fn a_secret_in_any_wrong_place_is_never_quoted() {
    let values = values();
    assert!(values.len() > 60, "{}", values.len());
    let mut mistakes = 0;
    for (at, length) in values {
        let (before, after) = (&EVERYTHING[..at], &EVERYTHING[at + length..]);
        for wrong in [
            MARK.to_owned(),
            format!("'{MARK}'"),
            format!("'@{MARK}"),
            format!("@{MARK}"),
            format!("[{MARK}, {MARK}]"),
            format!("{{client_secret:{MARK}}}"),
            format!("https://u:{MARK}@a.example/"),
            format!("https://{MARK} /?x#y"),
            format!("'${{SECRET}}${{NOBODY_SET_THIS}}{MARK}'"),
            format!("'${{{MARK}'"),
            format!("'${{ID:?{MARK}}}'"),
            "${SECRET}".to_owned(),
            "'x${SECRET} ${file:/no/such/file}'".to_owned(),
            format!("!{MARK} x"),
            format!("*{MARK}"),
            format!("&{MARK} x"),
        ] {
            let Err(error) = parse_text(&format!("{before}{wrong}{after}")) else { continue };
            mistakes += 1;
            let told = error.to_string();
            // The path of a file has to be told, unless it came from elsewhere.
            let told = told.lines().filter(|line| wrong.contains("${SECRET}") || !line.contains("cannot read"));
            let told = told.collect::<String>();
            assert!(!told.contains(MARK) && !told.contains("4711"), "{error}\n{wrong}");
            assert!(!told.contains("hunter2"), "{error}\n{wrong}");
        }
    }
    assert!(mistakes > 500, "{mistakes}");
}

#[test]
fn a_config_does_not_print_its_secrets() {
    let config = right(&credential_with(
        "grant: password\ntoken_url: https://a.example\nusername: ${SECRET}\npassword: hunter2\nclient_id: hunter2\n\
         client_secret: ${SECRET}\nrequest: {params: {a: hunter2}, headers: {x-a: '${SECRET}'}}",
    ));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn header_values_from_elsewhere_are_sensitive() {
    let config = right(&route_with(
        "upstream: https://a.example\ncredential: none\nrequest_headers: {set: {X-A: '${SECRET}', X-B: plain}}",
    ));
    assert!(!format!("{config:?}").contains("hunter2"));
    let set = &config.routes[0].target.request_headers.set;
    assert_eq!((set[0].1.is_sensitive(), set[1].1.is_sensitive()), (true, false));
}
