//! The key that a credential's tokens are bound to (RFC 9449), and the proofs of its token requests.
//!
//! The key is the file's, or one of our own, made when it is first needed and kept in the store: a refresh token of a
//! public client is worth nothing without it (§5). In memory that means a new key, and a new login, for each process.

mod key;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::OnceCell;
use url::Url;

use self::key::Key;
pub use self::key::{DpopAlgorithm, DpopKeyError};
use super::request::TokenRequest;
use super::settings::CredentialSettings;
use crate::secret::{Part, Secret, SecretSource};
use crate::token::TokenError;
use crate::token::dpop::{Claims, DPOP, Prover};
use crate::token::store::{Lease, StoreError, TokenStore, Value};

/// `dpop`.
#[derive(Clone, Debug)]
pub struct DpopSettings {
    /// `algorithm`, by default ES256; with a key of the file, that key's.
    pub algorithm: DpopAlgorithm,
    /// `private_key`; `None`: one of our own.
    pub private_key: Option<std::path::PathBuf>,
}

/// What a credential's proofs are made with, once it is known.
pub(super) struct Dpop {
    settings: DpopSettings,
    /// Under what name the store keeps it.
    name: String,
    store: Arc<dyn TokenStore>,
    prover: OnceCell<Arc<Prover>>,
}

impl Dpop {
    /// Of this credential, if it says `dpop`.
    pub(super) fn new(settings: &CredentialSettings, store: &Arc<dyn TokenStore>) -> Option<Self> {
        let dpop = settings.dpop.clone()?;
        // Credentials' names have no space in them.
        let name = format!("{} dpop {}", settings.name, dpop.algorithm.name());
        Some(Self { settings: dpop, name, store: Arc::clone(store), prover: OnceCell::new() })
    }

    /// What makes its proofs. Asked for once, and again after a failure.
    pub(super) async fn prover(&self) -> Result<&Arc<Prover>, TokenError> {
        let make = || async {
            let prover = self.key().await?.into_prover().ok_or_else(|| unprovable("the key has no public half"))?;
            Ok(Arc::new(prover))
        };
        self.prover.get_or_try_init(make).await
    }

