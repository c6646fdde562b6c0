//! Counts instructions: the bench runs itself under callgrind, once for a number of requests and once for twice as many.
//! The difference is those requests alone, without start-up, warm-up and end.

use std::process::Command;

/// Whether there is a callgrind.
pub fn can_be_counted() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// User-space instructions of one request (or of one of whatever `name` is), measured over `count`.
pub fn of(name: &str, count: usize) -> u64 {
    let once = total(name, count);
    let twice = total(name, count * 2);
    (twice - once) / u64::try_from(count).unwrap()
}

fn total(name: &str, count: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--run", name, &count.to_string()])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let total = log.lines().find_map(|line| line.split_once("Collected : "));
    total.unwrap_or_else(|| panic!("{log}")).1.trim().parse().unwrap()
}
