//! What is kept of a credential from one token to the next, and whose turn it is to get the next.
//!
//! The refresh token (RFC 6749 §6), and where others use the store too, the access token: they take it up instead of
//! asking. A token is asked for with the store's lease in hand, so that of all who share the store one asks, and no
//! refresh token is used by two. A new one is saved before its access token is used: who loses it has lost the login.
//! Without the store a grant that may be repeated goes on, on its own; one that lives of a refresh token does not: what
//! it would rotate it could not save.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::record::{Access, Record, Refresh};
use super::refresh_tokens::Names;
use crate::secret::Secret;
use crate::token::Moment;
use crate::token::store::{Lease, StoreError, TokenStore};
use crate::token::template::Words;

/// What is kept of one credential.
pub(super) struct Kept {
    store: Arc<dyn TokenStore>,
    last: Option<Last>,
}

/// What this process was the last to know.
struct Last {
    key: String,
    fence: u64,
    /// The store has failed to save it: memory is the only place that has it.
    unsaved: Option<Record>,
}

/// Whose turn it is.
pub(super) enum Turn {
    /// Nobody's: somebody else has just got a token.
    Served(Access),
    /// Ours.
    Ours(Hand),
}

/// The turn to ask for a token, until it is dropped.
pub(super) struct Hand {
    /// `None`: the store is away, and nothing can be kept.
    lease: Option<Lease>,
    record: Record,
}

/// What the store has.
#[derive(Default)]
struct Found {
    lease: Option<Lease>,
    record: Record,
    served: Option<Access>,
    fence: u64,
}

/// Which token is wanted.
pub(super) struct Want<'a> {
    pub(super) names: &'a Names,
    /// What asking takes at most.
    pub(super) limit: Duration,
    /// Whether one that somebody else has got will do.
    pub(super) serves: &'a (dyn Fn(&Access) -> bool + Sync),
    /// Whether the credential's own grant may be asked without a store.
    pub(super) alone: bool,
}

