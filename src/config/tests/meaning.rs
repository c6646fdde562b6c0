//! What a right file becomes.

use http::Method;

use super::*;
use crate::access::Callers;
use crate::access::HostRule;
use crate::access::OriginRule;
use crate::forward::settings::RetrySettings;
use crate::oauth::settings::BasicEncoding;
use crate::oauth::settings::ClientAuthSettings;
use crate::oauth::settings::EndpointSettings;
use crate::oauth::settings::GrantSettings;
use crate::oauth::settings::ParamValue;
use crate::oauth::settings::Pointer;
use crate::oauth::settings::TokenPlace;
use crate::route::HostPattern;
use crate::secret::SecretSource;
use crate::server::settings::ListenAddress;
use crate::server::settings::ListenerLimits;
use crate::server::settings::ListenerTimeouts;
use crate::telemetry::settings::AccessLog;
use crate::token::Inject;
use crate::token::store::RedisAddress;
use crate::upstream::settings::Scheme;
use crate::upstream::settings::Timeouts;

fn text(source: &SecretSource) -> String {
    source.read().unwrap().expose().to_owned()
}

fn credential(keys: &str) -> crate::oauth::settings::CredentialSettings {
    right(&credential_with(keys)).credentials.remove(0).settings
}

fn client(keys: &str) -> crate::oauth::settings::CredentialSettings {
    credential(&format!("grant: client_credentials\ntoken_url: https://a.example/token\n{keys}"))
}

#[test]
fn the_file_as_shipped_is_right() {
    let environment = |name: &str| Some(format!("value of {name}"));
    let shipped = include_str!("../../../proxy.yaml");
    let config = parse(shipped, Path::new("proxy.yaml"), &environment).unwrap();
    let names: Vec<_> = config.credentials.iter().map(|credential| credential.settings.name.as_str()).collect();
    assert_eq!(names, ["zpax", "apiax", "screening_eagle", "applixure"]);
    assert_eq!(
        config.routes.iter().map(|route| route.credential).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2), Some(3)]
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(shipped.lines().find(|line| line.chars().count() > 120), None);
    let apiax = &config.credentials[1].settings;
    let GrantSettings::Password { username, password } = &apiax.grant else { panic!("{:?}", apiax.grant) };
    assert_eq!((text(username), text(password)), ("value of APIAX_USERNAME".into(), "value of APIAX_PASSWORD".into()));
    assert!(matches!(apiax.client_auth, ClientAuthSettings::None));
    assert_eq!(apiax.request.refresh_params[0].0, "client_assertion_type");
    assert_eq!(apiax.inject.len(), 1);
}

#[test]
fn the_files_of_the_table_are_right_without_their_mistake() {
    right(&top_with("workers: 2\nlog: {access: off}\nclient_is_no_key: 1").replace("client_is_no_key: 1", ""));
    right(&listener_with("address: 127.0.0.1:1"));
    right(&route_with("upstream: https://a.example\ncredential: none"));
    right(&credential_with("grant: static\ntoken: x"));
}

#[test]
fn a_scalar_keeps_its_text_where_text_is_wanted() {
    for (written, meant) in [
        ("0123", "0123"),
        ("1.10", "1.10"),
        ("true", "true"),
        ("off", "off"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("2024-01-01", "2024-01-01"),
        ("!!str 12", "12"),
        ("'null'", "null"),
        ("\"a\\tb\"", "a\tb"),
    ] {
        assert_eq!(text(client(&format!("client_id: {written}")).client_id.as_ref().unwrap()), meant);
    }
}

#[test]
fn environment_variables_and_files_are_put_in_after_the_yaml_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file\n").unwrap();
    let path = file.path().display();
    for (written, meant) in [
        ("${ID}".to_owned(), "the-id"),
        ("'<${ID}|${SECRET}>'".to_owned(), "<the-id|hunter2>"),
        ("${UNSET:-a default}".to_owned(), "a default"),
        ("${EMPTY:-a default}".to_owned(), "a default"),
        ("${ID:-a default}".to_owned(), "the-id"),
        ("x${UNSET:-}".to_owned(), "x"),
        ("$${ID}".to_owned(), "${ID}"),
        ("$$${ID} $ID $".to_owned(), "$${ID} $ID $"),
        // R38: what is put in is neither read as YAML nor looked at again.
        ("${HASH}".to_owned(), "a: {b: ${ID}} # c"),
        (format!("'[${{file:{path}}}]'"), "[from a file]"),
    ] {
        assert_eq!(text(client(&format!("client_id: {written}")).client_id.as_ref().unwrap()), meant);
    }
}

