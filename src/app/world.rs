//! What a configuration becomes: routes with their upstreams, credentials with their tokens.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::StartError;
use crate::config::{self, Config};
use crate::forward::{Forwarder, Target, TargetMetrics};
use crate::oauth::OAuthClient;
use crate::route::Matcher;
use crate::route::RouteTable;
use crate::secret::{Part, SecretSource};
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::telemetry::settings::LogSettings;
use crate::token::store::{self, TokenStore};
use crate::token::{CacheSettings, Subjects, TokenCache, Tokens};
use crate::upstream::{Environment, OnOpen, Upstream};

/// One configuration, running.
pub(super) struct World {
    pub(super) forwarder: Arc<Forwarder>,
    /// For each worker, this being the first: the same routes, with upstream connections of its own.
    pub(super) forwarders: Vec<Arc<Forwarder>>,
    pub(super) credentials: Vec<Credential>,
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) store_kind: &'static str,
    store_fingerprint: u64,
    pub(super) log: AccessLog,
    pub(super) log_settings: LogSettings,
    pub(super) drain: Duration,
}

/// A credential and its tokens.
pub(super) struct Credential {
    name: String,
    fingerprint: u64,
    /// What the file of `request.tls.ca` was like when it was read.
    roots: u64,
    client: Arc<OAuthClient>,
    pub(super) tokens: Tokens,
}

/// What a world is made with, and what it does not own.
pub(super) struct Parts<'a> {
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) environment: &'a Environment,
    pub(super) pseudonym: &'a str,
    pub(super) log: &'a AccessLog,
    /// How many of them serve.
    pub(super) workers: usize,
}

