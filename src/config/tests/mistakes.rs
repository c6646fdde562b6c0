//! A table of mistakes: `»` stands where the message must point to.

use super::*;

/// Files with one mistake each.
fn table() -> Vec<(String, &'static str)> {
    let mut table = Vec::new();
    let mut add = |make: fn(&str) -> String, cases: &[(&str, &'static str)]| {
        table.extend(cases.iter().map(|(keys, message)| (make(keys), *message)));
    };
    add(str::to_owned, YAML);
    add(top_with, TOP);
    add(listener_with, LISTENER);
    add(route_with, ROUTE);
    add(credential_with, CREDENTIAL);
    add(client, CLIENT);
    add(exchange, EXCHANGE);
    add(custom, CUSTOM);
    add(code, CODE);
    add(device, DEVICE);
    add(bearer, BEARER);
    add(signed, SIGNED);
    table
}

/// What most credentials begin with.
fn client(keys: &str) -> String {
    credential_with(&format!("grant: client_credentials\ntoken_url: https://a.example/token\n{keys}"))
}

/// What most credentials begin with that exchange a token.
fn exchange(keys: &str) -> String {
    credential_with(&format!("grant: token_exchange\ntoken_url: https://a.example/token\n{keys}"))
}

/// A login that is no OAuth.
fn custom(keys: &str) -> String {
    credential_with(&format!("grant: custom\n{keys}"))
}

/// A login in a browser.
fn code(keys: &str) -> String {
    credential_with(&format!("grant: authorization_code\ntoken_url: https://a.example/token\n{keys}"))
}

/// A login on another device.
fn device(keys: &str) -> String {
    credential_with(&format!("grant: device_code\ntoken_url: https://a.example/token\nclient_id: i\n{keys}"))
}

const CODE: &[(&str, &str)] = &[
    ("client_id: i\nauthorization_url: »http://a.example", "must be https"),
    ("client_id: i\nauthorization_url: https://a.example\nusername: »u", "belongs to the grant `password`"),
    (
        "client_id: i\nauthorization_url: https://a.example\nauthorization: {params: {»state: x}}",
        "is sent already, by another key",
    ),
    ("client_id: i\nauthorization_url: https://a.example\nauthorization: {pkce: »plain}", "write S256 or off"),
    (
        "client_id: i\nauthorization_url: https://a.example\nauthorization: {redirect_uri: »http://a.example/cb}",
        "must be https, or http to loopback",
    ),
    (
        "client_id: i\nauthorization_url: https://a.example\nauthorization: {redirect_uri: »\"https://a.example/#x\"}",
        "must have no fragment",
    ),
    (
        "client_id: i\nauthorization_url: https://a.example\nauthorization: {values: {»token: x}}",
        "stands for something else already",
    ),
    ("client_id: i\nauthorization_url: https://a.example\nauthorization: {»pckce: off}", "did you mean \"pkce\"?"),
    (
        "client_id: i\nauthorization_url: https://a.example\nrequest: {params: {»code_verifier: x}}",
        "is sent already, by another key",
    ),
];

const DEVICE: &[(&str, &str)] = &[
    (
        "device_authorization_url: https://a.example\nauthorization_url: »https://a.example",
        "belongs to the grant `authorization_code`",
    ),
    (
        "device_authorization_url: https://a.example\nauthorization: {pkce: »off}",
        "belongs to the grant `authorization_code`, not to `device_code`",
    ),
];

/// What most credentials begin with that send an assertion.
fn bearer(keys: &str) -> String {
    credential_with(&format!("grant: jwt_bearer\ntoken_url: https://a.example/token\n{}", with_keys(keys)))
}

/// The same of a token that is an assertion.
fn signed(keys: &str) -> String {
    credential_with(&format!("grant: signed_jwt\n{}", with_keys(keys)))
}

/// `ED` and `CERT` stand for a private key (RFC 8037 appendix A.1) and for a certificate.
fn with_keys(keys: &str) -> String {
    let key = r#"'{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'"#;
    keys.replace("ED", key).replace("CERT", r"'-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'")
}

const BEARER: &[(&str, &str)] = &[
    ("assertion: »{issuer: me}", "assertion: \"private_key\" is missing; write `private_key: key.pem`, or `secret`"),
    ("assertion: {private_key: »nowhere.pem}", "assertion.private_key: cannot read "),
    ("assertion: {private_key: »CERT}", "is a certificate; the private key that belongs to it is needed"),
    ("assertion: {private_key: »'-----BEGIN PRIVATE KEY-----'}", "is damaged PEM"),
    ("assertion: {private_key: »ED, algorithm: RS256}", "is an Ed25519 key, which cannot sign with RS256; write EdDSA"),
    ("assertion: {private_key: ED, algorithm: »none}", "unknown word; write RS256 or"),
    ("assertion: {private_key: ED, algorithm: »es256}", "unknown word; did you mean \"ES256\"?"),
    ("assertion: {private_key: ED, secret: »s}", "is signed with `private_key` or with `secret`; remove one"),
    ("assertion: {private_key: ED, secret_encoding: »hex}", "is how a `secret` is written; there is none"),
    ("assertion: {secret: »xyz, secret_encoding: hex}", "is not written as `secret_encoding` says"),
    ("assertion: {secret: »s, algorithm: ES256}", "is a shared secret, which cannot sign with ES256; write HS256"),
    ("assertion: {private_key: ED, header: »{alg: none}}", "`alg` is written by us; write `algorithm`"),
    ("assertion: {private_key: ED, header: »{alg: }}", "`alg` cannot be left out"),
    ("assertion: {private_key: ED, claims: »{exp: 1}}", "`exp` is written by us; write `lifetime`"),
    ("assertion: {private_key: ED, claims: »[a]}", "expected a mapping"),
    ("assertion: {private_key: ED, audience: »issuer}", "this credential has no `issuer`; write the audience itself"),
    ("assertion: {private_key: ED, »subjects: a}", "unknown key \"subjects\"; did you mean \"subject\"?"),
    ("assertion: {private_key: ED, lifetime: »5}", "a duration needs a unit"),
    (
        "assertion: {private_key: ED}\nassertion_file: »Cargo.toml",
        "`assertion` and `assertion_file` say the same thing twice",
    ),
    ("assertion: {private_key: ED}\nrequest: {params: {»assertion: a}}", "is sent already"),
    ("assertion: {private_key: ED}\nusername: »u", "belongs to the grant `password`, not to `jwt_bearer`"),
    (
        "assertion: {private_key: ED}\nclient_id: i\nclient_assertion: {private_key: ED}\n\
         request: {params: {»client_assertion: a}}",
        "is sent already",
    ),
];

const SIGNED: &[(&str, &str)] = &[
    ("assertion: {private_key: ED}\nassertion_file: »Cargo.toml", "belongs to the grant `jwt_bearer` or `custom`"),
    ("assertion: {private_key: ED}\ntoken_url: »https://a.example", "not to `signed_jwt`; remove it"),
    ("assertion: {private_key: ED}\nscope: »a", "not to `signed_jwt`; remove it"),
    ("assertion: {private_key: ED, audience: »token_url}", "this grant asks no token endpoint"),
    ("assertion: {private_key: ED, claims: »{exp: }}", "`exp` cannot be left out; write `lifetime`"),
];

const CUSTOM: &[(&str, &str)] = &[
    ("request: »{body: {json: {a: b}}}", "\"url\" is missing; write for example `url: https://host/path`"),
    ("request: {url: https://a.example, params: »{a: b}}", "request.params: belongs to the grant"),
    ("request: {url: https://a.example, format: »json}", "request.format: belongs to the grant"),
    ("request: {url: https://a.example}\ntoken_url: »https://a.example", "token_url: belongs to the grant"),
    ("request: {url: https://a.example}\nscope: »a", "scope: belongs to the grant"),
    ("request: {url: https://a.example}\nclient_id: »a", "nothing sends it without a `client_secret`"),
    (
        "request: {url: https://a.example}\nclient_id: a\nclient_secret: b\nclient_auth: »client_secret_post",
        "needs a body to be in",
    ),
    (
        "request: {url: https://a.example, headers: {»authorization: a}}\nclient_id: a\nclient_secret: b",
        "is sent already, by `client_secret_basic`",
    ),
    ("request: {url: https://a.example, headers: {»Transfer-Encoding: a}}", "cannot be set"),
];

const YAML: &[(&str, &str)] = &[
    ("a: b»: c\n", "must be in quotes, or a line is indented wrongly"),
    ("a: »@foo\n", "text that begins with this character must be in quotes"),
    ("a: »[b, c\n", "unclosed bracket"),
    ("a: »*nobody\n", "has no anchor"),
    ("a: &a [»*a]\n", "an alias cannot stand inside what it stands for"),
    ("---\na: 1\n»---\nb: 2\n", "a second document"),
    ("»- a\n", "expected a mapping, found a list"),
    ("»[a]: b\n", "a key must be text"),
    ("»listeners:localhost\n", "a colon after a key needs a space behind it"),
];

const TOP: &[(&str, &str)] = &[
    ("»routs: []", "unknown key \"routs\"; did you mean \"routes\"?"),
    ("»logging: {}", "unknown key \"logging\"; there are listeners, admin, credentials, routes, log"),
    ("»clients: {}", "the key \"clients\" is not in this version of bearer-proxy"),
    ("»routes: []", "the key \"routes\" is here twice; the first is in line 2"),
    ("workers: »0", "workers: must be a whole number from 1 to 1024"),
    ("workers: »two", "workers: must be a whole number"),
    ("workers: »-1", "workers: must be a whole number"),
    ("workers: »[1]", "workers: expected a whole number, found a list"),
    ("workers: {threads: »0}", "workers.threads: must be a whole number from 1 to 1024"),
    ("workers: {threads: 2, model: »seperate}", "workers.model: unknown word; did you mean \"separate\"?"),
    ("workers: {»count: 2}", "workers: unknown key \"count\"; there are threads, model"),
    ("shutdown: {drain: »30}", "shutdown.drain: a duration needs a unit: write it as 250ms, 30s, 5m or 2h"),
    ("shutdown: {drain: »30 s}", "not a duration: write it as 250ms, 30s, 5m or 2h"),
    ("shutdown: {drain: »99999999999h}", "must be at most 87600h"),
    ("shutdown: {drain: »99999999999999999999s}", "not a duration"),
    ("shutdown: »30s", "shutdown: expected a mapping, found text"),
    ("shutdown»:", "shutdown: expected a mapping, found nothing"),
    ("token_store: {file: »tokens}", "token_store.file: its key is missing; write `key: ${file:…}`"),
    ("token_store: {file: »{path: tokens}}", "token_store.file: its key is missing; write `key: ${file:…}`"),
    ("token_store: {file: »{key: 0123456789abcdef0123456789abcdef}}", "token_store.file: \"path\" is missing"),
    ("token_store: {file: {path: tokens, key: »hunter2}}", "token_store.file.key: must have at least 32 characters"),
    (
        "token_store: {file: {path: »no/tokens, key: 0123456789abcdef0123456789abcdef}}",
        "the directory of this file is not",
    ),
    ("token_store: {file: {path: »src, key: 0123456789abcdef0123456789abcdef}}", "is a directory; write a file in it"),
    ("token_store: {redis: »{key: 0123456789abcdef0123456789abcdef}}", "token_store.redis: \"url\" is missing"),
    ("token_store: {redis: »{url: rediss://r.example}}", "token_store.redis: its key is missing"),
    (
        "token_store: {redis: {url: »r.example, key: 0123456789abcdef0123456789abcdef}}",
        "must be a URL: write `rediss://",
    ),
    (
        "token_store: {redis: {url: »https://r.example, key: 0123456789abcdef0123456789abcdef}}",
        "must begin with `rediss://`",
    ),
    (
        "token_store: {redis: {url: »rediss://u:p@r.example, key: 0123456789abcdef0123456789abcdef}}",
        "use `username` and",
    ),
    (
        "token_store: {redis: {url: »rediss://r.example/x, key: 0123456789abcdef0123456789abcdef}}",
        "the number of a database",
    ),
    (
        "token_store: {redis: {url: 'unix:/r', key: 0123456789abcdef0123456789abcdef, tls: »{}}}",
        "only a `rediss://` server",
    ),
    (
        "token_store: {redis: {url: rediss://r.example, key: 0123456789abcdef0123456789abcdef, username: »u}}",
        "needs a `password`",
    ),
    (
        "token_store: {redis: {url: rediss://r.example, key: 0123456789abcdef0123456789abcdef, timeouts: {command: »0s}}}",
        "longer than zero",
    ),
    (
        "token_store: »{file: {path: tokens, key: 0123456789abcdef0123456789abcdef}, redis: {url: 'unix:/r', key: 0123456789abcdef0123456789abcdef}}",
        "one store is enough",
    ),
    ("token_store: »{}", "token_store: write `memory`, or one store as `{file: tokens}`"),
    ("token_store: {»fil: tokens}", "unknown key \"fil\"; did you mean \"file\"?"),
    ("token_store: »memry", "did you mean \"memory\"?"),
    ("admin: »{}", "admin: \"address\" is missing; write for example `address: 127.0.0.1:9090`"),
    ("admin: {address: »localhost:9090}", "write `127.0.0.1:8080`"),
    ("log: {format: »jsn}", "log.format: unknown word; did you mean \"json\"?"),
    ("log: {level: »loud}", "log.level: unknown word; write error or warn or info or debug or trace"),
    ("log: {access: »on}", "log.access: write `off`, `stdout`, `stderr`, or a path"),
    ("log: {access: »stdot}", "did you mean \"stdout\"?"),
    ("log: {access: »/no/such/directory/access.log}", "the directory of this file is not there"),
    ("log: {level: »!secret info}", "tags (`!…`) have no meaning"),
    ("credentials: {»unused: {grant: static, token: x}}", "credentials.unused: no route uses this credential"),
    ("log: {format: »'${UNSET}'}", "the environment variable UNSET is not set; set it, or write `${UNSET:-default}`"),
    ("log: {format: $»{UNSET}}", "inside `{…}` and `[…]` a `${NAME}` must be in quotes"),
    ("log: {format: »'${}'}", "after `${` comes NAME}"),
    ("log: {format: »'${ID:?must}'}", "after `${` comes NAME}"),
    ("log: {format: »'${A:-${B}}'}", "cannot stand inside"),
    ("log: {format: »'${ID'}", "`${` without `}`; write `$${`"),
    ("log: {format: »'${file:/no/such/file}'}", "cannot read /no/such/file"),
    ("log: {format: »'${file:}'}", "needs a path"),
];

const LISTENER: &[(&str, &str)] = &[
    ("»tls: {certificate: Cargo.toml, private_key: Cargo.toml}", "\"address\" is missing; write for example"),
    ("»adress: 127.0.0.1:1", "listeners[0]: unknown key \"adress\"; did you mean \"address\"?"),
    ("address: »localhost:8080", "must be an IP address and a port: write `127.0.0.1:8080`"),
    ("address: »':8080'", "or `0.0.0.0:8080` for all"),
    ("address: »8080", "write `127.0.0.1:8080` or `[::1]:8080`"),
    ("address: »systemd", "write `systemd:NAME`"),
    ("address: »'unix:'", "needs a path"),
    ("address: »0.0.0.0:8080", "write `access: local` for this host alone, or `access: anyone`"),
    ("address: »systemd:http", "say who may call"),
    ("address: 127.0.0.1:1\naccess: »anyon", "listeners[0].access: unknown word; did you mean \"anyone\"?"),
    ("address: 127.0.0.1:1\naccess: »[billing]", "a list of names under `clients` is not in this version"),
    ("address: 127.0.0.1:1\nhosts: »api.example", "expected a list, found text"),
    ("address: 127.0.0.1:1\nhosts: [a.example, »'b.example:80']", "listeners[0].hosts[1]: must have no port"),
    ("address: 127.0.0.1:1\nallowed_origins: [»app.example]", "is not an origin; write `https://app.example.com`"),
    ("address: 127.0.0.1:1\nallowed_origins: [»https://app.example/]", "without a path"),
    ("address: 127.0.0.1:1\ntls: »{certificate: Cargo.toml}", "\"private_key\" is missing"),
    ("address: 127.0.0.1:1\ntls: {certificate: »no.pem, private_key: Cargo.toml}", "cannot read no.pem"),
    ("address: 127.0.0.1:1\ntls: {certificate: »src, private_key: Cargo.toml}", "src is a directory, not a file"),
    ("address: 127.0.0.1:1\ntimeouts: {idle: »0s}", "listeners[0].timeouts.idle: must be longer than zero"),
    ("address: 127.0.0.1:1\nlimits: {request_head: »64}", "a size needs a unit: write it as 64KiB or 1MiB"),
    ("address: 127.0.0.1:1\nlimits: {request_head: »64KB}", "not a size: write it as 64KiB or 1MiB"),
    ("address: 127.0.0.1:1\nlimits: {request_head: »1KiB}", "must be at least 8KiB and at most 1MiB"),
    ("address: 127.0.0.1:1\nlimits: {connections: »0}", "must be a whole number from 1 to 1000000"),
];

const ROUTE: &[(&str, &str)] = &[
    ("»credential: none", "routes[0]: \"upstream\" is missing; write for example"),
    ("»upstream: https://a.example", "routes[0]: \"credential\" is missing; write for example `credential: none`"),
    ("upstream: https://a.example\ncredential: »zpax", "there are no `credentials`; write one, or `credential: none`"),
    ("credential: none\nupstream: »a.example", "must be a URL: write `https://host/path`"),
    ("credential: none\nupstream: »ftp://a.example", "must begin with `https://` or `http://`"),
    ("credential: none\nupstream: »https://me:pw@a.example/", "must have no user or password"),
    ("credential: none\nupstream: »https://a.example/?x=1", "must have no query"),
    ("credential: none\nupstream: »https://a.example/#x", "must have no fragment"),
    ("credential: none\nupstream: »https://a.example/v1/../v2/", "must not have `.` or `..` as a segment"),
    ("credential: none\nupstream: »https://a.example/%2E%2e/v2/", "must not have `.` or `..` as a segment"),
    ("credential: none\nupstream: »https://a.example:0/", "the port must be a number from 1 to 65535"),
    ("credential: none\nupstream: »https:///path", "has no valid host"),
    ("credential: none\nupstream: {url: https://a.example, protocol: »http2}", "`http2` is not in this version"),
    ("credential: none\nupstream: »{protocol: auto}", "routes[0].upstream: \"url\" is missing"),
    (
        "credential: none\nupstream: {url: https://a.example, tls: {certificate: »Cargo.toml}}",
        "write `private_key` too",
    ),
    (
        "credential: none\nupstream: {url: http://a.example, tls: »{ca: Cargo.toml}}",
        "only an `https://` upstream has TLS",
    ),
    (
        "credential: none\nupstream: {url: https://a.example, connections: {max: »0}}",
        "upstream.connections.max: must be",
    ),
    ("upstream: https://a.example\ncredential: none\npath: »api", "routes[0].path: must begin with `/`"),
    ("upstream: https://a.example\ncredential: none\npath: »/api/*", "needs no `*`"),
    ("upstream: https://a.example\ncredential: none\npath: »/api?x", "must have neither `?` nor `#`"),
    ("upstream: https://a.example\ncredential: none\npath: »/api/../x", "must not have `.` or `..`"),
    ("upstream: https://a.example\ncredential: none\npath: »/api/%2e%2E;x/y", "must not have `.` or `..`"),
    ("upstream: https://a.example\ncredential: none\npath: »/api/x%2f..%5cy", "must not have `.` or `..`"),
    ("upstream: https://a.example\ncredential: none\npath: »/bücher", "visible ASCII"),
    ("upstream: https://a.example\ncredential: none\nhost: »https://b.example", "a host alone: no scheme, no path"),
    ("upstream: https://a.example\ncredential: none\nhost: »'api.*.example'", "may only stand at the beginning"),
    ("upstream: https://a.example\ncredential: none\nhost: »'*'", "may only stand at the beginning"),
    ("upstream: https://a.example\ncredential: none\nmethods: [»get]", "write methods in upper case"),
    ("upstream: https://a.example\ncredential: none\nmethods: »GET", "expected a list, found text"),
    ("upstream: https://a.example\ncredential: none\nmethods: »[]", "names no method"),
    ("upstream: https://a.example\ncredential: none\nheaders: {»'a b': c}", "is not the name of a header field"),
    ("upstream: https://a.example\ncredential: none\nname: »'a b'", "a name is at most 100 letters"),
    ("upstream: https://a.example\ncredential: none\nkeep_prefix: »yes", "unknown word; write true or false"),
    ("upstream: https://a.example\ncredential: none\nretry: »false", "write `off`, or a mapping"),
    ("upstream: https://a.example\ncredential: none\nretry: {statuses: »[]}", "write `retry: off`"),
    (
        "upstream: https://a.example\ncredential: none\nretry: {statuses: [401, »200]}",
        "must be a status from 400 to 599",
    ),
    ("upstream: https://a.example\ncredential: none\nretry: {max_body: »1GiB}", "not a size"),
    ("upstream: https://a.example\ncredential: none\nretry: {max_body: »65MiB}", "at most 64MiB"),
    (
        "upstream: https://a.example\ncredential: none\ntimeouts: {»total: 5s}",
        "unknown key \"total\"; there are connect",
    ),
    ("upstream: https://a.example\ncredential: none\nrequest_headers: {set: {»Host: b}}", "`preserve_host: true`"),
    (
        "upstream: https://a.example\ncredential: none\nrequest_headers: {set: {»Transfer-Encoding: b}}",
        "`transfer-encoding` cannot be edited",
    ),
    (
        "upstream: https://a.example\ncredential: none\nresponse_headers: {remove: [»Content-Length]}",
        "`content-length` cannot be edited",
    ),
    (
        "upstream: https://a.example\ncredential: none\nrequest_headers: {set: {X-A: b, »x-a: c}}",
        "this field is here twice",
    ),
    ("upstream: https://a.example\ncredential: none\nrequest_headers: {set: {X-A: »\"a\\nb\"}}", "visible ASCII"),
];

const CREDENTIAL: &[(&str, &str)] = &[
    ("»token_url: https://a.example", "credentials.one: \"grant\" is missing"),
    ("grant: »client_credential", "credentials.one.grant: unknown word; did you mean \"client_credentials\"?"),
    ("»grant: client_credentials", "\"token_url\" is missing; write `token_url: https://host/path`, or `issuer:"),
    (
        "»grant: password\ntoken_url: https://a.example\nusername: u",
        "\"password\" is missing; the grant `password` needs it",
    ),
    ("»grant: refresh_token\ntoken_url: https://a.example", "\"refresh_token\" is missing"),
    ("»grant: static", "\"token\" is missing"),
    ("»grant: token_exchange\ntoken_url: https://a.example", "\"subject_token\" is missing"),
    ("»grant: jwt_bearer\ntoken_url: https://a.example", "\"assertion\" is missing; write for example `assertion: {p"),
    ("»grant: signed_jwt", "\"assertion\" is missing"),
    (
        "»grant: client_credentials\ntoken_url: https://a.example\nclient_id: i\nclient_auth: private_key_jwt",
        "\"client_assertion\" is missing; write for example `client_assertion: {private_key: key.pem}`",
    ),
    (
        "»grant: client_credentials\ntoken_url: https://a.example\nclient_id: i\nclient_auth: tls_client_auth",
        "\"request.tls\" has no certificate; write `request: {tls: {certificate: client.pem, private_key: client.key}}`",
    ),
    (
        "»grant: authorization_code\ntoken_url: https://a.example\nclient_id: i",
        "\"authorization_url\" is missing; write `authorization_url: https://host/path`, or `issuer:",
    ),
    ("»grant: device_code\ntoken_url: https://a.example\nclient_id: i", "\"device_authorization_url\" is missing"),
    ("»grant: device_code\nissuer: https://a.example", "\"client_id\" is missing"),
    (
        "grant: static\ntoken: t\ntoken_url: »https://a.example",
        "belongs to the grant `client_credentials` or `password`",
    ),
    ("grant: static\ntoken: »\"\"", "credentials.one.token: must not be empty"),
    ("grant: static\ntoken: »${EMPTY}", "must not be empty"),
    ("grant: static\ntoken»:", "expected text, found nothing"),
    ("grant: static\ntoken: »{a: b}", "expected text, found a mapping"),
    ("»grant: exec", "\"command\" is missing; the grant `exec` needs it"),
    (
        "grant: exec\ncommand: »gcloud auth print-access-token",
        "is one command, started without a shell; write its arguments",
    ),
    ("grant: exec\ncommand: »./no/such/helper", "cannot be started: No such file"),
    ("grant: exec\ncommand: »./src", "is no file"),
    ("grant: exec\ncommand: a\nargs: »b", "credentials.one.args: expected a list, found text"),
    ("grant: exec\ncommand: a\nenv: {»'A=B': c}", "is not the name of an environment variable"),
    ("grant: exec\ncommand: a\ntoken_url: »https://a.example", "token_url: belongs to the grant"),
    ("grant: exec\ncommand: a\nclient_id: »i", "client_id: belongs to the grant"),
    ("grant: exec\ncommand: a\nrequest: {headers: »{a: b}}", "request.headers: belongs to the grant"),
    ("grant: exec\ncommand: a\nrequest: {tls: »{ca: Cargo.toml}}", "request.tls: belongs to the grant"),
    ("grant: static\ntoken: t\ncommand: »a", "command: belongs to the grant `exec`, not to `static`"),
    ("»grant: custom", "\"request\" is missing; the grant `custom` needs it; write for example `request: {url"),
    ("grant: static\ntoken: t\nthen: »[]", "credentials.one.then: has no step; remove the key"),
    ("grant: static\ntoken: t\ninject: »[]", "names no place"),
    ("grant: static\ntoken: t\ninject: {header: »Host}", "cannot bear a token"),
    ("grant: static\ntoken: t\ninject: {format: »token}", "has no `{token}`"),
    ("grant: static\ntoken: t\ninject: {format: »'Basic {base64({token}'}", "`{base64(` has no `)}` at its end"),
    ("grant: static\ntoken: t\ninject: {header: »X-A, query: a}", "`query` stands alone"),
    ("grant: static\ntoken: t\ninject: [{header: X-A}, »{header: x-a}]", "this header field is here twice"),
    ("grant: static\ntoken: t\nlifetime: {default: »2h, max: 1h}", "is longer than `lifetime.max`"),
];

const EXCHANGE: &[(&str, &str)] = &[
    ("subject_token: »requests", "is `request` (what the caller brings as a bearer token) or a file"),
    ("subject_token: »\"\"", "must not be empty"),
    ("subject_token: request\nsubject_token_type: »token", "is `access_token`, `refresh_token`, `id_token`"),
    ("subject_token: request\nrequested_token_type: »urn x:y", "is `access_token`, `refresh_token`, `id_token`"),
    ("subject_token: request\nactor_token_type: »jwt", "is the type of `actor_token`, which is missing"),
    ("subject_token: request\nsubjects: {max: »0}", "must be a whole number from 1 to 1000000"),
    ("subject_token: request\nsubjects: {idle: »0s}", "must be longer than zero"),
    ("subject_token: ${ID}\nsubjects: »{max: 5}", "here there is one subject: remove it"),
    ("subject_token: request\nrequest: {params: {»subject_token: x}}", "is sent already"),
    ("subject_token: request\nusername: »u", "belongs to the grant `password`, not to `token_exchange`"),
];

const CLIENT: &[(&str, &str)] = &[
    ("issuer: »https://a.example", "say the same thing twice"),
    ("subject_token: »request", "belongs to the grant `token_exchange`, not to `client_credentials`"),
    ("username: »u", "belongs to the grant `password`, not to `client_credentials`"),
    ("client_secret: »s\nclient_id: i\nclient_auth: none", "`client_auth: none` sends no secret"),
    ("dpop: »yes", "unknown word; write true or false"),
    ("dpop: {algorithm: »RS256}", "dpop.algorithm: unknown word"),
    ("dpop: {private_key: »./none.pem}", "private_key: "),
    ("dpop: »true\nthen: [{request: {url: https://a.example}}]", "remove one of the two"),
    ("client_id: i\nclient_secret: »[]", "client_secret: has no secret in it"),
    ("client_id: i\nclient_secret: »[a, b, c, d]", "client_secret: has more than 3 secrets"),
    ("client_id: i\nclient_secret: [a, »{b: c}]", "client_secret[1]: expected text"),
    (
        "client_id: i\nclient_secret: »s\nclient_auth: private_key_jwt\nclient_assertion_file: Cargo.toml",
        "this `client_auth` sends no secret",
    ),
    (
        "client_id: i\nclient_secret: s\nclient_assertion: »{algorithm: HS256}",
        "is for `client_auth: private_key_jwt` or",
    ),
    ("client_id: i\nclient_assertion: {private_key: »Cargo.toml}", "client_assertion.private_key: is none: PEM"),
    ("client_id: i\nclient_assertion: {»issuer: me}", "unknown key \"issuer\""),
    (
        "client_id: i\nclient_secret: s\nclient_auth: client_secret_jwt\nclient_assertion: {private_key: »Cargo.toml}",
        "`client_secret_jwt` signs with `client_secret`; remove it",
    ),
    (
        "client_id: i\nclient_secret: »s\nclient_auth: client_secret_jwt\nclient_assertion: {algorithm: RS256}",
        "client_secret: is a shared secret, which cannot sign with RS256; write HS256, HS384, HS512",
    ),
    ("»clientsecret: s\nclient_id: i", "did you mean \"client_secret\"?"),
    ("scope: a\nrequest: {params: {»scope: b}}", "credentials.one.request.params.scope: is sent already"),
    ("client_id: i\nrequest: {params: {»client_id: b}}", "is sent already"),
    ("request: {refresh_params: {»refresh_token: b}}", "is sent already"),
    ("request: {params: {account»: }}", "only `grant_type` can be left out"),
    ("request: {params: {account: »{a: b}}}", "expected text, a number"),
    ("request: {params: {»'': x}}", "a parameter needs a name"),
    ("request: {params: {account: [a, »[b]]}}", "request.params.account[1]: expected text, a number"),
    ("request: {headers: {»Content-Length: 3}}", "cannot be set"),
    (
        "client_id: i\nclient_secret: s\nrequest: {headers: {»Authorization: b}}",
        "is sent already, by `client_secret_basic`",
    ),
    ("request: {headers: {X-A: »'{base64(a:b}'}}", "`{base64(` has no `)}` at its end"),
    ("request: {basic_encoding: »raw}", "is for `client_auth: client_secret_basic` alone"),
    ("request: {format: »xml}", "unknown word; write form or json or query"),
    ("request: {url: »https://a.example}", "request.url: belongs to the grant `custom`, not to `client_credentials`"),
    ("request: {body: »{form: {a: b}}}", "request.body: belongs to the grant `custom`"),
    ("request: {query: »{a: b}}", "request.query: belongs to the grant `custom`"),
    ("request: {method: »GET}", "a GET has no body; write `query`"),
    ("request: {method: »get}", "write methods in upper case, as `GET`"),
    ("request: {refresh_url: »http://a.example}", "must be https: secrets are sent to it"),
    ("request: {tls: {private_key: »Cargo.toml}}", "write `certificate` too"),
    ("request: {tls: {»server_name: a}}", "unknown key \"server_name\""),
    ("response: {access_token: »token}", "begins with `/`: write `/access_token`"),
    ("response: {access_token: »$.data.token}", "not JSONPath"),
    ("response: {access_token: »/a~b}", "`~` is written `~0`"),
    (
        "response: {access_token: »{cookies: [a], header: a}}",
        "is a JSON Pointer, `{header: NAME}`, or `{cookies: [NAME",
    ),
    ("response: {access_token: »{cookies: []}}", "is a JSON Pointer, `{header: NAME}`, or `{cookies: [NAME"),
    ("response: {access_token: »{}}", "is a JSON Pointer, `{header: NAME}`, or `{cookies: [NAME"),
    ("response: {access_token: {cookies: [»'a=b']}}", "is not the name of a cookie"),
    ("response: {access_token»: }", "expected a JSON Pointer"),
    ("response: {expires_in: »\"\"}", "must name a member of the reply"),
    ("response: {expires_unit: »minutes}", "write auto or seconds or milliseconds"),
    ("response: {values: {»token: /a}}", "stands for something else already; choose another name"),
    ("response: {values: {»a-b: /a}}", "must be of letters, digits and `_`"),
    ("response: {values: {a: »b}}", "begins with `/`"),
    (
        "response: {values: {a: /b}}\ninject: {format: »'x {b}'}",
        "has neither `{token}` nor a name of `response.values`",
    ),
    ("then: [{request: {url: »http://a.example}}]", "credentials.one.then[0].request.url: must be https"),
    ("then: [»{response: {}}]", "\"request\" is missing; write for example `request: {url: https://host/path}`"),
    ("then: [{request: »{body: {text: a}}}]", "\"url\" is missing"),
    ("then: [{request: {url: https://a.example, body: »{}}}]", "is one of `form`, `json` or `text`"),
    ("then: [{request: {url: https://a.example, body: »{text: a, json: {}}}}]", "is one of `form`, `json` or `text`"),
    ("then: [{request: {url: https://a.example, body: {json: »[a]}}}]", "write `text` for any other JSON"),
    ("then: [{request: {url: https://a.example, body: {json: {a: [{b: »'{base64(x'}]}}}}]", "`{base64(` has no `)}`"),
    ("then: [{request: {url: https://a.example, body: {form: {a: »{b: c}}}}}]", "expected text, a number"),
    ("then: [{request: {url: https://a.example, body: {form: {a»: }}}}]", "has no value; write `\"\"`"),
    ("then: [{request: {url: https://a.example, method: »GET, body: {text: a}}}]", "a GET has no body"),
    ("then: [{request: {url: https://a.example, method: »HEAD}}]", "no login uses this method"),
    ("then: [{request: {url: https://a.example, headers: {»Host: a}}}]", "cannot be set"),
    ("then: [{request: {url: https://a.example, »params: {}}}]", "unknown key \"params\""),
    ("then: [{request: {url: https://a.example}, response: {»refresh_token: /a}}]", "unknown key \"refresh_token\""),
    ("then: [{request: {url: https://a.example}, response: »{access_token: }}]", "brings neither a token nor `values`"),
    ("refresh: {margin: »30}", "a duration needs a unit"),
    ("refresh: {use_refresh_token: »maybe}", "write true or false"),
    ("scope: [a, »{b: c}]", "credentials.one.scope[1]: expected text, found a mapping"),
];

#[test]
fn every_mistake_names_its_place_and_what_would_be_right() {
    let table = table();
    assert!(table.len() >= 60);
    let failures: Vec<String> = table.iter().filter_map(|(text, message)| check(text, message).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), table.len(), failures.join("\n---\n"));
}

