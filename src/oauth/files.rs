//! Whether what a token is got with has changed: the files that a credential's secrets are read from, or what the store
//! keeps of it (somebody has logged in).
//!
//! Looks at the files' metadata, never at their contents: it is asked often while a refusal is remembered.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::settings::{
    ClientAuthSettings, CredentialSettings, DescribedBody, DescribedRequest, GrantSettings, ParamValue, SubjectSource,
};
use crate::secret::{Part, SecretSource};
use crate::token::store::TokenStore;

/// What the last fetch was made of, to be compared with what the next one would be.
#[derive(Default)]
pub(super) struct Seen(Mutex<Fetch>);

#[derive(Default)]
struct Fetch {
    /// The files as they were when it began; one that changed during a fetch may not have been read any more.
    files: Option<u64>,
    /// Where it looked in the store, and what was there when it had saved what it got.
    kept: Option<(String, u64)>,
}

impl Seen {
    /// A fetch begins.
    pub(super) fn begin(&self, settings: &CredentialSettings) {
        let files = Some(fingerprint(settings));
        *self.fetch() = Fetch { files, kept: None };
    }

    /// It has ended, and looked there in the store.
    pub(super) fn end(&self, key: String, store: &dyn TokenStore) {
        let mark = store.mark(&key);
        self.fetch().kept = Some((key, mark));
    }

    /// Whether another fetch would be made of something else.
    pub(super) fn has_changed(&self, settings: &CredentialSettings, store: &dyn TokenStore) -> bool {
        let (files, kept) = {
            let fetch = self.fetch();
            (fetch.files, fetch.kept.clone())
        };
        files.is_some_and(|files| files != fingerprint(settings))
            || kept.is_some_and(|(key, mark)| mark != store.mark(&key))
    }

    fn fetch(&self) -> MutexGuard<'_, Fetch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mark of the files as they are now: another one means that something has changed.
fn fingerprint(settings: &CredentialSettings) -> u64 {
    let mut mark = DefaultHasher::new();
    sources(settings).into_iter().for_each(|source| source.fingerprint().hash(&mut mark));
    let tls = &settings.request.tls;
    let identity = tls.identity.iter().flat_map(|identity| [&identity.certificate, &identity.private_key]);
    let parts = tls.ca.iter().chain(identity).map(PathBuf::clone).map(Part::File).collect();
    SecretSource::from_parts(parts).fingerprint().hash(&mut mark);
    mark.finish()
}

/// Every value of a credential that may be read from a file.
fn sources(settings: &CredentialSettings) -> Vec<&SecretSource> {
    let mut sources: Vec<&SecretSource> = settings.client_id.iter().collect();
    match &settings.grant {
        GrantSettings::ClientCredentials => {}
        GrantSettings::Password { username, password } => sources.extend([username, password]),
        GrantSettings::RefreshToken { refresh_token } => sources.push(refresh_token),
        GrantSettings::Exec(exec) => sources.extend(exec.args.iter().chain(exec.env.iter().map(|(_, value)| value))),
        GrantSettings::Custom { request } => described(request, &mut sources),
        GrantSettings::Static { token } => sources.push(token),
        // What it has is for the login alone.
        GrantSettings::Login(_) => {}
        GrantSettings::TokenExchange(exchange) => {
            if let SubjectSource::Own(subject) = &exchange.subject {
                sources.push(subject);
            }
            sources.extend(exchange.actor.iter().map(|actor| &actor.token));
        }
    }
    settings.then.iter().for_each(|step| described(&step.request, &mut sources));
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

fn described<'a>(request: &'a DescribedRequest, sources: &mut Vec<&'a SecretSource>) {
    sources.extend(request.headers.iter().map(|(_, value)| value));
    request.query.iter().for_each(|(_, value)| texts(value, sources));
    match &request.body {
        DescribedBody::None => {}
        DescribedBody::Form(members) | DescribedBody::Json(members) => {
            members.iter().for_each(|(_, value)| texts(value, sources));
        }
        DescribedBody::Text(text) => sources.push(text),
    }
}

fn texts<'a>(value: &'a ParamValue, sources: &mut Vec<&'a SecretSource>) {
    match value {
        ParamValue::Text(text) => sources.push(text),
        ParamValue::List(values) => values.iter().for_each(|value| texts(value, sources)),
        ParamValue::Object(members) => members.iter().for_each(|(_, value)| texts(value, sources)),
        ParamValue::Bool(_) | ParamValue::Number(_) | ParamValue::Null => {}
    }
}
