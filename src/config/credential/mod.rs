//! `credentials`: as written, and what they become; and who uses them.
//!
//! Refused: keys of another grant, a secret that nothing sends, and credentials that no route uses.

mod assertion;
mod client;
mod client_auth;
mod described;
mod dpop;
mod exec;
mod inject;
mod login;
mod private_key;
mod request;
mod response;
mod token_exchange;

use std::collections::HashMap;

use assertion::Assertion;
use assertion::ClientAssertion;
use client::GrantName;
use client_auth::ClientAuthName;
use client_auth::ClientSecret;
use described::Step;
use dpop::Dpop;
use exec::Command;
use http::HeaderName;
use inject::Injects;
use login::Authorization;
use request::Request;
use response::Lifetime;
use response::Refresh;
use response::Response;
use token_exchange::SubjectBounds;
use token_exchange::SubjectToken;
use token_exchange::TokenType;

use crate::config::Credential;
use crate::config::node::Node;
use crate::config::node::Value;
use crate::config::preset;
use crate::config::preset::Filled;
use crate::config::read::Field;
use crate::config::read::IssuerUrl;
use crate::config::read::MaybeEmpty;
use crate::config::read::Name;
use crate::config::read::Named;
use crate::config::read::Placed;
use crate::config::read::Read;
use crate::config::read::ReadableFile;
use crate::config::read::Reader;
use crate::config::read::TokenUrl;
use crate::config::read::section;
use crate::config::read::suggest;
use crate::oauth::settings::CredentialSettings;
use crate::oauth::settings::GrantSettings;
use crate::secret::SecretSource;
use crate::token::Inject;
use crate::token::store::StoreSettings;

section! {
    /// One of `credentials`.
    struct CredentialSection {
        #[expect(dead_code, reason = "filled in before the section is read")]
        preset: Filled;
        #[expect(dead_code, reason = "likewise")]
        with: Filled;
        grant: GrantName, required "client_credentials";
        token_url: TokenUrl;
        issuer: IssuerUrl;
        client_id: SecretSource;
        client_secret: ClientSecret;
        client_auth: ClientAuthName;
        client_assertion: ClientAssertion;
        client_assertion_file: ReadableFile;
        scope: Scope;
        audience: Texts;
        resource: Texts;
        username: SecretSource;
        password: SecretSource;
        refresh_token: SecretSource;
        token: SecretSource;
        assertion: Assertion;
        assertion_file: ReadableFile;
        subject_token: SubjectToken;
        subject_token_type: TokenType;
        requested_token_type: TokenType;
        actor_token: SecretSource;
        actor_token_type: TokenType;
        subjects: SubjectBounds;
        authorization_url: TokenUrl;
        device_authorization_url: TokenUrl;
        authorization: Authorization;
        revocation_url: TokenUrl;
        request: Request;
        response: Response;
        then: Vec<Placed<Step>>;
        command: Command;
        args: Vec<Placed<MaybeEmpty>>;
        env: Named<MaybeEmpty>;
        lifetime: Lifetime;
        refresh: Refresh;
        inject: Injects;
        dpop: Dpop;
    }
}

/// Text, or a list of it.
#[derive(Clone, Debug)]
pub(crate) struct Texts(Vec<String>);

impl Read for Texts {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::<Placed<String>>::read(node, reader)
                .map(|list| Self(list.into_iter().map(Placed::into_value).collect())),
            _ => String::read(node, reader).map(|text| Self(vec![text])),
        }
    }
}

/// `scope`: a list, or text in which spaces separate (RFC 6749 §3.3). Empty text is no scope, for `${SCOPE:-}`.
#[derive(Clone, Debug)]
pub(crate) struct Scope(Vec<String>);

impl Read for Scope {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => Texts::read(node, reader).map(|texts| Self(texts.0)),
            _ => reader
                .text("text or a list", node)
                .map(|text| Self(text.split_whitespace().map(str::to_owned).collect())),
        }
    }
}

/// A section with its preset filled in, and its fingerprint.
#[derive(Clone, Debug)]
pub(crate) struct Fingerprinted<T> {
    value: T,
    fingerprint: u64,
}

impl<T: Read> Read for Fingerprinted<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let node = preset::fill(node, reader)?;
        T::read(&node, reader).map(|value| Self { value, fingerprint: node.fingerprint() })
    }
}

/// All credentials, to be found by name.
pub(crate) struct Credentials {
    list: Vec<Known>,
    by_name: HashMap<String, usize>,
    /// Whether the list is all that is written.
    complete: bool,
    /// Whether all that routes name was found.
    found: bool,
}

struct Known {
    name: Placed<String>,
    used: bool,
    credential: Option<Credential>,
}

