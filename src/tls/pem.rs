//! PEM files (RFC 7468): certificates and keys. What is wrong with one is said in words; what stands in it, never.

use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

/// The certificates of a file, in its order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| refused(path, "is damaged: this is no PEM (-----BEGIN CERTIFICATE-----)"))?;
    if certificates.is_empty() {
        return Err(refused(path, "holds no certificate: PEM with -----BEGIN CERTIFICATE----- is needed"));
    }
    Ok(certificates)
}

/// The first private key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    if is_encrypted(&text) {
        return Err(refused(
            path,
            "holds an encrypted private key, which is not read: decrypt it (openssl pkey -in … -out …)",
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            refused(path, "holds no private key: PEM with PKCS#8, PKCS#1 or SEC1 is needed")
        }
        // The parser's own words can quote the file.
        _ => refused(path, "is damaged: this is no PEM (-----BEGIN PRIVATE KEY-----)"),
    })
}

/// A [`TlsError::File`].
pub(super) fn refused(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.into() }
}

/// PKCS#8 (RFC 5958 section 3) says so in its label, the older form in a header (RFC 1421 section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark).is_some())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => refused(path, "no such file"),
        _ => refused(path, format!("cannot be read: {error}")),
    };
    let mut text = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(unreadable)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= MAX_FILE => Ok(text),
        _ => Err(refused(path, "is larger than 8 MiB: no certificates or key")),
    }
}

/// The bundles of whole systems are a quarter of a MiB.
const MAX_FILE: u64 = 8 * 1024 * 1024;
