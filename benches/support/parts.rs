//! Parts of a request's way, each by itself.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

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
    prepare: fn(&Runtime) -> Box<dyn FnMut()>,
}

/// All of them.
pub const PARTS: [Part; 9] = [
    Part { name: "head", what: "strict reader: a head of 3 fields", prepare: |_| head("W1") },
    Part { name: "head-browser", what: "strict reader: a head of 12 fields", prepare: |_| head("W1-browser") },
    Part { name: "route-1", what: "find the route, 1 there is", prepare: |_| route(1) },
    Part { name: "route-10000", what: "find the route among 10,000", prepare: |_| route(10_000) },
    Part { name: "clocks", what: "look at both clocks", prepare: |_| Box::new(|| _ = black_box(Moment::now())) },
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
        let mut part = (self.prepare)(&runtime);
        for _ in 0..64 {
            part();
        }
        let began = Instant::now();
        rig::counted(|| {
            for _ in 0..count {
                part();
            }
        });
        let time = began.elapsed() / u32::try_from(count).unwrap();
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

fn head(name: &str) -> Box<dyn FnMut()> {
    let head = case(name).request(0);
    let limits = Limits::from(&ListenerLimits::default());
    Box::new(move || {
        black_box(strict::check(black_box(&head), &limits).unwrap());
    })
}

fn route(count: usize) -> Box<dyn FnMut()> {
    let routes = (0..count).map(|number| {
        let path = format!("/r{number}/");
        (Matcher { host: None, path, methods: Vec::new(), headers: Vec::new() }, number)
    });
    let table = RouteTable::new(routes.collect()).unwrap();
    let (path, headers) = (format!("/r{}/s/200", count / 2), HeaderMap::new());
    Box::new(move || {
        black_box(table.find(black_box("127.0.0.1"), black_box(&path), &Method::GET, &headers).unwrap());
    })
}

fn current(runtime: &Runtime) -> Box<dyn FnMut()> {
    let (tokens, now) = (filled_cache(runtime), Moment::now());
    Box::new(move || drop(black_box(tokens.current(black_box(now)).unwrap())))
}

fn authorize(runtime: &Runtime) -> Box<dyn FnMut()> {
    let token = filled_cache(runtime).current(Moment::now()).unwrap();
    Box::new(move || {
        let (mut head, ()) = Request::new(()).into_parts();
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

fn line(format: LogFormat) -> Box<dyn FnMut()> {
    let log = rig::log(format, &Metrics::default());
    let record = Record { ended: SystemTime::now(), ..RECORD };
    Box::new(move || log.record(black_box(&record)))
}
