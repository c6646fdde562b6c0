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
        let text = serde_json::to_string_pretty(&json!({"compiler": compiler(), "rows": rows})).unwrap();
        std::fs::write(path(), text + "\n").unwrap();
    }

    /// What is not as it was: another number of allocations or of their bytes, or instructions more than two percent
    /// away in either direction. Instructions of another compiler say nothing about ours.
    pub fn differences(&self, rows: &[(&str, Figures)]) -> Vec<String> {
        let same_compiler = self.compiler == compiler();
        if !same_compiler {
            println!("recorded with {}, this is {}: instructions are not judged", self.compiler, compiler());
        }
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
            if let (Some(is), Some(was), true) = (now.instructions, then.instructions, same_compiler)
                && is.abs_diff(was) * 100 > was * TOLERANCE
                && is.abs_diff(was) > NOISE
            {
                differences.push(format!("{name}: {is} instructions, recorded {was}"));
            }
        }
        differences
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