fn check(text: &str, message: &str) -> Result<(), String> {
    assert!(text.contains('»'), "no mark in\n{text}");
    let (line, column) = marked(text);
    let text = text.replace('»', "");
    let error = parse_text(&text).err().ok_or(format!("no mistake found in\n{text}"))?;
    match error.problems.as_slice() {
        [one] if one.message.contains(message) && (one.line, one.column) == (line, column) => Ok(()),
        _ => Err(format!("expected one mistake at {line}:{column}: {message}\nfound {error}\n{text}")),
    }
}

/// Where `»` stands: line and column, from 1.
fn marked(text: &str) -> (usize, usize) {
    let before = text.split('»').next().unwrap();
    (before.lines().count().max(1) + usize::from(before.ends_with('\n')), {
        before.rsplit('\n').next().unwrap().chars().count() + 1
    })
}

#[test]
fn all_mistakes_are_told_at_once_in_file_order() {
    let text = "
listeners:
  - address: 0.0.0.0:80
  - adress: 127.0.0.1:81
credentials:
  zpax:
    grant: client_credentials
    token_url: http://sso.example/token
    client_secret: ${NOBODY_SET_THIS}
  unused: {grant: static, token: x}
routes:
  - {path: api, upstream: 'https://u:p@a.example', credential: zpx}
  - {upstream: https://a.example, credential: zpax, timeouts: {connect: 5}}
frobnicate: 1
";
    let error = parse_text(text).unwrap_err();
    let told: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    let expected = [
        "proxy.yaml:3:14: listeners[0].address: this is not a loopback address",
        "proxy.yaml:4:5: listeners[1]: unknown key \"adress\"; did you mean \"address\"?",
        "proxy.yaml:8:16: credentials.zpax.token_url: must be https",
        "proxy.yaml:9:20: credentials.zpax.client_secret: the environment variable NOBODY_SET_THIS is not set",
        "proxy.yaml:12:12: routes[0].path: must begin with `/`",
        "proxy.yaml:12:27: routes[0].upstream: must have no user or password",
        "proxy.yaml:12:64: routes[0].credential: no credential has this name; did you mean \"zpax\"?",
        "proxy.yaml:13:73: routes[1].timeouts.connect: a duration needs a unit",
        "proxy.yaml:14:1: unknown key \"frobnicate\"",
    ];
    assert_eq!(told.len(), expected.len(), "{error}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    }
}

#[test]
fn two_routes_that_match_the_same_are_told_with_both_lines() {
    let text = "
listeners: [{address: 127.0.0.1:1}]
routes:
  - {path: /a, host: A.example, methods: [GET, PUT], headers: {X-B: 1, X-A: 2}, upstream: https://a.example, credential: none}
  - {path: /a, host: A.example, methods: [GET], headers: {X-B: 1, X-A: 2}, upstream: https://a.example, credential: none}
  - {path: /a/, host: a.example, methods: [GET, PUT], headers: {X-B: 1, X-A: 2}, upstream: https://a.example, credential: none}
  - {path: /a, host: a.example, methods: [PUT, GET], headers: {x-a: 2, x-b: 1}, upstream: https://b.example, credential: none}
";
    let error = parse_text(text).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert_eq!(error.problems[0].line, 7);
    assert!(error.problems[0].message.contains("matches the same as the route in line 4"), "{error}");
}

#[test]
fn what_a_credential_writes_cannot_be_edited_and_the_callers_own_cannot_pass() {
    let text = "
listeners: [{address: 127.0.0.1:1}]
credentials:
  one: {grant: static, token: x, inject: {header: X-Key, format: '{token}'}}
routes:
  - upstream: https://a.example
    credential: one
    pass_authorization: true
    request_headers: {set: {x-KEY: mine, Authorization: Basic eDp5}, remove: [X-Key]}
    response_headers: {remove: [X-Key]}
";
    let error = parse_text(text).unwrap_err();
    let places: Vec<_> = error.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(8, 25), (9, 29), (9, 79)], "{error}");
}

#[test]
fn two_listeners_at_one_address_are_a_mistake() {
    let text = "
listeners: [{address: 127.0.0.1:1}, {address: 127.0.0.1:0}, {address: 127.0.0.1:0}, {address: 127.0.0.1:1}]
admin: {address: 127.0.0.1:9}
routes: [{upstream: https://a.example, credential: none}]
";
    let error = parse_text(text).unwrap_err();
    assert_eq!(error.to_string(), "proxy.yaml:2:95: listeners[3].address: line 2 listens there already");
    let error = parse_text(&text.replace(":9}", ":1}").replace(", {address: 127.0.0.1:1}]", "]")).unwrap_err();
    assert_eq!(error.to_string(), "proxy.yaml:2:23: listeners[0].address: line 3 listens there already");
}

#[test]
fn two_names_that_are_the_same_are_a_mistake() {
    let text = "
listeners: [{address: 127.0.0.1:1}]
routes:
  - {name: a, path: /1, upstream: https://a.example, credential: none}
  - {name: a, path: /2, upstream: https://a.example, credential: none}
";
    let error = parse_text(text).unwrap_err();
    assert_eq!(error.to_string(), "proxy.yaml:5:12: routes[1].name: the route in line 4 has this name already");
}

#[test]
fn after_a_hundred_mistakes_the_rest_is_counted() {
    let text: String = (0..1000).map(|n| format!("unknown_{n}: 1\n")).collect();
    let error = parse_text(&text).unwrap_err();
    assert_eq!(error.problems.len(), 100);
    assert!(error.to_string().ends_with("(and 902 more mistakes)"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_said_so() {
    let error = load(Path::new("/no/such/proxy.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "/no/such/proxy.yaml: there is no such file; name one with `--config FILE`");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"a: 1\nb: \xff\n").unwrap();
    assert_eq!(load(file.path()).unwrap_err().problems[0].line, 2);
    assert!(load(Path::new("src")).unwrap_err().to_string().contains("cannot be read"));
    assert!(parse_text("# nothing\n").unwrap_err().to_string().contains("the file is empty"));
}
