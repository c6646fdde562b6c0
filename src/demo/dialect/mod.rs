//! The four systems that the proxy began with: what each accepts, and how each answers.
//!
//! One file a system, each with the same items in the same order: where its token endpoint is, what it is like when
//! nobody changes it, the credential that fits it, what it approves, how it replies and how it refuses.

mod apiax;
mod applixure;
mod screening_eagle;
mod zpax;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::ServerSettings;
use super::refusal::Refusal;
use super::token_request::TokenRequest;

/// Which system an authorization server or an API speaks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// z-Pax: client credentials, scope of several values, refresh token on request.
    Zpax,
    /// Apiax: password, public client, Java timestamps, rotating refresh tokens.
    Apiax,
    /// Screening Eagle ID: client credentials, Basic alone, errors of its own form.
    ScreeningEagle,
    /// Applixure: client credentials, default scope, never a refresh token.
    Applixure,
}

impl Dialect {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Zpax, Self::Apiax, Self::ScreeningEagle, Self::Applixure];

    /// As its makers write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zpax => "z-Pax",
            Self::Apiax => "Apiax",
            Self::ScreeningEagle => "Screening Eagle",
            Self::Applixure => "Applixure",
        }
    }

    /// As a path segment, or the name of a credential.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Zpax => "zpax",
            Self::Apiax => "apiax",
            Self::ScreeningEagle => "eagle",
            Self::Applixure => "applixure",
        }
    }

    /// The path of its token endpoint.
    #[must_use]
    pub const fn token_path(self) -> &'static str {
        match self {
            Self::Zpax => zpax::TOKEN_PATH,
            Self::Apiax => apiax::TOKEN_PATH,
            Self::ScreeningEagle => screening_eagle::TOKEN_PATH,
            Self::Applixure => applixure::TOKEN_PATH,
        }
    }

    /// A server of this kind, with its documented lifetimes and a client that the demo uses.
    #[must_use]
    pub fn settings(self) -> ServerSettings {
        match self {
            Self::Zpax => zpax::settings(),
            Self::Apiax => apiax::settings(),
            Self::ScreeningEagle => screening_eagle::settings(),
            Self::Applixure => applixure::settings(),
        }
    }

    /// The credential of a configuration file that fits such a server: its keys, without indentation.
    pub(super) fn credential(self, settings: &ServerSettings) -> Vec<String> {
        match self {
            Self::Zpax => zpax::credential(settings),
            Self::Apiax => apiax::credential(settings),
            Self::ScreeningEagle => screening_eagle::credential(settings),
            Self::Applixure => applixure::credential(settings),
        }
    }

    pub(super) fn approve(self, request: &TokenRequest, settings: &ServerSettings) -> Result<Approval, Refusal> {
        match self {
            Self::Zpax => zpax::approve(request, settings),
            Self::Apiax => apiax::approve(request, settings),
            Self::ScreeningEagle => screening_eagle::approve(request, settings),
            Self::Applixure => applixure::approve(request, settings),
        }
    }

    pub(super) fn reply(self, issued: &Issued) -> Value {
        match self {
            Self::Zpax => zpax::reply(issued),
            Self::Apiax => apiax::reply(issued),
            Self::ScreeningEagle => screening_eagle::reply(issued),
            Self::Applixure => applixure::reply(issued),
        }
    }

    pub(super) fn refuse(self, refusal: &Refusal) -> Value {
        match self {
            Self::Zpax => zpax::refuse(refusal),
            Self::Apiax => apiax::refuse(refusal),
            Self::ScreeningEagle => screening_eagle::refuse(refusal),
            Self::Applixure => applixure::refuse(refusal),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a system agrees to give.
pub(super) struct Approval {
    pub(super) grant: Grant,
    /// The scope granted; on refresh the one asked for, `None`: as before.
    pub(super) scope: Option<String>,
    /// Whether a login comes with a refresh token. A refresh has its own rule.
    pub(super) with_refresh_token: bool,
}

impl Approval {
    /// A refresh (RFC 6749 §6), if the token turns out to be good.
    fn refresh(request: &TokenRequest, settings: &ServerSettings) -> Result<Self, Refusal> {
        let token = request.required("refresh_token")?.to_owned();
        Ok(Self { grant: Grant::RefreshToken(token), scope: request.scope(settings)?, with_refresh_token: false })
    }
}

/// What the client came with.
pub(super) enum Grant {
    ClientCredentials,
    Password,
    RefreshToken(String),
}

impl Grant {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken(_) => "refresh_token",
        }
    }
}

/// Tokens, before a system writes them down.
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) family: u64,
    pub(super) scope: String,
    pub(super) at: SystemTime,
    pub(super) lifetime: Duration,
}

impl Issued {
    /// `expires_in` as RFC 6749 §5.1 means it: seconds, whole unless a test wants less.
    fn expires_in(&self) -> Value {
        if self.lifetime.subsec_nanos() == 0 {
            self.lifetime.as_secs().into()
        } else {
            self.lifetime.as_secs_f64().into()
        }
    }

    /// When it expires, in milliseconds since 1970.
    fn expires_at_millis(&self) -> u64 {
        let since_1970 = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + self.lifetime;
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A YAML scalar, whatever is in it: a JSON text is one.
fn scalar(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
