//! What a cache says of itself.

use super::*;

fn counts(status: &Status) -> Vec<(&str, u64)> {
    status.requests.iter().map(|(code, count)| (code.as_str(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_idle_then_live_then_idle() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    let status = cache.status(Moment::now());
    assert_eq!((status.name.as_str(), status.state), ("zpax", State::Idle));
    assert!(status.expires_in.is_none() && status.last_error.is_none() && status.requests.is_empty());

    cache.get().await.unwrap();
    let status = cache.status(Moment::now());
    assert_eq!(status.state, State::Live);
    // Less the second it took, and perhaps a moment.
    assert!((1_028..=1_029).contains(&status.expires_in.unwrap().as_secs()));
    assert_eq!(counts(&status), [("success", 1)]);

    pass(seconds(7_200)).await;
    assert_eq!(cache.status(Moment::now()).state, State::Idle);
}

#[tokio::test(start_paused = true)]
async fn failing_and_refused_are_told_apart() {
    let source = Script::of([away(), refused()]);
    let cache = cache(&source);
    cache.get().await.unwrap_err();
    let status = cache.status(Moment::now());
    assert_eq!((status.state, status.last_error.as_deref()), (State::Failing, Some("unreachable")));

    pass(seconds(2)).await;
    cache.get().await.unwrap_err();
    let status = cache.status(Moment::now());
    assert_eq!((status.state, status.last_error.as_deref()), (State::Refused, Some("invalid_client")));
    assert_eq!(counts(&status), [("invalid_client", 1), ("unreachable", 1)]);

    pass(seconds(60)).await;
    cache.get().await.unwrap();
    let status = cache.status(Moment::now());
    assert_eq!((status.state, status.last_error), (State::Live, None));
}

#[tokio::test(start_paused = true)]
async fn an_endless_token_does_not_say_when_it_ends() {
    let source = Script::of([Step::Endless]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    let status = cache.status(Moment::now());
    assert_eq!((status.state, status.expires_in), (State::Live, None));
}

#[tokio::test(start_paused = true)]
async fn looking_is_not_using() {
    let source = Script::of([]);
    let cache = cache(&source);
    cache.prefetch();
    for _ in 0..100 {
        pass(seconds(60)).await;
        let _ = cache.status(Moment::now());
    }
    assert_eq!(source.fetches(), 1);
}

// R38
#[tokio::test(start_paused = true)]
async fn neither_a_cache_nor_its_status_prints_a_token() {
    let source = Script::of([]);
    let cache = cache(&source);
    let token = cache.get().await.unwrap();
    let said = format!("{cache:?} {token:?} {:?}", cache.status(Moment::now()));
    assert!(!said.contains("hunter"), "{said}");
}
