//! The proof that goes with a token which is bound to a key (RFC 9449 §7).

use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request};

use crate::secret::Secret;
use crate::token::dpop::{self, Claims, DPOP, Prover};

/// What a token's proofs are made with.
pub(super) struct Proof {
    prover: Arc<Prover>,
    /// The claim `ath`.
    digest: String,
}

impl Proof {
    /// Of this token.
    pub(super) fn new(prover: &Arc<Prover>, token: &Secret) -> Self {
        Self { prover: Arc::clone(prover), digest: dpop::digest_of(token) }
    }

    /// Writes a fresh proof onto a request that is otherwise ready. Its URL is the one that the upstream sees: the scheme of
    /// `origin`, the request's own `Host`.
    pub(super) fn write<B>(&self, request: &mut Request<B>, origin: &str) {
        let (scheme, authority) = origin.split_once("://").unwrap_or(("https", origin));
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(authority);
        let url = [scheme, "://", host, request.uri().path()].concat();
        let claims = Claims { method: request.method().as_str(), url: &url, origin, token: Some(&self.digest) };
        let proof = self.prover.prove(claims).and_then(|proof| HeaderValue::try_from(proof).ok());
        // Without one, the request goes with the empty one that is there, and the upstream says so.
        if let Some(mut proof) = proof {
            proof.set_sensitive(true);
            request.headers_mut().insert(DPOP, proof);
        }
    }

    /// Remembers the nonce that an upstream offers.
    pub(super) fn learn(&self, origin: &str, headers: &HeaderMap) {
        self.prover.learn(origin, headers);
    }
}
