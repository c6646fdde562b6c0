//! A certificate chain with its key, read again when its files change.
//!
//! Handshakes look for themselves, at most once a second: no timer has to be owned, and an identity that nobody uses
//! costs nothing. Looking is two `stat` calls. A new pair that cannot be used is warned of once, and the old one kept:
//! half a renewal (the certificate written, the key not yet) must not take a listener down.

use std::fs::Metadata;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{IdentitySettings, TlsError, pem};

/// Who we are in a handshake, on either side.
#[derive(Debug)]
pub(super) struct Identity {
    settings: IdentitySettings,
    pub(super) current: ArcSwap<CertifiedKey>,
    seen: Mutex<Seen>,
}

/// What the files looked like when they were last read.
#[derive(Debug)]
struct Seen {
    at: Instant,
    certificate: Option<Stamp>,
    private_key: Option<Stamp>,
}

impl Identity {
    /// Reads both files.
    pub(super) fn load(settings: &IdentitySettings) -> Result<Arc<Self>, TlsError> {
        // Stamps first: a change while reading is then seen as one.
        let seen = Seen::now(settings);
        let current = ArcSwap::from_pointee(read(settings)?);
        Ok(Arc::new(Self { settings: settings.clone(), current, seen: Mutex::new(seen) }))
    }

    /// The pair to show.
    fn current(&self) -> Arc<CertifiedKey> {
        self.reload_if_changed(LOOK_EVERY);
        self.current.load_full()
    }

    /// Reads the files again if they are not what they were, unless the last look was less than `every` ago.
    pub(super) fn reload_if_changed(&self, every: Duration) {
        // Held: somebody else is looking, and nobody waits for that.
        if let Ok(mut seen) = self.seen.try_lock()
            && seen.at.elapsed() >= every
        {
            self.reload_if_unlike(&mut seen);
        }
    }

    fn reload_if_unlike(&self, seen: &mut Seen) {
        let now = Seen::now(&self.settings);
        let changed = now.certificate != seen.certificate || now.private_key != seen.private_key;
        *seen = now;
        if !changed {
            return;
        }
        let certificate = self.settings.certificate.display();
        match read(&self.settings) {
            Ok(new) => {
                self.current.store(Arc::new(new));
                tracing::info!(%certificate, "the certificate has changed and was read again");
            }
            Err(error) => {
                tracing::warn!(%certificate, %error, "the changed certificate cannot be used, the old one is kept");
            }
        }
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Seen {
    fn now(settings: &IdentitySettings) -> Self {
        Self {
            at: Instant::now(),
            certificate: Stamp::of(&settings.certificate),
            private_key: Stamp::of(&settings.private_key),
        }
    }
}

/// What tells one version of a file from another. The number catches a link that was turned to a file of the same age,
/// as Kubernetes does with mounted secrets.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), number: number(&metadata) })
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_metadata: &Metadata) -> u64 {
    0
}

fn read(settings: &IdentitySettings) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(&settings.certificate)?;
    let key = pem::private_key(&settings.private_key)?;
    CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| unusable(settings, &error))
}

fn unusable(settings: &IdentitySettings, error: &rustls::Error) -> TlsError {
    let IdentitySettings { certificate, private_key } = settings;
    match error {
        rustls::Error::InconsistentKeys(_) => {
            pem::refused(private_key, format!("is not the key of the first certificate in {}", certificate.display()))
        }
        rustls::Error::InvalidCertificate(_) => {
            pem::refused(certificate, format!("its first certificate cannot be used: {error}"))
        }
        _ => pem::refused(private_key, format!("its key cannot be used: {error}")),
    }
}

/// A renewed certificate is in use this soon after its files are in place.
const LOOK_EVERY: Duration = Duration::from_secs(1);
