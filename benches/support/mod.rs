//! What the benches are made of.

pub mod allocations;
pub mod cases;
pub mod instructions;
pub mod parts;
pub mod recorded;
pub mod rig;
