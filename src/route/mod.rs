//! Request → what it leads to. Pure: no I/O, no clock, no configuration file.
//!
//! The table knows nothing of what it leads to (`T`). Matching never decodes: [`path`] has refused every path that
//! another reader could read differently (R40).

mod hosts;
mod index;
mod matcher;
pub mod path;
mod prefixes;
mod table;

pub use matcher::{HostPattern, Matcher};
pub use table::{Conflict, RouteTable};