#[test]
fn a_secret_file_is_found_beside_the_file_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret.txt");
    std::fs::write(&secret, "old\n").unwrap();
    let file = directory.path().join("proxy.yaml");
    std::fs::write(&file, credential_with("grant: static\ntoken: ${file:secret.txt}")).unwrap();
    let config = load(&file).unwrap();
    let GrantSettings::Static { token } = &config.credentials[0].settings.grant else { panic!() };
    assert_eq!(text(token), "old");
    std::fs::write(&secret, "new\n").unwrap();
    assert_eq!(text(token), "new");
    assert_eq!(load(&file).unwrap().credentials[0].fingerprint, config.credentials[0].fingerprint);
}

#[test]
fn a_fingerprint_changes_with_what_is_said_and_not_with_how() {
    let fingerprint = |keys: &str| right(&credential_with(keys)).credentials[0].fingerprint;
    let one = fingerprint("grant: password\ntoken_url: https://a.example\nusername: ${ID}\npassword: p");
    assert_eq!(
        one,
        fingerprint("password: p\n# a comment\nusername: the-id\ngrant: password\ntoken_url: https://a.example")
    );
    assert_ne!(one, fingerprint("grant: password\ntoken_url: https://a.example\nusername: ${OTHER}\npassword: p"));
    assert_ne!(one, fingerprint("grant: password\ntoken_url: https://a.example\nusername: p\npassword: ${ID}"));
}

#[test]
fn anchors_aliases_and_merges_work() {
    let config = right(
        "
listeners: [{address: 127.0.0.1:1}]
routes:
  - &base
    path: /a/
    upstream: https://a.example
    credential: none
    timeouts: &slow {response_head: 5m}
  - <<: *base
    path: /b/
  - {<<: [{path: /c/, keep_prefix: true}, *base], timeouts: *slow}
",
    );
    let paths: Vec<_> = config.routes.iter().map(|route| route.matcher.path.as_str()).collect();
    assert_eq!(paths, ["/a/", "/b/", "/c/"]);
    assert!(config.routes.iter().all(|route| route.upstream.timeouts.response_head == Duration::from_secs(300)));
    assert!(config.routes[2].target.keep_prefix);
}

#[test]
fn a_listener_on_loopback_is_for_this_host_and_its_own_names() {
    for address in ["127.0.0.1:8080", "'[::1]:8080'", "unix:/run/proxy.sock", "'[::ffff:127.0.0.1]:80'"] {
        let access = right(&listener_with(&format!("address: {address}"))).listeners.remove(0).access;
        assert_eq!(access.callers, Callers::Local);
        assert_eq!(access.hosts, HostRule::OwnAndRoutes);
        assert_eq!(access.origins, OriginRule::Listed(Vec::new()));
    }
}

#[test]
fn a_listener_elsewhere_takes_any_host_unless_told() {
    let listener = right(&listener_with("address: 0.0.0.0:8080\naccess: anyone")).listeners.remove(0);
    assert_eq!(listener.access.callers, Callers::Anyone);
    assert_eq!((listener.access.hosts, listener.access.origins), (HostRule::Any, OriginRule::Any));
    assert_eq!((listener.timeouts, listener.limits), (ListenerTimeouts::default(), ListenerLimits::default()));
    let listener = right(&listener_with(
        "address: systemd:http\naccess: local\nhosts: [A.example, '*.b.example', '[::1]']\n\
         allowed_origins: ['https://App.example:443', 'http://localhost:3000']\n\
         timeouts: {request_head: 250ms, idle: 2h}\nlimits: {request_head: 1MiB}",
    ))
    .listeners
    .remove(0);
    assert_eq!(listener.address, ListenAddress::Systemd("http".to_owned()));
    let hosts = ["a.example", "*.b.example", "[::1]"].map(str::to_owned).to_vec();
    assert_eq!(listener.access.hosts, HostRule::Listed(hosts));
    let origins = ["https://app.example", "http://localhost:3000"].map(str::to_owned).to_vec();
    assert_eq!(listener.access.origins, OriginRule::Listed(origins));
    assert_eq!(listener.timeouts.request_head, Duration::from_millis(250));
    assert_eq!(listener.timeouts.tls_handshake, Duration::from_secs(10));
    assert_eq!(listener.limits.request_head, 1024 * 1024);
}

