//! The tokens an authorization server has given out: which are good, until when, and which belong together.
//!
//! Pure: the time is handed in. Tokens that came of one login are a family; a refresh token that is used a second time
//! voids its whole family (RFC 9700 §4.14.2), since the server cannot tell the thief from the owner. Bounded: the oldest
//! go when there are too many.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::RefreshTokens;

/// The tokens of one server.
#[derive(Default)]
pub(super) struct Tokens {
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    generation: u64,
    families: u64,
}

struct Access {
    generation: u64,
    family: u64,
    expires: Instant,
    revoked: bool,
}

struct Refresh {
    number: u64,
    family: u64,
    expires: Instant,
    scope: String,
    state: RefreshState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RefreshState {
    Good,
    Used,
    Revoked,
}

/// What came of a refresh token.
pub(super) struct Redeemed {
    pub(super) family: u64,
    pub(super) scope: String,
}

/// Why a refresh token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    Unknown,
    Expired,
    Revoked,
    /// Its family is void now; that took so many live access tokens with it.
    Reused {
        access_tokens: usize,
    },
}

impl Tokens {
    /// A family for a new login.
    pub(super) fn new_family(&mut self) -> u64 {
        self.families += 1;
        self.families
    }

    /// A new access token, and which one it is.
    pub(super) fn issue(&mut self, family: u64, expires: Instant) -> Result<(String, u64), Unspecified> {
        let token = random()?;
        self.generation += 1;
        let generation = self.generation;
        if self.access.len() >= MAX_TOKENS {
            let oldest = generation.saturating_sub(KEPT_TOKENS);
            self.access.retain(|_, access| access.generation > oldest);
        }
        self.access.insert(token.clone(), Access { generation, family, expires, revoked: false });
        Ok((token, generation))
    }

    /// A new refresh token.
    pub(super) fn issue_refresh(&mut self, family: u64, expires: Instant, scope: &str) -> Result<String, Unspecified> {
        let token = random()?;
        let number = self.generation;
        if self.refresh.len() >= MAX_TOKENS {
            let oldest = number.saturating_sub(KEPT_TOKENS);
            self.refresh.retain(|_, refresh| refresh.number > oldest);
        }
        let refresh = Refresh { number, family, expires, scope: scope.to_owned(), state: RefreshState::Good };
        self.refresh.insert(token.clone(), refresh);
        Ok(token)
    }

    /// What a refresh token stands for. Uses nothing up, unless it is used up already.
    pub(super) fn look_up(&mut self, token: &str, now: Instant) -> Result<Redeemed, Misuse> {
        let refresh = self.refresh.get(token).ok_or(Misuse::Unknown)?;
        let family = refresh.family;
        match refresh.state {
            RefreshState::Revoked => Err(Misuse::Revoked),
            RefreshState::Used => Err(Misuse::Reused { access_tokens: self.revoke_family(family, now) }),
            RefreshState::Good if refresh.expires <= now => Err(Misuse::Expired),
            RefreshState::Good => Ok(Redeemed { family, scope: refresh.scope.clone() }),
        }
    }

    /// Uses a refresh token up, if this server's are good for once only.
    pub(super) fn use_up(&mut self, token: &str, rule: RefreshTokens) {
        if let Some(refresh) = self.refresh.get_mut(token)
            && rule == RefreshTokens::Rotated
        {
            refresh.state = RefreshState::Used;
        }
    }

    /// How an access token stands.
    pub(super) fn check(&self, token: &str, now: Instant) -> Presented {
        match self.access.get(token) {
            None => Presented::Unknown,
            Some(access) if access.revoked => Presented::Revoked { generation: access.generation },
            Some(access) if access.expires <= now => Presented::Expired { generation: access.generation },
            Some(access) => Presented::Valid { generation: access.generation, left: access.expires - now },
        }
    }

    /// Voids all access tokens; how many were live.
    pub(super) fn revoke_access(&mut self, now: Instant) -> usize {
        revoke(self.access.values_mut(), now)
    }

    /// Voids all refresh tokens.
    pub(super) fn revoke_refresh(&mut self) {
        for refresh in self.refresh.values_mut() {
            refresh.state = RefreshState::Revoked;
        }
    }

    fn revoke_family(&mut self, family: u64, now: Instant) -> usize {
        for refresh in self.refresh.values_mut().filter(|refresh| refresh.family == family) {
            refresh.state = RefreshState::Revoked;
        }
        revoke(self.access.values_mut().filter(|access| access.family == family), now)
    }
}

