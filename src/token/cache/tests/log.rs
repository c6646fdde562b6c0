//! What the log says: once a change, at the right level, and never a token.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// Keeps every event as `LEVEL field=value …`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bearer_proxy")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        self.0.lock().unwrap().push((Level::TRACE, line.0));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Log {
    /// What was said at a level since it was last asked.
    fn said(&self, level: Level) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|(at, _)| *at == level).map(|(_, line)| line.clone()).collect()
    }

    fn everything(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_an_error_said_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let source = Script::of((0..5).map(|_| refused()));
    let cache = cache(&source);
    while cache.get().await.is_err() {
        pass(seconds(30)).await;
    }
    let errors = log.said(Level::ERROR);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("credential=\"zpax\"") && errors[0].contains("error.kind=\"invalid_client\""));
    assert!(log.said(Level::WARN).is_empty());
    assert_eq!(log.said(Level::INFO).len(), 1, "and its end is told");
    assert!(!log.everything().contains("hunter"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_a_warning_said_again_only_when_it_comes_to_matter() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let source = Script::of(std::iter::once(Step::Lasting(LIFETIME)).chain((0..30).map(|_| away())));
    let cache = cache(&source);
    cache.get().await.unwrap();
    pass(seconds(1_000)).await;
    let warnings = log.said(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("the current one serves on"));

    pass(seconds(100)).await;
    for _ in 0..10 {
        cache.get().await.unwrap_err();
        pass(seconds(30)).await;
    }
    let warnings = log.said(Level::WARN);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("503"));
    assert!(log.said(Level::ERROR).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_day_is_silent() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let source = Script::of([]);
    let cache = cache(&source);
    for _ in 0..100 {
        cache.get().await.unwrap();
        pass(seconds(100)).await;
    }
    for level in [Level::ERROR, Level::WARN, Level::INFO] {
        assert!(log.said(level).is_empty(), "{level}");
    }
    assert!(!log.said(Level::DEBUG).is_empty());
    assert!(log.everything().contains("token.fetch"));
    assert!(!log.everything().contains("hunter"));
}

#[tokio::test(start_paused = true)]
async fn too_many_forced_renewals_are_one_warning() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let source = Script::of([]);
    let cache = cache(&source);
    for _ in 0..50 {
        let token = cache.get().await.unwrap();
        let _ = cache.replace(&token).await;
    }
    let warnings = log.said(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("renewed_too_often"));
}

#[tokio::test(start_paused = true)]
async fn a_person_who_has_to_log_in_is_called_once_with_the_command() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let refused = TokenError::NeedsLogin { credential: "zpax".to_owned(), refused: Some("invalid_grant".to_owned()) };
    let steps = [Step::Lasting(LIFETIME), Step::Fail(refused)].into_iter().chain((0..5).map(|_| nobody_logged_in()));
    let source = Script::of(steps);
    let cache = cache(&source);
    cache.get().await.unwrap();
    // While the first token still serves, when it has ended, and again and again after.
    for _ in 0..12 {
        pass(seconds(100)).await;
        let _ = cache.get().await;
    }
    let errors = log.said(Level::ERROR);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("bearer-proxy login zpax") && errors[0].contains("invalid_grant"), "{errors:?}");
    assert!(log.said(Level::WARN).is_empty());
}