#[test]
fn an_upstream_keeps_its_path_byte_for_byte() {
    // R26
    for (url, scheme, host, port, path) in [
        ("https://API.Example", Scheme::Https, "api.example", 443, "/"),
        ("HTTP://a.example:8080/v1/%7Euser//x;y=1/", Scheme::Http, "a.example", 8080, "/v1/%7Euser//x;y=1/"),
        ("https://[2001:DB8::1]:1/a", Scheme::Https, "2001:db8::1", 1, "/a"),
        ("https://127.0.0.1/...", Scheme::Https, "127.0.0.1", 443, "/..."),
        ("https://bücher.example/", Scheme::Https, "xn--bcher-kva.example", 443, "/"),
    ] {
        let upstream = right(&route_with(&format!("credential: none\nupstream: '{url}'"))).routes.remove(0).upstream;
        assert_eq!((upstream.scheme, upstream.host.as_str()), (scheme, host));
        assert_eq!((upstream.port, upstream.path.as_str()), (port, path));
        assert_eq!(upstream.timeouts, Timeouts::default());
    }
}

#[test]
fn a_route_gets_its_defaults_and_its_name() {
    for (keys, name) in [
        ("", "default"),
        ("path: /a/b/", "a/b"),
        ("host: '*.A.example'", "*.a.example"),
        ("host: a.example\npath: /b", "a.example/b"),
        ("name: mine\npath: /b", "mine"),
    ] {
        let route =
            right(&route_with(&format!("upstream: https://a.example\ncredential: none\n{keys}"))).routes.remove(0);
        assert_eq!(route.target.name, name);
        assert_eq!(route.target.prefix, route.matcher.path);
        assert_eq!(route.target.retry, Some(RetrySettings::default()));
    }
}

#[test]
fn a_route_says_what_it_matches_and_does() {
    let config = right(&route_with(
        "upstream: https://a.example\ncredential: none\npath: /a/\nhost: '*.b.example'\nmethods: [GET, PROPFIND]\n\
         headers: {X-Tenant: 007}\npass_authorization: true\nretry: off\nkeep_prefix: ${KEEP:-true}\npreserve_host: true\n\
         request_headers: {set: {X-A: b c}, remove: [Cookie]}\nresponse_headers: {remove: [Server]}",
    ));
    let route = &config.routes[0];
    assert_eq!(route.matcher.host, Some(HostPattern::Below("b.example".to_owned())));
    assert_eq!(route.matcher.methods, [Method::GET, Method::from_bytes(b"PROPFIND").unwrap()]);
    assert_eq!(route.matcher.headers[0].1, "007");
    assert_eq!(route.target.retry, None);
    assert!(route.target.keep_prefix && route.target.preserve_host && route.target.pass_authorization);
    assert_eq!(route.target.request_headers.set[0].1, "b c");
    assert_eq!(route.target.response_headers.remove[0], "server");
}

#[test]
fn client_authentication_follows_from_the_secret() {
    let auth = |keys: &str| client(keys).client_auth;
    assert!(matches!(auth("client_id: i"), ClientAuthSettings::None));
    let basic = auth("client_id: i\nclient_secret: s");
    assert!(matches!(basic, ClientAuthSettings::SecretBasic { encoding: BasicEncoding::Form, .. }));
    let raw = auth("client_id: i\nclient_secret: s\nrequest: {basic_encoding: raw}");
    assert!(matches!(raw, ClientAuthSettings::SecretBasic { encoding: BasicEncoding::Raw, .. }));
    let post = auth("client_id: i\nclient_secret: s\nclient_auth: client_secret_post");
    assert!(matches!(post, ClientAuthSettings::SecretPost { .. }));
}

#[test]
fn scope_is_text_or_a_list() {
    assert_eq!(client("scope: a  b").scope, ["a", "b"]);
    assert_eq!(client("scope: [a, 1.0]").scope, ["a", "1.0"]);
    assert_eq!(client("scope: '${UNSET:-}'").scope, [""; 0]);
    assert_eq!(client("resource: [https://a.example, b]").resource, ["https://a.example", "b"]);
}

