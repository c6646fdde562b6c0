//! The promises of a subject map. Time is paused throughout.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::HeaderValue;
use tokio::time::{advance, sleep};

use super::*;
use crate::token::{AccessToken, Inject, State};

/// An authorization server that exchanges `a` for `a-1`, then `a-2`, and so on; each lives for [`LIFETIME`].
#[derive(Default)]
struct Desk {
    issued: Mutex<HashMap<String, usize>>,
    asked: AtomicUsize,
    /// What it says instead.
    refusal: Mutex<Option<fn() -> TokenError>>,
}

struct Clerk {
    desk: Arc<Desk>,
    subject: Secret,
    ends: Option<Moment>,
}

const LIFETIME: Duration = Duration::from_secs(1_030);

impl TokenSource for Clerk {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>> {
        Box::pin(async move {
            self.desk.asked.fetch_add(1, SeqCst);
            let now = Moment::now();
            sleep(Duration::from_millis(300)).await;
            if let Some(refusal) = *self.desk.refusal.lock().unwrap() {
                return Err(refusal());
            }
            let subject = self.subject.expose().to_owned();
            let number = {
                let mut issued = self.desk.issued.lock().unwrap();
                let number = issued.entry(subject.clone()).or_default();
                *number += 1;
                *number
            };
            let lifetime = self.ends.map_or(LIFETIME, |ends| now.until(ends).min(LIFETIME));
            let token = Secret::new(format!("{subject}-{number}"));
            AccessToken::new(&token, &[Inject::default()], now, lifetime, None, None)
        })
    }
}