/// Which token a request to an API bore, and how that stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// A good one.
    Valid {
        /// Which, from 1.
        generation: u64,
        /// How long it still lives.
        left: Duration,
    },
    /// One whose time is over.
    Expired {
        /// Which.
        generation: u64,
    },
    /// One that was revoked.
    Revoked {
        /// Which.
        generation: u64,
    },
    /// A good one, that the API was told to refuse nevertheless.
    Unwelcome {
        /// Which.
        generation: u64,
    },
    /// Something this server never issued, or not written as RFC 6750 §2.1 wants it.
    Unknown,
    /// None.
    Nothing,
    /// More than one (RFC 6750 §3.1: a malformed request).
    Several,
}

impl Presented {
    /// Which of the system's access tokens it was.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Valid { generation, .. }
            | Self::Expired { generation }
            | Self::Revoked { generation }
            | Self::Unwelcome { generation } => Some(*generation),
            Self::Unknown | Self::Nothing | Self::Several => None,
        }
    }
}

impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid { generation, left } => write!(f, "with token {generation}, {} s left", left.as_secs()),
            Self::Expired { generation } => write!(f, "with token {generation}, which has expired"),
            Self::Revoked { generation } => write!(f, "with token {generation}, which was revoked"),
            Self::Unwelcome { generation } => write!(f, "with token {generation}, refused as told"),
            Self::Unknown => f.write_str("with a token that is not ours"),
            Self::Nothing => f.write_str("without a token"),
            Self::Several => f.write_str("with more than one token"),
        }
    }
}

/// Past this, all but the newest [`KEPT_TOKENS`] are forgotten.
const MAX_TOKENS: usize = 4096;
const KEPT_TOKENS: u64 = 2048;

fn revoke<'a>(tokens: impl Iterator<Item = &'a mut Access>, now: Instant) -> usize {
    let mut live = 0;
    for access in tokens {
        if !access.revoked && access.expires > now {
            live += 1;
        }
        access.revoked = true;
    }
    live
}

/// 256 random bits, in characters that a header field, a form and a JSON text hold as they are.
fn random() -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_token_is_good_until_its_last_moment_and_not_after() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let (token, generation) = tokens.issue(1, now + SECOND).unwrap();
        assert_eq!(tokens.check(&token, now), Presented::Valid { generation, left: SECOND });
        assert_eq!(tokens.check(&token, now + SECOND), Presented::Expired { generation });
        assert_eq!(tokens.check("another", now), Presented::Unknown);
    }

    #[test]
    fn a_refresh_token_used_twice_voids_its_family_and_no_other() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let (mine, yours) = (tokens.new_family(), tokens.new_family());
        let (my_access, _) = tokens.issue(mine, now + SECOND).unwrap();
        let (your_access, _) = tokens.issue(yours, now + SECOND).unwrap();
        let first = tokens.issue_refresh(mine, now + SECOND, "").unwrap();
        assert!(tokens.look_up(&first, now).is_ok());
        tokens.use_up(&first, RefreshTokens::Rotated);
        let second = tokens.issue_refresh(mine, now + SECOND, "").unwrap();

        assert_eq!(tokens.look_up(&first, now).err(), Some(Misuse::Reused { access_tokens: 1 }));
        assert_eq!(tokens.look_up(&second, now).err(), Some(Misuse::Revoked));
        assert!(matches!(tokens.check(&my_access, now), Presented::Revoked { .. }));
        assert!(matches!(tokens.check(&your_access, now), Presented::Valid { .. }));
    }

    #[test]
    fn a_kept_refresh_token_may_be_used_again() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let token = tokens.issue_refresh(1, now + SECOND, "a b").unwrap();
        tokens.use_up(&token, RefreshTokens::Kept);
        assert_eq!(tokens.look_up(&token, now).map(|redeemed| redeemed.scope).ok(), Some("a b".to_owned()));
        assert_eq!(tokens.look_up(&token, now + SECOND).err(), Some(Misuse::Expired));
    }

    #[test]
    fn the_oldest_tokens_are_forgotten_when_there_are_too_many() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let (first, _) = tokens.issue(1, now + SECOND).unwrap();
        for _ in 0..MAX_TOKENS {
            tokens.issue(1, now + SECOND).unwrap();
        }
        assert!(tokens.access.len() <= MAX_TOKENS);
        assert_eq!(tokens.check(&first, now), Presented::Unknown);
    }
}
