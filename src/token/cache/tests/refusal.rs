//! The token that the upstream refused (DESIGN.md section 2).

use super::*;

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced() {
    let source = Script::of([]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    let second = cache.replace(&first).await.unwrap();
    assert_eq!(number(&second), 2);
    assert_eq!(current(&cache), Some(2));
}

// R67: single flight.
#[tokio::test(start_paused = true)]
async fn a_thousand_refusals_of_one_token_cost_one_fetch() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    let refused = cache.get().await.unwrap();
    let callers: Vec<_> = (0..1_000_u64)
        .map(|caller| {
            let (cache, refused) = (Arc::clone(&cache), Arc::clone(&refused));
            tokio::spawn(async move {
                // Some come while it is under way, some when it is over.
                sleep(Duration::from_millis(caller * 2)).await;
                number(&cache.replace(&refused).await.unwrap())
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 2);
    }
    assert_eq!(source.fetches(), 2);
}

// R67: compare before evict.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_already_replaced_costs_no_fetch() {
    let source = Script::of([]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    cache.replace(&first).await.unwrap();
    for _ in 0..100 {
        assert_eq!(number(&cache.replace(&first).await.unwrap()), 2);
        cache.replace_later(&first);
    }
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_while_a_renewal_is_under_way_joins_it() {
    let source = Script::slow(seconds(5), []);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    while source.fetches() < 2 {
        pass(seconds(1)).await;
    }
    assert_eq!(number(&cache.replace(&first).await.unwrap()), 2);
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_token_that_is_refused_the_moment_it_lands_is_not_replaced_by_itself() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    let mut token = cache.get().await.unwrap();
    for round in 2..=5 {
        let next = cache.replace(&token).await.unwrap();
        assert!(!Arc::ptr_eq(&next, &token));
        assert_eq!(number(&next), round);
        token = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_leaves_the_refused_token_in_place() {
    let source = Script::of([Step::Lasting(LIFETIME), away()]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    assert_eq!(cache.replace(&first).await.unwrap_err().error.code(), "unreachable");
    assert_eq!(current(&cache), Some(1), "it is still live by the clock");

    // The background, too, tries again.
    pass(seconds(3)).await;
    assert_eq!(current(&cache), Some(3));
}

#[tokio::test(start_paused = true)]
async fn refusals_do_not_ask_against_the_memory_of_failures() {
    let source = Script::of([Step::Lasting(LIFETIME), refused()]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    for _ in 0..1_000 {
        let before = Instant::now();
        assert_eq!(cache.replace(&first).await.unwrap_err().error.code(), "invalid_client");
        assert_eq!(before.elapsed(), Duration::ZERO);
        cache.replace_later(&first);
    }
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_has_died_meanwhile_is_replaced_like_a_missing_one() {
    let source = Script::of([]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    jump(LIFETIME).await;
    assert!(number(&cache.replace(&first).await.unwrap()) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_for_later_is_there_for_the_next_caller() {
    let source = Script::slow(seconds(1), []);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    for _ in 0..1_000 {
        cache.replace_later(&first);
    }
    assert_eq!(current(&cache), Some(1));
    pass(seconds(2)).await;
    assert_eq!(current(&cache), Some(2));
    assert_eq!(source.fetches(), 2);
}

// An upstream of two nodes, one of which refuses every token.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_refuses_one_token_after_the_other_is_no_storm_of_logins() {
    let source = Script::of([]);
    let cache = cache(&source);
    let mut limited = 0;
    for _ in 0..1_000 {
        let token = cache.get().await.unwrap();
        if let Err(failure) = cache.replace(&token).await {
            assert_eq!(failure.error.code(), "renewed_too_often");
            assert!(failure.error.is_transient() && failure.retry_after <= seconds(10));
            limited += 1;
        }
        pass(Duration::from_millis(100)).await;
    }
    // In a hundred seconds: the first, eight at once, one each ten seconds.
    assert!((17..=20).contains(&source.fetches()), "{}", source.fetches());
    assert!(limited > 900);
    assert!(cache.status(Moment::now()).last_error.is_none(), "the authorization server is not to blame");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_lives_its_own_life() {
    let source = Script::of([]);
    let cache = cache(&source);
    let first = cache.get().await.unwrap();
    pass(seconds(600)).await;
    cache.replace(&first).await.unwrap();
    pass(seconds(700)).await;
    assert_eq!(source.fetches(), 2, "the first one's renewal is off");
    pass(seconds(135)).await;
    assert_eq!(source.fetches(), 3);
}
