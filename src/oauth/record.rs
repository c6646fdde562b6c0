//! What a store keeps of one credential, as JSON. Times are spans: between two hosts only the store's own clock counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::token::Moment;
use crate::token::store::{Entry, Value};
use crate::token::template::Words;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) refresh: Option<Refresh>,
    pub(super) access: Option<Access>,
    /// `response.values`, to go on from at the next refresh, whose reply need not repeat them.
    pub(super) values: Words,
}

/// A refresh token.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) token: Secret,
    /// `None`: nobody knows.
    pub(super) ends: Option<Moment>,
}

/// An access token.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) token: Secret,
    pub(super) issued: Moment,
    pub(super) lifetime: Duration,
    /// What is written onto requests beside it.
    pub(super) values: Words,
    /// What it was asked for with: a credential that asks for something else does not take it.
    pub(super) mark: String,
}

/// As it is written: with `&str` to write, with `String` to read.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Written<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<WrittenRefresh<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<WrittenAccess<T>>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    values: Vec<(T, T)>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRefresh<T> {
    token: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct WrittenAccess<T> {
    token: T,
    age_ms: u64,
    lifetime_ms: u64,
    mark: T,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    values: Vec<(T, T)>,
}

impl Record {
    /// What was saved. `None`: it is nothing that we write.
    pub(super) fn read(entry: &Entry, now: Moment) -> Option<Self> {
        let written: Written<String> = serde_json::from_str(entry.text.expose()).ok()?;
        Some(Self {
            refresh: written.refresh_token.map(|refresh| Refresh {
                token: Secret::new(refresh.token),
                ends: refresh.ends_in_ms.map(|span| now.after(from_millis(span).saturating_sub(entry.age))),
            }),
            access: written.access_token.map(|access| Access {
                token: Secret::new(access.token),
                issued: now.before(entry.age.saturating_add(from_millis(access.age_ms))),
                lifetime: from_millis(access.lifetime_ms),
                values: words(access.values),
                mark: access.mark,
            }),
            values: words(written.values),
        })
    }

    /// What to save. `None`: nothing is worth it.
    pub(super) fn value(&self, now: Moment) -> Option<Value> {
        if self.refresh.is_none() && self.access.is_none() {
            return None;
        }
        let written = Written {
            refresh_token: self.refresh.as_ref().map(|refresh| WrittenRefresh {
                token: refresh.token.expose(),
                ends_in_ms: refresh.ends.map(|ends| millis(now.until(ends))),
            }),
            access_token: self.access.as_ref().map(|access| WrittenAccess {
                token: access.token.expose(),
                age_ms: millis(access.age(now)),
                lifetime_ms: millis(access.lifetime),
                mark: access.mark.as_str(),
                values: access.values.iter().collect(),
            }),
            values: self.values.iter().collect(),
        };
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let tokens = self.refresh.iter().map(|refresh| &refresh.token).chain(self.access.iter().map(|it| &it.token));
        let values = self.values.iter().chain(self.access.iter().flat_map(|access| access.values.iter()));
        let lengths =
            tokens.map(|token| token.expose().len()).chain(values.map(|(name, it)| name.len() + it.len() + 8));
        let most = lengths.map(|length| 2 * length).sum::<usize>() + 256;
        let mut json = Zeroizing::new(Vec::with_capacity(most));
        serde_json::to_writer(&mut *json, &written).ok()?;
        let text = Zeroizing::new(String::from_utf8(std::mem::take(&mut *json)).ok()?);
        Some(Value { text: Secret::from(text), useful_for: self.useful_for(now) })
    }

    fn useful_for(&self, now: Moment) -> Option<Duration> {
        let access = self.access.as_ref().map(|access| access.lifetime.saturating_sub(access.age(now)));
        match &self.refresh {
            Some(refresh) => refresh.ends.map(|ends| now.until(ends).max(access.unwrap_or_default())),
            None => access,
        }
    }
}

impl Access {
    /// Whether it may still be sent.
    pub(super) fn is_live(&self, now: Moment) -> bool {
        !self.left(now).is_zero()
    }

    /// How long it still lives.
    pub(super) fn left(&self, now: Moment) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    fn age(&self, now: Moment) -> Duration {
        let monotonic = now.monotonic.saturating_duration_since(self.issued.monotonic);
        // The monotonic clock stands still while a laptop sleeps.
        monotonic.max(now.wall.duration_since(self.issued.wall).unwrap_or_default())
    }
}

fn words(written: Vec<(String, String)>) -> Words {
    written.into_iter().fold(Words::default(), |words, (name, value)| words.with(&name, Secret::new(value)))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn from_millis(span: u64) -> Duration {
    Duration::from_millis(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn access(issued: Moment) -> Access {
        Access { token: Secret::new("a\"\n"), issued, lifetime: 10 * MINUTE, values: tenant(), mark: "m".to_owned() }
    }

    fn tenant() -> Words {
        Words::default().with("tenant", Secret::new("t\n"))
    }

    fn saved(record: &Record, now: Moment, age: Duration) -> Record {
        let text = record.value(now).unwrap().text;
        Record::read(&Entry { text, fence: 1, age }, now).unwrap()
    }

    #[test]
    fn what_is_saved_is_as_old_as_it_was_and_as_long_ago_as_the_store_says() {
        let now = Moment::now();
        let refresh = Refresh { token: Secret::new("r"), ends: Some(now.after(30 * MINUTE)) };
        let record = Record { refresh: Some(refresh), access: Some(access(now.before(MINUTE))), values: tenant() };
        let read = saved(&record, now, 2 * MINUTE);
        let (refresh, access) = (read.refresh.unwrap(), read.access.unwrap());
        assert_eq!((refresh.token.expose(), access.token.expose(), access.mark.as_str()), ("r", "a\"\n", "m"));
        assert_eq!(now.until(refresh.ends.unwrap()), 28 * MINUTE);
        assert_eq!((access.age(now), access.lifetime), (3 * MINUTE, 10 * MINUTE));
        for values in [access.values, read.values] {
            assert_eq!(values.get("tenant").map(Secret::expose), Some("t\n"));
        }
    }

    #[test]
    fn it_is_of_use_as_long_as_any_of_it_is() {
        let now = Moment::now();
        let with =
            |ends: Option<Duration>| Some(Refresh { token: Secret::new("r"), ends: ends.map(|span| now.after(span)) });
        let useful =
            |refresh, access| Record { refresh, access, values: tenant() }.value(now).map(|value| value.useful_for);
        assert_eq!(useful(None, None), None);
        assert_eq!(useful(None, Some(access(now.before(MINUTE)))), Some(Some(9 * MINUTE)));
        assert_eq!(useful(with(None), Some(access(now))), Some(None));
        assert_eq!(useful(with(Some(MINUTE)), Some(access(now))), Some(Some(10 * MINUTE)));
        assert_eq!(useful(with(Some(20 * MINUTE)), Some(access(now))), Some(Some(20 * MINUTE)));
    }

    #[test]
    fn what_we_did_not_write_is_not_guessed_at() {
        for text in ["", "r1", "[]", "{\"access_token\":{\"token\":\"a\"}}"] {
            let entry = Entry { text: Secret::new(text), fence: 1, age: Duration::ZERO };
            assert!(Record::read(&entry, Moment::now()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_later_version_may_have_said_more() {
        let text = Secret::new(r#"{"refresh_token":{"token":"r","more":1},"more":{}}"#);
        let read = Record::read(&Entry { text, fence: 1, age: Duration::ZERO }, Moment::now()).unwrap();
        assert_eq!(read.refresh.unwrap().token.expose(), "r");
    }
}
