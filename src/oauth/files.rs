//! Whether what a token is got with has changed: the files that a credential's secrets are read from, or what the store
//! keeps of it (somebody has logged in).
//!
//! Looks at the files' metadata, never at their contents: it is asked often while a refusal is remembered.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::settings::{
    AssertionKey, AssertionSource, ClientAuthSettings, CredentialSettings, DescribedBody, DescribedRequest,
    GrantSettings, ParamValue, Subject, SubjectSource,
};
use crate::secret::{Part, SecretSource};
use crate::tls::TlsSettings;
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
    fingerprint_of_tls(&settings.request.tls).hash(&mut mark);
    mark.finish()
}

/// The same of the files of `request.tls` alone.
pub(super) fn fingerprint_of_tls(tls: &TlsSettings) -> u64 {
    let identity = tls.identity.iter().flat_map(|identity| [&identity.certificate, &identity.private_key]);
    let parts = tls.ca.iter().chain(identity).map(PathBuf::clone).map(Part::File).collect();
    SecretSource::from_parts(parts).fingerprint()
}

/// Every value of a credential that may be read from a file.
fn sources(settings: &CredentialSettings) -> Vec<&SecretSource> {
    let mut sources: Vec<&SecretSource> = settings.client_id.iter().collect();
    match &settings.grant {
        GrantSettings::ClientCredentials => {}
        GrantSettings::Password { username, password } => sources.extend([username, password]),
        GrantSettings::RefreshToken { refresh_token } => sources.push(refresh_token),
        GrantSettings::Exec(exec) => sources.extend(exec.args.iter().chain(exec.env.iter().map(|(_, value)| value))),
        GrantSettings::JwtBearer { assertion: one } | GrantSettings::SignedJwt { assertion: one } => {
            assertion(one, &mut sources);
        }
        GrantSettings::Custom { request, assertion: of_it } => {
            described(request, &mut sources);
            of_it.iter().for_each(|one| assertion(one, &mut sources));
        }
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
    for auth in std::iter::once(&settings.client_auth).chain(&settings.further_client_auths) {
        match auth {
            ClientAuthSettings::None | ClientAuthSettings::Tls => {}
            ClientAuthSettings::SecretBasic { secret, .. } | ClientAuthSettings::SecretPost { secret } => {
                sources.push(secret);
            }
            ClientAuthSettings::SecretJwt { assertion: one } | ClientAuthSettings::PrivateKeyJwt { assertion: one } => {
                assertion(one, &mut sources);
            }
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

fn assertion<'a>(source: &'a AssertionSource, sources: &mut Vec<&'a SecretSource>) {
    let settings = match source {
        AssertionSource::Ready(text) => return sources.push(text),
        AssertionSource::Signed(settings) => settings,
    };
    sources.push(match &settings.key {
        AssertionKey::Private(key) => key,
        AssertionKey::Secret { secret, .. } => secret,
    });
    let subject = match &settings.subject {
        Subject::Named(subject) => Some(subject),
        Subject::None | Subject::Issuer => None,
    };
    let named = [&settings.key_id, &settings.certificate, &settings.issuer, &settings.default_issuer];
    sources.extend(named.into_iter().flatten().chain(subject));
    settings.header.iter().chain(&settings.claims).for_each(|(_, value)| texts(value, sources));
}

fn texts<'a>(value: &'a ParamValue, sources: &mut Vec<&'a SecretSource>) {
    match value {
        ParamValue::Text(text) => sources.push(text),
        ParamValue::List(values) => values.iter().for_each(|value| texts(value, sources)),
        ParamValue::Object(members) => members.iter().for_each(|(_, value)| texts(value, sources)),
        ParamValue::Bool(_) | ParamValue::Number(_) | ParamValue::Null => {}
    }
}
