use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};

use super::*;
use crate::secret::{Part, SecretError, SecretSource};
use crate::token::dpop::{self, DPOP_NONCE};

const HOUR: Duration = Duration::from_secs(3600);

fn token(text: &str, inject: &[Inject]) -> AccessToken {
    AccessToken::new(&Secret::new(text), inject, Moment::now(), HOUR, None, None).unwrap()
}

fn header(name: &'static str, format: &str) -> Inject {
    Inject::Header { name: HeaderName::from_static(name), format: SecretSource::fixed(format) }
}

fn authorized(token: &AccessToken, headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut head = request.body(()).unwrap();
    token.authorize(&mut head);
    head.into_parts().0.headers
}

#[test]
fn a_request_bears_the_token() {
    let headers = authorized(&token("t0k", &[Inject::default()]), &[("accept", "*/*")]);
    assert_eq!(headers["authorization"], "Bearer t0k");
    assert_eq!(headers["accept"], "*/*");
}

#[test]
fn whatever_the_downstream_sent_in_its_place_is_gone() {
    let theirs = [("authorization", "Basic one"), ("accept", "*/*"), ("authorization", "Bearer two")];
    let headers = authorized(&token("t0k", &[Inject::default()]), &theirs);
    assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer t0k"]);
}

#[test]
fn a_token_may_fill_several_places() {
    let places = [
        header("authentication", "Bearer {token}"),
        header("x-api-key", "{token}"),
        Inject::Query { name: "key".to_owned() },
    ];
    let mut head = Request::get("/p?a=1&key=evil").header("x-api-key", "evil").body(()).unwrap();
    token("t/0", &places).authorize(&mut head);
    assert_eq!(head.headers()["authentication"], "Bearer t/0");
    assert_eq!(head.headers()["x-api-key"], "t/0");
    assert_eq!(*head.uri(), "/p?a=1&key=t%2F0");
}

// R38: what marks it as sensitive keeps it out of `Debug`, and out of HPACK's table.
#[test]
fn a_token_does_not_print() {
    let token = token("hunter2", &[Inject::default(), Inject::Query { name: "key".to_owned() }]);
    assert!(!format!("{token:?}").contains("hunter2"));
    let headers = authorized(&token, &[]);
    assert!(headers["authorization"].is_sensitive());
    assert!(!format!("{headers:?}").contains("hunter2"));
}