impl Kept {
    /// Nothing yet, but what `store` may have.
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self { store, last: None }
    }

    /// Waits until it is our turn, or somebody else has got a token.
    pub(super) async fn turn(&mut self, want: &Want<'_>) -> Result<Turn, StoreError> {
        match self.wait(want).await {
            Ok(Found { served: Some(access), fence, .. }) => {
                // The next one that is taken has to be a later one.
                self.last = Some(Last { key: want.names.key.clone(), fence, unsaved: None });
                Ok(Turn::Served(access))
            }
            Ok(Found { lease, record, .. }) => Ok(Turn::Ours(Hand { lease, record })),
            Err(error) if want.alone => {
                tracing::warn!(%error, "going on without the token store: this token is asked for by this process alone");
                Ok(Turn::Ours(Hand { lease: None, record: Record::default() }))
            }
            Err(error) => Err(error),
        }
    }

    async fn wait(&self, want: &Want<'_>) -> Result<Found, StoreError> {
        let begun = Instant::now();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let found = self.load(want).await?;
            if found.served.is_some() {
                return Ok(found);
            }
            if let Some(lease) = self.store.try_lease(&want.names.key, want.limit).await? {
                // Once more: whoever had the lease has saved something.
                let found = self.load(want).await?;
                return Ok(Found { lease: Some(lease), ..found });
            }
            // Nobody holds it for longer than it lasts.
            if begun.elapsed() > want.limit + LONGEST_PAUSE {
                return Err(StoreError::Busy);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is kept, and of it the access token if that serves.
    async fn load(&self, want: &Want<'_>) -> Result<Found, StoreError> {
        let entry = self.store.load(&want.names.key).await?;
        let last = self.last.as_ref().filter(|last| last.key == want.names.key);
        let (seen, fence) = (last.map_or(0, |last| last.fence), entry.as_ref().map_or(0, |entry| entry.fence));
        if let Some(unsaved) = last.and_then(|last| last.unsaved.as_ref()).filter(|_| fence <= seen) {
            return Ok(Found { record: unsaved.clone(), ..Found::default() });
        }
        let Some(entry) = entry else { return Ok(Found::default()) };
        let record = Record::read(&entry, Moment::now())
            .ok_or_else(|| StoreError::Failed("it holds something of another version of bearer-proxy".to_owned()))?;
        let access = record.access.as_ref().filter(|access| fence > seen && access.mark == want.names.mark);
        let served = access.filter(|access| (want.serves)(access)).cloned();
        Ok(Found { lease: None, record, served, fence })
    }

    /// Saves under this key what another store has, unless there is something.
    pub(super) async fn inherit(&self, key: &str, from: &dyn TokenStore) -> Result<(), StoreError> {
        let Some(entry) = from.load(key).await? else { return Ok(()) };
        // Somebody who holds it is about to save something newer.
        let Some(lease) = self.store.try_lease(key, INHERITING).await? else { return Ok(()) };
        if self.store.load(key).await?.is_some() {
            return Ok(());
        }
        let now = Moment::now();
        let record = Record::read(&entry, now).unwrap_or_default();
        self.store.save(&lease, record.value(now)).await
    }

    /// Waits for our turn, whatever others have got. For a person who is waiting: without the store, there is none.
    pub(super) async fn own_turn(&mut self, names: &Names, limit: Duration) -> Result<Hand, StoreError> {
        match self.turn(&Want { names, limit, serves: &|_| false, alone: false }).await? {
            Turn::Ours(hand) => Ok(hand),
            Turn::Served(_) => Err(StoreError::Busy),
        }
    }

    /// What the store has, without a turn.
    pub(super) async fn look(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let entry = self.store.load(key).await?;
        Ok(entry.and_then(|entry| Record::read(&entry, Moment::now())))
    }

    /// Saves what is in this hand, access token and all.
    pub(super) async fn save(&mut self, hand: &Hand) -> Result<(), StoreError> {
        let lease = hand.lease.as_ref().ok_or(StoreError::Busy)?;
        self.save_in_time(lease, &hand.record).await?;
        self.last = Some(Last { key: lease.key().to_owned(), fence: lease.fence(), unsaved: None });
        Ok(())
    }

    /// Saves what is in this hand. If the store fails, memory keeps it and the log says so: losing the access token as
    /// well would help nobody.
    pub(super) async fn keep(&mut self, hand: &Hand) {
        let Some(lease) = &hand.lease else { return };
        let record = match self.store.is_shared() {
            true => hand.record.clone(),
            false => Record { access: None, ..hand.record.clone() },
        };
        let unsaved = match self.save_in_time(lease, &record).await {
            Ok(()) => None,
            Err(StoreError::Overtaken) => {
                tracing::error!("another process has renewed the token meanwhile: what this one got is not kept");
                None
            }
            Err(error) if record.refresh.is_some() => {
                tracing::error!(%error, "a new refresh token is kept in memory only: a restart loses it");
                Some(record)
            }
            Err(error) => {
                tracing::warn!(%error, "what was obtained is not in the token store");
                None
            }
        };
        self.last = Some(Last { key: lease.key().to_owned(), fence: lease.fence(), unsaved });
    }

    /// Ends our turn, and waits until it is somebody else's: a command that ends could not say so later.
    pub(super) async fn end(&self, hand: Hand) {
        if let Some(lease) = hand.lease {
            self.store.give_back(lease).await;
        }
    }

    /// Saves; a refresh token also in a store that comes back in time: what is there is spent, and others would use it.
    async fn save_in_time(&self, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        let end = Instant::now() + lease.left().min(PATIENCE);
        loop {
            let saved = self.store.save(lease, record.value(Moment::now())).await;
            match &saved {
                Err(StoreError::Failed(_)) if record.refresh.is_some() && self.store.is_shared() => {}
                _ => return saved,
            }
            if Instant::now() + LONGEST_PAUSE > end {
                return saved;
            }
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
    }
}

impl Hand {
    /// The refresh token to use, unless it has expired.
    pub(super) fn refresh_token(&self, now: Moment) -> Option<Secret> {
        let refresh = self.record.refresh.as_ref()?;
        refresh.ends.is_none_or(|ends| !now.reached(ends)).then(|| refresh.token.clone())
    }

    /// Whether it stays our turn for as long as a request may take.
    pub(super) fn lasts(&self, span: Duration) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.left() >= span)
    }

    /// Forgets the refresh token: the server has refused it, or it is not to be used.
    pub(super) fn forget(&mut self) {
        self.record.refresh = None;
    }

    /// Leaves out the access token that was there: until there is another, none is saved.
    pub(super) fn withdraw(&mut self) {
        self.record.access = None;
    }

    /// Takes out all there is.
    pub(super) fn empty(&mut self) -> Record {
        std::mem::take(&mut self.record)
    }

    /// `response.values` as they were when it was saved; `None`: nothing was.
    pub(super) fn values(&self) -> Option<&Words> {
        self.record.refresh.as_ref().map(|_| &self.record.values)
    }

    /// Takes in a new refresh token.
    pub(super) fn renew(&mut self, refresh: Refresh) {
        self.record.refresh = Some(refresh);
    }

    /// Takes in what was obtained, and the values to go on from at the next refresh.
    pub(super) fn publish(&mut self, access: Option<Access>, values: Words) {
        self.record.access = access;
        self.record.values = values;
    }
}

/// How long a store may be away between a lease and what is saved under it: a server restarts in less.
const PATIENCE: Duration = Duration::from_secs(10);

/// Copying one entry takes no longer.
const INHERITING: Duration = Duration::from_secs(10);

/// How often it is looked whether it is our turn: at first often, since a token request may be quick.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
