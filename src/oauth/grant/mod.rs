//! Grants (RFC 6749 §1.3): what a token is asked with. One file each, alike in shape.
//!
//! A grant is made from its settings for one request, with its secrets as they are at that moment, and then does no
//! I/O: it fills a [`TokenRequest`].

mod authorization_code;
mod client_credentials;
mod custom;
mod device_code;
mod exec;
mod jwt_bearer;
mod no_login;
mod password;
mod refresh_token;
mod signed_jwt;
mod static_token;
mod token_exchange;

use super::assertion::Assertion;
use super::request::{Described, TokenRequest};
use super::settings::{GrantSettings, LoginWay};
use crate::secret::{Secret, SecretError};
use crate::token::TokenError;
use crate::token::template::Words;

pub(super) use authorization_code::AuthorizationCode;
pub(super) use device_code::DeviceCode;
pub(super) use exec::Exec;
pub(super) use refresh_token::RefreshToken;

/// Fills a token request; never does I/O.
pub(super) trait Grant: Send + Sync {
    /// Adds this grant's parameters.
    ///
    /// # Errors
    ///
    /// The grant cannot be written (an assertion that cannot be signed).
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError>;

    /// The token itself, for grants that ask nobody.
    fn token(&self) -> Option<&Secret> {
        None
    }
}

/// The grant of these settings, with its secrets as they are now.
pub(super) fn read(settings: &GrantSettings) -> Result<Box<dyn Grant>, SecretError> {
    Ok(match settings {
        GrantSettings::ClientCredentials => Box::new(client_credentials::ClientCredentials),
        GrantSettings::Password { username, password } => {
            Box::new(password::Password { username: username.read()?, password: password.read()? })
        }
        GrantSettings::RefreshToken { refresh_token } => {
            Box::new(refresh_token::RefreshToken { refresh_token: refresh_token.read()? })
        }
        GrantSettings::JwtBearer { assertion } => {
            Box::new(jwt_bearer::JwtBearer { assertion: Assertion::read(assertion)? })
        }
        GrantSettings::SignedJwt { assertion } => {
            Box::new(signed_jwt::SignedJwt { token: Assertion::alone(assertion)? })
        }
        GrantSettings::Custom { request, assertion } => {
            let words = match assertion {
                Some(assertion) => Words::default().with("assertion", Assertion::alone(assertion)?),
                None => Words::default(),
            };
            Box::new(custom::Custom { request: Described::read(request, &words)? })
        }
        GrantSettings::Exec(settings) => Box::new(Exec::read(settings)?),
        GrantSettings::Static { token } => Box::new(static_token::StaticToken { token: token.read()? }),
        GrantSettings::TokenExchange(exchange) => Box::new(token_exchange::TokenExchange::read(exchange, None)?),
        GrantSettings::Login(_) => Box::new(no_login::NoLogin),
    })
}

/// The same, on behalf of a subject that a request brought.
pub(super) fn read_for(settings: &GrantSettings, subject: &Secret) -> Result<Box<dyn Grant>, SecretError> {
    match settings {
        GrantSettings::TokenExchange(exchange) => {
            Ok(Box::new(token_exchange::TokenExchange::read(exchange, Some(subject))?))
        }
        other => read(other),
    }
}

/// The grant's name in the file.
pub(super) fn name(settings: &GrantSettings) -> &'static str {
    match settings {
        GrantSettings::ClientCredentials => "client_credentials",
        GrantSettings::Password { .. } => "password",
        GrantSettings::RefreshToken { .. } => "refresh_token",
        GrantSettings::JwtBearer { .. } => "jwt_bearer",
        GrantSettings::SignedJwt { .. } => "signed_jwt",
        GrantSettings::Custom { .. } => "custom",
        GrantSettings::Exec(_) => "exec",
        GrantSettings::Static { .. } => "static",
        GrantSettings::TokenExchange(_) => "token_exchange",
        GrantSettings::Login(login) => match login.way {
            LoginWay::AuthorizationCode => "authorization_code",
            LoginWay::DeviceCode => "device_code",
        },
    }
}
