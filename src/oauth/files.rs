//! Whether the files that a credential's secrets are read from have changed.
//!
//! Looks at their metadata, never at their contents: it is asked often while a refusal is remembered.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

use super::settings::{ClientAuthSettings, CredentialSettings, GrantSettings, ParamValue};
use crate::secret::SecretSource;

/// A mark of the files as they are now: another one means that something has changed.
pub(super) fn fingerprint(settings: &CredentialSettings) -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in sources(settings) {
        source.files().for_each(|path| look_at(path, &mut hasher));
    }
    let tls = &settings.request.tls;
    let identity = tls.identity.iter().flat_map(|identity| [&identity.certificate, &identity.private_key]);
    tls.ca.iter().chain(identity).for_each(|path| look_at(path, &mut hasher));
    hasher.finish()
}

/// Every value of a credential that may be read from a file.
fn sources(settings: &CredentialSettings) -> Vec<&SecretSource> {
    let mut sources: Vec<&SecretSource> = settings.client_id.iter().collect();
    match &settings.grant {
        GrantSettings::ClientCredentials => {}
        GrantSettings::Password { username, password } => sources.extend([username, password]),
        GrantSettings::RefreshToken { refresh_token } => sources.push(refresh_token),
        GrantSettings::Static { token } => sources.push(token),
    }
    match &settings.client_auth {
        ClientAuthSettings::None => {}
        ClientAuthSettings::SecretBasic { secret, .. } | ClientAuthSettings::SecretPost { secret } => {
            sources.push(secret);
        }
    }
    sources.extend(settings.request.headers.iter().map(|(_, value)| value));
    let params = settings.request.params.iter().chain(&settings.request.refresh_params);
    params.for_each(|(_, value)| texts(value, &mut sources));
    sources
}

fn texts<'a>(value: &'a ParamValue, sources: &mut Vec<&'a SecretSource>) {
    match value {
        ParamValue::Text(text) => sources.push(text),
        ParamValue::List(values) => values.iter().for_each(|value| texts(value, sources)),
        ParamValue::Bool(_) | ParamValue::Number(_) => {}
    }
}

/// A file that cannot be looked at is a state too: it changes when it can.
fn look_at(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let Ok(metadata) = path.metadata() else { return 0_u8.hash(hasher) };
    metadata.modified().ok().hash(hasher);
    metadata.len().hash(hasher);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // A mounted secret is swapped by a link to another file, with whatever time and length.
        (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    }
}
