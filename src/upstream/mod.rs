//! Talking to an API: where it is, TLS, connections and their pool.

pub mod settings;
