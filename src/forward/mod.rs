//! One request's life.

pub mod settings;
