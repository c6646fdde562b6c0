//! Device authorization (RFC 8628): what the server tells the device, and how often the device may ask.
//!
//! Pure. Servers older than the RFC write `verification_url`; those that leave `interval` out mean five seconds (§3.2).

use std::time::Duration;

use crate::oauth::response::Body;
use crate::secret::Secret;
use crate::token::TokenError;

/// What a person needs to confirm a login elsewhere, and what this device needs to notice.
#[derive(Clone, Debug)]
pub(in crate::oauth) struct DeviceAuthorization {
    pub(in crate::oauth) device_code: Secret,
    pub(in crate::oauth) user_code: String,
    pub(in crate::oauth) verification_uri: String,
    /// With the code in it.
    pub(in crate::oauth) verification_uri_complete: Option<String>,
    /// Of the code.
    pub(in crate::oauth) lifetime: Duration,
    pub(in crate::oauth) pace: Pace,
}

impl DeviceAuthorization {
    /// Reads an answer that is no refusal.
    pub(in crate::oauth) fn read(body: &Body) -> Result<Self, TokenError> {
        let text = |places: &[&str]| {
            let text = places.iter().find_map(|place| body.text_at(place));
            text.filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT && !text.contains(char::is_control))
        };
        let needed = |places: &[&str]| {
            let missing =
                || TokenError::Malformed(format!("no text at `{}` in {}", places.join("` or `"), body.what()));
            text(places).ok_or_else(missing)
        };
        let seconds = |place| body.at(place).and_then(number).filter(|number| *number > 0.0);
        let lifetime = seconds("/expires_in").map_or(DEFAULT_LIFETIME, Duration::from_secs_f64);
        let interval = seconds("/interval").map_or(DEFAULT_INTERVAL, Duration::from_secs_f64);
        Ok(Self {
            device_code: Secret::new(needed(&["/device_code"])?),
            user_code: needed(&["/user_code"])?.to_owned(),
            verification_uri: needed(&["/verification_uri", "/verification_url"])?.to_owned(),
            verification_uri_complete: text(&["/verification_uri_complete", "/verification_url_complete"])
                .map(str::to_owned),
            lifetime: lifetime.min(LONGEST_LIFETIME),
            pace: Pace(interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)),
        })
    }
}

/// A number, or a numeric text; nothing that is no span.
fn number(value: &serde_json::Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number.min(1e9))
}

/// How long to wait before asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) struct Pace(pub(in crate::oauth) Duration);

/// What a refusal means while the person has not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Next {
    /// Ask again.
    Wait,
    /// The code is worth nothing any more.
    Expired,
    /// It is one.
    End,
}

impl Pace {
    /// Takes in what the server said (RFC 8628 §3.5).
    pub(in crate::oauth) fn after(&mut self, error: &TokenError) -> Next {
        match (error, code(error)) {
            (_, "authorization_pending") => Next::Wait,
            (_, "expired_token") => Next::Expired,
            (_, "slow_down") => {
                self.0 = (self.0 + SLOWER).min(LONGEST_INTERVAL);
                Next::Wait
            }
            // §3.5: on a timeout, exponentially longer. A server that is away may come back before the code expires.
            (TokenError::TimedOut | TokenError::Unreachable(_) | TokenError::Unavailable { .. }, _) => {
                self.0 = (self.0 * 2).min(LONGEST_INTERVAL);
                Next::Wait
            }
            _ => Next::End,
        }
    }
}

/// The code of an error answer, whatever its status: GitHub's is 200.
fn code(error: &TokenError) -> &str {
    match error {
        TokenError::Refused { code, .. } => code,
        TokenError::Unavailable { description: Some(description), .. } => {
            description.split(':').next().unwrap_or_default()
        }
        _ => "",
    }
}

/// RFC 8628 §3.2.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// RFC 8628 §3.5, `slow_down`.
const SLOWER: Duration = Duration::from_secs(5);

/// Whatever a server says: it is a person who is waited for.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// RFC 8628 §3.2 requires one; that of its example otherwise.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(1800);
const LONGEST_LIFETIME: Duration = Duration::from_secs(3600);

