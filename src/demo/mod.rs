//! The authorization servers and APIs of `bearer-proxy demo`; tests use them too.
