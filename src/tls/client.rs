//! Connections to somebody else's server: whose certificates count (RFC 5280), and who we are there.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::identity::Identity;
use super::{TlsError, TlsSettings, pem, provider};

/// A client configuration with the system's roots, those of `settings`, and its identity. No ALPN.
///
/// Sessions are resumed within one configuration: keep it, and share it among the connections to one upstream. A
/// changed identity is read again by the handshakes that need it.
///
/// # Errors
///
/// A file of `settings` cannot be used.
pub fn client_config(settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous() // rustls's word for a verifier that is not its own; these verify in full
        .with_custom_certificate_verifier(verifier(settings)?);
    Ok(match &settings.identity {
        Some(identity) => builder.with_client_cert_resolver(Identity::load(identity)?),
        None => builder.with_no_client_auth(),
    })
}

pub(super) fn verifier(settings: &TlsSettings) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let Some(path) = &settings.ca else {
        return match system() {
            Some(verifier) => Ok(verifier),
            None => bundled(&[]),
        };
    };
    let extra = pem::certificates(path)?;
    for certificate in &extra {
        let checked = RootCertStore::empty().add(certificate.clone());
        checked.map_err(|error| pem::refused(path, format!("a certificate in it cannot be a root: {error}")))?;
    }
    match system() {
        Some(_) => Ok(Arc::new(Verifier::new_with_extra_roots(extra, provider())?)),
        None => bundled(&extra),
    }
}

/// The one verifier with the system's roots alone: making it parses the whole bundle. `None`: the system has no roots
/// (an empty container), which is said once.
fn system() -> Option<Arc<dyn ServerCertVerifier>> {
    static SYSTEM: OnceLock<Option<Arc<dyn ServerCertVerifier>>> = OnceLock::new();
    let verifier = SYSTEM.get_or_init(|| match Verifier::new(provider()) {
        Ok(verifier) => Some(Arc::new(verifier)),
        Err(error) => {
            tracing::warn!(%error, "the system has no trusted roots: those of Mozilla, built in, are used");
            None
        }
    });
    verifier.clone()
}

/// Mozilla's roots as they were when this was built, and `extra`.
pub(super) fn bundled(extra: &[CertificateDer<'static>]) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(verifier)
}
