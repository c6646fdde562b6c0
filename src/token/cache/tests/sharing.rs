//! One attempt for everybody, whoever leaves.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_cost_one_fetch() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { number(&cache.get().await.unwrap()) })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 1);
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_failure() {
    let source = Script::slow(seconds(1), [refused()]);
    let cache = cache(&source);
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.get().await.unwrap_err() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().error.code(), "invalid_client");
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_does_not_cancel_the_fetch() {
    let source = Script::slow(seconds(5), []);
    let cache = cache(&source);
    let impatient = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.get().await }
    });
    pass(seconds(1)).await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    pass(seconds(5)).await;
    assert_eq!(current(&cache), Some(1));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_file_says_and_the_fetch_goes_on() {
    let source = Script::slow(seconds(30), []);
    let cache = cache(&source);
    let before = Instant::now();
    let failure = cache.get().await.unwrap_err();
    about(before.elapsed(), WAIT);
    assert_eq!(failure.error.code(), "timeout");
    assert!(failure.error.is_transient() && failure.retry_after > Duration::ZERO);

    pass(seconds(21)).await;
    assert_eq!(number(&cache.get().await.unwrap()), 1);
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_a_failure_and_no_end() {
    let source = Script::of([Step::Panic]);
    let cache = cache(&source);
    let failure = cache.get().await.unwrap_err();
    assert_eq!(failure.error.code(), "unreachable");
    assert!(cache.get().await.is_err(), "it is remembered like any other");
    assert_eq!(source.fetches(), 1);
    pass(seconds(2)).await;
    assert_eq!(number(&cache.get().await.unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_ends_is_given_up() {
    let source = Script::of([Step::Never]);
    let cache = cache(&source);
    assert_eq!(cache.get().await.unwrap_err().error.code(), "timeout");
    pass(seconds(92)).await;
    assert_eq!(source.fetches(), 1);
    assert_eq!(number(&cache.get().await.unwrap()), 2);
}

#[test]
fn a_runtime_that_went_away_is_a_failure_and_no_panic() {
    let gone = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let source = Script::of([]);
    let cache = cache_on(&source, gone.handle().clone());
    drop(gone);

    let here = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    here.block_on(async {
        assert_eq!(cache.get().await.unwrap_err().error.code(), "unreachable");
        assert_eq!(cache.get().await.unwrap_err().error.code(), "unreachable");
        cache.settle().await;
    });
    assert_eq!(source.fetches(), 0);
}

// "One runtime a core": those who ask and those who fetch need not share a runtime.
#[test]
fn callers_of_another_runtime_are_served() {
    let fetching = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let source = Script::of([]);
    let cache = cache_on(&source, fetching.handle().clone());
    let here = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(number(&here.block_on(cache.get()).unwrap()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_cost_one_fetch_a_token() {
    let source = Script::of([]);
    let cache = cache(&source);
    let mut refused = cache.get().await.unwrap();
    // As many in a row as may be forced at once.
    for round in 2..=9 {
        let callers: Vec<_> = (0..200)
            .map(|_| {
                let (cache, refused) = (Arc::clone(&cache), Arc::clone(&refused));
                tokio::spawn(async move { cache.replace(&refused).await.unwrap() })
            })
            .collect();
        for caller in callers {
            assert_eq!(number(&caller.await.unwrap()), round);
        }
        assert_eq!(source.fetches(), round);
        refused = cache.get().await.unwrap();
    }
}
