//! The memory of failures.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_authorization_server_is_not_asked_by_each_caller() {
    let source = Script::of([away()]);
    let cache = cache(&source);
    for _ in 0..1_000 {
        let failure = cache.get().await.unwrap_err();
        assert_eq!(failure.error.code(), "unreachable");
        assert!(failure.retry_after > Duration::ZERO && failure.retry_after <= Duration::from_millis(1_200));
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_cause_attempts_no_faster_than_the_back_off_allows() {
    let source = Script::of((0..8).map(|_| away()));
    let cache = cache(&source);
    while cache.get().await.is_err() {
        pass(Duration::from_millis(10)).await;
    }
    for (span, nominal) in source.spans().into_iter().zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        let nominal = seconds(nominal);
        assert!(span >= (nominal * 4 / 5).max(seconds(1)), "{nominal:?}: {span:?}");
        assert!(span <= nominal * 6 / 5 + Duration::from_millis(20), "{nominal:?}: {span:?}");
    }
    assert_eq!(source.fetches(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_tried_again_while_the_current_token_serves_to_its_last_second() {
    let source = Script::of(std::iter::once(Step::Lasting(LIFETIME)).chain((0..100).map(|_| away())));
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(1_029)).await;
    assert_eq!(current(&cache), Some(1));
    // 1, 2, 4 … 60 s from about 800 s on.
    let attempts = source.fetches() - 1;
    assert!((7..=10).contains(&attempts), "{attempts}");
    for (span, nominal) in source.spans().into_iter().skip(1).zip([1, 2, 4, 8, 16, 32, 60]) {
        let (low, high) = (seconds(nominal) * 4 / 5, seconds(nominal) * 6 / 5 + Duration::from_millis(5));
        assert!(span >= low && span <= high, "{nominal} s: {span:?}");
    }

    pass(seconds(1)).await;
    assert_eq!(current(&cache), None);
    assert_eq!(cache.get().await.unwrap_err().error.code(), "unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_succeeds_after_all_starts_the_life_anew() {
    let source = Script::of([Step::Lasting(LIFETIME), away(), away()]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(840)).await;
    assert_eq!(current(&cache), Some(4));
    assert!(cache.status(Moment::now()).last_error.is_none());
    pass(seconds(840)).await;
    assert_eq!(current(&cache), Some(5));
}

#[tokio::test(start_paused = true)]
async fn renewal_is_not_tried_for_ever_when_the_token_has_died_and_nobody_asks() {
    let source = Script::of(std::iter::once(Step::Lasting(LIFETIME)).chain((0..1_000).map(|_| away())));
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(LIFETIME + seconds(60)).await;
    let fetches = source.fetches();
    pass(seconds(24 * 3600)).await;
    assert_eq!(source.fetches(), fetches);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_by_callers_and_by_the_background() {
    let busy = || {
        let error =
            TokenError::Unavailable { status: 429, description: None, retry_after: Some(Duration::from_secs(50)) };
        Step::Fail(error)
    };
    let source = Script::of([busy()]);
    let cache = cache(&source);
    about(cache.get().await.unwrap_err().retry_after, seconds(50));
    pass(seconds(49)).await;
    about(cache.get().await.unwrap_err().retry_after, seconds(1));
    pass(seconds(1)).await;
    assert_eq!(number(&cache.get().await.unwrap()), 2);

    source.then(busy());
    // Renewal begins after 770 to 830 s; it fails, and is tried again once before this.
    pass(seconds(900)).await;
    assert_eq!(source.fetches(), 4);
    let spans = source.spans();
    about(spans[2], seconds(50));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_after_a_minute_doubling_to_a_quarter_of_an_hour() {
    let source = Script::of((0..7).map(|_| refused()));
    let cache = cache(&source);
    while cache.get().await.is_err() {
        pass(seconds(1)).await;
    }
    let spans: Vec<_> = source.spans().iter().map(Duration::as_secs).collect();
    for (span, nominal) in spans.iter().zip([60, 120, 240, 480, 900, 900, 900]) {
        assert!((nominal..=nominal + 1).contains(span), "{spans:?}");
    }
    assert_eq!(source.fetches(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_is_tried_at_once_and_begins_the_count_anew() {
    let source = Script::of([refused(), refused(), refused(), refused()]);
    let cache = cache(&source);
    about(cache.get().await.unwrap_err().retry_after, seconds(60));
    pass(seconds(60)).await;
    about(cache.get().await.unwrap_err().retry_after, seconds(120));

    source.change();
    pass(seconds(1)).await;
    about(cache.get().await.unwrap_err().retry_after, seconds(60));
    assert_eq!(source.fetches(), 3);
    pass(seconds(30)).await;
    about(cache.get().await.unwrap_err().retry_after, seconds(30));
    assert_eq!(source.fetches(), 3, "it has not changed since");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_looks_for_changes_once_a_second() {
    let source = Script::of([refused()]);
    let cache = cache(&source);
    for _ in 0..100 {
        for _ in 0..100 {
            cache.get().await.unwrap_err();
        }
        pass(Duration::from_millis(100)).await;
    }
    assert!((9..=10).contains(&source.looks()), "{}", source.looks());
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_no_reason_to_look_at_files() {
    let source = Script::of([away()]);
    let cache = cache(&source);
    cache.get().await.unwrap_err();
    jump(Duration::from_millis(999)).await;
    cache.get().await.unwrap_err();
    assert_eq!(source.looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_mended_while_the_token_lives_is_noticed_without_a_request_that_fails() {
    let source = Script::of([Step::Lasting(LIFETIME), refused()]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    while source.fetches() < 2 {
        pass(seconds(1)).await;
    }
    pass(seconds(15)).await;
    assert_eq!(source.fetches(), 2);
    source.change();
    pass(seconds(10)).await;
    assert_eq!(source.fetches(), 3);
    assert_eq!(current(&cache), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_refused_for_good_leaves_the_live_token() {
    let source = Script::of(std::iter::once(Step::Lasting(LIFETIME)).chain((0..100).map(|_| refused())));
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(1_025)).await;
    assert_eq!(current(&cache), Some(1));
    // At about 800 s, 860 s and 980 s.
    assert_eq!(source.fetches(), 4);
    assert_eq!(cache.status(Moment::now()).state, State::Live);
    assert_eq!(cache.status(Moment::now()).last_error.as_deref(), Some("invalid_client"));
}

#[tokio::test(start_paused = true)]
async fn requests_past_eighty_percent_do_not_hurry_a_renewal_that_failed() {
    let source = Script::of([Step::Lasting(LIFETIME), refused()]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    while source.fetches() < 2 {
        pass(seconds(1)).await;
    }
    for _ in 0..50 {
        for _ in 0..50 {
            assert_eq!(current(&cache), Some(1));
        }
        pass(seconds(1)).await;
    }
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_on_arrival_is_a_failure_and_no_busy_loop() {
    let source = Script::of((0..1_000).map(|_| Step::Lasting(Duration::ZERO)));
    let cache = cache(&source);
    for _ in 0..1_000 {
        let failure = cache.get().await.unwrap_err();
        assert_eq!(failure.error.code(), "malformed_answer");
        pass(Duration::from_millis(10)).await;
    }
    assert!(source.fetches() <= 5, "{} in ten seconds", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_died_on_the_way_is_a_failure() {
    let source = Script::slow(seconds(5), [Step::Lasting(seconds(3))]);
    let cache = cache(&source);
    assert_eq!(cache.get().await.unwrap_err().error.code(), "malformed_answer");
    assert!(cache.current(Moment::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_login_is_taken_up_in_the_background_although_nobody_asks() {
    let source = Script::of([Step::Lasting(seconds(100)), nobody_logged_in(), nobody_logged_in()]);
    let cache = cache(&source);
    cache.get().await.unwrap();
    // The first is used, and its renewal refused: from here on nobody asks.
    pass(seconds(200)).await;
    assert_eq!(cache.status(Moment::now()).state, State::NeedsLogin);
    let before = source.fetches();
    source.changed.store(true, SeqCst);
    pass(seconds(11)).await;
    assert_eq!(source.fetches(), before + 1, "looked for within ten seconds");
    assert_eq!(current(&cache), Some(before + 1));
    assert_eq!(cache.status(Moment::now()).state, State::Live);
}
