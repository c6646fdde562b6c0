//! From an issuer to its endpoints: OpenID Connect Discovery 1.0 §4, RFC 8414 §3.
//!
//! The metadata must name exactly the issuer that was configured (RFC 8414 §3.3), and a token endpoint that is https;
//! http only if the issuer itself is (on this machine), so that nobody's metadata sends our secret to a local port.

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use super::endpoint::{Answer, TokenEndpoint, is_confidential};
use super::explain::Step;
use super::request::{HttpRequest, OUR_NAME};
use super::response;
use crate::token::TokenError;

/// One issuer, and its metadata once they are known: asked for once, and again after a failure.
pub(super) struct Discovery {
    issuer: Url,
    connects: Connects,
    found: OnceCell<Metadata>,
}

/// How we connect to the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connects {
    /// As everybody does.
    Anonymously,
    /// With a certificate, for which an issuer may have endpoints of their own (`mtls_endpoint_aliases`, RFC 8705 §5).
    WithCertificate,
}

/// What of an issuer's metadata is used.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    /// As it writes itself.
    pub(super) issuer: String,
    pub(super) token_endpoint: Url,
    /// These are not everywhere, and one that cannot be used counts as none.
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) device_authorization_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 §3).
    pub(super) names_itself: bool,
}

impl Discovery {
    /// Of this issuer.
    pub(super) fn new(issuer: Url, connects: Connects) -> Self {
        Self { issuer, connects, found: OnceCell::new() }
    }

    /// Its token endpoint.
    pub(super) async fn token_endpoint(&self, wire: &TokenEndpoint, steps: &mut Vec<Step>) -> Result<Url, TokenError> {
        Ok(self.metadata(wire, steps).await?.token_endpoint.clone())
    }

    /// All that is used of its metadata.
    pub(super) async fn metadata(&self, wire: &TokenEndpoint, steps: &mut Vec<Step>) -> Result<&Metadata, TokenError> {
        self.found.get_or_try_init(|| self.look(wire, steps)).await
    }

    /// Looks in both places; the second only if there is nothing in the first.
    async fn look(&self, wire: &TokenEndpoint, steps: &mut Vec<Step>) -> Result<Metadata, TokenError> {
        let mut result = Err(Miss::Absent("it has no such path".to_owned()));
        for url in places(&self.issuer) {
            let mut step = Step::discovering(&url);
            result = match wire.send(get(url)).await {
                Ok(answer) => {
                    step.received(&answer, &response::body(&answer));
                    read(&answer, &self.issuer, self.connects)
                }
                Err(error) => Err(Miss::Final(error.to_string())),
            };
            step.discovered(result.as_ref().map(|metadata| &metadata.token_endpoint).map_err(Miss::why));
            steps.push(step);
            if !matches!(result, Err(Miss::Absent(_))) {
                break;
            }
        }
        result.map_err(|miss| TokenError::Discovery(miss.why().to_owned()))
    }
}

/// Why a place did not tell.
enum Miss {
    /// There is nothing there: the other place may have it.
    Absent(String),
    /// There is, and it will not do; or nobody answers.
    Final(String),
}

impl Miss {
    fn why(&self) -> &str {
        match self {
            Self::Absent(why) | Self::Final(why) => why,
        }
    }
}

/// Appended to the issuer (OpenID Connect), and inserted before its path (RFC 8414 §3.1).
fn places(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url
    };
    [
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

fn get(url: Url) -> HttpRequest {
    let headers =
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json")), (USER_AGENT, OUR_NAME)]);
    HttpRequest { method: Method::GET, url, headers, body: Zeroizing::new(Vec::new()) }
}

fn read(answer: &Answer, issuer: &Url, connects: Connects) -> Result<Metadata, Miss> {
    match answer.status {
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            return Err(Miss::Absent(format!("the answer is {}", status.as_u16())));
        }
        StatusCode::OK => {}
        status => return Err(Miss::Final(format!("the answer is {}", status.as_u16()))),
    }
    let metadata: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| Miss::Absent(format!("the answer is no metadata but {}", response::body(answer).what())))?;
    let member = |name| metadata.get(name).and_then(Value::as_str);
    let named = member("issuer").ok_or_else(|| Miss::Final("there is no `issuer` in it".to_owned()))?;
    if !is_same(named, issuer) {
        let named: String = named.chars().filter(|letter| !letter.is_control()).take(200).collect();
        return Err(Miss::Final(format!("it is that of issuer {named:?}, not of {:?}", issuer.as_str())));
    }
    let alias = |name: &str| metadata.get("mtls_endpoint_aliases")?.get(name)?.as_str();
    let endpoint = |name| match connects {
        Connects::WithCertificate => alias(name).or_else(|| member(name)),
        Connects::Anonymously => member(name),
    };
    let token_endpoint =
        endpoint("token_endpoint").ok_or_else(|| Miss::Final("there is no `token_endpoint` in it".to_owned()))?;
    let token_endpoint =
        usable(token_endpoint, issuer).ok_or_else(|| Miss::Final("its `token_endpoint` is no https URL".to_owned()))?;
    let endpoint = |name| endpoint(name).and_then(|url| usable(url, issuer));
    let names_itself = metadata.get("authorization_response_iss_parameter_supported").and_then(Value::as_bool);
    Ok(Metadata {
        issuer: named.to_owned(),
        token_endpoint,
        authorization_endpoint: endpoint("authorization_endpoint"),
        device_authorization_endpoint: endpoint("device_authorization_endpoint"),
        revocation_endpoint: endpoint("revocation_endpoint"),
        names_itself: names_itself.unwrap_or(false),
    })
}

