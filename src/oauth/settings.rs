//! What a credential is configured to be (DESIGN.md section 4, "Credential"). Already right: `config` parses into it.

mod assertion;
mod client_auth;
mod described;
mod login;
mod token_exchange;

use std::time::Duration;

use http::{HeaderName, Method};
use url::Url;

use super::dpop::DpopSettings;
use crate::secret::SecretSource;
use crate::tls::TlsSettings;
use crate::token::Inject;

pub use assertion::{AssertionAudience, AssertionKey, AssertionSettings, AssertionSource, SecretEncoding, Subject};
pub use client_auth::{BasicEncoding, ClientAuthSettings};
pub use described::{DescribedBody, DescribedRequest, ExecSettings, StepSettings};
pub use login::{AuthorizationSettings, LoginSettings, LoginWay, Pkce, RedirectUri};
pub use token_exchange::{ActorSettings, SubjectSource, TokenExchangeSettings};

/// One credential.
#[derive(Clone, Debug)]
pub struct CredentialSettings {
    /// Its name in the file, in logs and in metrics.
    pub name: String,
    /// How tokens are obtained, and what that alone needs.
    pub grant: GrantSettings,
    /// `None` for grants that ask no token endpoint (`static`).
    pub endpoint: Option<EndpointSettings>,
    /// `client_id`.
    pub client_id: Option<SecretSource>,
    /// How the client proves itself.
    pub client_auth: ClientAuthSettings,
    /// The same with further secrets, to be tried in turn when the server does not believe one.
    pub further_client_auths: Vec<ClientAuthSettings>,
    /// `scope`, each value by itself; empty: the parameter is not sent.
    pub scope: Vec<String>,
    /// `audience` parameters.
    pub audience: Vec<String>,
    /// `resource` parameters (RFC 8707).
    pub resource: Vec<String>,
    /// `request.*`.
    pub request: RequestSettings,
    /// `response.*`.
    pub response: ResponseSettings,
    /// `then`: further steps after the grant.
    pub then: Vec<StepSettings>,
    /// `lifetime.*`.
    pub lifetime: LifetimeSettings,
    /// `refresh.*`.
    pub refresh: RefreshSettings,
    /// Where the token is written; at least one.
    pub inject: Vec<Inject>,
    /// `dpop` (RFC 9449).
    pub dpop: Option<DpopSettings>,
}

/// `grant`, with its own keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GrantSettings {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §4.3.
    Password {
        /// `username`.
        username: SecretSource,
        /// `password`.
        password: SecretSource,
    },
    /// RFC 6749 §6.
    RefreshToken {
        /// The first one; later ones are in the store.
        refresh_token: SecretSource,
    },
    /// A login that is no OAuth at all.
    Custom {
        /// `request`, as far as it describes one.
        request: DescribedRequest,
        /// What `{assertion}` stands for in it.
        assertion: Option<AssertionSource>,
    },
    /// RFC 7523 §2.1.
    JwtBearer {
        /// What is sent.
        assertion: AssertionSource,
    },
    /// A JWT of ours is the token.
    SignedJwt {
        /// It.
        assertion: AssertionSource,
    },
    /// A command that prints a token.
    Exec(ExecSettings),
    /// A token that is already there (RFC 6750).
    Static {
        /// It.
        token: SecretSource,
    },
    /// RFC 8693.
    TokenExchange(TokenExchangeSettings),
    /// A person logs in (RFC 6749 §4.1, RFC 8628); what lasts is the refresh token that it brings.
    Login(Box<LoginSettings>),
}

impl GrantSettings {
    /// Whether it may be asked any number of times, so that losing what it brought costs no more than asking again. Not
    /// so what lives of a refresh token, which may be a new one each time.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::ClientCredentials
            | Self::Password { .. }
            | Self::JwtBearer { .. }
            | Self::SignedJwt { .. }
            | Self::Custom { .. }
            | Self::Exec(_)
            | Self::Static { .. }
            | Self::TokenExchange(_) => true,
            Self::RefreshToken { .. } | Self::Login(_) => false,
        }
    }
}

/// Where token requests go.
#[derive(Clone, Debug)]
pub enum EndpointSettings {
    /// `token_url`: https, or http to loopback; no fragment, no userinfo.
    TokenUrl(Url),
    /// `issuer`: found by RFC 8414 or OpenID Connect discovery.
    Issuer(Url),
}

