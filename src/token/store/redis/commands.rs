//! What is said to the server. Scripts run alone: between a look and what follows from it nothing happens.

use std::time::Duration;

use redis::Cmd;

use super::super::StoreError;
use super::link::Link;

/// What the server calls what belongs to one key.
pub(super) struct Names {
    pub(super) entry: String,
    pub(super) lease: String,
    pub(super) fence: String,
}

/// An entry as it is stored.
pub(super) struct Found {
    pub(super) fence: u64,
    pub(super) age: Duration,
    pub(super) sealed: Vec<u8>,
}

/// What is under the key.
pub(super) async fn load(link: &Link, names: &Names) -> Result<Option<Found>, StoreError> {
    let command = script(LOAD, names);
    let (fence, at, sealed, now): (Option<u64>, Option<u64>, Option<Vec<u8>>, u64) = link.ask(&command).await?;
    Ok(match (fence, at, sealed) {
        (Some(fence), Some(at), Some(sealed)) => {
            Some(Found { fence, sealed, age: Duration::from_millis(now.saturating_sub(at)) })
        }
        _ => None,
    })
}

/// The fence of a new lease; `None`: somebody else has one.
pub(super) async fn lease(link: &Link, names: &Names, limit: Duration) -> Result<Option<u64>, StoreError> {
    let mut command = script(LEASE, names);
    command.arg(millis(limit)).arg(millis(FENCE_LASTS));
    link.ask(&command).await
}

/// Saves, or deletes. `false`: somebody has had a later lease.
pub(super) async fn save(
    link: &Link,
    names: &Names,
    fence: u64,
    sealed: Option<Vec<u8>>,
    useful_for: Option<Duration>,
) -> Result<bool, StoreError> {
    let mut command = script(SAVE, names);
    command.arg(fence).arg(sealed.unwrap_or_default());
    command.arg(useful_for.map_or(0, |span| millis(span).max(1))).arg(millis(FENCE_LASTS));
    link.ask(&command).await
}

/// Gives a lease back.
pub(super) async fn release(link: &Link, names: &Names, fence: u64) -> Result<(), StoreError> {
    let mut command = script(RELEASE, names);
    command.arg(fence);
    link.ask(&command).await
}

/// The fence of each of these entries; 0: there is none. With no names a sign of life.
pub(super) async fn marks(link: &Link, entries: &[String]) -> Result<Vec<u64>, StoreError> {
    let mut command = redis::cmd("EVAL");
    command.arg(MARKS).arg(entries.len());
    for entry in entries {
        command.arg(entry);
    }
    link.ask(&command).await
}

fn script(text: &str, names: &Names) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(3).arg(&names.entry).arg(&names.lease).arg(&names.fence);
    command
}

fn millis(span: Duration) -> u64 {
    // More is as good as no end, and the server counts with 53 bits.
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(100 * 365 * 24 * 3600 * 1000)
}

/// After so long without a lease the count may begin anew: it also follows the clock.
const FENCE_LASTS: Duration = Duration::from_secs(7 * 24 * 3600);

const LOAD: &str = "\
local time = redis.call('TIME')
local found = redis.call('HMGET', KEYS[1], 'fence', 'at', 'sealed')
return {found[1], found[2], found[3], time[1] * 1000 + math.floor(time[2] / 1000)}";

const LEASE: &str = "\
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local last = tonumber(redis.call('GET', KEYS[3]) or 0)
local saved = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fence = string.format('%.0f', math.max(last + 1, saved + 1, now))
redis.call('SET', KEYS[3], fence, 'PX', ARGV[2])
redis.call('SET', KEYS[2], fence, 'PX', ARGV[1])
return fence";

const SAVE: &str = "\
local time = redis.call('TIME')
local mine = tonumber(ARGV[1])
local last = tonumber(redis.call('GET', KEYS[3]) or 0)
local saved = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)
if last > mine or saved > mine then return 0 end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[4])
redis.call('DEL', KEYS[1])
if ARGV[2] == '' then return 1 end
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'at', now, 'sealed', ARGV[2])
if ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1";

const RELEASE: &str = "\
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return true";

const MARKS: &str = "\
local marks = {}
for place, key in ipairs(KEYS) do marks[place] = tonumber(redis.call('HGET', key, 'fence') or 0) end
return marks";
