//! The promises of a cache, by topic. Time is paused throughout.

mod failure;
mod life;
mod log;
mod refusal;
mod sharing;
mod status;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::secret::Secret;
use crate::token::Inject;

/// What a source answers.
pub(super) enum Step {
    Lasting(Duration),
    Endless,
    Fail(TokenError),
    Panic,
    Never,
}

/// A source that answers as told, then with tokens of [`LIFETIME`], and takes `delay` for it.
pub(super) struct Script {
    steps: Mutex<VecDeque<Step>>,
    delay: Duration,
    fetches: AtomicUsize,
    times: Mutex<Vec<Instant>>,
    changed: AtomicBool,
    looks: AtomicUsize,
}

/// Fresh for 1,000 s, so that it is renewed at 800 s, give or take 30.
pub(super) const LIFETIME: Duration = Duration::from_secs(1_030);
pub(super) const WAIT: Duration = Duration::from_secs(10);

impl Script {
    pub(super) fn of(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Self::slow(Duration::ZERO, steps)
    }

    pub(super) fn slow(delay: Duration, steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        Arc::new(Self {
            steps: Mutex::new(steps.into_iter().collect()),
            delay,
            fetches: AtomicUsize::new(0),
            times: Mutex::new(Vec::new()),
            changed: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
        })
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }

    pub(super) fn looks(&self) -> usize {
        self.looks.load(SeqCst)
    }

    pub(super) fn change(&self) {
        self.changed.store(true, SeqCst);
    }

    pub(super) fn then(&self, step: Step) {
        self.steps.lock().unwrap().push_back(step);
    }

    /// The spans between one attempt and the next.
    pub(super) fn spans(&self) -> Vec<Duration> {
        self.times.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl TokenSource for Script {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + '_>> {
        Box::pin(async move {
            self.changed.store(false, SeqCst);
            self.times.lock().unwrap().push(Instant::now());
            let number = self.fetches.fetch_add(1, SeqCst) + 1;
            let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Lasting(LIFETIME));
            let issued = Moment::now();
            if self.delay > Duration::ZERO {
                sleep(self.delay).await;
            }
            let text = Secret::new(format!("hunter{number}"));
            let inject = [Inject::default()];
            match step {
                Step::Lasting(lifetime) => AccessToken::new(&text, &inject, issued, lifetime, None, None),
                Step::Endless => AccessToken::endless(&text, &inject),
                Step::Fail(error) => Err(error),
                Step::Panic => panic!("a source that panics"),
                Step::Never => std::future::pending().await,
            }
        })
    }

    fn has_changed(&self) -> bool {
        self.looks.fetch_add(1, SeqCst);
        self.changed.load(SeqCst)
    }
}

pub(super) fn cache(source: &Arc<Script>) -> Arc<TokenCache> {
    cache_on(source, Handle::current())
}

pub(super) fn cache_on(source: &Arc<Script>, runtime: Handle) -> Arc<TokenCache> {
    let source: Arc<Script> = Arc::clone(source);
    TokenCache::new("zpax", source, CacheSettings { wait: WAIT }, runtime)
}

/// Timers have a grain of a millisecond, and the wall clock goes on meanwhile.
#[track_caller]
pub(super) fn about(actual: Duration, expected: Duration) {
    assert!(actual.abs_diff(expected) < Duration::from_millis(50), "{actual:?}, not {expected:?}");
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn refused() -> Step {
    Step::Fail(TokenError::Refused { code: "invalid_client".to_owned(), description: None })
}

pub(super) fn nobody_logged_in() -> Step {
    Step::Fail(TokenError::NeedsLogin { credential: "zpax".to_owned(), refused: None })
}

pub(super) fn away() -> Step {
    Step::Fail(TokenError::Unreachable("connection refused".to_owned()))
}

/// Lets that much time pass, with everything that falls due in it.
pub(super) async fn pass(span: Duration) {
    sleep(span).await;
    settle().await;
}

/// Lets tasks that are ready run, without time passing.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// The number of the fetch a token came from.
pub(super) fn number(token: &AccessToken) -> usize {
    let mut head = http::Request::get("/").body(()).unwrap();
    token.authorize(&mut head);
    head.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer hunter").parse().unwrap()
}

pub(super) fn current(cache: &Arc<TokenCache>) -> Option<usize> {
    cache.current(Moment::now()).map(|token| number(&token))
}

/// Moves the clock without letting timers fire in between.
pub(super) async fn jump(span: Duration) {
    advance(span).await;
}
