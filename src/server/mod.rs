//! Sockets: accept, TLS, strict reading of request heads, drain. Knows nothing of how many of it run.

pub mod settings;
pub mod strict;
