//! Parts of a request's way, each by itself.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bearer_proxy::config;
use bearer_proxy::route::{Matcher, RouteTable};
use bearer_proxy::server::settings::ListenerLimits;
use bearer_proxy::server::strict::{self, Limits};
use bearer_proxy::telemetry::settings::LogFormat;
use bearer_proxy::telemetry::{Metrics, Record};
use bearer_proxy::token::{Moment, TokenCache};
use http::{HeaderMap, Method, Request};
use tokio::runtime::{Builder, Runtime};

use super::allocations::Allocated;
use super::cases::{CASES, Case};
use super::rig::{self, Cost, RECORD, median};

/// One part.
pub struct Part {
    pub name: &'static str,
    pub what: &'static str,
    prepare: fn(&Runtime) -> Prepared,
}

/// A part that is ready to be measured.
struct Prepared {
    work: Box<dyn FnMut()>,
    /// Done after each [`BATCH`], uncounted.
    settle: Box<dyn Fn()>,
}

impl<F: FnMut() + 'static> From<F> for Prepared {
    fn from(work: F) -> Self {
        Self { work: Box::new(work), settle: Box::new(|| ()) }
    }
}

/// So many are done in a row: lines that the access log's writer is not called for, whenever it may come by itself.
const BATCH: usize = 64;

/// All of them.
pub const PARTS: [Part; 9] = [
    Part { name: "head", what: "strict reader: a head of 3 fields", prepare: |_| head("W1") },
    Part { name: "head-browser", what: "strict reader: a head of 12 fields", prepare: |_| head("W1-browser") },
    Part { name: "route-1", what: "find the route, 1 there is", prepare: |_| route(1) },
    Part { name: "route-10000", what: "find the route among 10,000", prepare: |_| route(10_000) },
    Part { name: "clocks", what: "look at both clocks", prepare: |_| (|| _ = black_box(Moment::now())).into() },
    Part { name: "token", what: "take the current token (clock not included)", prepare: current },
    Part { name: "authorize", what: "write a token onto a head, and drop both", prepare: authorize },
    Part { name: "line-text", what: "an access-log line, text", prepare: |_| line(LogFormat::Text) },
    Part { name: "line-json", what: "an access-log line, JSON", prepare: |_| line(LogFormat::Json) },
];

impl Part {
    /// Does it `count` times, after a warm-up.
    pub fn run(&self, count: usize) -> Cost {
        // The token cache wants to be made on a runtime.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let Prepared { work: mut part, settle } = (self.prepare)(&runtime);
        for _ in 0..BATCH {
            part();
        }
        let (mut time, mut left) = (Duration::ZERO, count);
        while left > 0 {
            settle();
            let batch = left.min(BATCH);
            let began = Instant::now();
            rig::counted(|| {
                for _ in 0..batch {
                    part();
                }
            });
            time += began.elapsed();
            left -= batch;
        }
        let time = time / u32::try_from(count).unwrap();
        let allocated = (0..201).map(|_| {
            let before = Allocated::so_far();
            part();
            Allocated::so_far() - before
        });
        Cost { allocated: median(allocated.collect()), time }
    }
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

fn head(name: &str) -> Prepared {
    let head = case(name).request(0);
    let limits = Limits::from(&ListenerLimits::default());
    Prepared::from(move || {
        black_box(strict::check(black_box(&head), &limits).unwrap());
    })
}

fn route(count: usize) -> Prepared {
    let routes = (0..count).map(|number| {
        let path = format!("/r{number}/");
        (Matcher { host: None, path, methods: Vec::new(), headers: Vec::new() }, number)
    });
    let table = RouteTable::new(routes.collect()).unwrap();
    let (path, headers) = (format!("/r{}/s/200", count / 2), HeaderMap::new());
    Prepared::from(move || {
        black_box(table.find(black_box("127.0.0.1"), black_box(&path), &Method::GET, &headers).unwrap());
    })
}

fn current(runtime: &Runtime) -> Prepared {
    let (tokens, now) = (filled_cache(runtime), Moment::now());
    Prepared::from(move || drop(black_box(tokens.current(black_box(now)).unwrap())))
}

fn authorize(runtime: &Runtime) -> Prepared {
    let token = filled_cache(runtime).current(Moment::now()).unwrap();
    Prepared::from(move || {
        let mut head = Request::new(());
        token.authorize(&mut head);
        drop(black_box(head));
    })
}

fn filled_cache(runtime: &Runtime) -> Arc<TokenCache> {
    let config = config::parse(&case("W1").file(), Path::new("bench.yaml"), &|_| None).unwrap();
    let tokens = rig::tokens(&config, 0);
    runtime.block_on(tokens.get()).unwrap();
    tokens
}

fn line(format: LogFormat) -> Prepared {
    let log = rig::log(format, &Metrics::default());
    let record = Record { ended: SystemTime::now(), ..RECORD };
    let settled = log.clone();
    Prepared { work: Box::new(move || log.record(black_box(&record))), settle: Box::new(move || settled.flush()) }
}
