//! Renewal ahead of expiry, and its end when nobody asks.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_fresh_token_serves_without_a_fetch() {
    let source = Script::of([]);
    let cache = cache(&source);
    assert!(cache.current(Moment::now()).is_none());
    assert_eq!(number(&cache.get().await.unwrap()), 1);
    for _ in 0..1_000 {
        assert_eq!(number(&cache.get().await.unwrap()), 1);
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_used_token_is_renewed_at_eighty_percent_of_its_fresh_span_with_nobody_waiting() {
    let source = Script::of([]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(769)).await;
    assert_eq!(source.fetches(), 1);
    pass(seconds(62)).await;
    assert_eq!(source.fetches(), 2);
    assert_eq!(current(&cache), Some(2));
    let span = source.spans()[0];
    assert!(span >= seconds(770) && span <= seconds(831), "{span:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_use_is_renewed_again_and_again() {
    let source = Script::of([]);
    let cache = cache(&source);
    for _ in 0..100 {
        cache.get().await.unwrap();
        pass(seconds(100)).await;
    }
    // 10,000 s at 770 s to 830 s each.
    assert!((12..=13).contains(&source.fetches()), "{}", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_not_used_for_a_lifetime_is_not_renewed() {
    let source = Script::of([]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(24 * 3600)).await;
    // The first was used and so renewed; the second was not.
    assert_eq!(source.fetches(), 2);
    assert_eq!(current(&cache), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_after_an_idle_time_gets_the_live_token_at_once_and_has_it_renewed() {
    let source = Script::slow(seconds(2), []);
    let cache = cache(&source);
    cache.prefetch();
    pass(seconds(900)).await;
    assert_eq!(source.fetches(), 1, "nobody has used it");

    let before = Instant::now();
    assert_eq!(number(&cache.get().await.unwrap()), 1);
    assert_eq!(before.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(source.fetches(), 2);
    assert_eq!(current(&cache), Some(1), "it serves while its successor is on its way");
    pass(seconds(2)).await;
    assert_eq!(current(&cache), Some(2));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_live_but_no_longer_fresh_serves_and_nobody_waits() {
    let source = Script::of([Step::Lasting(LIFETIME), Step::Never]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    jump(seconds(1_029)).await;
    let now = Moment::now();
    let token = cache.current(now).unwrap();
    assert!(token.is_live(now) && !token.is_fresh(now));
    assert_eq!(number(&cache.get().await.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_served() {
    let source = Script::of([Step::Lasting(LIFETIME), Step::Never]);
    let cache = cache(&source);
    let token = cache.get().await.unwrap();
    jump(LIFETIME - Duration::from_millis(1)).await;
    assert!(cache.current(Moment::now()).is_some());
    jump(Duration::from_millis(1)).await;
    assert!(cache.current(Moment::now()).is_none());
    assert!(cache.get().await.is_err());
    assert!(!token.is_live(Moment::now()));
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_slept_gets_a_new_token() {
    let source = Script::of([]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    let now = Moment::now();
    // The monotonic clock stood still: half a lifetime, then a whole one.
    assert!(cache.current(Moment { wall: now.wall + seconds(700), ..now }).is_some());
    settle().await;
    assert_eq!(source.fetches(), 1);

    assert!(cache.current(Moment { wall: now.wall + seconds(900), ..now }).is_some());
    settle().await;
    assert_eq!(source.fetches(), 2, "due by the wall clock: a request sees to it, since the timer slept too");

    assert!(cache.current(Moment { wall: now.wall + seconds(8 * 3600), ..now }).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_prolongs_nothing() {
    let source = Script::of([Step::Lasting(LIFETIME), Step::Never]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    jump(LIFETIME).await;
    let now = Moment::now();
    assert!(cache.current(Moment { wall: now.wall - seconds(24 * 3600), ..now }).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_requests_past_eighty_percent_is_one_renewal() {
    let source = Script::slow(seconds(5), []);
    let cache = cache(&source);
    cache.prefetch();
    pass(seconds(900)).await;
    for _ in 0..1_000 {
        assert_eq!(current(&cache), Some(1));
    }
    pass(seconds(2)).await;
    for _ in 0..1_000 {
        assert_eq!(current(&cache), Some(1));
    }
    pass(seconds(4)).await;
    assert_eq!(current(&cache), Some(2));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endless_token_is_fetched_once() {
    let source = Script::of([Step::Endless]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    for _ in 0..100 {
        pass(seconds(24 * 3600)).await;
        assert_eq!(current(&cache), Some(1));
    }
    assert_eq!(source.fetches(), 1);
}

// Some servers hand out the same token again, with what is left of its life.
#[tokio::test(start_paused = true)]
async fn a_server_that_hands_out_remainders_is_not_asked_in_a_busy_loop() {
    let source = Script::of((0..10_000).map(|_| Step::Lasting(Duration::from_millis(600))));
    let cache = cache(&source);
    for _ in 0..1_000 {
        cache.get().await.unwrap();
        pass(Duration::from_millis(10)).await;
    }
    assert!(source.fetches() <= 21, "{} in ten seconds", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_token_awaits_the_first_request() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    cache.prefetch();
    cache.prefetch();
    pass(seconds(2)).await;
    assert_eq!(current(&cache), Some(1));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_token_that_cannot_be_had_at_start_is_tried_for_until_it_can() {
    let source = Script::of([away(), away(), away()]);
    let cache = cache(&source);
    cache.prefetch();
    pass(seconds(60)).await;
    assert_eq!(source.fetches(), 4);
    assert_eq!(cache.status(Moment::now()).state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_goes_away_takes_its_tasks_along() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(850)).await;
    assert!(cache.current(Moment::now()).is_some());
    let fetches = source.fetches();
    drop(cache);
    pass(seconds(3_600)).await;
    assert_eq!(source.fetches(), fetches);
    assert_eq!(Arc::strong_count(&source), 1, "nothing holds the source any more");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_goes_away_gives_up_the_attempt_under_way() {
    let source = Script::of([Step::Never]);
    let cache = cache(&source);
    cache.prefetch();
    settle().await;
    assert_eq!(source.fetches(), 1);
    drop(cache);
    settle().await;
    assert_eq!(Arc::strong_count(&source), 1);
}

#[tokio::test(start_paused = true)]
async fn settling_waits_for_the_attempt_under_way_and_begins_no_other() {
    let source = Script::slow(seconds(3), []);
    let cache = cache(&source);
    cache.prefetch();
    settle().await;
    let before = Instant::now();
    cache.settle().await;
    about(before.elapsed(), seconds(3));
    assert_eq!(current(&cache), Some(1));

    // Requests that are still being served may use it, but it is not renewed for them.
    pass(seconds(900)).await;
    assert_eq!(current(&cache), Some(1));
    pass(seconds(20)).await;
    assert_eq!(source.fetches(), 1);
    cache.settle().await;

    // One that has none gets one all the same.
    pass(seconds(200)).await;
    assert_eq!(number(&cache.get().await.unwrap()), 2);
}
