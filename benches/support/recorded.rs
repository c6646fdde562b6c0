//! Figures that were written down, to be compared with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::json;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Figures {
    pub instructions: Option<u64>,
    pub allocations: u64,
    pub bytes: u64,
}

/// A table, and what it was made with.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    /// As `rustc --version` says it.
    compiler: String,
    /// See [`machine`].
    machine: Option<String>,
    rows: BTreeMap<String, Figures>,
}

impl Recorded {
    /// What `benches/recorded.json` says.
    pub fn load() -> Self {
        serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
    }

    /// Puts these in its place.
    pub fn save(rows: &[(&str, Figures)]) {
        let rows: serde_json::Map<_, _> = rows
            .iter()
            .map(|(name, figures)| {
                let Figures { instructions, allocations, bytes } = figures;
                let row = json!({"instructions": instructions, "allocations": allocations, "bytes": bytes});
                ((*name).to_owned(), row)
            })
            .collect();
        let text =
            serde_json::to_string_pretty(&json!({"compiler": compiler(), "machine": machine(), "rows": rows})).unwrap();
        std::fs::write(path(), text + "\n").unwrap();
    }

    /// What is not as it was: another number of allocations or of their bytes, or instructions more than two percent
    /// away in either direction. Instructions of another compiler, or for another machine, say nothing about ours.
    pub fn differences(&self, rows: &[(&str, Figures)]) -> Vec<String> {
        let comparable = self.is_comparable();
        let mut differences = Vec::new();
        for (name, now) in rows {
            let Some(then) = self.rows.get(*name) else {
                differences.push(format!("{name}: not recorded"));
                continue;
            };
            if (now.allocations, now.bytes) != (then.allocations, then.bytes) {
                let (was, is) = ((then.allocations, then.bytes), (now.allocations, now.bytes));
                differences
                    .push(format!("{name}: {} allocations of {} B, recorded {} of {} B", is.0, is.1, was.0, was.1));
            }
            if let (Some(is), Some(was), true) = (now.instructions, then.instructions, comparable)
                && is.abs_diff(was) * 100 > was * TOLERANCE
                && is.abs_diff(was) > NOISE
            {
                differences.push(format!("{name}: {is} instructions, recorded {was}"));
            }
        }
        differences
    }

    fn is_comparable(&self) -> bool {
        let mut comparable = true;
        for (then, now) in [(Some(&self.compiler), compiler()), (self.machine.as_ref(), machine())] {
            if let Some(then) = then.filter(|then| **then != now) {
                println!("recorded with {then}, this is {now}: INSTRUCTIONS ARE NOT JUDGED");
                comparable = false;
            }
        }
        comparable
    }
}

/// Percent.
const TOLERANCE: u64 = 2;

/// A small part may differ by more percent, and mean nothing.
const NOISE: u64 = 10;

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "recorded.json"].iter().collect()
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(|_| "no rustc".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What chooses among variants of `memcpy` and the like: architecture, C library, and what valgrind says of the
/// processor, which is one and the same wherever there is AVX2.
fn machine() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let library = output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().into());
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx2") { "AVX2" } else { "no AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "other vectors";
    format!("{}, {vectors}, {library}", std::env::consts::ARCH)
}
