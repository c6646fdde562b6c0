//! What one request costs us, without sockets: instructions, allocations, and roughly time. `benches/README.md` says what
//! the figures mean.
//!
//! Everything a request meets is there (strict reader, hyper, routes, token, pool, metrics, access log); what is missing
//! is the kernel, which costs the same whatever we do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench that fails says where")]
#![allow(clippy::as_conversions, reason = "a bench counts small things")]
#![allow(unreachable_pub, reason = "a bench has no outside")]

mod support;

use std::process::ExitCode;

use bearer_proxy::forward::{self, Downstream, Forwarder};
use bearer_proxy::server::{Serving, serve_stream};
use hyper::Request;
use hyper::body::Incoming;
use support::cases::CASES;
use support::instructions;
use support::parts::PARTS;
use support::recorded::{Figures, Recorded};
use support::rig::{self, Cost};
use tokio::io::DuplexStream;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// Requests under callgrind; none: no instructions are counted.
    counted: usize,
    /// Requests and parts for time and allocations.
    requests: usize,
    parts: usize,
}

const FULL: Effort = Effort { counted: 2_000, requests: 20_000, parts: 20_000 };
const SMOKE: Effort = Effort { counted: 0, requests: 200, parts: 200 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if let [run, name, count] = arguments.as_slice()
        && run == "--run"
    {
        // What callgrind looks at.
        measure(name, count.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if has("--list") {
        // Somebody collects tests; there are none.
        return ExitCode::SUCCESS;
    }
    if has("--smoke") || !has("--bench") {
        return smoke();
    }
    let rows = table(FULL);
    sizes();
    if has("--record") {
        Recorded::save(&rows);
    }
    if has("--check") {
        let differences = Recorded::load().differences(&rows);
        for difference in &differences {
            println!("{difference}");
        }
        return if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    ExitCode::SUCCESS
}

/// A case or a part, by its name.
fn measure(name: &str, count: usize) -> Cost {
    match CASES.iter().find(|case| case.name == name) {
        Some(case) => rig::run(case, count),
        None => PARTS.iter().find(|part| part.name == name).unwrap().run(count),
    }
}

/// All cases and parts.
fn table(effort: Effort) -> Vec<(&'static str, Figures)> {
    let counts = effort.counted > 0 && instructions::can_be_counted();
    if effort.counted > 0 && !counts {
        println!("there is no valgrind: instructions are not counted");
    }
    println!("{:<14} {:>12} {:>11} {:>9} {:>9}", "", "instructions", "allocations", "bytes", "ns");
    let mut rows = Vec::new();
    let mut row = |name, what, count: usize, counted: usize| {
        let Cost { allocated, time } = measure(name, count);
        let instructions = counts.then(|| instructions::of(name, counted));
        let shown = instructions.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (count, bytes, time) = (allocated.count, allocated.bytes, time.as_nanos());
        println!("{name:<14} {shown:>12} {count:>11} {bytes:>9} {time:>9}   {what}");
        rows.push((name, Figures { instructions, allocations: count, bytes }));
    };
    for case in &CASES {
        row(case.name, case.what, case.count(effort.requests), case.count(effort.counted));
    }
    for part in &PARTS {
        row(part.name, part.what, effort.parts, effort.counted);
    }
    rows
}

/// What a connection, and a request on it, hold in memory as futures.
fn sizes() {
    fn of_output<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    // What has come lies with it.
    fn handle(
        forwarder: &'static Forwarder,
        request: Request<Incoming>,
        downstream: &'static Downstream,
    ) -> impl Future {
        let (passing, body) = forward::receive(request);
        let mut passing = Some(passing);
        async move { forwarder.handle(&mut passing, body, downstream).await.response.status() }
    }
    let connection = of_output(|stream: DuplexStream, peer, serving: Serving| serve_stream(stream, peer, serving));
    println!("\nfutures: a request {} B, a whole connection {connection} B", of_output(handle));
    let w1 = CASES.iter().find(|case| case.name == "W1").unwrap();
    let (answered, parked) = rig::held_by_a_connection(w1);
    println!("held by a connection that has answered: {answered} B; parked: {parked} B");
    assert!((1..PARKED_MAX).contains(&parked), "a parked connection holds {parked} B");
}

/// Half a buffer of hyper's: none is to be left.
const PARKED_MAX: i64 = 4096;

/// A short run that fails when a figure cannot be right.
fn smoke() -> ExitCode {
    let rows = table(SMOKE);
    sizes();
    let allocations = |wanted: &str| {
        let row = rows.iter().find(|(name, _)| *name == wanted);
        row.map(|(_, figures)| figures.allocations).unwrap()
    };
    assert_eq!(allocations("floor"), 0, "the harness allocates");
    for part in ["head", "head-browser", "route-1", "route-10000", "clocks", "token", "line-text", "line-json"] {
        assert_eq!(allocations(part), 0, "{part} allocates");
    }
    assert!((1..100).contains(&allocations("W1")), "{} allocations for W1", allocations("W1"));
    assert_eq!(allocations("W1"), allocations("W1-off"), "the access log allocates");
    assert!(allocations("401") > allocations("W1"));
    if instructions::can_be_counted() {
        let counted = instructions::of("W1", 100);
        println!("W1: {counted} instructions");
        assert!((5_000..1_000_000).contains(&counted));
    }
    ExitCode::SUCCESS
}
