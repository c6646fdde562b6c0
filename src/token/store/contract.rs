//! What every store promises, whatever it is made of. A new store calls all of these from its own tests, on an empty one.

use std::sync::Arc;
use std::time::Duration;

use super::{Lease, TokenStore, Value};
use crate::secret::Secret;

/// Longer than a test takes.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn loaded(store: &dyn TokenStore, key: &str) -> Option<String> {
    store.load(key).await.unwrap().map(|entry| entry.text.expose().to_owned())
}

pub(super) fn value(text: &str) -> Value {
    Value { text: Secret::new(text), useful_for: None }
}

pub(super) async fn lease(store: &dyn TokenStore, key: &str) -> Lease {
    loop {
        // A lease is given back in its own time.
        match store.try_lease(key, LIMIT).await.unwrap() {
            Some(lease) => return lease,
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

pub(super) async fn save(store: &dyn TokenStore, key: &str, text: Option<&str>) {
    store.save(&lease(store, key).await, text.map(value)).await.unwrap();
}

/// What is saved is loaded; the last one counts; keys do not see each other's.
pub(super) async fn holds(store: &dyn TokenStore) {
    assert_eq!(loaded(store, "apiax").await, None);
    save(store, "apiax", None).await;
    assert_eq!(loaded(store, "apiax").await, None);

    save(store, "apiax", Some("first")).await;
    assert_eq!(loaded(store, "apiax").await.as_deref(), Some("first"));
    assert_eq!(loaded(store, "apiax").await.as_deref(), Some("first"), "loading does not take it away");
    assert_eq!(loaded(store, "apiaX").await, None);

    save(store, "zpax", Some("other")).await;
    save(store, "apiax", Some("second")).await;
    assert_eq!(loaded(store, "apiax").await.as_deref(), Some("second"));
    assert_eq!(loaded(store, "zpax").await.as_deref(), Some("other"));

    save(store, "apiax", None).await;
    assert_eq!(loaded(store, "apiax").await, None);
    assert_eq!(loaded(store, "zpax").await.as_deref(), Some("other"));

    for odd in ["", "../../etc/passwd", "a/b", "a b", "ü", "con:aux", "{a}b", &"long".repeat(100)] {
        save(store, odd, Some(odd)).await;
        assert_eq!(loaded(store, odd).await.as_deref(), Some(odd));
    }
    save(store, "big", Some(&"x\n\"\\".repeat(16 * 1024))).await;
    assert_eq!(loaded(store, "big").await.map(|text| text.len()), Some(64 * 1024));
    assert!(store.trouble().is_none());
}

/// Saving one key loses no other's.
pub(super) async fn holds_for_many(store: Arc<dyn TokenStore>) {
    let savers: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { save(&*store, &format!("c{number}"), Some(&format!("t{number}"))).await })
        })
        .collect();
    for saver in savers {
        saver.await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(loaded(&*store, &format!("c{number}")).await, Some(format!("t{number}")));
    }
}

/// One of two that use the same store may change a key; what it saves the other one sees, under a fence that grows.
pub(super) async fn leases([one, other]: [Arc<dyn TokenStore>; 2]) {
    let held = lease(&*one, "a").await;
    assert_eq!(held.key(), "a");
    assert!(held.left() > LIMIT / 2 && held.left() <= LIMIT);
    assert!(other.try_lease("a", LIMIT).await.unwrap().is_none());
    assert!(one.try_lease("a", LIMIT).await.unwrap().is_none(), "nor may it itself a second time");
    assert!(other.try_lease("b", LIMIT).await.unwrap().is_some(), "another key is another matter");

    assert_eq!(other.load("a").await.unwrap().map(|entry| entry.fence), None);
    one.save(&held, Some(value("first"))).await.unwrap();
    let entry = other.load("a").await.unwrap().unwrap();
    assert_eq!((entry.text.expose(), entry.fence), ("first", held.fence()));
    assert!(entry.age < LIMIT);
    one.save(&held, Some(value("again"))).await.unwrap();
    let before = held.fence();
    one.give_back(held).await;
    let at_once = other.try_lease("a", LIMIT).await.unwrap();
    assert!(at_once.is_some(), "what is given back is free");
    drop(at_once);

    let held = lease(&*other, "a").await;
    assert!(held.fence() > before, "{} after {before}", held.fence());
    other.save(&held, Some(value("second"))).await.unwrap();
    drop(held);
    assert_eq!(loaded(&*one, "a").await.as_deref(), Some("second"));

    // A hundred steps, each made of what the one before it has left: none is lost.
    save(&*one, "count", Some("0")).await;
    let counters = [&one, &other].into_iter().cycle().take(4).map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..25 {
                let held = lease(&*store, "count").await;
                let count: u32 = loaded(&*store, "count").await.unwrap().parse().unwrap();
                store.save(&held, Some(value(&(count + 1).to_string()))).await.unwrap();
            }
        })
    });
    for counter in counters.collect::<Vec<_>>() {
        counter.await.unwrap();
    }
    assert_eq!(loaded(&*one, "count").await.as_deref(), Some("100"));
}

/// Who looks at a key's mark learns that another has changed it.
pub(super) async fn marks([one, other]: [Arc<dyn TokenStore>; 2]) {
    assert_eq!(one.mark("m"), 0);
    for text in ["first", "second"] {
        let held = lease(&*other, "m").await;
        let fence = held.fence();
        assert_ne!(one.mark("m"), fence);
        other.save(&held, Some(value(text))).await.unwrap();
        drop(held);
        let seen = async {
            while one.mark("m") != fence {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LIMIT, seen).await.unwrap();
    }
    let mark = one.mark("m");
    save(&*other, "n", Some("another key")).await;
    assert_eq!(one.mark("m"), mark);
}

/// What has an end is forgotten after it.
pub(super) async fn forgets(store: &dyn TokenStore) {
    let soon = Value { useful_for: Some(Duration::from_millis(20)), ..value("soon over") };
    store.save(&lease(store, "short").await, Some(soon)).await.unwrap();
    let gone = async {
        while loaded(store, "short").await.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}