#[test]
fn parameters_keep_their_json_types() {
    let request = client(
        "request: {params: {t: true, n: -5, f: 1.5, big: 12345678901234567890123, z: 007, v: 1.10, q: '5', e: '${ID}', \
         l: [1, a, false], grant_type: null}}",
    )
    .request;
    assert!(request.omit_grant_type);
    let shown: Vec<String> = request.params.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    let expected = ["t=true", "n=-5", "f=1.5", "big=\"12345678901234567890123\"", "z=\"007\"", "v=\"1.10\"", "q=\"5\""];
    assert_eq!(shown[..7], expected);
    assert_eq!(shown[7..], ["e=\"the-id\"", "l=[1, \"a\", false]"]);
}

fn shown(value: &ParamValue) -> String {
    match value {
        ParamValue::Text(source) => format!("{:?}", text(source)),
        ParamValue::Bool(value) => value.to_string(),
        ParamValue::Number(number) => number.to_string(),
        ParamValue::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        ParamValue::Null => "null".to_owned(),
        ParamValue::Object(members) => {
            let member = |(name, value): &(String, ParamValue)| format!("{name}: {}", shown(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn the_grant_type_can_be_overwritten_and_basic_leaves_the_body_free() {
    let request =
        client("client_id: i\nclient_secret: s\nrequest: {params: {grant_type: openapi_2lo, client_id: i}}").request;
    assert_eq!(request.params.len(), 2);
    assert!(!request.omit_grant_type);
}

#[test]
fn endpoints_are_https_save_to_loopback() {
    for url in ["https://a.example/t?x=1", "http://127.0.0.1:1/t", "http://[::1]/t", "http://localhost/t"] {
        let credential = credential(&format!("grant: client_credentials\ntoken_url: '{url}'"));
        assert!(matches!(credential.endpoint, Some(EndpointSettings::TokenUrl(found)) if found.as_str() == url));
    }
    let issuer = credential("grant: client_credentials\nissuer: https://a.example/realms/x");
    assert!(matches!(issuer.endpoint, Some(EndpointSettings::Issuer(_))));
    assert!(credential("grant: static\ntoken: x").endpoint.is_none());
}

#[test]
fn the_token_is_found_and_injected_where_the_file_says() {
    let found = client("response: {access_token: {header: X-Token}}").response.access_token;
    assert!(matches!(found, TokenPlace::Header(name) if name == "x-token"));
    let found = client("response: {access_token: \"\"}\nlifetime: {default: 1h}").response.access_token;
    assert!(matches!(found, TokenPlace::Body(Pointer(pointer)) if pointer.is_empty()));
    let inject = client("inject: [{header: X-Key, format: 'k={token}'}, {query: key}, {}]").inject;
    assert!(matches!(&inject[0], Inject::Header { name, format } if name == "x-key" && text(format) == "k={token}"));
    assert!(matches!(&inject[1], Inject::Query { name } if name == "key"));
    assert!(
        matches!(&inject[2], Inject::Header { name, format } if name == "authorization" && text(format) == "Bearer {token}")
    );
}

#[test]
fn what_is_right_but_probably_not_meant_is_a_warning() {
    let warnings = |text: &str| right(text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let admin = warnings(&top_with("admin: {address: 0.0.0.0:9090}"));
    assert!(
        matches!(&admin[..], [one] if one.starts_with(":3:18: admin.address: ") && one.contains("not on loopback")),
        "{admin:?}"
    );
    let whole = warnings(&credential_with(
        "grant: client_credentials\ntoken_url: https://a.example\nresponse: {access_token: \"\"}",
    ));
    assert!(matches!(&whole[..], [one] if one.contains("lifetime is not known")), "{whole:?}");
    let plain = |host: &str| {
        warnings(&credential_with("grant: static\ntoken: x").replace("https://api.example", &format!("http://{host}")))
    };
    assert!(matches!(&plain("api.example")[..], [one] if one.contains("plain http")));
    assert!(plain("localhost:8000").is_empty() && plain("127.0.0.1").is_empty());
    assert!(warnings(&route_with("upstream: http://api.example\ncredential: none")).is_empty());
}

#[test]
fn the_rest_of_the_top_level() {
    let config = right(&top_with("log: {access: off}\nshutdown: {drain: 0s}\nworkers: ${N:-3}\ntoken_store: memory"));
    assert_eq!(config.log.access, AccessLog::Off);
    assert_eq!((config.drain, config.workers), (Duration::ZERO, Some(3)));
    let config = right(&top_with("log: {access: ./access.log, level: warn}"));
    assert_eq!(config.log.access, AccessLog::File("./access.log".into()));
    assert_eq!(config.log.level, tracing::Level::WARN);
    assert_eq!((config.drain, config.workers), (Duration::from_secs(30), None));
}

#[test]
fn a_login_that_a_store_forgets_is_doubted() {
    let with = |store: &str| {
        let text = credential_with("grant: refresh_token\ntoken_url: https://a.example\nrefresh_token: x");
        right(&format!("{text}{store}")).warnings
    };
    for store in ["", "token_store: memory\n"] {
        assert!(matches!(&with(store)[..], [one] if one.message.contains("lost at a restart")), "{store}");
    }
    let login = credential_with("grant: authorization_code\nissuer: https://a.example\nclient_id: i");
    assert!(matches!(&right(&login).warnings[..], [one] if one.message.contains("nobody can log in to it")));
    assert!(with("token_store: {file: {path: tokens, key: 0123456789abcdef0123456789abcdef}}\n").is_empty());
}

#[test]
fn a_redis_store_has_a_server_a_key_and_defaults() {
    let redis = |keys: &str| {
        let config =
            right(&top_with(&format!("token_store: {{redis: {{key: 0123456789abcdef0123456789abcdef, {keys}}}}}")));
        let StoreSettings::Redis(settings) = config.token_store.settings else { panic!("another store") };
        (settings, config.warnings.len())
    };
    let (settings, warnings) = redis("url: 'rediss://r.example/3', username: u, password: p, prefix: 'a:'");
    let tls = Some(crate::tls::TlsSettings::default());
    assert_eq!(settings.address, RedisAddress::Tcp { host: "r.example".to_owned(), port: 6379, tls });
    assert_eq!((settings.database, settings.prefix.as_str(), warnings), (3, "a:", 0));
    assert_eq!((settings.connect, settings.command), (Duration::from_secs(5), Duration::from_secs(2)));

    let (settings, warnings) = redis("url: 'redis://[::1]:7000', timeouts: {connect: 1s, command: 3s}");
    assert_eq!(settings.address, RedisAddress::Tcp { host: "::1".to_owned(), port: 7000, tls: None });
    assert_eq!((settings.prefix.as_str(), warnings), ("bearer-proxy:", 0));
    assert_eq!((settings.connect, settings.command), (Duration::from_secs(1), Duration::from_secs(3)));
    assert_eq!(redis("url: redis://r.example").1, 1, "in clear text");
    assert_eq!(redis("url: 'unix:/run/redis.sock'").0.address, RedisAddress::Unix("/run/redis.sock".into()));
}

#[test]
fn workers_are_a_number_or_a_mapping() {
    let workers = |text: &str| {
        let config = right(&top_with(text));
        (config.workers, config.worker_model)
    };
    assert_eq!(workers("workers: 3"), (Some(3), WorkerModel::Shared));
    assert_eq!(workers("workers: {threads: 3}"), (Some(3), WorkerModel::Shared));
    assert_eq!(workers("workers: {threads: 3, model: shared}"), (Some(3), WorkerModel::Shared));
    assert_eq!(workers("workers: {threads: 3, model: separate}"), (Some(3), WorkerModel::Separate));
    assert_eq!(workers("workers: {model: separate}"), (None, WorkerModel::Separate));
    assert_eq!(workers("log: {access: off}"), (None, WorkerModel::Shared));
}

// R39: the caller must not choose which of an upstream's hosts gets the token.
#[test]
fn the_callers_host_goes_with_a_token_only_where_the_route_names_it() {
    let text = |host: &str| {
        format!(
            "listeners: [{{address: 127.0.0.1:1}}]\ncredentials: {{one: {{grant: static, token: x}}}}\nroutes:\n  \
             - upstream: https://a.example\n    credential: one\n    preserve_host: true\n{host}"
        )
    };
    right(&text("    host: b.example\n"));
    for host in ["", "    host: '*.b.example'\n"] {
        let error = parse_text(&text(host)).unwrap_err();
        assert_eq!((error.problems[0].line, error.problems[0].column), (6, 20), "{error}");
        assert!(error.to_string().contains("an exact `host`"), "{error}");
    }
}