    /// Takes over the key that another store keeps, if this one has none: a refresh token that is bound to it is worth
    /// nothing without it.
    pub(super) async fn inherit(&self, from: &dyn TokenStore) -> Result<(), StoreError> {
        let Some(entry) = from.load(&self.name).await?.filter(|_| self.settings.private_key.is_none()) else {
            return Ok(());
        };
        match self.store.try_lease(&self.name, LEASE).await? {
            Some(lease) if self.store.load(&self.name).await?.is_none() => {
                self.store.save(&lease, Some(Value { text: entry.text, useful_for: None })).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn key(&self) -> Result<Key, TokenError> {
        if let Some(path) = self.settings.private_key.clone() {
            let read = tokio::task::spawn_blocking(move || key_of_file(&path)).await;
            let read = read.map_err(|_| TokenError::Unreachable("shutting down".to_owned()))?;
            return read.map_err(|error| unprovable(&format!("dpop.private_key: {error}")));
        }
        for _ in 0..ATTEMPTS {
            if let Some(entry) = self.store.load(&self.name).await? {
                return self.read(&entry.text);
            }
            if let Some(lease) = self.store.try_lease(&self.name, LEASE).await? {
                // Somebody may have been faster: there must not be two keys.
                return match self.store.load(&self.name).await? {
                    Some(entry) => self.read(&entry.text),
                    None => self.make(&lease).await,
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StoreError::Busy.into())
    }

    fn read(&self, kept: &Secret) -> Result<Key, TokenError> {
        Key::read(kept).map_err(|_| {
            let what = format!("what it keeps as \"{}\" is no key; remove it, and log in anew", self.name);
            StoreError::Failed(what).into()
        })
    }

    async fn make(&self, lease: &Lease) -> Result<Key, TokenError> {
        let (key, text) = Key::generate(self.settings.algorithm).ok_or_else(|| unprovable("no key could be made"))?;
        // One that cannot be kept is not used: what is bound to it would be lost with this process.
        self.store.save(lease, Some(Value { text, useful_for: None })).await?;
        Ok(key)
    }

    /// Writes a proof onto a token request (§5), in place of one of an earlier attempt.
    pub(super) async fn sign(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        let prover = self.prover().await?;
        let url = request.url();
        let claims = Claims {
            method: request.method().as_str(),
            url: url.as_str(),
            origin: &url.origin().ascii_serialization(),
            token: None,
        };
        let proof = prover.prove(claims).ok_or_else(|| unprovable("the proof could not be signed"))?;
        request.set_header(DPOP, Secret::new(proof));
        Ok(())
    }

    /// Remembers the nonce that the token endpoint offers with an answer (§8).
    pub(super) fn learn(&self, url: &Url, headers: &HeaderMap) -> bool {
        self.prover.get().is_some_and(|prover| prover.learn(&url.origin().ascii_serialization(), headers))
    }
}

/// Which algorithm the key of a file is for. Blocks while the file is read.
///
/// # Errors
///
/// The file cannot be read, or holds no key that proofs can be made with.
pub fn algorithm_of_file(path: &Path) -> Result<DpopAlgorithm, DpopKeyError> {
    key_of_file(path).map(|key| key.algorithm())
}

fn key_of_file(path: &Path) -> Result<Key, DpopKeyError> {
    Key::read(&SecretSource::from_parts(vec![Part::File(path.to_owned())]).read()?)
}

/// Nothing was sent.
fn unprovable(why: &str) -> TokenError {
    TokenError::Refused { code: "invalid_dpop_proof".to_owned(), description: Some(format!("nothing was sent: {why}")) }
}

/// A key is made in no time; who holds the lease for longer has died.
const LEASE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 60;

/// Whether a token endpoint refused the proof for want of its nonce (§8).
pub(super) fn wants_nonce(error: &TokenError) -> bool {
    matches!(error, TokenError::Refused { code, .. } if code == "use_dpop_nonce")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::settings;
    use crate::token::store::MemoryStore;

    fn settings(algorithm: DpopAlgorithm) -> CredentialSettings {
        let dpop = DpopSettings { algorithm, private_key: None };
        CredentialSettings { dpop: Some(dpop), ..settings::for_test() }
    }

    fn dpop(store: &Arc<dyn TokenStore>, algorithm: DpopAlgorithm) -> Dpop {
        Dpop::new(&settings(algorithm), store).unwrap()
    }

    fn memory() -> Arc<dyn TokenStore> {
        Arc::new(MemoryStore::default())
    }

    /// The encoded header of a proof: it names the key.
    async fn key(dpop: &Dpop) -> String {
        let mut request = TokenRequest::for_test();
        dpop.sign(&mut request).await.unwrap();
        request.header("dpop").unwrap().expose().split('.').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_key_is_kept_with_the_store_and_one_for_each_algorithm() {
        let store = memory();
        let first = key(&dpop(&store, DpopAlgorithm::Es256)).await;
        assert_eq!(key(&dpop(&store, DpopAlgorithm::Es256)).await, first);
        assert_ne!(key(&dpop(&store, DpopAlgorithm::EdDsa)).await, first);
        assert_ne!(key(&dpop(&memory(), DpopAlgorithm::Es256)).await, first);
    }

    #[tokio::test]
    async fn processes_that_begin_at_once_come_to_one_key() {
        let store = memory();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let dpop = dpop(&store, DpopAlgorithm::Es256);
            all.spawn(async move { key(&dpop).await });
        }
        let keys: std::collections::BTreeSet<_> = all.join_all().await.into_iter().collect();
        assert_eq!(keys.len(), 1);
    }

    #[tokio::test]
    async fn another_store_inherits_the_key_and_keeps_its_own() {
        let (old, new) = (memory(), memory());
        let first = key(&dpop(&old, DpopAlgorithm::Es256)).await;
        dpop(&new, DpopAlgorithm::Es256).inherit(&*old).await.unwrap();
        assert_eq!(key(&dpop(&new, DpopAlgorithm::Es256)).await, first);

        let third = memory();
        let own = key(&dpop(&third, DpopAlgorithm::Es256)).await;
        dpop(&third, DpopAlgorithm::Es256).inherit(&*old).await.unwrap();
        assert_eq!(key(&dpop(&third, DpopAlgorithm::Es256)).await, own);
    }

    #[tokio::test]
    async fn what_is_kept_and_no_key_is_an_error_and_no_new_key() {
        let store = memory();
        let spoilt = dpop(&store, DpopAlgorithm::Es256);
        let lease = store.try_lease(&spoilt.name, LEASE).await.unwrap().unwrap();
        let text = Secret::new("hunter2");
        store.save(&lease, Some(Value { text, useful_for: None })).await.unwrap();
        let error = spoilt.sign(&mut TokenRequest::for_test()).await.unwrap_err().to_string();
        assert!(error.contains("\"test dpop ES256\" is no key") && !error.contains("hunter2"), "{error}");
    }
}