impl Desk {
    /// Its subjects: at most so many, who end after that long.
    fn subjects(self: &Arc<Self>, max: u64, ends: Option<Duration>) -> Arc<Subjects> {
        let desk = Arc::clone(self);
        let exchange: Exchange = Box::new(move |subject| {
            let ends = ends.map(|ends| Moment::now().after(ends));
            Exchanged { source: Arc::new(Clerk { desk: Arc::clone(&desk), subject, ends }), ends }
        });
        let settings = SubjectSettings { max, idle: Duration::from_secs(3600) };
        let cache = CacheSettings { wait: Duration::from_secs(10) };
        Subjects::new("api", settings, exchange, cache, Handle::current())
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn refuse(&self, refusal: Option<fn() -> TokenError>) {
        *self.refusal.lock().unwrap() = refusal;
    }
}

fn bringing(authorization: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
}

async fn token(subjects: &Subjects, subject: &str) -> Result<String, Failure> {
    let tokens = subjects.of(&bringing(&format!("Bearer {subject}"))).await?;
    Ok(text(tokens.get().await?.as_ref()))
}

fn text(token: &AccessToken) -> String {
    let mut head = http::Request::get("/").body(()).unwrap();
    token.authorize(&mut head);
    head.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

async fn code(subjects: &Subjects, subject: &str) -> String {
    token(subjects, subject).await.unwrap_err().error.code().to_owned()
}

fn bad_subject() -> TokenError {
    TokenError::BadSubject { code: "invalid_grant".to_owned(), description: None }
}

fn wrong_client() -> TokenError {
    TokenError::Refused { code: "invalid_client".to_owned(), description: None }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_callers_with_one_subject_cost_one_exchange() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    let callers: Vec<_> = (0..500)
        .map(|_| {
            let subjects = Arc::clone(&subjects);
            tokio::spawn(async move { token(&subjects, "alice").await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "alice-1");
    }
    assert_eq!(desk.asked(), 1);
}

// R43, R74
#[tokio::test(start_paused = true)]
async fn each_subject_has_a_token_of_its_own() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(1000, None);
    let callers: Vec<_> = (0..400)
        .map(|number| {
            let subjects = Arc::clone(&subjects);
            let subject = format!("s{}", number % 100);
            tokio::spawn(async move { assert_eq!(token(&subjects, &subject).await.unwrap(), format!("{subject}-1")) })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(desk.asked(), 100);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_than_the_file_allows_and_the_newest_stay() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    for number in 0..200 {
        let subject = format!("s{number}");
        assert_eq!(token(&subjects, &subject).await.unwrap(), format!("{subject}-1"));
        assert_eq!(token(&subjects, &subject).await.unwrap(), format!("{subject}-1"), "a newcomer is let in");
    }
    subjects.known.run_pending_tasks().await;
    assert_eq!(subjects.known.entry_count(), 10);
    assert_eq!(desk.asked(), 200);
    assert_eq!(token(&subjects, "s0").await.unwrap(), "s0-2", "the oldest was forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_subject_at_the_latest() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, Some(Duration::from_secs(60)));
    let tokens = subjects.of(&bringing("Bearer alice")).await.unwrap();
    let held = tokens.get().await.unwrap();
    assert!(held.expires_in(Moment::now()) <= Duration::from_secs(60));
    advance(Duration::from_secs(61)).await;
    assert!(!held.is_live(Moment::now()));
    assert!(tokens.current(Moment::now()).is_none());
}

#[test]
fn a_subject_is_forgotten_at_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _inside = runtime.enter();
    let subjects = Arc::new(Desk::default()).subjects(10, Some(Duration::from_secs(60)));
    let rest = |subject: &Subject| WithSubject.expire_after_create(&key("a"), subject, Instant::now());
    let subject = subjects.begin("alice");
    assert!(rest(&subject).is_some_and(|rest| rest <= Duration::from_secs(60) && rest > Duration::from_secs(59)));
    assert_eq!(rest(&Subject { ends: None, ..subject }), None, "until nobody has brought it for a while");
    assert_eq!(subjects.known.policy().time_to_idle(), Some(Duration::from_secs(3600)));
    assert_eq!(subjects.known.policy().max_capacity(), Some(10));
}

// DESIGN.md section 3: nobody asks, nobody renews
#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_for_a_subject_whom_nobody_brings() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    for _ in 0..3 {
        assert_eq!(token(&subjects, "alice").await.unwrap(), "alice-1");
    }
    sleep(Duration::from_secs(900)).await;
    assert_eq!(desk.asked(), 1, "it was due at 800 s");

    assert_eq!(token(&subjects, "alice").await.unwrap(), "alice-1", "nobody waits while the old one lives");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(token(&subjects, "alice").await.unwrap(), "alice-2");
    sleep(Duration::from_secs(100_000)).await;
    assert_eq!(desk.asked(), 2);
}

// DESIGN.md section 2
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_for_its_subject_alone() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    let alice = subjects.of(&bringing("Bearer alice")).await.unwrap();
    assert_eq!(token(&subjects, "bob").await.unwrap(), "bob-1");
    let refused = alice.get().await.unwrap();
    let replaced = replaced_by_a_crowd(&alice, &refused).await;
    assert!(replaced.iter().all(|token| token == "alice-2"), "{replaced:?}");
    assert_eq!(token(&subjects, "bob").await.unwrap(), "bob-1");
    assert_eq!(desk.asked(), 3);
}

/// A crowd that was refused the same token.
async fn replaced_by_a_crowd(tokens: &Arc<TokenCache>, refused: &Arc<AccessToken>) -> Vec<String> {
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (tokens, refused) = (Arc::clone(tokens), Arc::clone(refused));
        crowd.spawn(async move { text(&tokens.replace(&refused).await.unwrap()) });
    }
    crowd.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_subject_is_remembered_for_it_and_not_for_others() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    desk.refuse(Some(bad_subject));
    for _ in 0..50 {
        assert_eq!(code(&subjects, "mallory").await, "invalid_grant");
    }
    assert_eq!(desk.asked(), 1);
    desk.refuse(None);
    assert_eq!(token(&subjects, "alice").await.unwrap(), "alice-1");
    assert_eq!(code(&subjects, "mallory").await, "invalid_grant");
    assert_eq!(desk.asked(), 2);
    advance(Duration::from_secs(61)).await;
    assert_eq!(token(&subjects, "mallory").await.unwrap(), "mallory-1");

    let status = subjects.status();
    assert_eq!((status.state, status.last_error), (State::Live, None));
    assert_eq!(status.requests, [("invalid_grant".to_owned(), 1), ("success".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_for_one_subject_is_still_asked_for_others() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(10, None);
    desk.refuse(Some(|| TokenError::TimedOut));
    assert_eq!(code(&subjects, "mallory").await, "timeout");
    assert_eq!(subjects.status().state, State::Failing);
    desk.refuse(None);
    assert_eq!(token(&subjects, "alice").await.unwrap(), "alice-1");
    assert_eq!(subjects.status().state, State::Live);
}

// A wrong secret must not lock the client, however many subjects there are.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_is_refused_for_all_subjects_at_once() {
    let desk = Arc::new(Desk::default());
    let subjects = desk.subjects(1000, None);
    desk.refuse(Some(wrong_client));
    for number in 0..100 {
        assert_eq!(code(&subjects, &format!("s{number}")).await, "invalid_client");
    }
    assert_eq!(desk.asked(), 1);
    let status = subjects.status();
    assert_eq!((status.state, status.last_error.as_deref()), (State::Refused, Some("invalid_client")));

    desk.refuse(None);
    advance(Duration::from_secs(60)).await;
    assert_eq!(token(&subjects, "s1").await.unwrap(), "s1-1");
    assert_eq!(token(&subjects, "s2").await.unwrap(), "s2-1");
}

#[test]
fn a_bearer_token_is_found_however_its_scheme_is_written() {
    for authorization in ["Bearer abc.DEF-_~+/1==", "bearer abc.DEF-_~+/1==", "BEARER  abc.DEF-_~+/1== "] {
        assert_eq!(bearer(&bringing(authorization)).unwrap(), "abc.DEF-_~+/1==");
    }
}

#[test]
fn a_request_without_a_bearer_token_brings_no_subject() {
    assert!(matches!(bearer(&HeaderMap::new()), Err(TokenError::NoSubject)));
    for other in ["Basic dTpw", "DPoP abc", "Bearerabc", "abc", ""] {
        assert!(matches!(bearer(&bringing(other)), Err(TokenError::NoSubject)), "{other}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for malformed in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,Bearer b", "Bearer \"a\"", "Bearer =", "Bearer a=b"]
    {
        let headers = bringing(malformed);
        let refused = bearer(&headers);
        assert!(matches!(refused, Err(TokenError::BadSubject { .. })), "{malformed}: {refused:?}");
    }
    let mut twice = bringing("Bearer a");
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
    assert!(matches!(bearer(&twice), Err(TokenError::BadSubject { .. })));
    let odd = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap())]);
    assert!(matches!(bearer(&odd), Err(TokenError::BadSubject { .. })));
}

#[test]
fn a_subject_may_be_long_but_not_fill_the_memory() {
    let of_length = |length| bringing(&format!("Bearer {}", "a".repeat(length)));
    assert!(bearer(&of_length(LONGEST)).is_ok());
    let headers = of_length(LONGEST + 1);
    let refused = bearer(&headers);
    assert!(matches!(&refused, Err(TokenError::BadSubject { code, .. }) if code == "invalid_token"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_map_of_subjects_does_not_show_them() {
    let subjects = Arc::new(Desk::default()).subjects(10, None);
    token(&subjects, "hunter2").await.unwrap();
    let shown = format!("{subjects:?} {:?}", subjects.status());
    assert!(!shown.contains("hunter"), "{shown}");
}
