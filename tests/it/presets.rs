//! The presets: each, copied as it is printed, makes a credential, and asks as the provider's own pages say.
//!
//! The requests of the table were written from those pages (their titles stand in `presets.yaml`), not from the presets.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bearer_proxy::config::{self, Config, Preset};
use bearer_proxy::oauth::OAuthClient;
use bearer_proxy::oauth::settings::{CredentialSettings, EndpointSettings, GrantSettings, LoginWay};
use bearer_proxy::token::TokenSource;
use bearer_proxy::token::store::MemoryStore;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::support::{Downstream, Message, Proxy, TokenEndpoint, Upstream, answer, json_answer};

/// What a provider is asked with, by a client `ID` with the secret `SEC/RET` (and `USER`, `PASSWORD`, `REFRESH`).
struct Asked {
    preset: &'static str,
    url: &'static str,
    /// What stands in `Authorization`; empty: nothing does.
    basic: &'static str,
    body: &'static str,
}

const fn basic(preset: &'static str, url: &'static str, body: &'static str) -> Asked {
    Asked { preset, url, basic: "ID:SEC%2FRET", body }
}

const fn post(preset: &'static str, url: &'static str, body: &'static str) -> Asked {
    Asked { preset, url, basic: "", body }
}

const PLAIN: &str = "grant_type=client_credentials";
const POSTED: &str = "grant_type=client_credentials&client_id=ID&client_secret=SEC%2FRET";
const REFRESH: &str = "grant_type=refresh_token&refresh_token=REFRESH&client_id=ID&client_secret=SEC%2FRET";