// R68: a token with CTL is refused.
#[test]
fn a_token_that_no_header_may_hold_is_refused_and_not_shown() {
    for text in ["", "a\r\nX-Evil: 1", "hunter2\n", "a\0b", "a\tb", "hünter2", "\u{7f}", " hunter2", "hunter2 "] {
        for inject in [Inject::default(), Inject::Query { name: "key".to_owned() }] {
            let refused = AccessToken::endless(&Secret::new(text), &[inject]).unwrap_err();
            assert!(matches!(refused, TokenError::Malformed(_)), "{text:?}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
    }
}

#[test]
fn every_character_of_rfc_6749_is_accepted() {
    let all: String = ('!'..='~').collect();
    let headers = authorized(&token(&format!("{all} {all}"), &[Inject::default()]), &[]);
    assert_eq!(headers["authorization"], format!("Bearer {all} {all}"));
}

#[test]
fn a_format_that_no_header_may_hold_is_refused() {
    let inject = [header("x-key", "{token}\r\n")];
    let refused = AccessToken::endless(&Secret::new("t"), &inject).unwrap_err();
    assert!(matches!(refused, TokenError::Malformed(text) if text.contains("format")));
}

#[test]
fn a_format_whose_file_is_missing_says_so() {
    let format = SecretSource::from_parts(vec![Part::File("/no/such/format".into())]);
    let inject = [Inject::Header { name: HeaderName::from_static("x-key"), format }];
    let refused = AccessToken::endless(&Secret::new("t"), &inject).unwrap_err();
    assert!(matches!(refused, TokenError::Secret(SecretError::Unreadable { .. })));
}

fn lasting(issued: Moment, lifetime: Duration) -> AccessToken {
    AccessToken::new(&Secret::new("t"), &[Inject::default()], issued, lifetime, None, None).unwrap()
}

#[test]
fn it_is_fresh_then_live_then_expired_to_the_millisecond() {
    let issued = Moment::now();
    let token = lasting(issued, HOUR);
    let (fresh, instant) = (HOUR - Duration::from_secs(30), Duration::from_millis(1));

    let state = |age: Duration| (token.is_fresh(issued.after(age)), token.is_live(issued.after(age)));
    assert_eq!(state(Duration::ZERO), (true, true));
    assert_eq!(state(fresh - instant), (true, true));
    assert_eq!(state(fresh), (false, true));
    assert_eq!(state(HOUR - instant), (false, true));
    assert_eq!(state(HOUR), (false, false));
    assert_eq!(token.expires_in(issued.after(fresh)), Duration::from_secs(30));
    assert_eq!(token.expires_in(issued.after(HOUR * 2)), Duration::ZERO);
}

#[test]
fn a_laptop_that_slept_does_not_send_yesterdays_token() {
    let issued = Moment::now();
    let token = lasting(issued, HOUR);
    // The monotonic clock stood still meanwhile.
    let woken = Moment { monotonic: issued.monotonic, wall: issued.wall + Duration::from_secs(8 * 3600) };
    assert!(!token.is_live(woken) && !token.is_fresh(woken) && token.is_due(woken));
    assert_eq!(token.expires_in(woken), Duration::ZERO);
}

#[test]
fn a_wall_clock_that_is_set_back_prolongs_nothing() {
    let issued = Moment::now();
    let token = lasting(issued, HOUR);
    let later = Moment { monotonic: issued.monotonic + HOUR, wall: issued.wall - Duration::from_secs(24 * 3600) };
    assert!(!token.is_live(later));
    assert_eq!(token.expires_in(later), Duration::ZERO);
}

#[test]
fn an_endless_token_is_always_fresh_and_never_due() {
    let token = AccessToken::endless(&Secret::new("t"), &[Inject::default()]).unwrap();
    let far = Moment::now().after(Duration::MAX);
    assert!(token.is_live(far) && token.is_fresh(far) && !token.is_due(far));
    assert_eq!(token.expires_in(far), Duration::MAX);
}

#[test]
fn a_refusal_is_remembered_for_its_cooldown() {
    let now = Moment::now();
    let token = lasting(now, HOUR);
    let cooldown = Duration::from_secs(10);
    assert!(!token.is_refused(now));

    token.refuse_until(now, cooldown);
    assert!(token.is_refused(now));
    assert!(token.is_refused(now.after(cooldown - Duration::from_millis(2))));
    assert!(!token.is_refused(now.after(cooldown + Duration::from_millis(1))));
    assert!(token.is_live(now), "it is refused, not dead");
}

#[test]
fn a_shorter_cooldown_does_not_cut_a_longer_one() {
    let now = Moment::now();
    let token = lasting(now, HOUR);
    token.refuse_until(now, Duration::from_secs(10));
    token.refuse_until(now, Duration::from_secs(1));
    assert!(token.is_refused(now.after(Duration::from_secs(5))));
}

#[test]
fn no_cooldown_is_no_refusal() {
    let now = Moment::now();
    let token = lasting(now, HOUR);
    token.refuse_until(now.after(HOUR / 2), Duration::ZERO);
    assert!(!token.is_refused(now.after(HOUR / 2)));
    token.refuse_until(now, Duration::MAX);
    assert!(token.is_refused(now.after(HOUR)));
}

fn head(fields: &[(&'static str, &'static str)]) -> Request<()> {
    let mut head = Request::post("/v1/orders?key=1").body(()).unwrap();
    for (name, value) in fields {
        head.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    head
}

fn claims(head: &Request<()>) -> serde_json::Value {
    let proof = head.headers()[DPOP].to_str().unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

// R75, RFC 9449 §7
#[test]
fn a_bound_token_goes_with_a_fresh_proof_for_what_the_upstream_sees() {
    let prover = Arc::new(Prover::new("ES256", "{}", Box::new(|_| Some(vec![7; 64]))));
    let text = Secret::new("t0k");
    let inject = [Inject::Header { name: AUTHORIZATION, format: SecretSource::fixed("DPoP {token}") }];
    let token = AccessToken::endless(&text, &inject).unwrap().bound_to(&prover, &text);
    assert!(token.is_bound());
    assert_eq!(token.header_names().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization", "dpop"]);

    let mut first = head(&[("host", "orders.example:8443"), ("dpop", "theirs"), ("dpop", "theirs too")]);
    token.authorize(&mut first);
    token.prove(&mut first, "https://api.example");
    assert_eq!(first.headers()[AUTHORIZATION], "DPoP t0k");
    assert_eq!(first.headers().get_all(DPOP).iter().count(), 1);
    assert!(first.headers()[DPOP].is_sensitive());
    let said = claims(&first);
    assert_eq!((&said["htm"], &said["htu"]), (&"POST".into(), &"https://orders.example:8443/v1/orders".into()));
    assert_eq!(said["ath"], dpop::digest_of(&text));
    assert_eq!(said["nonce"], serde_json::Value::Null);

    token.learn("https://api.example", &HeaderMap::from_iter([(DPOP_NONCE, HeaderValue::from_static("n1"))]));
    let mut second = head(&[("host", "api.example")]);
    token.authorize(&mut second);
    token.prove(&mut second, "https://api.example");
    assert_eq!(
        (&claims(&second)["nonce"], &claims(&second)["htu"]),
        (&"n1".into(), &"https://api.example/v1/orders".into())
    );
    assert_ne!(claims(&second)["jti"], said["jti"]);
}

#[test]
fn a_token_that_is_not_bound_leaves_the_downstreams_proof_alone() {
    let token = AccessToken::endless(&Secret::new("t0k"), &[Inject::default()]).unwrap();
    let mut head = head(&[("host", "api.example"), ("dpop", "theirs")]);
    token.authorize(&mut head);
    token.prove(&mut head, "https://api.example");
    assert_eq!(head.headers()[DPOP], "theirs");
    assert!(!token.is_bound());
}
