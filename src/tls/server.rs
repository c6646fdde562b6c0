//! Listeners: our certificate, and whose certificates callers must show.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::identity::Identity;
use super::{IdentitySettings, TlsError, pem, provider};

/// A listener's configuration: HTTP/1.1 by ALPN, sessions resumed, the certificate read again when its files change.
/// With `client_ca`, a certificate of the caller is required and verified with the roots in that file.
///
/// # Errors
///
/// A file cannot be used, or the key is not the certificate's.
pub fn server_config(identity: &IdentitySettings, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        Some(path) => builder.with_client_cert_verifier(callers(path)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Identity::load(identity)?);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(Arc::new(config))
}

fn callers(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| pem::refused(path, format!("a certificate in it cannot be a root: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| pem::refused(path, format!("cannot be used to verify callers: {error}")))
}

/// For callers without tickets; a session is under 1 KiB. rustls's own 256 is less than one busy second.
const SESSIONS: usize = 4096;