const TABLE: &[Asked] = &[
    basic(
        "zpax",
        "https://sso.zpax.example/connect/token",
        "grant_type=client_credentials&scope=orders.read+orders.write+offline_access",
    ),
    post(
        "apiax",
        "https://login.apiax.example/oauth2/token",
        "grant_type=password&username=USER&password=PASSWORD&client_id=integration-api",
    ),
    Asked {
        preset: "screening-eagle",
        url: "https://id.screeningeagle.example/api/id/v1/auth/token",
        basic: "ID:SEC/RET",
        body: "grant_type=client_credentials&scope=openid+email+profile+inspect",
    },
    post("applixure", "https://login.applixure.example/oauth2/token", POSTED),
    post(
        "entra",
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
        "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_id=ID&client_secret=SEC%2FRET",
    ),
    basic(
        "okta",
        "https://dev-123456.okta.com/oauth2/default/v1/token",
        "grant_type=client_credentials&scope=api.read",
    ),
    post(
        "auth0",
        "https://example.eu.auth0.com/oauth/token",
        "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example.com%2F&client_id=ID&client_secret=SEC%2FRET",
    ),
    basic("keycloak", "https://sso.example.com/realms/main/protocol/openid-connect/token", PLAIN),
    post("google-user", "https://oauth2.googleapis.com/token", REFRESH),
    basic(
        "cognito",
        "https://example.auth.eu-central-1.amazoncognito.com/oauth2/token",
        "grant_type=client_credentials&scope=orders%2Fread",
    ),
    basic("pingone", "https://auth.pingone.com/01234567-89ab-cdef-0123-456789abcdef/as/token", PLAIN),
    post("onelogin", "https://example.onelogin.com/auth/oauth2/v2/token", POSTED),
    basic(
        "oracle-identity",
        "https://idcs-0123456789abcdef.identity.oraclecloud.com/oauth2/v1/token",
        "grant_type=client_credentials&scope=urn%3Aopc%3Aidm%3A__myscopes__",
    ),
    basic("ory", "https://example.projects.oryapis.com/oauth2/token", PLAIN),
    basic("sap-btp", "https://example.authentication.eu10.hana.ondemand.com/oauth/token", PLAIN),
    post("salesforce", "https://example.my.salesforce.com/services/oauth2/token", POSTED),
    basic("zoom", "https://zoom.us/oauth/token", "grant_type=account_credentials&account_id=gYz8S9w5Q5yrDoIvmdClYw"),
    basic("paypal", "https://api-m.paypal.com/v1/oauth2/token", PLAIN),
    post("servicenow", "https://dev12345.service-now.com/oauth_token.do", POSTED),
    post(
        "box",
        "https://api.box.com/oauth2/token",
        "grant_type=client_credentials&client_id=ID&client_secret=SEC%2FRET&box_subject_type=enterprise&box_subject_id=1234567",
    ),
    post(
        "adobe",
        "https://ims-na1.adobelogin.com/ims/token/v3",
        "grant_type=client_credentials&scope=openid%2CAdobeID&client_id=ID&client_secret=SEC%2FRET",
    ),
    post("shopify", "https://example.myshopify.com/admin/oauth/access_token", POSTED),
    post(
        "shopware",
        "https://shop.example.com/api/oauth/token",
        r#"{"grant_type":"client_credentials","client_id":"ID","client_secret":"SEC/RET"}"#,
    ),
    basic("spotify", "https://accounts.spotify.com/api/token", PLAIN),
    basic(
        "ebay",
        "https://api.ebay.com/identity/v1/oauth2/token",
        "grant_type=client_credentials&scope=https%3A%2F%2Fapi.ebay.com%2Foauth%2Fapi_scope",
    ),
    basic("xero", "https://identity.xero.com/connect/token", PLAIN),
    basic(
        "databricks",
        "https://dbc-a1b2345c-d6e7.cloud.databricks.com/oidc/v1/token",
        "grant_type=client_credentials&scope=all-apis",
    ),
    post(
        "dynatrace",
        "https://sso.dynatrace.com/sso/oauth2/token",
        "grant_type=client_credentials&scope=account-idm-read&resource=urn%3Adtaccount%3A01234567-89ab-cdef-0123-456789abcdef&client_id=ID&client_secret=SEC%2FRET",
    ),
    post("crowdstrike", "https://api.crowdstrike.com/oauth2/token", POSTED),
    basic(
        "commercetools",
        "https://auth.europe-west1.gcp.commercetools.com/oauth/token",
        "grant_type=client_credentials&scope=manage_project%3Amy-project",
    ),
    post(
        "sophos",
        "https://id.sophos.com/api/v2/oauth2/token",
        "grant_type=client_credentials&scope=token&client_id=ID&client_secret=SEC%2FRET",
    ),
    basic("reddit", "https://www.reddit.com/api/v1/access_token", PLAIN),
    basic("bitbucket", "https://bitbucket.org/site/oauth2/access_token", PLAIN),
    basic("ups", "https://onlinetools.ups.com/security/v1/oauth/token", PLAIN),
    basic("sap-ariba", "https://api.ariba.com/v2/oauth/token", "grant_type=openapi_2lo"),
    post("dropbox", "https://api.dropboxapi.com/oauth2/token", REFRESH),
    post("zoho", "https://accounts.zoho.com/oauth/v2/token", REFRESH),
    post("vault", "https://vault.example.com:8200/v1/auth/approle/login", r#"{"role_id":"ROLE","secret_id":"SECRET"}"#),
    post(
        "tableau",
        "https://10ax.online.tableau.com/api/3.21/auth/signin",
        r#"{"credentials":{"personalAccessTokenName":"NAME","personalAccessTokenSecret":"SECRET","site":{"contentUrl":"my-site"}}}"#,
    ),
    post(
        "sap-business-one",
        "https://b1.example.com:50000/b1s/v1/Login",
        r#"{"CompanyDB":"PROD","UserName":"USER","Password":"PASSWORD"}"#,
    ),
    post("docker-hub", "https://hub.docker.com/v2/auth/token", r#"{"identifier":"USER","secret":"TOKEN"}"#),
    // The scope is what the assertion says; Google does not mind that it is said twice.
    post(
        "google",
        "https://oauth2.googleapis.com/token",
        "grant_type=JWT-BEARER&assertion=JWT&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform",
    ),
    post("github-app", "https://api.github.com/app/installations/12345678/access_tokens", ""),
    post("docusign", "https://account.docusign.com/oauth/token", "grant_type=JWT-BEARER&assertion=JWT"),
    post(
        "salesforce-jwt",
        "https://example.my.salesforce.com/services/oauth2/token",
        "grant_type=JWT-BEARER&assertion=JWT&client_id=ID",
    ),
    post(
        "entra-certificate",
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
        "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_id=ID&client_assertion_type=CLIENT-JWT-BEARER&client_assertion=JWT",
    ),
    post("personio", "https://api.personio.de/v1/auth", r#"{"client_id":"ID","client_secret":"SEC/RET"}"#),
];

/// Presets that ask no token endpoint, or a person first.
const OTHERS: &[&str] = &["app-store-connect", "snowflake", "ghost", "google-login", "github-login", "entra-login"];

/// What is printed of a preset, made a whole file; its variables are named for what they hold.
fn parse(recipe: &str) -> Config {
    let environment = |name: &str| {
        let ends = |end: &str| name.ends_with(end);
        let value = match () {
            () if ends("_CLIENT_ID") => "ID",
            () if ends("_CLIENT_SECRET") => "SEC/RET",
            () if ends("_USERNAME") => "USER",
            () if ends("_PASSWORD") => "PASSWORD",
            () if ends("_REFRESH_TOKEN") => "REFRESH",
            () if ends("_USER") => "USER",
            () if ends("_ROLE_ID") => "ROLE",
            () if ends("_SECRET_ID") || ends("_TOKEN_SECRET") => "SECRET",
            () if ends("_TOKEN_NAME") => "NAME",
            () if ends("_TOKEN") => "TOKEN",
            () if ends("_KEY_ID") => "KEY",
            () if ends("_KEY_SECRET") => "6b6579206f66207468697274792d74776f20627974657320666f7220484d414321",
            () => return None,
        };
        Some(value.to_owned())
    };
    let text = format!("listeners: [{{address: 127.0.0.1:0}}]\n{recipe}");
    let file = keys().path().join("proxy.yaml");
    config::parse(&text, &file, &environment).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A directory with the keys that recipes name, made once: RSA takes a while.
fn keys() -> &'static TempDir {
    static KEYS: OnceLock<TempDir> = OnceLock::new();
    KEYS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("keys");
        fs::create_dir(&place).unwrap();
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&rsa).unwrap();
        let account = json!({"type": "service_account", "client_email": "robot@example.iam.gserviceaccount.com",
            "private_key": rsa.serialize_pem(), "private_key_id": "k1", "token_uri": "https://oauth2.googleapis.com/token"});
        for name in ["github-app", "docusign", "salesforce", "entra", "snowflake"] {
            fs::write(place.join(format!("{name}.key")), rsa.serialize_pem()).unwrap();
        }
        fs::write(place.join("entra.pem"), certificate.pem()).unwrap();
        fs::write(place.join("service-account.json"), account.to_string()).unwrap();
        fs::write(place.join("AuthKey_2X9R4HXF34.p8"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        directory
    })
}

/// The same with `JWT` for every token that is signed, which is another each time, and shorter names of grants.
fn masked(body: &str) -> String {
    let body = body.replace("urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", "JWT-BEARER");
    let body = body.replace("urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer", "CLIENT-JWT-BEARER");
    let parts = body.split('&').map(|pair| match pair.find("eyJ") {
        Some(at) => format!("{}JWT", &pair[..at]),
        None => pair.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Header and claims of the first JWT in a text.
fn said(text: &str) -> (Value, Value) {
    let jwt = &text[text.find("eyJ").unwrap()..];
    let jwt = jwt.split(['&', ' ', '\r', '"']).next().unwrap();
    let part = |number| {
        let part = jwt.split('.').nth(number).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    (part(0), part(1))
}

#[test]
fn every_preset_as_it_is_printed_makes_a_credential() {
    assert!(config::presets().len() >= 25);
    for preset in config::presets() {
        let config = parse(&preset.recipe());
        // Where a first refresh token is kept is the affair of the whole file.
        let doubts = config.warnings.iter().filter(|doubt| !doubt.message.contains("token_store"));
        assert_eq!(doubts.count(), 0, "{}: {:?}", preset.name(), config.warnings);
        let settings = config.credentials[0].settings.clone();
        assert!(!format!("{settings:?}").contains(['<', '>']), "a parameter of {} was not filled in", preset.name());
        let client = OAuthClient::new(settings, Arc::new(MemoryStore::default()));
        assert!(client.is_ok(), "{}", preset.name());
        assert!(!preset.title().is_empty(), "{}", preset.name());
    }
}

#[tokio::test]
async fn each_provider_is_asked_as_its_own_pages_say() {
    let listed: BTreeSet<&str> = TABLE.iter().map(|asked| asked.preset).chain(OTHERS.iter().copied()).collect();
    let there: BTreeSet<&str> = config::presets().iter().map(Preset::name).collect();
    assert_eq!(listed, there, "every preset has a line in the table");
    let endpoint = TokenEndpoint::start().await;

    for Asked { preset, url, basic, body } in TABLE {
        let recipe = Preset::find(preset).unwrap().recipe();
        let mut settings = parse(&recipe).credentials.remove(0).settings;
        assert_eq!(redirected(&mut settings, &endpoint.url()), *url, "{preset}");
        settings.then.clear();
        // Whether the answer is one of this provider's is the affair of other tests.
        let _ = OAuthClient::new(settings, Arc::new(MemoryStore::default())).unwrap().fetch().await;

        let request = endpoint.requests().pop().unwrap();
        let expected = if basic.is_empty() { None } else { Some(format!("Basic {}", BASE64_STANDARD.encode(basic))) };
        let authorization = request.field("authorization").map(masked);
        let expected = if *preset == "github-app" { Some("Bearer JWT".to_owned()) } else { expected };
        assert_eq!(authorization, expected, "{preset}");
        assert_eq!(masked(request.body_text()), *body, "{preset}");
        if body.is_empty() {
            continue;
        }
        let json = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        assert_eq!(request.field("content-type"), Some(json), "{preset}");
    }
    assert_eq!(endpoint.asked(), TABLE.len());
}

/// Has it ask here, further steps included; where it asked before.
fn redirected(settings: &mut CredentialSettings, here: &str) -> String {
    let here = Url::parse(here).unwrap();
    for step in &mut settings.then {
        step.request.url = here.clone();
    }
    match (&mut settings.endpoint, &mut settings.grant) {
        (Some(EndpointSettings::TokenUrl(url)), _) => std::mem::replace(url, here).to_string(),
        (None, GrantSettings::Custom { request, .. }) => std::mem::replace(&mut request.url, here).to_string(),
        other => panic!("{other:?}"),
    }
}

/// The token of this preset on its way to an API, and the answer that brings it.
async fn at_the_api(preset: &str, replies: Vec<Vec<u8>>) -> Message {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    for reply in replies {
        endpoint.answer_next(reply);
    }
    let recipe = Preset::find(preset).unwrap().recipe();
    let (recipe, _) = recipe.split_once("routes:").unwrap();
    let mut config = parse(&format!("{recipe}routes: [{{upstream: '{}', credential: {preset}}}]", upstream.url()));
    redirected(&mut config.credentials[0].settings, &endpoint.url());
    let proxy = Proxy::from(&config).await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    upstream.requests().remove(0)
}

// "Using the client credentials grant" (Shopify)
#[tokio::test]
async fn shopify_reads_a_header_field_of_its_own() {
    let body = r#"{"access_token":"shpat_1","scope":"read_products","expires_in":86399}"#;
    let request = at_the_api("shopify", vec![json_answer(body)]).await;
    assert_eq!(request.field("x-shopify-access-token"), Some("shpat_1"));
    assert_eq!(request.field("authorization"), None);
}

// "OAuth2-Based APIs" (CrowdStrike)
#[tokio::test]
async fn crowdstrike_answers_201() {
    let body = r#"{"access_token":"eyJ.x","expires_in":1799,"token_type":"bearer"}"#;
    let request =
        at_the_api("crowdstrike", vec![answer("201 Created", &["content-type: application/json"], body)]).await;
    assert_eq!(request.field("authorization"), Some("Bearer eyJ.x"));
}

// "OAuth 2.0 Authentication" (Zoho)
#[tokio::test]
async fn zoho_has_a_scheme_of_its_own() {
    let body = r#"{"access_token":"1000.a.b","api_domain":"https://www.zohoapis.com","token_type":"Bearer","expires_in":3600}"#;
    let request = at_the_api("zoho", vec![json_answer(body)]).await;
    assert_eq!(request.field("authorization"), Some("Zoho-oauthtoken 1000.a.b"));
}

// "Getting started as a tenant" (Sophos Central APIs)
#[tokio::test]
async fn sophos_wants_the_tenant_that_whoami_says() {
    let token = r#"{"access_token":"eyJ.s","errorCode":"success","expires_in":3600,"message":"OK","refresh_token":"r","token_type":"bearer","trackingId":"1"}"#;
    let whoami = r#"{"id":"57ca9a6b-885f-4e36-95ec-290548c26059","idType":"tenant","apiHosts":{"global":"https://api.central.sophos.com"}}"#;
    let request = at_the_api("sophos", vec![json_answer(token), json_answer(whoami)]).await;
    assert_eq!(request.field("authorization"), Some("Bearer eyJ.s"));
    assert_eq!(request.field("x-tenant-id"), Some("57ca9a6b-885f-4e36-95ec-290548c26059"));
}

// "AppRole auth method (API)" (HashiCorp Vault)
#[tokio::test]
async fn vault_reads_a_header_field_of_its_own() {
    let reply = r#"{"auth":{"renewable":true,"lease_duration":1200,"metadata":null,"token_policies":["default"],"accessor":"fd6c9a00","client_token":"hvs.5b1a0318"},"warnings":null,"lease_duration":0,"lease_id":""}"#;
    let request = at_the_api("vault", vec![json_answer(reply)]).await;
    assert_eq!(request.field("x-vault-token"), Some("hvs.5b1a0318"));
    assert_eq!(request.field("authorization"), None);
}

// "Authentication Methods" (Tableau REST API)
#[tokio::test]
async fn tableau_has_its_token_inside_credentials() {
    let reply = r#"{"credentials":{"site":{"id":"9a8b7c6d","contentUrl":"my-site"},"user":{"id":"9f9e9d9c"},"token":"12ab34cd56","estimatedTimeToExpiration":"177:05:38"}}"#;
    let request = at_the_api("tableau", vec![json_answer(reply)]).await;
    assert_eq!(request.field("x-tableau-auth"), Some("12ab34cd56"));
}

// "Login and Logout" (SAP Business One Service Layer)
#[tokio::test]
async fn sap_business_one_has_a_session_in_cookies() {
    let cookies = [
        "content-type: application/json",
        "set-cookie: B1SESSION=a1b2; HttpOnly;",
        "set-cookie: ROUTEID=.node1; path=/b1s",
    ];
    let reply = answer("200 OK", &cookies, r#"{"SessionId":"a1b2","Version":"1000190","SessionTimeout":30}"#);
    let request = at_the_api("sap-business-one", vec![reply]).await;
    assert_eq!(request.field("cookie"), Some("B1SESSION=a1b2; ROUTEID=.node1"));
    assert_eq!(request.field("authorization"), None);
}

// "Authentication" (Personio Developer Hub)
#[tokio::test]
async fn personio_has_its_token_inside_data() {
    let request = at_the_api("personio", vec![json_answer(r#"{"success":true,"data":{"token":"papi-1"}}"#)]).await;
    assert_eq!(request.field("authorization"), Some("Bearer papi-1"));
}

/// Header and claims of what a preset signs, in the request that it sends.
async fn signed(preset: &str) -> (Message, Value, Value) {
    let endpoint = TokenEndpoint::start().await;
    let mut settings = parse(&Preset::find(preset).unwrap().recipe()).credentials.remove(0).settings;
    redirected(&mut settings, &endpoint.url());
    let _ = OAuthClient::new(settings, Arc::new(MemoryStore::default())).unwrap().fetch().await;
    let request = endpoint.requests().remove(0);
    let (header, claims) = said(&format!("{}{}", request.text(), request.body_text()));
    (request, header, claims)
}

fn lifetime(claims: &Value) -> i64 {
    claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
}

// "Using OAuth 2.0 for Server to Server Applications" (Google)
#[tokio::test]
async fn google_reads_the_scope_in_the_assertion() {
    let (_, header, claims) = signed("google").await;
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("k1")));
    assert_eq!(claims["iss"], "robot@example.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert!(lifetime(&claims) <= 3600);
}

// "Generating an installation access token for a GitHub App" (GitHub)
#[tokio::test]
async fn a_github_app_is_a_jwt_in_authorization_an_empty_post_and_a_201() {
    let (request, header, claims) = signed("github-app").await;
    assert_eq!(request.first_line(), "POST /token HTTP/1.1");
    assert_eq!(
        (request.field("content-length"), request.field("accept")),
        (Some("0"), Some("application/vnd.github+json"))
    );
    assert_eq!((&header["alg"], &claims["iss"]), (&json!("RS256"), &json!("Iv23liABCDEFGHIJKLMN")));
    assert!(lifetime(&claims) <= 600);

    let reply = r#"{"token":"ghs_16C7e42F292c6912E7710c838347Ae178B4a","expires_at":"2999-07-11T22:14:10Z","permissions":{"contents":"read"},"repository_selection":"all"}"#;
    let request =
        at_the_api("github-app", vec![answer("201 Created", &["content-type: application/json"], reply)]).await;
    assert_eq!(request.field("authorization"), Some("Bearer ghs_16C7e42F292c6912E7710c838347Ae178B4a"));
}

// "How to get an access token with JWT Grant authentication" (DocuSign); "OAuth 2.0 JWT Bearer Flow" (Salesforce)
#[tokio::test]
async fn docusign_and_salesforce_have_audiences_of_their_own() {
    let (_, _, claims) = signed("docusign").await;
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!("account.docusign.com"), &json!("signature impersonation")));
    assert_eq!(claims["sub"], "fedcba98-7654-3210-fedc-ba9876543210");
    let (_, _, claims) = signed("salesforce-jwt").await;
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!("https://login.salesforce.com"), &json!("ID")));
    assert_eq!(claims["sub"], "integration@example.com");
    assert!(lifetime(&claims) <= 180);
}

// "Microsoft identity platform application authentication certificate credentials" (Microsoft)
#[tokio::test]
async fn entra_is_told_which_certificate_it_is() {
    let (_, header, claims) = signed("entra-certificate").await;
    assert_eq!(header["alg"], "PS256");
    assert_eq!(header["x5t#S256"].as_str().unwrap().len(), 43);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("ID"), &json!("ID")));
}

// "Generating Tokens for API Requests" (Apple), "Using key-pair authentication" (Snowflake), "Token authentication" (Ghost)
#[tokio::test]
async fn some_take_a_jwt_of_the_clients_own_as_the_token() {
    for (preset, scheme, header, claims, most) in [
        (
            "app-store-connect",
            "Bearer ",
            json!({"alg": "ES256", "kid": "2X9R4HXF34"}),
            json!({"iss": "57246542-96fe-1a63-e053-0824d011072a", "aud": "appstoreconnect-v1"}),
            1200,
        ),
        (
            "snowflake",
            "Bearer ",
            json!({"alg": "RS256"}),
            json!({"iss": "MYORG-ACCOUNT.SERVICE_USER.SHA256:Nvnw89YfSnUU1QMnaJCH7YB4V6GHO2QNMzbRJfwSSXc=", "sub": "MYORG-ACCOUNT.SERVICE_USER"}),
            3600,
        ),
        ("ghost", "Ghost ", json!({"alg": "HS256", "kid": "KEY"}), json!({"aud": "/admin/"}), 300),
    ] {
        let upstream = Upstream::saying("hello").await;
        let recipe = Preset::find(preset).unwrap().recipe();
        let (recipe, _) = recipe.split_once("routes:").unwrap();
        let config = parse(&format!("{recipe}routes: [{{upstream: '{}', credential: {preset}}}]", upstream.url()));
        let proxy = Proxy::from(&config).await;
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
        let request = upstream.requests().remove(0);
        let authorization = request.field("authorization").unwrap();
        assert!(authorization.starts_with(scheme), "{preset}: {authorization}");
        let (there, said) = said(authorization);
        for (member, value) in header.as_object().unwrap() {
            assert_eq!(&there[member], value, "{preset}");
        }
        for (member, value) in claims.as_object().unwrap() {
            assert_eq!(&said[member], value, "{preset}");
        }
        assert!(lifetime(&said) <= most, "{preset}");
    }
}

// "OAuth 2.0 for Mobile & Desktop Apps" (Google), "Authorizing OAuth apps" (GitHub), "OAuth 2.0 authorization code flow"
// (Microsoft)
#[test]
fn people_are_sent_where_the_providers_pages_say() {
    for (preset, way, place, token_url) in [
        (
            "google-login",
            LoginWay::AuthorizationCode,
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/token",
        ),
        (
            "github-login",
            LoginWay::DeviceCode,
            "https://github.com/login/device/code",
            "https://github.com/login/oauth/access_token",
        ),
        (
            "entra-login",
            LoginWay::AuthorizationCode,
            "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize",
            "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
        ),
    ] {
        let settings = parse(&Preset::find(preset).unwrap().recipe()).credentials.remove(0).settings;
        let GrantSettings::Login(login) = &settings.grant else { panic!("{preset}") };
        let there = match login.way {
            LoginWay::AuthorizationCode => &login.authorization_url,
            LoginWay::DeviceCode => &login.device_authorization_url,
        };
        assert_eq!((login.way, there.as_ref().unwrap().as_str()), (way, place), "{preset}");
        match &settings.endpoint {
            Some(EndpointSettings::TokenUrl(url)) => assert_eq!(url.as_str(), token_url, "{preset}"),
            other => panic!("{preset}: {other:?}"),
        }
    }
}

fn presets(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bearer-proxy")).arg("presets").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_lists_them_prints_one_and_knows_what_was_meant() {
    let (code, list, _) = presets(&[]);
    assert_eq!((code, list.lines().count()), (0, config::presets().len()));
    assert!(
        list.lines()
            .any(|line| line.starts_with("entra ") && line.ends_with("Microsoft Entra ID (client credentials, v2.0)"))
    );

    let (code, printed, _) = presets(&["keycloak"]);
    assert_eq!((code, printed.as_str()), (0, Preset::find("keycloak").unwrap().recipe().as_str()));

    let (code, printed, complaint) = presets(&["keyclaok"]);
    assert_eq!((code, printed.as_str()), (2, ""));
    assert_eq!(complaint, "no preset is named \"keyclaok\"; did you mean \"keycloak\"?\n");
}
