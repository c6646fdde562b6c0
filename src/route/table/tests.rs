use http::HeaderValue;
use http::header::ACCEPT;
use proptest::prelude::*;

use super::*;
use crate::route::HostPattern;

fn at(path: &str) -> Matcher {
    Matcher { host: None, path: path.to_owned(), methods: Vec::new(), headers: Vec::new() }
}

fn host(name: &str, path: &str) -> Matcher {
    let host = match name.strip_prefix("*.") {
        Some(domain) => HostPattern::Below(domain.to_owned()),
        None => HostPattern::Exact(name.to_owned()),
    };
    Matcher { host: Some(host), ..at(path) }
}

fn table(matchers: &[Matcher]) -> RouteTable<usize> {
    RouteTable::new(matchers.iter().cloned().enumerate().map(|(number, matcher)| (matcher, number)).collect()).unwrap()
}

fn find(table: &RouteTable<usize>, host: &str, path: &str) -> Option<usize> {
    table.find(host, path, &Method::GET, &HeaderMap::new()).copied()
}

#[test]
fn a_prefix_ends_at_a_segment_boundary() {
    let routes = table(&[at("/a/"), at("/b"), at("/b/c")]);
    for (path, expected) in [
        ("/a", None),
        ("/a/", Some(0)),
        ("/a/x", Some(0)),
        ("/a//", Some(0)),
        ("/ab", None),
        ("/b", Some(1)),
        ("/b/", Some(1)),
        ("/b/x", Some(1)),
        ("/bc", None),
        ("/b/c", Some(2)),
        ("/b/c/", Some(2)),
        ("/b/cd", Some(1)),
        ("/B", None),
        ("/", None),
        ("", None),
        ("*", None),
    ] {
        assert_eq!(find(&routes, "h", path), expected, "{path}");
    }
}

#[test]
fn a_slash_matches_everything_and_the_longest_prefix_wins() {
    let routes = table(&[at("/"), at("/a"), at("/a/"), at("/a/b/c/d")]);
    for (path, expected) in [("/", 0), ("*", 0), ("/x", 0), ("/a", 1), ("/a/", 2), ("/a/b/c", 2), ("/a/b/c/d/e", 3)] {
        assert_eq!(find(&routes, "h", path), Some(expected), "{path}");
    }
}

#[test]
fn an_exact_host_goes_before_a_longer_wildcard_before_a_shorter_before_any() {
    let routes = table(&[at("/"), host("*.example", "/"), host("*.b.example", "/"), host("a.b.example", "/x")]);
    for (name, path, expected) in [
        ("a.b.example", "/x", 3),
        ("A.B.Example", "/x", 3),
        ("a.b.example.", "/x", 3),
        ("a.b.example", "/y", 2), // the exact host has no such path: the next less specific host is tried
        ("c.b.example", "/", 2),
        ("b.example", "/", 1),
        ("d.c.b.EXAMPLE", "/", 2),
        ("example", "/", 0),
        (".example", "/", 0),
        ("other", "/", 0),
        ("", "/", 0),
        ("[::1]", "/", 0),
    ] {
        assert_eq!(find(&routes, name, path), Some(expected), "{name}{path}");
    }
    assert!(routes.names_host("A.b.example"));
    assert!(routes.names_host("x.example."));
    assert!(!routes.names_host("example"));
    assert!(!routes.names_host(&"a.".repeat(200)));
}

#[test]
fn more_conditions_go_before_fewer_and_a_shorter_path_is_tried_when_they_do_not_hold() {
    let post = Matcher { methods: vec![Method::POST], ..at("/a") };
    let json = (ACCEPT, HeaderValue::from_static("application/json"));
    let both = Matcher { headers: vec![json.clone()], ..post.clone() };
    let routes =
        table(&[at("/"), at("/a/b").clone(), post, both, Matcher { methods: vec![Method::PUT], ..at("/a/b/c") }]);
    let with_json: HeaderMap = [(ACCEPT, HeaderValue::from_static("text/html")), json].into_iter().collect();

    assert_eq!(routes.find("h", "/a", &Method::POST, &with_json), Some(&3));
    assert_eq!(routes.find("h", "/a", &Method::POST, &HeaderMap::new()), Some(&2));
    assert_eq!(routes.find("h", "/a", &Method::GET, &with_json), Some(&0));
    assert_eq!(routes.find("h", "/a/b/c", &Method::GET, &with_json), Some(&1));
    assert_eq!(routes.find("h", "/a/b/c", &Method::PUT, &with_json), Some(&4));
}