/// To the letter. A bare host is parsed into one with a slash, so there both ways of writing it are the same.
fn is_same(named: &str, issuer: &Url) -> bool {
    named == issuer.as_str() || (issuer.path() == "/" && issuer.as_str().strip_suffix('/') == Some(named))
}

fn usable(endpoint: &str, issuer: &Url) -> Option<Url> {
    let url = Url::parse(endpoint).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (issuer.scheme() == "http" && is_confidential(&url));
    (is_plain && is_safe).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
            whole: true,
        }
    }

    fn endpoint(issuer: &str, body: &str) -> Result<String, String> {
        read(&answer(200, body), &url(issuer), Connects::Anonymously)
            .map(|found| found.token_endpoint.into())
            .map_err(|miss| miss.why().to_owned())
    }

    #[test]
    fn metadata_is_looked_for_where_both_standards_put_it() {
        let [oidc, rfc8414] = places(&url("https://example.com/issuer1"));
        assert_eq!(oidc.as_str(), "https://example.com/issuer1/.well-known/openid-configuration");
        assert_eq!(rfc8414.as_str(), "https://example.com/.well-known/oauth-authorization-server/issuer1");
        let [oidc, rfc8414] = places(&url("https://example.com/"));
        assert_eq!(oidc.as_str(), "https://example.com/.well-known/openid-configuration");
        assert_eq!(rfc8414.as_str(), "https://example.com/.well-known/oauth-authorization-server");
    }

    #[test]
    fn the_issuer_must_be_the_configured_one_to_the_letter() {
        let body = r#"{"issuer":"https://as.example/realms/a","token_endpoint":"https://as.example/token"}"#;
        assert_eq!(endpoint("https://as.example/realms/a", body).unwrap(), "https://as.example/token");
        for other in ["https://as.example/realms/a/", "https://as.example/realms/A", "https://as.example/"] {
            assert!(endpoint(other, body).unwrap_err().contains("it is that of issuer"), "{other}");
        }
        let bare = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token"}"#;
        assert!(endpoint("https://as.example", bare).is_ok());
    }

    #[test]
    fn the_token_endpoint_must_be_https_unless_everything_is_on_this_machine() {
        let metadata =
            |issuer: &str, endpoint: &str| format!(r#"{{"issuer":"{issuer}","token_endpoint":"{endpoint}"}}"#);
        let local = "http://127.0.0.1:9/";
        assert!(endpoint(local, &metadata(local, "http://127.0.0.1:9/token")).is_ok());
        assert!(endpoint(local, &metadata(local, "http://as.example/token")).is_err());
        let remote = "https://as.example/";
        for wrong in ["http://as.example/token", "http://127.0.0.1:9/token", "https://me@as.example/t", "/token"] {
            assert!(endpoint(remote, &metadata(remote, wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn further_endpoints_are_those_that_can_be_used() {
        let body = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token",
            "authorization_endpoint":"https://as.example/authorize","revocation_endpoint":"http://as.example/revoke",
            "authorization_response_iss_parameter_supported":true}"#;
        let found = read(&answer(200, body), &url("https://as.example"), Connects::Anonymously)
            .map_err(|miss| miss.why().to_owned())
            .unwrap();
        assert_eq!(found.authorization_endpoint, Some(url("https://as.example/authorize")));
        assert_eq!((found.device_authorization_endpoint, found.revocation_endpoint), (None, None));
        assert!(found.names_itself && found.issuer == "https://as.example");
    }

    // RFC 8705 §5
    #[test]
    fn who_connects_with_a_certificate_uses_the_endpoints_that_are_for_that() {
        let body = r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token",
            "revocation_endpoint":"https://as.example/revoke",
            "mtls_endpoint_aliases":{"token_endpoint":"https://mtls.as.example/token"}}"#;
        let found = |connects| read(&answer(200, body), &url("https://as.example"), connects).ok().unwrap();
        let with = found(Connects::WithCertificate);
        assert_eq!(with.token_endpoint.as_str(), "https://mtls.as.example/token");
        assert_eq!(with.revocation_endpoint.unwrap().as_str(), "https://as.example/revoke");
        assert_eq!(found(Connects::Anonymously).token_endpoint.as_str(), "https://as.example/token");
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for body in ["", "<html>", "[]", "{}", r#"{"issuer":"https://as.example/"}"#, r#"{"issuer":7}"#] {
            assert!(endpoint("https://as.example/", body).is_err(), "{body}");
        }
        assert!(matches!(
            read(&answer(404, ""), &url("https://as.example/"), Connects::Anonymously),
            Err(Miss::Absent(_))
        ));
        assert!(matches!(
            read(&answer(503, ""), &url("https://as.example/"), Connects::Anonymously),
            Err(Miss::Final(_))
        ));
        assert!(matches!(
            read(&answer(302, ""), &url("https://as.example/"), Connects::Anonymously),
            Err(Miss::Final(_))
        ));
    }
}