/// `request.*`: how a token request is written and sent.
#[derive(Clone, Debug)]
pub struct RequestSettings {
    /// `request.method`, by default POST.
    pub method: Method,
    /// `request.params`, in file order. `grant_type` is among them when it is overridden.
    pub params: Vec<(String, ParamValue)>,
    /// `grant_type: null`: the parameter is left out.
    pub omit_grant_type: bool,
    /// `request.headers`; one named `accept` replaces ours.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// `request.format`.
    pub format: BodyFormat,
    /// `request.scope_separator`, by default one space.
    pub scope_separator: String,
    /// `request.timeout`, by default 10 s: the whole token request, connection included.
    pub timeout: Duration,
    /// `request.refresh_url`.
    pub refresh_url: Option<Url>,
    /// `request.refresh_params`: sent with the refresh request alone, besides `params`.
    pub refresh_params: Vec<(String, ParamValue)>,
    /// `request.tls`.
    pub tls: TlsSettings,
}

/// The value of a further parameter, with its JSON type.
#[derive(Clone, Debug)]
pub enum ParamValue {
    /// Text.
    Text(SecretSource),
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(serde_json::Number),
    /// A list: repeated in a form or query, an array in JSON.
    List(Vec<ParamValue>),
    /// `null`, in JSON alone.
    Null,
    /// An object, in JSON alone.
    Object(Vec<(String, ParamValue)>),
}

/// `request.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// Parameters in the query, appended to the URL's own; an empty body.
    Query,
}

/// `response.*`: where things stand in the reply.
#[derive(Clone, Debug)]
pub struct ResponseSettings {
    /// By default `/access_token`; `""`: the whole body.
    pub access_token: TokenPlace,
    /// By default `/expires_in`.
    pub expires_in: Pointer,
    /// By default `/refresh_token`.
    pub refresh_token: Pointer,
    /// By default `auto`.
    pub expires_unit: ExpiresUnit,
    /// `values`: more to keep of the reply, by name.
    pub values: Vec<(String, TokenPlace)>,
}

impl Default for ResponseSettings {
    fn default() -> Self {
        Self {
            access_token: TokenPlace::Body(Pointer("/access_token".to_owned())),
            expires_in: Pointer("/expires_in".to_owned()),
            refresh_token: Pointer("/refresh_token".to_owned()),
            expires_unit: ExpiresUnit::Auto,
            values: Vec::new(),
        }
    }
}

/// Where the access token stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokenPlace {
    /// In the JSON (or form) body.
    Body(Pointer),
    /// In a header field of the reply.
    Header(HeaderName),
    /// In its cookies of these names, joined as a `Cookie` field would have them.
    Cookies(Vec<String>),
}

/// A JSON Pointer (RFC 6901): empty, or beginning with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(pub String);

/// `response.expires_unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiresUnit {
    /// Seconds, unless the value cannot be a duration (DESIGN.md section 3).
    Auto,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// `lifetime.*`.
#[derive(Clone, Copy, Debug)]
pub struct LifetimeSettings {
    /// When the reply says nothing: by default 5 minutes.
    pub default: Duration,
    /// No token is kept longer.
    pub max: Option<Duration>,
}

/// `refresh.*`.
#[derive(Clone, Copy, Debug)]
pub struct RefreshSettings {
    /// How long before its expiry a token stops being fresh; `None`: 30 s, or a quarter of the lifetime if that is less.
    pub margin: Option<Duration>,
    /// How long before the end of the fresh span renewal begins; `None`: a fifth of the span.
    pub ahead: Option<Duration>,
    /// Whether refresh tokens are used.
    pub use_refresh_token: bool,
}

/// A credential with nothing but defaults: `client_credentials` of a client without a name, at a URL nobody has.
#[cfg(test)]
pub(super) fn for_test() -> CredentialSettings {
    CredentialSettings {
        name: "test".to_owned(),
        grant: GrantSettings::ClientCredentials,
        endpoint: Url::parse("https://as.example/token").ok().map(EndpointSettings::TokenUrl),
        client_id: None,
        client_auth: ClientAuthSettings::None,
        further_client_auths: Vec::new(),
        scope: Vec::new(),
        audience: Vec::new(),
        resource: Vec::new(),
        request: RequestSettings {
            method: Method::POST,
            params: Vec::new(),
            omit_grant_type: false,
            headers: Vec::new(),
            format: BodyFormat::Form,
            scope_separator: " ".to_owned(),
            timeout: Duration::from_secs(10),
            refresh_url: None,
            refresh_params: Vec::new(),
            tls: TlsSettings::default(),
        },
        response: ResponseSettings::default(),
        then: Vec::new(),
        lifetime: LifetimeSettings { default: Duration::from_secs(300), max: None },
        refresh: RefreshSettings { margin: None, ahead: None, use_refresh_token: true },
        inject: vec![Inject::default()],
        dpop: None,
    }
}
