//! Counts instructions: the bench runs itself under callgrind, which collects in [`COUNTED`] alone. What comes before it
//! (start-up, warm-up) never costs the same twice: the allocator clears memory or need not, buffers grow or need not,
//! depending on where the system put them and on when a thread came by.

use std::process::Command;

/// What is counted: `rig::counted`, as callgrind calls it, and what it calls.
const COUNTED: &str = "hot_path::support::rig::counted*";

/// Whether there is a callgrind.
pub fn can_be_counted() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// User-space instructions of one request (or of one of whatever `name` is), measured over `count`: the median of three
/// runs.
pub fn of(name: &str, count: usize) -> u64 {
    let mut totals = [(); 3].map(|()| total(name, count));
    totals.sort_unstable();
    let total = totals[1];
    assert!(total > 0, "{name}: callgrind does not know {COUNTED}");
    total / u64::try_from(count).unwrap()
}

fn total(name: &str, count: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--run", name, &count.to_string()])
        // Freed memory goes back to the system when a clock says so, and clocks are slow under callgrind.
        .env("MIMALLOC_PURGE_DELAY", "-1")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let total = log.lines().find_map(|line| line.split_once("Collected : "));
    total.unwrap_or_else(|| panic!("{log}")).1.trim().parse().unwrap()
}
