//! How long a token lives, by what came with it (DESIGN.md section 3, "Lifetime of a reply").
//!
//! In order: `expires_in`; `expires_at`, `expires_on`, `expires`, `expiration`; a JWT's `exp`; the cookies' own; the default. A source that says nothing
//! usable (zero, negative, in the past, no number, no date) counts as absent, and the next one is asked: zero means
//! "never" at some servers and "unknown" at others.

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Answer, Body, cookies};
use crate::oauth::settings::{ExpiresUnit, LifetimeSettings, ResponseSettings, TokenPlace};
use crate::secret::Secret;

/// How long an access token lives from `now` on.
pub(super) fn of(
    answer: &Answer,
    body: &Body,
    token: &Secret,
    places: &ResponseSettings,
    settings: &LifetimeSettings,
    now: SystemTime,
) -> Duration {
    let said = body
        .at(&places.expires_in.0)
        .and_then(|value| span(value, places.expires_unit, now))
        .or_else(|| first(body, &["/expires_at", "/expires_on", "/expires", "/expiration"], now))
        .or_else(|| jwt_lifetime(token, now))
        .or_else(|| match &places.access_token {
            TokenPlace::Cookies(names) => cookies::lifetime(&answer.headers, names, now),
            TokenPlace::Body(_) | TokenPlace::Header(_) => None,
        })
        .unwrap_or(settings.default);
    said.min(ABSURD).min(settings.max.unwrap_or(ABSURD))
}

/// How long a refresh token lives; `None`: no end that is known, which is also what `refresh_expires_in: 0` means
/// (Keycloak's offline tokens).
pub(super) fn of_refresh_token(body: &Body, token: &Secret, now: SystemTime) -> Option<Duration> {
    let places =
        ["/refresh_expires_in", "/refresh_token_expires_in", "/refresh_expires_at", "/refresh_token_expires_at"];
    match places.iter().any(|place| body.at(place).is_some_and(|value| !value.is_null())) {
        true => first(body, &places, now),
        false => jwt_lifetime(token, now),
    }
}

/// What a JWT's `exp` leaves of it (RFC 7519 §4.1.4). Read, not verified: a wrong one is a nuisance, not a danger. Where
/// `iat` says for how long it was made, no more than that, whatever our clock shows.
pub(in crate::oauth) fn jwt_lifetime(token: &Secret, now: SystemTime) -> Option<Duration> {
    let claims = claims(token)?;
    let left = whole(until_end(&claims, now)?)?;
    let made_for = claims.get("exp").and_then(Value::as_f64).zip(claims.get("iat").and_then(Value::as_f64));
    let made_for = made_for.and_then(|(end, begin)| whole(end - begin));
    Some(made_for.map_or(left, |made_for| left.min(made_for)))
}

/// As [`jwt_lifetime`], of a token that is not ours to use but to exchange: zero when it has ended.
pub(in crate::oauth) fn jwt_left(token: &Secret, now: SystemTime) -> Option<Duration> {
    let left = until_end(&claims(token)?, now)?;
    Some(whole(left).unwrap_or_default())
}

/// Seconds.
fn until_end(claims: &Value, now: SystemTime) -> Option<f64> {
    let end = claims.get("exp")?.as_f64().filter(|end| *end > MOMENT)?;
    Some(seconds(end, ExpiresUnit::Auto, now))
}

fn claims(token: &Secret) -> Option<Value> {
    let mut parts = token.expose().split('.');
    let (_header, payload, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&payload).ok()
}

/// Longer than any token is meant to live; a server that says more is asked again after a year.
const ABSURD: Duration = Duration::from_secs(366 * 24 * 3600);

/// A greater number of seconds is no duration (31 years) but a moment, in Unix seconds.
const MOMENT: f64 = 1e9;

/// A still greater one is a moment in Unix milliseconds, a "Java timestamp".
const MOMENT_IN_MILLISECONDS: f64 = 1e12;

fn first(body: &Body, places: &[&str], now: SystemTime) -> Option<Duration> {
    places.iter().find_map(|place| body.at(place).and_then(|value| span(value, ExpiresUnit::Auto, now)))
}

/// A number, a numeric text or a date, as a span from `now` on.
fn span(value: &Value, unit: ExpiresUnit, now: SystemTime) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) => Some(number),
            Err(_) => return whole(rfc3339(text.trim())? - unix(now)),
        },
        _ => None,
    };
    number.filter(|number| *number > 0.0).and_then(|number| whole(seconds(number, unit, now)))
}

/// A file that says `seconds` means a duration, always; one that says `milliseconds` a duration or a Java timestamp.
fn seconds(number: f64, unit: ExpiresUnit, now: SystemTime) -> f64 {
    match unit {
        ExpiresUnit::Auto | ExpiresUnit::Milliseconds if number > MOMENT_IN_MILLISECONDS => number / 1000.0 - unix(now),
        ExpiresUnit::Auto if number > MOMENT => number - unix(now),
        ExpiresUnit::Auto | ExpiresUnit::Seconds => number,
        ExpiresUnit::Milliseconds => number / 1000.0,
    }
}

/// To the millisecond; nothing for what is not positive and finite. Capped before it could overflow anything.
fn whole(seconds: f64) -> Option<Duration> {
    if !seconds.is_finite() {
        return None;
    }
    let seconds = (seconds.min(1e12) * 1000.0).round() / 1000.0;
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero())
}

fn unix(now: SystemTime) -> f64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// An RFC 3339 date in Unix seconds. More lenient than the RFC: a space for the `T`, an offset without its colon, and no
/// offset at all, which then means UTC.
fn rfc3339(text: &str) -> Option<f64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, offset) = split_offset(rest.strip_prefix(['T', 't', ' '])?)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction: f64 =
        fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("0.{fraction}"))?.parse().ok()?;
    let minutes = i32::from(hour) * 60 + i32::from(minute) - offset;
    let clock = f64::from(minutes * 60 + i32::from(second)) + fraction;
    Some(f64::from(days(year, month, day)) * 86_400.0 + clock)
}

/// The clock time, and the offset from UTC in minutes.
fn split_offset(text: &str) -> Option<(&str, i32)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(place) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (clock, offset) = text.split_at_checked(place)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = offset.get(1..)?.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let [hours] = numbers(hours, ':')?;
    let [minutes] = numbers(minutes, ':')?;
    Some((clock, sign * (i32::from(hours) * 60 + i32::from(minutes))))
}

/// So many numbers, digits alone, at most four of them each.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[u16; N]> {
    let numbers: Option<Vec<u16>> = text
        .split(separator)
        .map(|part| {
            let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect();
    numbers?.try_into().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar, with years that begin in March so that the leap day is the last.
fn days(year: u16, month: u16, day: u16) -> i32 {
    let (year, month, day) = (i32::from(year), i32::from(month), i32::from(day));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}
