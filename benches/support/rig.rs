//! A whole proxy without sockets: a client and an upstream, as simple as they can be, at the far ends of two pipes in
//! memory, and between them everything that a request meets in the real thing.
//!
//! All of it runs on one thread. Client and upstream look at their first message, and from then on only count bytes:
//! every further one is as long.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bearer_proxy::config::{self, Config};
use bearer_proxy::forward::{Forwarder, Target, TargetMetrics};
use bearer_proxy::oauth::OAuthClient;
use bearer_proxy::route::RouteTable;
use bearer_proxy::server::{Serving, serve_stream};
use bearer_proxy::telemetry::settings::LogFormat;
use bearer_proxy::telemetry::{AccessLog, Metrics, Record, TokenAction};
use bearer_proxy::token::store::MemoryStore;
use bearer_proxy::token::{CacheSettings, TokenCache, Tokens};
use bearer_proxy::upstream::{Environment, Upstream};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::allocations::{self, Allocated};
use super::cases::{Case, token};

/// What a run has cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// By one request: the median of all.
    pub allocated: Allocated,
    /// By one request: the whole run, divided.
    pub time: Duration,
}

/// Sends `count` requests, one after the other, after a warm-up.
pub fn run(case: &Case, count: usize) -> Cost {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let routes = case.routes();
    let mut client = runtime.block_on(async {
        let mut client = Client::start(case).await;
        let warm_up = if case.refuses { routes } else { 64 };
        for turn in 0..warm_up {
            client.exchange(turn % routes).await;
        }
        client
    });
    let mut allocated = Vec::with_capacity(count);
    let began = Instant::now();
    counted(|| {
        runtime.block_on(async {
            for turn in 0..count {
                let before = Allocated::so_far();
                client.exchange(turn % routes).await;
                allocated.push(Allocated::so_far() - before);
            }
        });
    });
    let time = began.elapsed() / u32::try_from(count).unwrap();
    Cost { allocated: median(allocated), time }
}

/// What a connection holds in memory, its pipe included: with the answer it has just given, and when it has been parked.
pub fn held_by_a_connection(case: &Case) -> (i64, i64) {
    const MANY: i64 = 100;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut first = Client::start(case).await;
        first.exchange(0).await;
        // Its own place among them is made before.
        let mut clients = Vec::with_capacity(usize::try_from(MANY).unwrap());
        let serving = serving(case).await;
        let before = allocations::held();
        for _ in 0..MANY {
            let (stream, far) = pipe();
            tokio::spawn(serve_stream(far, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), serving.clone()));
            first.stream = stream;
            first.exchange(0).await;
            clients.push(std::mem::replace(&mut first.stream, pipe().0));
        }
        let held = || (allocations::held() - before) / MANY;
        let answered = held();
        tokio::time::sleep(Duration::from_secs(2)).await;
        (answered, held())
    })
}

/// Does it. Callgrind knows this function by its name, and counts nothing outside.
#[inline(never)]
pub fn counted(work: impl FnOnce()) {
    work();
    // Behind the work, so that it is a call and no jump.
    std::hint::black_box(());
}

/// Not all are equal: the log's buffer grows now and then, depending on when its writer comes by.
pub fn median(mut all: Vec<Allocated>) -> Allocated {
    all.sort_by_key(|one| (one.count, one.bytes));
    all[all.len() / 2]
}

/// The downstream.
struct Client {
    stream: DuplexStream,
    requests: Vec<Vec<u8>>,
    /// Of an answer, once there has been one.
    length: Option<usize>,
    buffer: Vec<u8>,
}

impl Client {
    async fn start(case: &Case) -> Self {
        let (stream, far) = pipe();
        if case.direct {
            tokio::spawn(Responder::new(case, Arc::default()).serve(far));
        } else {
            let serving = serving(case).await;
            tokio::spawn(serve_stream(far, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), serving));
        }
        let requests = (0..case.routes()).map(|route| case.request(route)).collect();
        Self { stream, requests, length: None, buffer: vec![0; PIPE] }
    }

    async fn exchange(&mut self, route: usize) {
        self.stream.write_all(&self.requests[route]).await.unwrap();
        let mut come = 0;
        while self.length.is_none_or(|length| come < length) {
            let read = self.stream.read(&mut self.buffer[come..]).await.unwrap();
            assert!(read > 0, "the proxy closed: {}", String::from_utf8_lossy(&self.buffer[..come]));
            come += read;
            if self.length.is_none() {
                self.length = length_of(&self.buffer[..come]);
            }
        }
        assert_eq!(Some(come), self.length);
        assert!(self.buffer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&self.buffer[..come]));
    }
}

/// The upstream's side of one connection.
struct Responder {
    answer: Vec<u8>,
    refusal: Option<Vec<u8>>,
    /// How many requests have come to this upstream, on whichever connection.
    come: Arc<AtomicUsize>,
    wanted: Option<String>,
}