#[test]
fn with_as_many_conditions_the_earlier_route_wins() {
    let get_or_put = Matcher { methods: vec![Method::PUT, Method::GET], ..at("/a") };
    let get = Matcher { methods: vec![Method::GET], ..at("/a") };
    assert_eq!(find(&table(&[get_or_put.clone(), get.clone()]), "h", "/a"), Some(0));
    assert_eq!(find(&table(&[get, get_or_put]), "h", "/a"), Some(0));
}

#[test]
fn two_routes_that_match_the_same_are_named() {
    let one = Matcher { methods: vec![Method::GET, Method::PUT], ..at("/a") };
    let same = Matcher { methods: vec![Method::PUT, Method::GET], ..at("/a") };
    let routes = vec![(one, ()), (at("/a"), ()), (same, ()), (at("/a/"), ()), (at("/a"), ())];
    let conflicts = RouteTable::new(routes).unwrap_err();
    assert_eq!(conflicts, [Conflict { first: 0, second: 2 }, Conflict { first: 1, second: 4 }]);
}

#[test]
fn ten_thousand_routes_are_all_found() {
    let mut matchers: Vec<_> = (0..5000).map(|n| at(&format!("/service-{n}/v{}/", n % 7))).collect();
    matchers.extend((0..5000).map(|n| host(&format!("h{n}.example"), "/")));
    let routes = table(&matchers);
    for n in 0..5000 {
        assert_eq!(find(&routes, "h", &format!("/service-{n}/v{}/x", n % 7)), Some(n));
        assert_eq!(find(&routes, &format!("H{n}.example"), "/x"), Some(n + 5000));
    }
    assert_eq!(find(&routes, "h", "/service-1/v2/"), None);
}

/// What the table is meant to do, the slow way.
fn naive(matchers: &[Matcher], host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<usize> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let names = |matcher: &Matcher| match &matcher.host {
        None => Some((0, 0)),
        Some(HostPattern::Exact(name)) => (*name == host).then_some((2, 0)),
        Some(HostPattern::Below(domain)) => host
            .strip_suffix(domain.as_str())
            .is_some_and(|before| before.len() > 1 && before.ends_with('.'))
            .then_some((1, domain.len())),
    };
    let leads = |prefix: &str| {
        prefix == "/"
            || path == prefix
            || path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.starts_with('/'))
    };
    (0..matchers.len())
        .filter(|n| leads(&matchers[*n].path) && holds(&matchers[*n], method, headers))
        .filter_map(|n| Some((names(&matchers[n])?, matchers[n].path.len(), conditions(&matchers[n]), n)))
        .max_by_key(|(name, length, conditions, n)| (*name, *length, *conditions, std::cmp::Reverse(*n)))
        .map(|(.., n)| n)
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let host = prop_oneof![
        2 => Just(None),
        1 => "[ab]([.][ab]){0,2}".prop_map(|name| Some(HostPattern::Exact(name))),
        1 => "[ab]([.][ab]){0,1}".prop_map(|name| Some(HostPattern::Below(name))),
    ];
    let methods = proptest::sample::subsequence(vec![Method::GET, Method::PUT], 0..2);
    let value = prop_oneof![Just("x"), Just("y")].prop_map(|value| (ACCEPT, HeaderValue::from_static(value)));
    (host, "/|(/[ab]{1,2}){1,4}/?|//|/a//b?", methods, proptest::collection::vec(value, 0..2))
        .prop_map(|(host, path, methods, headers)| Matcher { host, path, methods, headers })
}

proptest! {
    #[test]
    fn the_table_finds_what_a_walk_over_all_routes_finds(
        matchers in proptest::collection::vec(any_matcher(), 0..24),
        requests in proptest::collection::vec(("[abAB]?([.][abAB]){0,3}[.]?", "(/[ab]{0,2}){0,5}/?", any::<bool>(), 0..3_usize), 32),
    ) {
        let mut distinct = Vec::new();
        for matcher in matchers {
            if !distinct.contains(&matcher) {
                distinct.push(matcher);
            }
        }
        let routes = table(&distinct);
        for (host, path, put, accept) in requests {
            let method = if put { Method::PUT } else { Method::GET };
            let headers: HeaderMap = ["x", "y"].into_iter().take(accept)
                .map(|value| (ACCEPT, HeaderValue::from_static(value))).collect();
            let found = routes.find(&host, &path, &method, &headers).copied();
            prop_assert_eq!(found, naive(&distinct, &host, &path, &method, &headers), "{} {}", host, path);
        }
    }
}
