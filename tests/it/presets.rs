//! The presets: each, copied as it is printed, makes a credential, and asks as the provider's own pages say.
//!
//! The requests of the table were written from those pages (their titles stand in `presets.yaml`), not from the presets.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bearer_proxy::config::{self, Config, Preset};
use bearer_proxy::oauth::OAuthClient;
use bearer_proxy::oauth::settings::{CredentialSettings, EndpointSettings, GrantSettings};
use bearer_proxy::token::TokenSource;
use bearer_proxy::token::store::MemoryStore;

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
    post("personio", "https://api.personio.de/v1/auth", r#"{"client_id":"ID","client_secret":"SEC/RET"}"#),
];

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
            () => return None,
        };
        Some(value.to_owned())
    };
    let text = format!("listeners: [{{address: 127.0.0.1:0}}]\n{recipe}");
    config::parse(&text, Path::new("proxy.yaml"), &environment).unwrap_or_else(|error| panic!("{error}\n{text}"))
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
    let listed: BTreeSet<&str> = TABLE.iter().map(|asked| asked.preset).collect();
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
        assert_eq!(request.field("authorization"), expected.as_deref(), "{preset}");
        assert_eq!(request.body_text(), *body, "{preset}");
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
