//! What every store promises, whatever it is made of. A new store calls both from its own tests, on an empty one.

use std::sync::Arc;

use super::TokenStore;
use crate::secret::Secret;

async fn loaded(store: &dyn TokenStore, credential: &str) -> Option<String> {
    store.load(credential).await.unwrap().map(|token| token.expose().to_owned())
}

async fn save(store: &dyn TokenStore, credential: &str, token: Option<&str>) {
    store.save(credential, token.map(Secret::new)).await.unwrap();
}

/// What is saved is loaded; the last one counts; credentials do not see each other's.
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

    for odd in ["", "../../etc/passwd", "a/b", "a b", "ü", "con:aux", &"long".repeat(100)] {
        save(store, odd, Some(odd)).await;
        assert_eq!(loaded(store, odd).await.as_deref(), Some(odd));
    }
    save(store, "big", Some(&"x".repeat(64 * 1024))).await;
    assert_eq!(loaded(store, "big").await.map(|token| token.len()), Some(64 * 1024));
}

/// Saving one credential's token loses no other's.
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