impl Credentials {
    /// `complete`: whether the list is all that is written.
    pub(crate) fn new(
        written: Field<Named<Fingerprinted<CredentialSection>>>,
        complete: bool,
        reader: &mut Reader<'_>,
    ) -> Self {
        let mut credentials = Self { list: Vec::new(), by_name: HashMap::new(), complete, found: true };
        for (name, section) in written.map(|named| named.value.into_all()).unwrap_or_default() {
            if let Err(message) = Name::check(&name.value) {
                reader.wrong(&name.at, message);
            }
            let credential = section.and_then(|Placed { value, at, sound }| {
                let section = Placed { value: value.value, at, sound };
                let settings = settings(name.value.clone(), section, reader)?;
                Some(Credential { settings, fingerprint: value.fingerprint })
            });
            credentials.by_name.insert(name.value.clone(), credentials.list.len());
            credentials.list.push(Known { name, used: false, credential });
        }
        credentials
    }

    /// The one of this name, which is used from now on.
    pub(crate) fn find(&mut self, name: &Placed<String>, reader: &mut Reader<'_>) -> Option<usize> {
        if let Some(index) = self.by_name.get(&name.value).copied() {
            self.list.get_mut(index)?.used = true;
            return Some(index);
        }
        self.found = false;
        if !self.complete {
            return None;
        }
        let names = || self.list.iter().map(|known| known.name.value.as_str());
        let shown = names().take(10).collect::<Vec<_>>().join(", ");
        match suggest(&name.value, names()) {
            Some(meant) => {
                reader.wrong(&name.at, format_args!("no credential has this name; did you mean \"{meant}\"?"))
            }
            None if shown.is_empty() => {
                reader.wrong(&name.at, "there are no `credentials`; write one, or `credential: none`");
            }
            None => reader.wrong(&name.at, format_args!("no credential has this name; there are {shown}, and none")),
        }
        None
    }

    /// The header fields that a credential writes.
    pub(crate) fn fields(&self, index: usize) -> Vec<HeaderName> {
        let credential = self.list.get(index).and_then(|known| known.credential.as_ref());
        let injects = credential.map(|credential| credential.settings.inject.as_slice()).unwrap_or_default();
        let names = injects.iter().filter_map(|inject| match inject {
            Inject::Header { name, .. } => Some(name.clone()),
            Inject::Query { .. } => None,
        });
        names.collect()
    }

    /// Notes logins that a store forgets at a restart.
    pub(crate) fn doubt_store(&self, store: &StoreSettings, reader: &mut Reader<'_>) {
        let lasts = |known: &&Known| {
            let credential = known.credential.as_ref();
            credential.is_none_or(|credential| credential.settings.grant.is_repeatable())
        };
        for known in self.list.iter().filter(|known| store.is_forgetful() && !lasts(known)) {
            let login = known.credential.as_ref().map(|credential| &credential.settings.grant);
            let why = match login {
                Some(GrantSettings::Login(_)) => "nobody can log in to it: a login would end with the process",
                _ => "its refresh token may be a new one after each use, and is lost at a restart",
            };
            reader.doubt(&known.name.at, format_args!("{why}; write `token_store: {{file: …}}`"));
        }
    }

    /// In file order. One that nobody uses is a mistake, unless a route names one that could not be found.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) -> Vec<Credential> {
        for known in self.list.iter().filter(|known| !known.used && self.found) {
            reader.wrong(&known.name.at, "no route uses this credential; remove it, or name it in a route");
        }
        self.list.into_iter().filter_map(|known| known.credential).collect()
    }
}

fn settings(name: String, section: Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<CredentialSettings> {
    let grant_name = section.value.grant.clone()?.value;
    client::refuse_foreign_keys(&section.value, grant_name, reader);
    let grant = client::grant(&section, grant_name, reader);
    let endpoint = client::endpoint(&section, grant_name, reader);
    let dpop = dpop::dpop(&section, reader);
    let client_auths = client_auth::client_auths(&section, reader);
    let reserved = request::Reserved::new(&section.value, grant_name, client_auths.as_ref().map(|(first, _)| first));
    let written = section.value;
    let lifetime = response::lifetime(written.lifetime, written.response.as_ref(), reader);
    let response = response::response(written.response, reader);
    let then = described::steps(written.then, reader);
    let kept = response.values.iter().chain(then.iter().flat_map(|step| &step.response.values));
    let names: Vec<&str> = kept.map(|(name, _)| name.as_str()).chain(login::kept(grant.as_ref())).collect();
    let (client_auth, further_client_auths) = client_auths?;
    Some(CredentialSettings {
        name,
        request: request::request(written.request, &reserved, reader),
        lifetime,
        inject: inject::inject(written.inject, &names, dpop.is_some(), reader),
        dpop,
        response,
        then,
        refresh: response::refresh(written.refresh),
        grant: grant?,
        endpoint: endpoint?,
        client_auth,
        further_client_auths,
        client_id: written.client_id.map(Placed::into_value),
        scope: written.scope.map(|scope| scope.value.0).unwrap_or_default(),
        audience: written.audience.map(|texts| texts.value.0).unwrap_or_default(),
        resource: written.resource.map(|texts| texts.value.0).unwrap_or_default(),
    })
}
