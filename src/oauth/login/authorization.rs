//! The authorization request (RFC 6749 §4.1.1): the URL that a person's browser is sent to.
//!
//! Pure, but for the randomness: `state` against answers to somebody else's request (RFC 9700 §4.7), the challenge of
//! RFC 7636 against stolen codes, `nonce` against stolen ID tokens (OpenID Connect Core §3.1.2.1).

use aws_lc_rs::{digest, rand};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use url::Url;
use zeroize::Zeroizing;

use super::LoginError;
use crate::oauth::settings::{AuthorizationSettings, CredentialSettings, Pkce};
use crate::secret::Secret;

/// What this request alone knows.
pub(in crate::oauth) struct Secrets {
    pub(in crate::oauth) state: Secret,
    /// Where `openid` is asked for.
    pub(in crate::oauth) nonce: Option<Secret>,
    /// `None`: `pkce: off`.
    pub(in crate::oauth) verifier: Option<Secret>,
}

impl Secrets {
    /// New ones, which nobody can guess.
    pub(in crate::oauth) fn new(
        settings: &CredentialSettings,
        authorization: &AuthorizationSettings,
    ) -> Result<Self, LoginError> {
        let has_nonce = settings.scope.iter().any(|scope| scope == "openid");
        let has_verifier = authorization.pkce == Pkce::S256;
        Ok(Self {
            state: random()?,
            nonce: has_nonce.then(random).transpose()?,
            verifier: has_verifier.then(random).transpose()?,
        })
    }
}

/// What a request says besides what the settings say.
pub(in crate::oauth) struct Said<'a> {
    pub(in crate::oauth) client_id: Option<&'a Secret>,
    pub(in crate::oauth) redirect_uri: &'a str,
    pub(in crate::oauth) secrets: &'a Secrets,
    /// `authorization.params`, as they are now.
    pub(in crate::oauth) params: &'a [(String, Secret)],
}

/// The URL; what `endpoint` has in its query stays there (RFC 6749 §3.1).
pub(in crate::oauth) fn url(
    mut endpoint: Url,
    said: &Said<'_>,
    settings: &CredentialSettings,
    authorization: &AuthorizationSettings,
) -> Url {
    let challenge = said.secrets.verifier.as_ref().map(|verifier| challenge(verifier.expose()));
    let scope = settings.scope.join(&settings.request.scope_separator);
    let mut parameters = vec![("response_type", "code")];
    parameters.extend(said.client_id.map(|id| ("client_id", id.expose())));
    parameters.push(("redirect_uri", said.redirect_uri));
    if !scope.is_empty() {
        parameters.push(("scope", &scope));
    }
    parameters.push(("state", said.secrets.state.expose()));
    parameters.extend(said.secrets.nonce.as_ref().map(|nonce| ("nonce", nonce.expose())));
    if let Some(challenge) = &challenge {
        parameters.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
    }
    parameters.extend(settings.audience.iter().map(|value| ("audience", value.as_str())));
    parameters.extend(settings.resource.iter().map(|value| ("resource", value.as_str())));
    let overridden = |name: &str| said.params.iter().any(|(other, _)| other == name);
    {
        let mut query = endpoint.query_pairs_mut();
        for (name, value) in parameters.into_iter().filter(|(name, _)| !overridden(name)) {
            query.append_pair(authorization.name_of(name), value);
        }
        for (name, value) in said.params {
            query.append_pair(name, value.expose());
        }
    }
    endpoint
}

/// RFC 7636 §4.2, `S256`.
fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// 256 bits in the characters of RFC 7636 §4.1.
fn random() -> Result<Secret, LoginError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| LoginError::NoRandomness)?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::settings::for_test;

    fn secrets() -> Secrets {
        Secrets {
            state: Secret::new("xyz"),
            nonce: None,
            verifier: Some(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")),
        }
    }

    fn asked(secrets: &Secrets, settings: &CredentialSettings, authorization: &AuthorizationSettings) -> String {
        let said = Said {
            client_id: Some(&Secret::new("s6BhdRkqt3")),
            redirect_uri: "http://127.0.0.1:51004/callback",
            secrets,
            params: &[("prompt".to_owned(), Secret::new("select account"))],
        };
        let endpoint = Url::parse("https://server.example.com/authorize?tenant=7").unwrap();
        url(endpoint, &said, settings, authorization).into()
    }

    // RFC 7636 appendix B
    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn it_asks_as_rfc_6749_section_4_1_1_and_rfc_7636_section_4_3_have_it() {
        let mut settings = for_test();
        settings.scope = vec!["orders.read".to_owned(), "offline_access".to_owned()];
        settings.resource = vec!["https://api.example.com/".to_owned()];
        assert_eq!(
            asked(&secrets(), &settings, &AuthorizationSettings::default()),
            "https://server.example.com/authorize?tenant=7&response_type=code&client_id=s6BhdRkqt3\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A51004%2Fcallback&scope=orders.read+offline_access&state=xyz\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
             &resource=https%3A%2F%2Fapi.example.com%2F&prompt=select+account"
        );
    }

    #[test]
    fn parameters_have_the_names_that_the_server_wants() {
        let rename = [("client_id", "app_id"), ("scope", "user_scope")];
        let rename = rename.map(|(standard, theirs)| (standard.to_owned(), theirs.to_owned())).to_vec();
        let authorization = AuthorizationSettings { rename, pkce: Pkce::Off, ..AuthorizationSettings::default() };
        let mut settings = for_test();
        settings.scope = vec!["a".to_owned()];
        let asked = asked(&Secrets { verifier: None, ..secrets() }, &settings, &authorization);
        assert!(asked.contains("&app_id=s6BhdRkqt3&") && asked.contains("&user_scope=a&"), "{asked}");
        assert!(!asked.contains("client_id") && !asked.contains("code_challenge"), "{asked}");
    }

    #[test]
    fn each_request_has_secrets_of_its_own_and_those_that_it_needs() {
        let mut settings = for_test();
        let authorization = AuthorizationSettings::default();
        let first = Secrets::new(&settings, &authorization).unwrap();
        let second = Secrets::new(&settings, &authorization).unwrap();
        assert_ne!(first.state.expose(), second.state.expose());
        let (first, second) = (first.verifier.unwrap(), second.verifier.unwrap());
        assert_ne!(first.expose(), second.expose());
        assert_eq!(first.expose().len(), 43, "the least that RFC 7636 §4.1 allows");

        settings.scope = vec!["openid".to_owned()];
        let off = AuthorizationSettings { pkce: Pkce::Off, ..authorization };
        let secrets = Secrets::new(&settings, &off).unwrap();
        assert!(secrets.nonce.is_some() && secrets.verifier.is_none());
    }
}
