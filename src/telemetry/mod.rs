//! What can be seen from outside: diagnostics, the access log, metrics. Never a header value, a query or a token.

pub mod settings;
