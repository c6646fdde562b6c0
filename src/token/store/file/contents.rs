//! What is in the file, once it is open: JSON.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::super::{Entry, StoreError, Value, unix_millis};
use crate::secret::Secret;

/// All of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Contents {
    /// Of the lease that was given out last.
    pub(super) last_fence: u64,
    entries: BTreeMap<String, Saved>,
}

/// One key. Times are Unix milliseconds: both processes that may use it are on one host, with one clock.
#[derive(Serialize, Deserialize)]
struct Saved {
    text: Text,
    fence: u64,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    useful_until: Option<u64>,
}

impl Saved {
    fn is_useful(&self, now: u64) -> bool {
        self.useful_until.is_none_or(|until| now < until)
    }
}

/// Text that is written down here and nowhere else.
struct Text(Secret);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl Contents {
    /// `None`: it is not what we write.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those. Twice the
        // length is for what JSON escapes.
        let most: usize =
            self.entries.iter().map(|(key, saved)| 2 * (key.len() + saved.text.0.expose().len()) + 128).sum();
        let mut json = Zeroizing::new(Vec::with_capacity(most + 128));
        // Writing numbers and text to memory does not fail.
        let _ = serde_json::to_writer(&mut *json, self);
        json
    }

    pub(super) fn entry(&self, key: &str, now: SystemTime) -> Option<Entry> {
        let now = unix_millis(now);
        let saved = self.entries.get(key).filter(|saved| saved.is_useful(now))?;
        let age = Duration::from_millis(now.saturating_sub(saved.at));
        Some(Entry { text: saved.text.0.clone(), fence: saved.fence, age })
    }

    /// Unless it was saved under a later lease.
    pub(super) fn set(
        &mut self,
        key: String,
        fence: u64,
        value: Option<Value>,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        if self.entries.get(&key).is_some_and(|saved| saved.fence > fence) {
            return Err(StoreError::Overtaken);
        }
        let Some(Value { text, useful_for }) = value else {
            self.entries.remove(&key);
            return Ok(());
        };
        let at = unix_millis(now);
        let useful_until =
            useful_for.map(|span| at.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
        self.entries.insert(key, Saved { text: Text(text), fence, at, useful_until });
        Ok(())
    }

    /// Credentials that are no longer in the file leave something behind that has an end.
    pub(super) fn forget_useless(&mut self, now: SystemTime) {
        let now = unix_millis(now);
        self.entries.retain(|_, saved| saved.is_useful(now));
    }

    pub(super) fn fences(&self) -> HashMap<String, u64> {
        self.entries.iter().map(|(key, saved)| (key.clone(), saved.fence)).collect()
    }
}