impl Responder {
    fn new(case: &Case, come: Arc<AtomicUsize>) -> Self {
        Self {
            answer: case.answer(),
            refusal: case.refuses.then(|| case.refusal()),
            come,
            wanted: (!case.direct).then(|| format!("authorization: Bearer {}\r\n", token())),
        }
    }

    async fn serve(self, mut stream: DuplexStream) {
        let mut buffer = vec![0; PIPE];
        let mut length = None;
        loop {
            let mut come = 0;
            while length.is_none_or(|length| come < length) {
                let Ok(read @ 1..) = stream.read(&mut buffer[come..]).await else { return };
                come += read;
                if length.is_none() {
                    length = length_of(&buffer[..come]);
                    self.check(&buffer[..come], length);
                }
            }
            let turn = self.come.fetch_add(1, Ordering::Relaxed);
            let answer = self.refusal.as_ref().filter(|_| turn.is_multiple_of(2)).unwrap_or(&self.answer);
            stream.write_all(answer).await.unwrap();
        }
    }

    /// Without the right token it would be no measurement.
    fn check(&self, bytes: &[u8], length: Option<usize>) {
        if let (Some(wanted), Some(_)) = (&self.wanted, length) {
            assert!(memmem::find(bytes, wanted.as_bytes()).is_some(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}

/// The length of a message whose head is there.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body =
        text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
    Some(head + body)
}

/// What `bearer-proxy run` would make of the case's file, with pipes for upstreams and a log that goes nowhere.
async fn serving(case: &Case) -> Serving {
    let config = config::parse(&case.file(), Path::new("bench.yaml"), &|_| None).unwrap();
    let metrics = Metrics::default();
    let log = case.log.map_or_else(AccessLog::off, |format| log(format, &metrics));
    let mut routes = Vec::new();
    for route in 0..config.routes.len() {
        let target = target(&config, route, case, &metrics).await;
        routes.push((config.routes[route].matcher.clone(), Arc::new(target)));
    }
    let forwarder = Forwarder::new(RouteTable::new(routes).unwrap(), "bearer-proxy-bench", log);
    Serving::new(&config.listeners[0], None, Arc::new(forwarder), None)
}

/// An access log that goes nowhere, and whose buffers are as large as they will ever be: they grow and are swapped as its
/// writer thread comes by, and no two runs would cost the same.
pub fn log(format: LogFormat, metrics: &Metrics) -> AccessLog {
    let log = AccessLog::to(io::sink(), format, metrics).unwrap();
    let path = "x".repeat(2000);
    for _ in 0..8 {
        for _ in 0..400 {
            log.record(&Record { path: &path, ..RECORD });
        }
        log.flush();
    }
    log
}

/// Of a request as in W1.
pub const RECORD: Record<'static> = Record {
    method: "GET",
    route: Some("api0"),
    path: "/api0/s/200",
    status: 200,
    bytes_sent: 200,
    bytes_received: 0,
    duration: Duration::from_micros(413),
    ended: SystemTime::UNIX_EPOCH,
    attempts: 1,
    token: TokenAction::Cached,
    request_id: None,
    error: None,
};

async fn target(config: &Config, route: usize, case: &Case, metrics: &Metrics) -> Target {
    let settings = &config.routes[route];
    let counted = metrics.upstream("127.0.0.1:9");
    let opened = Arc::clone(&counted);
    let upstream =
        Upstream::new(&settings.upstream, &Environment::new(), Arc::new(move || Box::new(opened.opened()))).unwrap();
    let come = Arc::default();
    // A second one: while the rest of a refusal is read from the first, the request goes out again.
    for _ in 0..2 {
        let (near, far) = pipe();
        tokio::spawn(Responder::new(case, Arc::clone(&come)).serve(far));
        upstream.adopt(near).await.unwrap();
    }
    let tokens = tokens(config, settings.credential.unwrap());
    let metrics = TargetMetrics { route: metrics.route(&settings.target.name), upstream: counted };
    Target::new(settings.target.clone(), upstream, Some(Tokens::Shared(tokens)), metrics)
}

/// The cache of one of a file's credentials.
pub fn tokens(config: &Config, credential: usize) -> Arc<TokenCache> {
    let settings = config.credentials[credential].settings.clone();
    let name = settings.name.clone();
    let cache = CacheSettings { wait: settings.request.timeout };
    let client = OAuthClient::new(settings, Arc::new(MemoryStore::default())).unwrap();
    TokenCache::new(&name, Arc::new(client), cache, tokio::runtime::Handle::current())
}

/// As much as a socket's buffers hold.
const PIPE: usize = 256 * 1024;

fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(PIPE)
}
