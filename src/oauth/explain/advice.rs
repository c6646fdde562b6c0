//! What to change, by what went wrong: the sentence that a colleague who has seen it before would say.

use crate::oauth::settings::{
    AssertionSource, BasicEncoding, BodyFormat, ClientAuthSettings, CredentialSettings, GrantSettings,
};
use crate::token::TokenError;

/// When the issuer's metadata cannot be used.
pub(super) const ON_ISSUER: &str = "issuer must be written exactly as the server writes it in its metadata \
    (with or without a slash at its end); or set token_url instead";

/// When a token is not exchanged for another.
const ON_SUBJECT: &str = "check that the subject token is of this server, has not expired, and is what \
    subject_token_type says; some servers say so of a wrong audience, scope or actor token too";

/// What to try, where it can be told.
pub(super) fn on(error: &TokenError, settings: &CredentialSettings) -> Option<&'static str> {
    match error {
        TokenError::Refused { code, .. } => on_code(code, settings),
        TokenError::Unavailable { status: 300..400, .. } => {
            Some("redirects are never followed: set token_url to the address it points to, if that is the server's own")
        }
        TokenError::Unavailable { status: 429, .. } => {
            Some("the server asks for fewer requests: wait before the next one")
        }
        TokenError::Unavailable { .. } => Some("the server says that it is a passing fault: try again after a while"),
        TokenError::Unreachable(why) => Some(on_connection(why)),
        TokenError::TimedOut => {
            Some("check host and port of token_url, and whether a firewall is in between; or raise request.timeout")
        }
        TokenError::Malformed(why) if why.contains("HTML") => Some(
            "a page for people came back: token_url is probably that of a login page or a portal, not of the token endpoint",
        ),
        TokenError::Malformed(_) => {
            Some("compare the members received with response.access_token, which says where the token stands")
        }
        TokenError::Command(why) if why.contains("request.timeout") => {
            Some("run it by hand, without a terminal (</dev/null): does it ask for something? Or raise request.timeout")
        }
        TokenError::Command(_) => Some(
            "run it by hand as the proxy does: env -i PATH=\"$PATH\" HOME=\"$HOME\" COMMAND </dev/null; what else it \
             needs of the environment goes into env",
        ),
        TokenError::Discovery(_) => Some(ON_ISSUER),
        TokenError::NoSubject => Some("give the token to exchange in a file: --subject FILE"),
        TokenError::BadSubject { .. } => Some(ON_SUBJECT),
        TokenError::NeedsLogin { .. } | TokenError::Secret(_) | TokenError::Store(_) | TokenError::RenewedTooOften => {
            None
        }
    }
}

fn on_code(code: &str, settings: &CredentialSettings) -> Option<&'static str> {
    Some(match code {
        "invalid_client" | "http_401" => on_client(&settings.client_auth),
        "unauthorized_client" => {
            "the client is not allowed this grant (some servers say so of a wrong secret too): see its registration"
        }
        "invalid_grant" | "invalid_request" if matches!(settings.grant, GrantSettings::TokenExchange(_)) => ON_SUBJECT,
        "invalid_grant" => match &settings.grant {
            GrantSettings::Password { .. } => "check username and password; too many wrong ones lock the account",
            GrantSettings::RefreshToken { .. } => {
                "the refresh token has expired, was used up or was revoked: a new login is needed"
            }
            GrantSettings::JwtBearer { .. } => {
                "the assertion is not believed: check its issuer, subject and audience, and whether the server has the \
                 public key; or this machine's clock is wrong"
            }
            _ => "the server does not accept what this grant sends: see its registration",
        },
        "invalid_scope" if settings.scope.is_empty() => "the server has no default scope for this client: set scope",
        "invalid_scope" => "check each value of scope, and request.scope_separator (some servers want a comma)",
        "invalid_target" => "check audience and resource",
        "unsupported_grant_type" => match settings.request.format {
            BodyFormat::Form => {
                "the server does not know this grant, or does not read it from a form: try request.format json"
            }
            BodyFormat::Json | BodyFormat::Query => {
                "the server does not know this grant, or reads it from a form: try request.format form"
            }
        },
        "invalid_request" => {
            "a parameter is missing, doubled or not understood: compare what was sent with the server's manual; \
            audience, resource and request.params can add to it"
        }
        "access_denied" | "http_403" => {
            "the server knows who asks and refuses: see the client's permissions, and whether it is allowed from this address"
        }
        "http_404" | "http_405" | "http_410" => {
            "there is no token endpoint at this address: check the path of token_url"
        }
        "http_406" => "the server wants another Accept: set it in request.headers",
        "http_400" | "http_415" | "http_422" => {
            "the server does not read the request as it was written: try another request.format"
        }
        _ => return None,
    })
}

fn on_client(settings: &ClientAuthSettings) -> &'static str {
    match settings {
        ClientAuthSettings::None => "the server wants the client to prove itself: set client_secret and client_auth",
        ClientAuthSettings::SecretBasic { encoding: BasicEncoding::Form, .. } => {
            "check client_id and client_secret; if they are right, try client_auth client_secret_post, or \
             request.basic_encoding raw if they have special characters"
        }
        ClientAuthSettings::SecretBasic { encoding: BasicEncoding::Raw, .. } => {
            "check client_id and client_secret; if they are right, try client_auth client_secret_post, or \
             request.basic_encoding form if they have special characters"
        }
        ClientAuthSettings::SecretPost { .. } => {
            "check client_id and client_secret; if they are right, try client_auth client_secret_basic"
        }
        ClientAuthSettings::SecretJwt { .. } => {
            "check client_id, client_secret and client_assertion.algorithm, and whether the server wants \
             client_assertion.audience issuer; or this machine's clock is wrong"
        }
        ClientAuthSettings::PrivateKeyJwt { assertion: AssertionSource::Ready(_) } => {
            "check whom the assertion in client_assertion_file is from, about and for, and whether it has expired"
        }
        ClientAuthSettings::PrivateKeyJwt { .. } => {
            "check client_id, whether the server has the public key, under the same key_id, and whether it wants \
             client_assertion.audience issuer; or this machine's clock is wrong"
        }
        ClientAuthSettings::Tls => {
            "check client_id, and whether the server knows the certificate in request.tls (its subject, its authority, or \
             itself)"
        }
    }
}

fn on_connection(why: &str) -> &'static str {
    match why {
        why if why.contains("UnknownIssuer") => {
            "the server's certificate is signed by nobody this machine trusts: set request.tls.ca"
        }
        why if why.contains("NotValidForName") || why.contains("not valid for name") => {
            "the server's certificate is for another host: check the host of token_url"
        }
        why if why.contains("Expired") || why.contains("expired") => {
            "the server's certificate has expired, or this machine's clock is wrong"
        }
        why if why.contains("CertificateRequired") || why.contains("HandshakeFailure") => {
            "the server may want a client certificate: set request.tls.certificate and request.tls.private_key"
        }
        why if why.contains("InvalidContentType") || why.contains("corrupt message") => {
            "the port does not speak TLS: check scheme and port of token_url"
        }
        why if why.contains("lookup") || why.contains("resolve") => {
            "check the host of token_url, and this machine's DNS"
        }
        why if why.contains("refused") => "nothing listens there: check host and port of token_url",
        _ => "check token_url, and whether this machine can reach it",
    }
}