impl World {
    /// Makes everything anew, but for the tokens of credentials that are what they were in `previous`.
    pub(super) fn new(config: &Config, parts: &Parts<'_>, previous: Option<&Self>) -> Result<Self, StartError> {
        let previous = previous.filter(|previous| previous.has_store(config));
        let store = match previous {
            Some(previous) => Arc::clone(&previous.store),
            None => store::open(&config.token_store.settings)?,
        };
        let credentials = config
            .credentials
            .iter()
            .map(|credential| match previous.and_then(|previous| previous.find(credential)) {
                Some(known) => Ok(known),
                None => Credential::new(credential, &store),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let routes = config
            .routes
            .iter()
            .map(|route| Ok((&route.matcher, targets(route, &credentials, parts)?)))
            .collect::<Result<Vec<_>, StartError>>()?;
        let first = forwarder(&routes, 0, parts)?;
        let others = (1..parts.workers).map(|worker| forwarder(&routes, worker, parts));
        let forwarders = std::iter::once(Ok(Arc::clone(&first))).chain(others).collect::<Result<_, StartError>>()?;
        Ok(Self {
            forwarder: first,
            forwarders,
            credentials,
            store,
            store_kind: config.token_store.settings.kind(),
            store_fingerprint: config.token_store.fingerprint,
            log: parts.log.clone(),
            log_settings: config.log.clone(),
            drain: config.drain,
        })
    }

    fn find(&self, credential: &config::Credential) -> Option<Credential> {
        let known = self.credentials.iter().find(|known| known.is(credential))?;
        let client = Arc::clone(&known.client);
        Some(Credential { tokens: known.tokens.clone(), client, name: known.name.clone(), ..*known })
    }

    fn has_store(&self, config: &Config) -> bool {
        self.store_fingerprint == config.token_store.fingerprint
    }

    /// The tokens of credentials that `config` does not have as they are: they end with this world.
    pub(super) fn ending(&self, config: &Config) -> Vec<Tokens> {
        let stays = |known: &Credential| config.credentials.iter().any(|credential| known.is(credential));
        let ending = self.credentials.iter().filter(|known| !self.has_store(config) || !stays(known));
        ending.map(|known| known.tokens.clone()).collect()
    }

    /// Takes up what somebody who has logged in has left, and finds out who has not, before the first request does: with
    /// a readiness check in front there might be none.
    pub(super) fn take_up_logins(&self) {
        for credential in self.credentials.iter().filter(|credential| credential.client.needs_person()) {
            if let Tokens::Shared(cache) = &credential.tokens {
                cache.prefetch();
            }
        }
    }

    /// Takes over what another world's store has kept, if this one has another store that does not know it. For
    /// credentials that are settled.
    pub(super) async fn inherit(&self, previous: &Self) {
        if Arc::ptr_eq(&self.store, &previous.store) {
            return;
        }
        for credential in &self.credentials {
            if let Err(error) = credential.client.inherit(&*previous.store).await {
                tracing::error!(credential = credential.name, %error, "the new token store does not have what the old one had");
            }
        }
    }
}

/// Lets all of them end what they are doing: a refresh token that is being rotated must reach its store.
pub(super) async fn settle(all: &[Tokens]) {
    let mut settling = JoinSet::new();
    for tokens in all {
        let tokens = tokens.clone();
        settling.spawn(async move { tokens.settle().await });
    }
    settling.join_all().await;
}

impl Credential {
    fn new(credential: &config::Credential, store: &Arc<dyn TokenStore>) -> Result<Self, StartError> {
        let settings = &credential.settings;
        let client = OAuthClient::new(settings.clone(), Arc::clone(store))
            .map_err(|source| StartError::Tls { what: format!("credentials.{}.request.tls", settings.name), source })?;
        let client = Arc::new(client);
        let cache = CacheSettings { wait: settings.request.timeout };
        let runtime = tokio::runtime::Handle::current();
        let name = &settings.name;
        let tokens = match client.subjects() {
            Some(subjects) => {
                Tokens::PerSubject(Subjects::new(name, subjects, client.clone().on_behalf(), cache, runtime))
            }
            None => Tokens::Shared(TokenCache::new(name, client.clone(), cache, runtime)),
        };
        let (fingerprint, roots) = (credential.fingerprint, roots(credential));
        Ok(Self { name: name.clone(), fingerprint, roots, client, tokens })
    }

    fn is(&self, credential: &config::Credential) -> bool {
        self.name == credential.settings.name
            && self.fingerprint == credential.fingerprint
            && self.roots == roots(credential)
    }
}

/// A root that was withdrawn must not go on vouching for who gets the client's secret.
fn roots(credential: &config::Credential) -> u64 {
    let ca = credential.settings.request.tls.ca.clone();
    ca.map_or(0, |path| SecretSource::from_parts(vec![Part::File(path)]).fingerprint())
}

/// What one worker serves from: of each route the target that is its own.
fn forwarder(
    routes: &[(&Matcher, Vec<Arc<Target>>)],
    worker: usize,
    parts: &Parts<'_>,
) -> Result<Arc<Forwarder>, StartError> {
    let own =
        routes.iter().filter_map(|(matcher, targets)| Some(((*matcher).clone(), Arc::clone(targets.get(worker)?))));
    let routes = RouteTable::new(own.collect()).map_err(|conflicts| {
        let first = conflicts.first().copied();
        first.map_or(StartError::Conflict(0, 0), |pair| StartError::Conflict(pair.first, pair.second))
    })?;
    let forwarder = Forwarder::new(routes, parts.pseudonym, parts.log.clone());
    Ok(Arc::new(forwarder.counting(Arc::clone(parts.metrics))))
}

/// A route's target, for each worker one: with upstream connections of its own, and everything else in common.
fn targets(
    route: &config::Route,
    credentials: &[Credential],
    parts: &Parts<'_>,
) -> Result<Vec<Arc<Target>>, StartError> {
    let tokens = route.credential.and_then(|index| credentials.get(index)).map(|known| known.tokens.clone());
    let settings = &route.upstream;
    let upstream_metrics = parts.metrics.upstream(&format!("{}:{}", settings.host, settings.port));
    let counted = Arc::clone(&upstream_metrics);
    let on_open: OnOpen = Arc::new(move || Box::new(counted.opened()));
    let first = Upstream::new(settings, parts.environment, on_open)
        .map_err(|source| StartError::Tls { what: format!("route {}: upstream.tls", route.target.name), source })?;
    let others: Vec<_> = (1..parts.workers).map(|_| first.beside()).collect();
    let target = |upstream| {
        let metrics =
            TargetMetrics { route: parts.metrics.route(&route.target.name), upstream: Arc::clone(&upstream_metrics) };
        Arc::new(Target::new(route.target.clone(), upstream, tokens.clone(), metrics))
    };
    Ok(std::iter::once(first).chain(others).map(target).collect())
}