/// A longer one is not typed by anybody, nor does it fit a QR code.
const LONGEST_TEXT: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DeviceAuthorization, TokenError> {
        DeviceAuthorization::read(&Body::parse(Some("application/json"), json.as_bytes()))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_example_of_rfc_8628_section_3_2_is_read() {
        let read = read(
            r#"{"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT",
                "verification_uri":"https://example.com/device",
                "verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT",
                "expires_in":1800,"interval":5}"#,
        )
        .unwrap();
        assert_eq!(read.device_code.expose(), "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS");
        assert_eq!(
            (read.user_code.as_str(), read.verification_uri.as_str()),
            ("WDJB-MJHT", "https://example.com/device")
        );
        assert_eq!(read.verification_uri_complete.unwrap(), "https://example.com/device?user_code=WDJB-MJHT");
        assert_eq!((read.lifetime, read.pace), (seconds(1800), Pace(seconds(5))));
    }

    #[test]
    fn what_servers_leave_out_or_write_otherwise_is_understood() {
        let google = read(r#"{"device_code":"d","user_code":"u","verification_url":"https://g/","expires_in":"60"}"#);
        let google = google.unwrap();
        assert_eq!((google.verification_uri.as_str(), google.pace), ("https://g/", Pace(seconds(5))));
        assert_eq!(google.lifetime, seconds(60));
        let hasty = read(r#"{"device_code":"d","user_code":"u","verification_uri":"v","interval":0.001}"#).unwrap();
        assert_eq!((hasty.pace, hasty.lifetime), (Pace(seconds(1)), seconds(1800)));
        let odd = r#"{"device_code":"d","user_code":"u","verification_uri":"v","interval":1e300,"expires_in":-1}"#;
        assert_eq!(read(odd).unwrap().pace, Pace(seconds(60)));
    }

    #[test]
    fn what_a_terminal_could_take_for_a_command_is_refused() {
        for json in [
            "{}",
            "[]",
            "<html>",
            r#"{"device_code":"d","user_code":"u"}"#,
            r#"{"device_code":"","user_code":"u","verification_uri":"v"}"#,
            "{\"device_code\":\"d\",\"user_code\":\"\\u001b[2J\",\"verification_uri\":\"v\"}",
        ] {
            assert!(matches!(read(json), Err(TokenError::Malformed(_))), "{json}");
        }
    }

    // RFC 8628 §3.5
    #[test]
    fn each_slow_down_costs_five_seconds() {
        let mut pace = Pace(seconds(5));
        let refused = |code: &str| TokenError::Refused { code: code.to_owned(), description: None };
        let slow_down = || TokenError::Unavailable {
            status: 400,
            description: Some("slow_down: too fast".to_owned()),
            retry_after: None,
        };
        assert_eq!((pace.after(&refused("authorization_pending")), pace), (Next::Wait, Pace(seconds(5))));
        assert_eq!((pace.after(&slow_down()), pace), (Next::Wait, Pace(seconds(10))));
        assert_eq!((pace.after(&slow_down()), pace), (Next::Wait, Pace(seconds(15))));
        assert_eq!((pace.after(&TokenError::TimedOut), pace), (Next::Wait, Pace(seconds(30))));
        assert_eq!((pace.after(&TokenError::TimedOut), pace), (Next::Wait, Pace(seconds(60))));
        assert_eq!((pace.after(&TokenError::TimedOut), pace), (Next::Wait, Pace(seconds(60))));
        let github = TokenError::Unavailable {
            status: 200,
            description: Some("authorization_pending: not yet".to_owned()),
            retry_after: None,
        };
        assert_eq!((pace.after(&github), pace), (Next::Wait, Pace(seconds(60))));
        assert_eq!(pace.after(&refused("expired_token")), Next::Expired);
        assert_eq!(pace.after(&refused("access_denied")), Next::End);
        assert_eq!(pace.after(&refused("invalid_client")), Next::End);
    }
}
