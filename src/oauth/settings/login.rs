//! What a login by a person is configured to be: `authorization_code` and `device_code`.

use std::time::Duration;

use url::Url;

use crate::secret::SecretSource;

/// The keys of both grants that need a person.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Which of them.
    pub way: LoginWay,
    /// `authorization_url`; `None`: the issuer's.
    pub authorization_url: Option<Url>,
    /// `device_authorization_url`; `None`: the issuer's, if it has one.
    pub device_authorization_url: Option<Url>,
    /// `revocation_url`; `None`: the issuer's, if it has one.
    pub revocation_url: Option<Url>,
    /// `authorization.*`.
    pub authorization: AuthorizationSettings,
}

/// Where the person logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginWay {
    /// In a browser that comes back to us (RFC 6749 §4.1).
    AuthorizationCode,
    /// In a browser on any device (RFC 8628).
    DeviceCode,
}

/// `authorization.*`: what the authorization request says, and how it is answered.
#[derive(Clone, Debug)]
pub struct AuthorizationSettings {
    /// `params`: further parameters of the authorization request.
    pub params: Vec<(String, SecretSource)>,
    /// `pkce`.
    pub pkce: Pkce,
    /// `redirect_uri`; `None`: `http://127.0.0.1/callback`, with a port that is free.
    pub redirect_uri: Option<RedirectUri>,
    /// `code_parameter`: what the answer calls the code, by default `code`.
    pub code_parameter: String,
    /// `rename`: parameters that this server calls otherwise, in all requests; the standard's name first.
    pub rename: Vec<(String, String)>,
    /// `values`: what to keep of the answer beside the code; our name for it, and the parameter.
    pub values: Vec<(String, String)>,
    /// `timeout`: how long a login may take, by default 5 minutes.
    pub timeout: Duration,
}

impl Default for AuthorizationSettings {
    fn default() -> Self {
        Self {
            params: Vec::new(),
            pkce: Pkce::S256,
            redirect_uri: None,
            code_parameter: "code".to_owned(),
            rename: Vec::new(),
            values: Vec::new(),
            timeout: Duration::from_secs(300),
        }
    }
}

impl AuthorizationSettings {
    /// What this server calls a parameter.
    #[must_use]
    pub fn name_of<'a>(&'a self, standard: &'a str) -> &'a str {
        self.rename.iter().find(|(name, _)| name == standard).map_or(standard, |(_, theirs)| theirs)
    }
}

/// `authorization.pkce` (RFC 7636).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// A challenge by SHA-256.
    S256,
    /// None, for servers that refuse parameters they do not know.
    Off,
}

/// `authorization.redirect_uri`: http to loopback, which we listen on; or anything else, from where the person brings
/// the answer.
#[derive(Clone, Debug)]
pub struct RedirectUri {
    /// As it was written: servers compare it letter by letter.
    pub text: String,
    /// The same, parsed.
    pub url: Url,
}
