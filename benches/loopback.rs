//! The whole proxy on real sockets of this machine, beside no proxy at all and beside a forwarder of bytes: requests a
//! second, CPU time a request, latency, memory. `benches/README.md` says what the figures mean.
//!
//! Proxy, forwarder and upstream are children of this process and of this very binary; the load is made here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench that fails says where")]
#![allow(clippy::as_conversions, reason = "a bench counts small things")]
#![allow(unreachable_pub, reason = "a bench has no outside")]

#[path = "loopback/child.rs"]
mod child;
#[path = "loopback/load.rs"]
mod load;
#[path = "loopback/serve.rs"]
mod serve;
#[path = "loopback/storm.rs"]
mod storm;

use std::process::ExitCode;
use std::time::Duration;

use child::{Child, Cpu};
use load::Load;

/// As in `bearer-proxy` itself.
#[global_allocator]
static ALLOCATOR: bearer_proxy::allocator::Allocator = bearer_proxy::allocator::Allocator;

/// Kept-alive connections, unless said otherwise.
const CONNECTIONS: usize = 64;

/// The same, of a storm: requests that are with the upstream when the token is revoked.
const IN_A_STORM: usize = 1000;

/// One kind of request. The names are those of the shared harness.
struct Workload {
    name: &'static str,
    what: &'static str,
    sends: usize,
    gets: usize,
}

const WORKLOADS: [Workload; 4] = [
    Workload { name: "W1", what: "GET, 200 B back", sends: 0, gets: 200 },
    Workload { name: "W2", what: "GET, 1 KiB back", sends: 0, gets: 1024 },
    Workload { name: "W3", what: "POST of 4 KiB, 200 B back", sends: 4096, gets: 200 },
    Workload { name: "W4", what: "GET, 100 KiB back", sends: 0, gets: 100 * 1024 },
];

/// What stands between load and upstream.
const TARGETS: [&str; 3] = ["direct", "forward", "proxy"];

/// What is to be done.
struct Plan {
    workloads: Vec<&'static Workload>,
    rounds: usize,
    seconds: f64,
    /// Threads of forwarder and proxy.
    workers: usize,
    /// `workers.model` of the proxy.
    model: String,
    connections: usize,
    /// Forwarder or proxy alone on the first core, the rest on the second.
    pinned: bool,
}

/// One target under one workload, once.
#[derive(Clone, Copy)]
struct Sample {
    per_second: f64,
    /// Of forwarder or proxy, microseconds a request.
    cpu: Option<Cpu>,
    p50: Duration,
    p99: Duration,
    /// Of forwarder or proxy at its largest, KiB.
    memory: Option<u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, rest @ ..] = arguments.as_slice()
        && child == "--child"
    {
        serve::run(rest);
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        // Somebody collects tests; there are none.
        return ExitCode::SUCCESS;
    }
    let plan = Plan::of(&arguments);
    if plan.pinned {
        child::pin_myself();
    }
    if arguments.iter().any(|argument| argument == "--storm") {
        storm::run(&plan);
        return ExitCode::SUCCESS;
    }
    println!(
        "{:<4} {:<8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "", "", "req/s", "cpu us", "user", "sys", "p50 us", "p99 us", "peak MiB"
    );
    for workload in &plan.workloads {
        let mut samples: [Vec<Sample>; TARGETS.len()] = Default::default();
        for round in 0..plan.rounds {
            // Each round begins with another one: what disturbs the machine disturbs all alike.
            for turn in 0..TARGETS.len() {
                let target = (round + turn) % TARGETS.len();
                samples[target].push(sample(TARGETS[target], workload, &plan));
            }
        }
        for (target, samples) in TARGETS.iter().zip(&mut samples) {
            print(workload, target, median(samples));
        }
    }
    ExitCode::SUCCESS
}

impl Plan {
    fn of(arguments: &[String]) -> Self {
        let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
        let value = |wanted: &str| {
            let at = arguments.iter().position(|argument| argument == wanted)?;
            arguments.get(at + 1).cloned()
        };
        if has("--smoke") || !has("--bench") {
            let (workloads, model) = (vec![&WORKLOADS[0]], "shared".to_owned());
            return Self {
                workloads,
                rounds: 1,
                seconds: 0.3,
                workers: 1,
                model,
                connections: CONNECTIONS,
                pinned: false,
            };
        }
        let connections = if has("--storm") { IN_A_STORM } else { CONNECTIONS };
        let names = value("--workloads");
        let wanted = |workload: &&Workload| names.as_ref().is_none_or(|names| names.contains(workload.name));
        Self {
            workloads: WORKLOADS.iter().filter(wanted).collect(),
            rounds: value("--rounds").map_or(3, |text| text.parse().unwrap()),
            seconds: value("--seconds").map_or(2.0, |text| text.parse().unwrap()),
            workers: value("--workers").map_or(1, |text| text.parse().unwrap()),
            model: value("--model").unwrap_or_else(|| "shared".to_owned()),
            connections: value("--connections").map_or(connections, |text| text.parse().unwrap()),
            pinned: has("--pin"),
        }
    }
}

/// Starts all of it, warms up, measures, stops all of it.
fn sample(target: &str, workload: &Workload, plan: &Plan) -> Sample {
    let (first, second) = if plan.pinned { (Some(0), Some(1)) } else { (None, None) };
    let upstream = Child::start(&["upstream".to_owned(), workload.gets.to_string()], second);
    let (workers, model) = (plan.workers.to_string(), plan.model.clone());
    let between = (target != "direct")
        .then(|| Child::start(&[target.to_owned(), upstream.address.to_string(), workers, model], first));
    let address = between.as_ref().map_or(upstream.address, |child| child.address);
    // The proxy has its own token; without one, the load has to bring it.
    let request = load::request(address, workload.sends, target != "proxy");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut load = Load::connect(address, plan.connections, request).await;
        load.run(Duration::from_millis(200)).await;
        let before = between.as_ref().map(Child::cpu);
        let outcome = load.run(Duration::from_secs_f64(plan.seconds)).await;
        let cpu = between.as_ref().zip(before).map(|(child, before)| (child.cpu() - before).each(outcome.requests()));
        Sample {
            per_second: outcome.requests() as f64 / outcome.elapsed.as_secs_f64(),
            cpu,
            p50: outcome.percentile(0.5),
            p99: outcome.percentile(0.99),
            memory: between.as_ref().map(Child::peak_memory),
        }
    })
}

/// The sample whose CPU time (or rate, where there is none) is in the middle.
fn median(samples: &mut [Sample]) -> Sample {
    samples.sort_by(|one, other| one.order().total_cmp(&other.order()));
    samples[samples.len() / 2]
}

impl Sample {
    fn order(&self) -> f64 {
        self.cpu.map_or(self.per_second, |cpu| cpu.user + cpu.system)
    }
}

fn print(workload: &Workload, target: &str, sample: Sample) {
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
    println!(
        "{:<4} {target:<8} {:>9.0} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}   {}",
        workload.name,
        sample.per_second,
        number(sample.cpu.map(|cpu| cpu.user + cpu.system)),
        number(sample.cpu.map(|cpu| cpu.user)),
        number(sample.cpu.map(|cpu| cpu.system)),
        sample.p50.as_micros(),
        sample.p99.as_micros(),
        number(sample.memory.map(|kib| kib as f64 / 1024.0)),
        workload.what,
    );
}
