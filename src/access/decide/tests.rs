use http::HeaderValue;
use http::header::ORIGIN;

use super::*;

fn loopback() -> AccessSettings {
    AccessSettings { callers: Callers::Local, hosts: HostRule::OwnAndRoutes, origins: OriginRule::Listed(Vec::new()) }
}

fn request(host: &str) -> Result<(), Denied> {
    decide(&loopback(), Peer::Loopback, host, &HeaderMap::new(), |name| name.eq_ignore_ascii_case("api.example"))
}

fn from_page(settings: &AccessSettings, host: &str, headers: &[(&'static str, &'static str)]) -> Result<(), Denied> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    decide(settings, Peer::Loopback, host, &map, |_| false)
}

#[test]
fn a_local_listener_serves_its_own_host_only() {
    // R69
    let anyone = AccessSettings { callers: Callers::Anyone, ..loopback() };
    let ask = |settings: &AccessSettings, peer| decide(settings, peer, "localhost", &HeaderMap::new(), |_| false);
    assert_eq!(ask(&loopback(), Peer::Loopback), Ok(()));
    assert_eq!(ask(&loopback(), Peer::Unix), Ok(()));
    assert_eq!(ask(&loopback(), Peer::Remote), Err(Denied::NotLocal));
    assert_eq!(ask(&anyone, Peer::Remote), Ok(()));
    assert_eq!(Denied::NotLocal.status(), 403);
}

#[test]
fn a_loopback_address_is_known_in_both_families() {
    let peer = |address: &str| Peer::from(address.parse::<IpAddr>().unwrap());
    assert_eq!(peer("127.0.0.1"), Peer::Loopback);
    assert_eq!(peer("127.9.9.9"), Peer::Loopback);
    assert_eq!(peer("::1"), Peer::Loopback);
    assert_eq!(peer("::ffff:127.0.0.1"), Peer::Loopback);
    assert_eq!(peer("10.0.0.1"), Peer::Remote);
    assert_eq!(peer("::ffff:10.0.0.1"), Peer::Remote);
}

#[test]
fn own_names_and_hosts_of_routes_are_answered() {
    // R39
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "localhost.:80",
        "app.localhost",
        "a.b.LocalHost:1",
        "127.0.0.1",
        "127.1.2.3:8080",
        "[::1]",
        "[::1]:8080",
        "[0:0::1]",
        "api.example",
        "API.example:443",
        "api.example.",
        "",
    ] {
        assert_eq!(request(host), Ok(()), "{host}");
    }
}

#[test]
fn another_host_is_not_ours() {
    // R39: DNS rebinding makes a browser send its own page's name here
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "::1",
        "localhost:80:80",
        "notlocalhost",
        ".localhost",
        "localhost..",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "localhost:x",
        "[::1",
        "[::1]x",
        "user@localhost",
        "localhost/",
        " localhost",
        "[localhost]",
        ":80",
        ".",
    ] {
        assert_eq!(request(host), Err(Denied::UnknownHost), "{host}");
    }
    assert_eq!(Denied::UnknownHost.status(), 421);
}

#[test]
fn listed_hosts_are_answered_exactly_or_by_domain() {
    let names = vec!["proxy.example".to_owned(), "*.corp.example".to_owned(), "[::1]".to_owned()];
    let settings = AccessSettings { hosts: HostRule::Listed(names), ..loopback() };
    let ask = |host| decide(&settings, Peer::Unix, host, &HeaderMap::new(), |name| name == "api.example");
    for host in ["Proxy.example:80", "a.corp.example", "a.b.corp.example.", "[::1]:1", "api.example"] {
        assert_eq!(ask(host), Ok(()), "{host}");
    }
    for host in ["localhost", "corp.example", ".corp.example", "xcorp.example", ""] {
        assert_eq!(ask(host), Err(Denied::UnknownHost), "{host}");
    }
    let any = AccessSettings { hosts: HostRule::Any, ..loopback() };
    assert_eq!(decide(&any, Peer::Unix, "whatever:x", &HeaderMap::new(), |_| false), Ok(()));
}

#[test]
fn a_page_of_another_origin_is_refused() {
    // R69
    for (host, origin) in [
        ("localhost:8080", "http://evil.example"),
        ("localhost:8080", "http://localhost:3000"),
        ("localhost:8080", "http://localhost"),
        ("localhost", "http://127.0.0.1"),
        ("localhost:8080", "null"),
        ("localhost:8080", "localhost:8080"),
        ("localhost:8080", "http://localhost:8080/"),
        ("localhost:8080", "http://x@localhost:8080"),
        ("localhost:8080", ""),
        ("", "http://"),
    ] {
        let answer = from_page(&loopback(), host, &[("origin", origin)]);
        assert_eq!(answer, Err(Denied::ForeignOrigin), "{host} {origin}");
    }
    assert_eq!(Denied::ForeignOrigin.status(), 403);
}

#[test]
fn a_page_served_from_here_is_not_foreign() {
    for (host, origin) in [
        ("localhost:8080", "http://localhost:8080"),
        ("LocalHost:8080", "http://localhost:8080"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost:443"),
        ("[::1]:8080", "http://[::1]:8080"),
    ] {
        assert_eq!(from_page(&loopback(), host, &[("origin", origin)]), Ok(()), "{host} {origin}");
    }
}

#[test]
fn a_listed_origin_may_call_even_across_sites() {
    let origins = OriginRule::Listed(vec!["https://app.example".to_owned(), "null".to_owned()]);
    let settings = AccessSettings { origins, ..loopback() };
    let ask = |headers: &[(&'static str, &'static str)]| from_page(&settings, "localhost", headers);
    assert_eq!(ask(&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]), Ok(()));
    assert_eq!(ask(&[("origin", "HTTPS://App.example:443")]), Ok(()));
    assert_eq!(ask(&[("origin", "http://app.example")]), Err(Denied::ForeignOrigin));
    assert_eq!(ask(&[("origin", "https://app.example:8443")]), Err(Denied::ForeignOrigin));
    assert_eq!(ask(&[("origin", "null")]), Err(Denied::ForeignOrigin));
    let twice = [("origin", "https://app.example"), ("origin", "https://evil.example")];
    assert_eq!(ask(&twice), Err(Denied::ForeignOrigin));
}

#[test]
fn a_cross_site_request_without_a_listed_origin_is_refused() {
    // R69: a navigation or an image has no Origin
    let ask = |headers: &[(&'static str, &'static str)]| from_page(&loopback(), "localhost", headers);
    assert_eq!(ask(&[("sec-fetch-site", "cross-site")]), Err(Denied::ForeignOrigin));
    assert_eq!(ask(&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]), Err(Denied::ForeignOrigin));
    for site in ["same-origin", "same-site", "none"] {
        assert_eq!(ask(&[("sec-fetch-site", site)]), Ok(()), "{site}");
    }
    let own_but_cross = [("origin", "http://localhost"), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask(&own_but_cross), Err(Denied::ForeignOrigin));
}

#[test]
fn off_loopback_browsers_are_not_looked_at() {
    let settings = AccessSettings { origins: OriginRule::Any, ..loopback() };
    let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("https://evil.example"))]);
    assert_eq!(decide(&settings, Peer::Loopback, "localhost", &headers, |_| false), Ok(()));
}
