//! What authorization servers say and want to hear instead of RFC 6749, from the file to the API: one test a quirk,
//! named after who has it. The numbers are those of the survey of dialects; where the answer was recorded stands beside
//! each test. What of a quirk is a matter of one pure function has its unit test there (`oauth/client/tests.rs` for
//! requests, `oauth/response/tests.rs` for replies), many more of them than are here. Two have theirs elsewhere: a client's
//! certificate (no. 9) is `adp_wants_a_client_certificate` in `oauth/client/tests.rs`, a GitHub App's token (no. 10)
//! `a_github_app_is_a_jwt_in_authorization_an_empty_post_and_a_201` in `presets.rs`.

use super::support::signer::{Signer, param};
use super::support::{Api, Downstream, Files, Message, Proxy, TokenEndpoint, Upstream, answer, json_answer, soon};

/// A token endpoint, an API that takes whatever comes, and a proxy with one credential between them.
struct World {
    endpoint: TokenEndpoint,
    upstream: Upstream,
    proxy: Proxy,
}

/// `keys`: those of the credential beside `token_url`, a line each; id and secret are `me` and `s3cret`.
async fn world(keys: &str) -> World {
    with_route(keys, "").await
}

async fn with_route(keys: &str, route: &str) -> World {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let proxy = Proxy::new()
        .credential(&endpoint.credential_with("api", &indented(keys)))
        .route("/", &upstream.url(), "api", route)
        .top(ADMIN)
        .start()
        .await;
    World { endpoint, upstream, proxy }
}

fn indented(keys: &str) -> String {
    keys.lines().map(|line| format!("    {line}\n")).collect()
}

impl World {
    /// One request through the proxy.
    async fn get(&self) -> Message {
        Downstream::of(&self.proxy).await.get("/").await
    }

    /// How many seconds the current token lives.
    async fn lifetime(&self) -> u64 {
        lifetime(&self.proxy).await
    }
}

async fn lifetime(proxy: &Proxy) -> u64 {
    let page = Downstream::connect(proxy.running().admin_address().unwrap()).await.get("/metrics").await;
    let name = "bearer_proxy_token_expires_seconds{credential=\"api\"} ";
    let line = page.body_text().lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.split('.').next()?.parse().ok()).unwrap_or_else(|| panic!("{}", page.body_text()))
}

const ADMIN: &str = "admin: {address: 127.0.0.1:0}\n";

/// What the token endpoint is sent.
async fn asked(keys: &str) -> Message {
    let world = world(keys).await;
    assert_eq!(world.get().await.status(), 200);
    world.endpoint.requests().remove(0)
}

async fn body(keys: &str) -> String {
    asked(keys).await.body_text().to_owned()
}

/// What the API is sent when the token endpoint says this, and how long the token lives.
async fn borne_with(keys: &str, reply: Vec<u8>) -> (Message, u64) {
    let world = world(keys).await;
    world.endpoint.answer_next(reply);
    let answer = world.get().await;
    assert_eq!(answer.status(), 200, "{}", answer.body_text());
    (world.upstream.requests().remove(0), world.lifetime().await)
}

async fn borne(reply: &str) -> (String, u64) {
    let (request, lifetime) = borne_with("", json_answer(reply)).await;
    (request.field("authorization").unwrap().to_owned(), lifetime)
}

/// The status, and `details`, that a caller gets when the token endpoint says this; and how often that was asked after
/// five requests.
async fn refused(reply: Vec<u8>) -> (u16, String, usize) {
    let world = world("").await;
    world.endpoint.answer_always(reply);
    let mut last = world.get().await;
    for _ in 0..4 {
        last = world.get().await;
    }
    assert!(world.upstream.requests().is_empty(), "nothing goes to the API without a token");
    let details = last.field("proxy-status").unwrap().to_owned();
    (last.status(), details, world.endpoint.asked())
}

/// About so long: the clock goes on while a test runs.
fn about(lifetime: u64, expected: u64) -> bool {
    (expected.saturating_sub(30)..=expected).contains(&lifetime)
}

const BASIC_ME: &str = "Basic bWU6czNjcmV0"; // me:s3cret

// No. 1. golang/oauth2 internal/token.go: "Dropbox accepts either it in URL param or Auth header, but not both".
#[tokio::test]
async fn dropbox_takes_basic_or_body_but_not_both() {
    let request = asked("client_auth: client_secret_basic").await;
    assert_eq!(
        (request.field("authorization"), request.body_text()),
        (Some(BASIC_ME), "grant_type=client_credentials")
    );
    let request = asked("client_auth: client_secret_post").await;
    assert_eq!(request.field("authorization"), None);
    assert_eq!(request.body_text(), "grant_type=client_credentials&client_id=me&client_secret=s3cret");
}

// No. 1. Ibid.: "Reddit only accepts client secret in the Authorization header"; "Google only accepts URL param (not
// spec compliant?), not Auth header". Trying the other way after a refusal is a second wrong login.
#[tokio::test]
async fn reddit_and_google_are_not_tried_the_other_way() {
    for auth in ["client_secret_basic", "client_secret_post"] {
        let world = world(&format!("client_auth: {auth}")).await;
        world.endpoint.answer_always(answer("401 Unauthorized", &[], r#"{"message":"Unauthorized","error":401}"#));
        assert_eq!(world.get().await.status(), 502);
        assert_eq!(world.get().await.status(), 502);
        assert_eq!(world.endpoint.asked(), 1, "{auth}");
    }
}

// No. 2. SalesforceCommerceCloud/b2c-developer-tooling#551: a secret with `+`, `%`, `/` or `!` is refused unless it is
// form-encoded first (RFC 6749 §2.3.1).
#[tokio::test]
async fn salesforce_commerce_wants_basic_form_encoded() {
    let request = asked("client_id: id\nclient_secret: 'a+b%/!'").await;
    assert_eq!(request.field("authorization"), Some("Basic aWQ6YSUyQmIlMjUlMkYlMjE=")); // id:a%2Bb%25%2F%21
}

// No. 2. GluuFederation/oxAuth#677, panva/openid-client#134: the other way round.
#[tokio::test]
async fn gluu_wants_basic_as_it_is() {
    let request = asked("client_id: id\nclient_secret: 'a+b%/!'\nrequest: {basic_encoding: raw}").await;
    assert_eq!(request.field("authorization"), Some("Basic aWQ6YStiJS8h")); // id:a+b%/!
}

// No. 3. "Authentication & Authorisation" (Shopware Admin API).
#[tokio::test]
async fn shopware_reads_json() {
    let request = asked("client_auth: client_secret_post\nrequest: {format: json}").await;
    assert_eq!(request.field("content-type"), Some("application/json"));
    assert_eq!(request.body_text(), r#"{"grant_type":"client_credentials","client_id":"me","client_secret":"s3cret"}"#);
}

// No. 3. Transporeon, Kno Commerce (Nango's providers.yaml: `body_format: query`).
#[tokio::test]
async fn transporeon_reads_the_query() {
    let request = asked("request: {format: query}").await;
    assert_eq!(request.first_line(), "POST /token?grant_type=client_credentials HTTP/1.1");
    assert_eq!((request.field("content-length"), request.body_text()), (Some("0"), ""));
}

// No. 3. "Authentication" (Marketo Developers): a GET, with the secret in the query.
#[tokio::test]
async fn marketo_is_asked_with_get() {
    let request = asked("client_auth: client_secret_post\nrequest: {method: GET, format: query}").await;
    assert_eq!(
        request.first_line(),
        "GET /token?grant_type=client_credentials&client_id=me&client_secret=s3cret HTTP/1.1"
    );
    assert_eq!(request.body_text(), "");
}

// No. 4. "Server-to-Server OAuth" (Zoom Developer Docs); "Authentication for SAP Ariba APIs".
#[tokio::test]
async fn zoom_and_ariba_have_grants_of_their_own() {
    let zoom = "request: {params: {grant_type: account_credentials, account_id: a1}}";
    assert_eq!(body(zoom).await, "grant_type=account_credentials&account_id=a1");
    assert_eq!(body("request: {params: {grant_type: openapi_2lo}}").await, "grant_type=openapi_2lo");
}

// No. 4. "Resource Owner Password Flow", realm support (Auth0 Docs).
#[tokio::test]
async fn auth0_knows_passwords_of_a_realm() {
    let keys = "grant: password\nusername: johndoe\npassword: A3ddj3w\nclient_auth: client_secret_post\naudience: a\n\
                request: {params: {grant_type: 'http://auth0.com/oauth/grant-type/password-realm', realm: employees}}";
    assert_eq!(
        body(keys).await,
        "grant_type=http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fpassword-realm&username=johndoe&password=A3ddj3w\
         &audience=a&client_id=me&client_secret=s3cret&realm=employees"
    );
}

// No. 4. Personio v1, Roller, Certn (Nango's providers.yaml: no `grant_type`).
#[tokio::test]
async fn personio_knows_no_grant_type() {
    let keys = "client_auth: client_secret_post\nrequest: {format: json, params: {grant_type: null}}";
    assert_eq!(body(keys).await, r#"{"client_id":"me","client_secret":"s3cret"}"#);
}

// No. 4. Greenhouse Harvest (Nango's providers.yaml): the grant is in the URL, the body is JSON with a `sub`, a number.
#[tokio::test]
async fn greenhouse_has_the_grant_in_the_url_and_a_number_in_the_body() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::saying("hello").await;
    let credential =
        endpoint.credential_with("api", "    request: {format: json, params: {grant_type: null, sub: 4711}}\n");
    let credential = credential.replace("/token\n", "/token?grant_type=client_credentials\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    Downstream::of(&proxy).await.get("/").await;
    let request = endpoint.requests().remove(0);
    assert_eq!(request.first_line(), "POST /token?grant_type=client_credentials HTTP/1.1");
    assert_eq!((request.field("authorization"), request.body_text()), (Some(BASIC_ME), r#"{"sub":4711}"#));
}

// No. 5. Auth0, Pax8 (`audience`); Dynatrace, Azure v1 (`resource`); Azure v2 (`<api>/.default`,
// MicrosoftDocs/azure-docs#104522).
#[tokio::test]
async fn auth0_wants_an_audience_azure_v1_a_resource_and_azure_v2_a_scope() {
    let plain = "grant_type=client_credentials";
    assert_eq!(body("audience: https://a.example").await, format!("{plain}&audience=https%3A%2F%2Fa.example"));
    assert_eq!(body("resource: https://a.example").await, format!("{plain}&resource=https%3A%2F%2Fa.example"));
    assert_eq!(body("scope: api://a/.default").await, format!("{plain}&scope=api%3A%2F%2Fa%2F.default"));
}

// No. 5. Azure operated by 21Vianet, in the samples of email-oauth2-proxy: a password and a `resource`.
#[tokio::test]
async fn azure_21vianet_takes_a_password_and_a_resource() {
    let keys = "grant: password\nusername: u\npassword: p\nclient_auth: client_secret_post\n\
                resource: https://partner.outlook.cn/";
    assert_eq!(
        body(keys).await,
        "grant_type=password&username=u&password=p&resource=https%3A%2F%2Fpartner.outlook.cn%2F&client_id=me\
         &client_secret=s3cret"
    );
}

// No. 5. redpanda-data/connect#1812, envoyproxy/envoy#42037; RFC 8707 §2: repeated.
#[tokio::test]
async fn several_audiences_and_resources_are_repeated() {
    assert_eq!(
        body("audience: [a, b]\nresource: [urn:x, urn:y]").await,
        "grant_type=client_credentials&audience=a&audience=b&resource=urn%3Ax&resource=urn%3Ay"
    );
}

// No. 6. Adobe, Domo, Grammarly, Sedna (Nango's providers.yaml: `scope_separator: ','`); others join with a plus.
#[tokio::test]
async fn adobe_separates_scopes_by_commas_and_others_by_a_plus() {
    let keys = |separator: &str| format!("scope: [openid, AdobeID]\nrequest: {{scope_separator: '{separator}'}}");
    assert_eq!(body(&keys(",")).await, "grant_type=client_credentials&scope=openid%2CAdobeID");
    assert_eq!(body(&keys("+")).await, "grant_type=client_credentials&scope=openid%2BAdobeID");
}

// No. 7. iron-proxy's reason for extra headers; "OAuth2" (reddit wiki) for the User-Agent; GitHub for Accept.
#[tokio::test]
async fn vendors_reddit_and_github_want_header_fields() {
    let request = asked("request: {headers: {X-Api-Key: k1, User-Agent: 'linux:app:1 (by /u/me)'}}").await;
    assert_eq!(request.field("x-api-key"), Some("k1"));
    assert_eq!(request.field("user-agent"), Some("linux:app:1 (by /u/me)"));
    assert_eq!(request.field("accept"), Some("application/json"));
    assert_eq!(request.field("authorization"), Some(BASIC_ME));
}

// No. 8. Figma, TikTok, Fastmail, Trustpilot (Nango's providers.yaml: `refresh_url`).
#[tokio::test]
async fn figma_refreshes_at_another_url() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    endpoint.say_more(",\"expires_in\":3600,\"refresh_token\":\"R1\"");
    let refresh = endpoint.url().replace("/token", "/refresh");
    let proxy = Proxy::new()
        .credential(&endpoint.credential_with("api", &format!("    request: {{refresh_url: '{refresh}'}}\n")))
        .route("/", &api.upstream.url(), "api", "")
        .start()
        .await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    let requests = endpoint.requests();
    assert_eq!(requests[0].first_line(), "POST /token HTTP/1.1");
    assert_eq!(requests[1].first_line(), "POST /refresh HTTP/1.1");
    assert_eq!(requests[1].body_text(), "grant_type=refresh_token&refresh_token=R1");
}

/// The claims that a token endpoint is sent, of clients whose `client_assertion` says this besides its key.
async fn assertions(keys: &str) -> Vec<serde_json::Value> {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let (signer, files) = (Signer::new(), Files::new());
    let key = files.write("client.pem", &signer.pem);
    let url = endpoint.url();
    let credential = format!(
        "  api:\n    grant: client_credentials\n    token_url: {url}\n    client_id: me\n    client_assertion: \
         {{private_key: {}{keys}}}\n",
        key.display()
    );
    let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    let requests = endpoint.requests();
    requests
        .iter()
        .map(|request| {
            let claims = signer.claims(&param(request, "client_assertion").unwrap()).to_string();
            serde_json::from_str(&claims.replace(&url, "TOKEN-URL")).unwrap()
        })
        .collect()
}

// No. 9. oauth-wg/oauth-v2-1#183, thunder-id/thunderid#4220, envoyproxy/envoy#46699: the token URL, the issuer, or a word
// of the server's own.
#[tokio::test]
async fn thunderid_and_envoys_users_disagree_on_the_audience_of_an_assertion() {
    for (keys, audience) in [
        ("", serde_json::json!("TOKEN-URL")),
        (", audience: https://as.example", serde_json::json!("https://as.example")),
        (", audience: [token_url, urn:as]", serde_json::json!(["TOKEN-URL", "urn:as"])),
    ] {
        assert_eq!(assertions(keys).await[0]["aud"], audience, "{keys}");
    }
}

// No. 9. govuk-one-login/authentication-api#8427: a `jti` is taken once, also where the token that it brought is refused.
#[tokio::test]
async fn govuk_one_login_takes_an_assertion_once() {
    let claims = assertions("").await;
    assert_eq!(claims.len(), 2);
    assert_ne!(claims[0]["jti"], claims[1]["jti"]);
}

// No. 11. MicrosoftDocs/azure-docs#54997 and golang/oauth2's `expirationTime` ("PayPal returns string").
#[tokio::test]
async fn azure_v1_and_paypal_send_expires_in_as_a_string() {
    let azure = r#"{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","expires_on":"1","not_before":"1","resource":"https://graph.windows.net","access_token":"eyJ0"}"#;
    let (bearer, lifetime) = borne(azure).await;
    assert!(bearer == "Bearer eyJ0" && about(lifetime, 3599), "{bearer} {lifetime}");
}

// No. 12. Fiserv (Nango's providers.yaml: a lifetime in milliseconds); OAuth-Apis/apis#56 for the bug that does so.
#[tokio::test]
async fn fiserv_counts_in_milliseconds() {
    let reply = json_answer(r#"{"access_token":"f","expires_in":900000}"#);
    let (_, lifetime) = borne_with("response: {expires_unit: milliseconds}", reply).await;
    assert!(about(lifetime, 900), "{lifetime}");
}

// No. 12. Tableau (Nango's providers.yaml): `estimatedTimeToExpiration` as days:hours:minutes, which is no number.
#[tokio::test]
async fn tableau_says_days_hours_and_minutes() {
    let reply = json_answer(
        r#"{"credentials":{"site":{"id":"9a","contentUrl":""},"user":{"id":"9f"},"token":"12ab34","estimatedTimeToExpiration":"177:05:38"}}"#,
    );
    let keys = "response: {access_token: /credentials/token, expires_in: /credentials/estimatedTimeToExpiration}\n\
                lifetime: {default: 2h}\ninject: {header: X-Tableau-Auth, format: '{token}'}";
    let (request, lifetime) = borne_with(keys, reply).await;
    assert_eq!(request.field("x-tableau-auth"), Some("12ab34"));
    assert!(about(lifetime, 7200), "{lifetime}");
}

// No. 13. spring-attic/spring-security-oauth#1172 (VK: `expires_in: 0` means never); requests-oauthlib's Mailchimp fix
// (0 and `scope: null`); docker/sbx-releases#582 (missing read as 0).
#[tokio::test]
async fn vk_and_mailchimp_say_expires_in_0_and_docker_must_not_read_nothing_as_0() {
    for reply in [
        r#"{"access_token":"533bacf01e11f55b","expires_in":0,"user_id":66748}"#,
        r#"{"access_token":"533bacf01e11f55b","expires_in":0,"scope":null}"#,
        r#"{"access_token":"533bacf01e11f55b","token_type":"bearer"}"#,
    ] {
        let (bearer, lifetime) = borne(reply).await;
        assert!(bearer == "Bearer 533bacf01e11f55b" && about(lifetime, 300), "{reply}: {lifetime}");
    }
}

// No. 14. NangoHQ/nango#327, louislam/uptime-kuma#3902: no lifetime, and revocable at any time. A 401 tells.
#[tokio::test]
async fn salesforce_says_no_lifetime_and_a_401_renews() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    endpoint.say_more(",\"instance_url\":\"https://x.my.salesforce.com\",\"signature\":\"c2ln\"");
    let proxy = Proxy::new()
        .credential(&endpoint.credential_with("api", "    lifetime: {default: 15m}\n"))
        .route("/", &api.upstream.url(), "api", "")
        .top(ADMIN)
        .start()
        .await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(endpoint.asked(), 2);
    let lifetime = lifetime(&proxy).await;
    assert!(about(lifetime, 900), "{lifetime}");
}

// No. 15. Azure managed identities (`expires_on`); Plaid and others (`expires_at`, ISO 8601); Facebook of old (`expires`).
#[tokio::test]
async fn azure_says_expires_on_others_expires_at_and_facebook_of_old_expires() {
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let unix = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for said in [
        format!("\"expires_on\":\"{unix}\""),
        format!("\"expires_at\":{unix}"),
        format!("\"expires_at\":{}", unix * 1000),
        "\"expires\":3600".to_owned(),
    ] {
        let (_, lifetime) = borne(&format!("{{\"access_token\":\"a\",{said}}}")).await;
        assert!(about(lifetime, 3600), "{said}: {lifetime}");
    }
    let (_, lifetime) = borne(r#"{"access_token":"a","expires_at":"2999-01-01T00:00:00.000Z"}"#).await;
    assert!(lifetime > 300 * 24 * 3600, "{lifetime}");
}

// No. 16. nulab/scala-oauth2-provider#72: the same token again, with what is left of its time.
#[tokio::test]
async fn scala_oauth2_provider_hands_the_same_token_out_again() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("other").await);
    endpoint.answer_always(json_answer(r#"{"access_token":"same","expires_in":120}"#));
    let proxy =
        Proxy::new().credential(&endpoint.credential("api")).route("/", &api.upstream.url(), "api", "").start().await;

    // It was refused, and what the renewal brings is what was refused: one renewal, and no storm of them.
    for _ in 0..5 {
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 401);
    }
    assert_eq!(endpoint.asked(), 2);
}

// No. 17. keycloak/keycloak#8919: an offline token has no fixed end.
#[tokio::test]
async fn keycloak_offline_tokens_say_refresh_expires_in_0() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    endpoint.say_more(",\"expires_in\":300,\"refresh_expires_in\":0,\"refresh_token\":\"OFFLINE\"");
    let proxy =
        Proxy::new().credential(&endpoint.credential("api")).route("/", &api.upstream.url(), "api", "").start().await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(endpoint.requests()[1].body_text(), "grant_type=refresh_token&refresh_token=OFFLINE");
}

// No. 18. slackhq/slack-api-docs#68 (no token_type), PredixDev/predix-webapp-starter#10 (`bearer` borne in lower case is
// refused), eBay ("Application Access Token").
#[tokio::test]
async fn slack_says_no_token_type_keycloak_writes_it_small_and_ebay_invents_one() {
    for kind in ["", ",\"token_type\":\"bearer\"", ",\"token_type\":\"Application Access Token\""] {
        assert_eq!(borne(&format!("{{\"access_token\":\"x\",\"expires_in\":60{kind}}}")).await.0, "Bearer x", "{kind}");
    }
}

// No. 19. requests-oauthlib compliance fixes: Facebook of old (`text/plain`), GitHub without Accept.
#[tokio::test]
async fn facebook_of_old_and_github_answer_in_a_form() {
    let facebook = answer("200 OK", &["content-type: text/plain"], "access_token=urlencoded&expires=5184000");
    let (request, lifetime) = borne_with("", facebook).await;
    assert_eq!(request.field("authorization"), Some("Bearer urlencoded"));
    assert!(about(lifetime, 5_184_000), "{lifetime}");
    let kind = "content-type: application/x-www-form-urlencoded; charset=utf-8";
    let github = answer("200 OK", &[kind], "access_token=gho_16C7e42F292c69&scope=repo%2Cgist&token_type=bearer");
    assert_eq!(borne_with("", github).await.0.field("authorization"), Some("Bearer gho_16C7e42F292c69"));
}

// No. 19. requests-oauthlib compliance fixes: Plentymarkets.
#[tokio::test]
async fn plentymarkets_writes_in_camel_case() {
    let reply = json_answer(
        r#"{"accessToken":"ecUN1r8KhJewMCdLAmpHOdZ4O0ofXKB9zf6CXK61","tokenType":"Bearer","expiresIn":86400,"refreshToken":"iG2kBGIjcXaRE4xmTVUnv7xwxX7XMcWCHqJmFaSX"}"#,
    );
    let keys = "response: {access_token: /accessToken, expires_in: /expiresIn, refresh_token: /refreshToken}";
    let (request, lifetime) = borne_with(keys, reply).await;
    assert_eq!(request.field("authorization"), Some("Bearer ecUN1r8KhJewMCdLAmpHOdZ4O0ofXKB9zf6CXK61"));
    assert!(about(lifetime, 86_400), "{lifetime}");
}

// No. 20. Nango's providers.yaml; "Migrating to V2" (Slack); some answer in a header field.
#[tokio::test]
async fn slack_and_many_others_put_the_token_elsewhere() {
    for (place, reply) in [
        ("/data/token", r#"{"data":{"token":"t-1"}}"#),
        ("/jwt", r#"{"jwt":"t-1"}"#),
        ("/tokens/access/token", r#"{"tokens":{"access":{"token":"t-1","expires":"x"}}}"#),
        ("/authed_user/access_token", r#"{"ok":true,"access_token":"xoxb-2","authed_user":{"access_token":"t-1"}}"#),
        ("/sessionId", r#"{"sessionId":"t-1"}"#),
        ("''", "t-1"),
        ("''", r#""t-1""#),
    ] {
        let keys = format!("response: {{access_token: {place}}}\nlifetime: {{default: 1m}}");
        let (request, _) = borne_with(&keys, json_answer(reply)).await;
        assert_eq!(request.field("authorization"), Some("Bearer t-1"), "{place}");
    }
    let reply = answer("200 OK", &["x-auth-token: t-1"], "{}");
    let (request, _) = borne_with("response: {access_token: {header: X-Auth-Token}}", reply).await;
    assert_eq!(request.field("authorization"), Some("Bearer t-1"));
}

// No. 20. SAP Business One: a session in two cookies, from a login that is no OAuth.
#[tokio::test]
async fn sap_business_one_puts_its_session_into_cookies() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let cookies = ["set-cookie: B1SESSION=a1b2; HttpOnly;", "set-cookie: ROUTEID=.node1; path=/b1s"];
    endpoint.answer_next(answer("200 OK", &cookies, r#"{"SessionId":"a1b2","SessionTimeout":30}"#));
    let credential = format!(
        "  api:\n    grant: custom\n    request: {{url: '{}', body: {{json: {{CompanyDB: PROD}}}}}}\n    \
         response: {{access_token: {{cookies: [B1SESSION, ROUTEID]}}}}\n    lifetime: {{default: 25m}}\n    \
         inject: {{header: Cookie, format: '{{token}}'}}\n",
        endpoint.url()
    );
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(endpoint.requests()[0].body_text(), r#"{"CompanyDB":"PROD"}"#);
    assert_eq!(upstream.requests()[0].field("cookie"), Some("B1SESSION=a1b2; ROUTEID=.node1"));
}

// No. 21. "Troubleshooting OAuth app access token request errors" (GitHub Docs), speakeasy-api/gram#6088.
#[tokio::test]
async fn github_answers_200_with_an_error() {
    let reply = r#"{"error":"incorrect_client_credentials","error_description":"The client_id and/or client_secret passed are incorrect.","error_uri":"/x"}"#;
    let (status, details, asked) = refused(json_answer(reply)).await;
    assert_eq!((status, asked), (502, 1), "a wrong secret is not tried again at once");
    assert!(details.contains("details=\"incorrect_client_credentials\""), "{details}");
}

// No. 21. envoyproxy/envoy#42009 (an empty 200 ended renewal for good), load balancers' pages, Fitbit's `errors`.
#[tokio::test]
async fn envoys_empty_200_and_a_load_balancers_page_are_faults_that_pass() {
    for reply in [
        answer("200 OK", &[], ""),
        answer("200 OK", &["content-type: text/html"], "<html><title>Sorry</title></html>"),
        answer("502 Bad Gateway", &["content-type: text/html"], "<html></html>"),
    ] {
        let world = world("").await;
        world.endpoint.answer_next(reply);
        assert_eq!(world.get().await.status(), 503);
        // Not asked again by every caller in turn, and asked again all the same.
        soon("a token", async { while world.get().await.status() != 200 {} }).await;
        assert_eq!(world.endpoint.asked(), 2);
    }
}

// No. 21. "Error handling" (Fitbit Web API).
#[tokio::test]
async fn fitbit_says_errors_in_place_of_error() {
    let reply = r#"{"errors":[{"errorType":"invalid_client","message":"Invalid authorization header format."}],"success":false}"#;
    let (status, details, asked) = refused(answer("401 Unauthorized", &[], reply)).await;
    assert_eq!((status, asked), (502, 1));
    assert!(details.contains("details=\"invalid_client\""), "{details}");
}

// No. 22. "Microsoft identity platform application authentication and authorization error codes"; GitHub.
#[tokio::test]
async fn azure_numbers_and_githubs_codes_are_refusals_and_a_servers_text_is_not_told() {
    let azure = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 0","error_codes":[7000215],"correlation_id":"1"}"#;
    for (reply, code) in [
        (answer("401 Unauthorized", &[], azure), "invalid_client"),
        (answer("200 OK", &[], r#"{"error":"bad_verification_code"}"#), "bad_verification_code"),
        (answer("400 Bad Request", &[], r#"{"error":"unauthorized_client"}"#), "unauthorized_client"),
    ] {
        let (status, details, asked) = refused(reply).await;
        assert_eq!((status, asked), (502, 1), "{code}");
        assert!(details.contains(&format!("details=\"{code}\"")) && !details.contains("AADSTS"), "{details}");
    }
}

// No. 23. nightscout/nocturne#326, HQBase/hqbase#41: a refresh token that is used twice takes its family with it.
#[tokio::test]
async fn a_rotated_refresh_token_is_used_once_and_a_reply_without_one_keeps_the_old() {
    let endpoint = TokenEndpoint::start().await;
    let reply = |token: &str, refresh: &str| {
        json_answer(&format!("{{\"access_token\":\"{token}\",\"expires_in\":3600{refresh}}}"))
    };
    let api = Upstream::answering_by(|request| match request.field("authorization") {
        Some("Bearer c") => answer("200 OK", &[], ""),
        _ => answer("401 Unauthorized", &[], ""),
    })
    .await;
    for (token, refresh) in [("a", ",\"refresh_token\":\"r1\""), ("b", ""), ("c", ",\"refresh_token\":\"r2\"")] {
        endpoint.answer_next(reply(token, refresh));
    }
    let proxy = Proxy::new()
        .credential(&endpoint.credential("api"))
        .route("/", &api.url(), "api", "    retry: {cooldown: 0s}\n")
        .start()
        .await;

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 401);
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    let bodies: Vec<_> = endpoint.requests().iter().map(|request| request.body_text().to_owned()).collect();
    let refresh = "grant_type=refresh_token&refresh_token=r1";
    assert_eq!(bodies, ["grant_type=client_credentials", refresh, refresh]);
}

// No. 24. soundcloud/api#131: 429 at the token endpoint; asking on lengthens the ban.
#[tokio::test]
async fn soundcloud_answers_429_and_retry_after_is_obeyed() {
    let world = world("").await;
    world.endpoint.answer_always(answer(
        "429 Too Many Requests",
        &["retry-after: 600"],
        r#"{"errors":[{"error_message":"rate_limit_exceeded"}]}"#,
    ));
    for _ in 0..5 {
        let answer = world.get().await;
        assert_eq!(answer.status(), 503);
        assert!(answer.field("retry-after").unwrap().parse::<u64>().unwrap() > 500);
    }
    assert_eq!(world.endpoint.asked(), 1);
}

// No. 24. zalando/tokens#10: wrong credentials, asked with at speed, lock the account.
#[tokio::test]
async fn zalandos_wrong_credentials_are_not_tried_at_speed() {
    let reply = answer("400 Bad Request", &[], r#"{"error":"invalid_grant"}"#);
    assert_eq!(
        refused(reply).await,
        (502, "bearer-proxy; error=proxy_configuration_error; details=\"invalid_grant\"".to_owned(), 1)
    );
}

// No. 25. "OAuth 2.0 Client Credentials Flow" (Salesforce): the reply names the API. The file decides all the same.
#[tokio::test]
async fn salesforce_names_an_instance_and_the_token_stays_with_its_route() {
    let elsewhere = Upstream::saying("elsewhere").await;
    let world = world("").await;
    world.endpoint.answer_next(json_answer(&format!(
        "{{\"access_token\":\"00Dx\",\"instance_url\":\"{}\",\"id\":\"https://login.salesforce.com/id/00Dx\"}}",
        elsewhere.url()
    )));
    assert_eq!(world.get().await.body_text(), "hello");
    assert_eq!(elsewhere.seen().connections(), 0);
}

// No. 26. Shopify, GitHub Apps ("token …"), SoundCloud ("OAuth …"), Instagram of old (the query).
#[tokio::test]
async fn shopify_github_soundcloud_and_instagram_read_the_token_elsewhere() {
    let reply = || json_answer(r#"{"access_token":"x1","expires_in":60}"#);
    for (inject, name, value) in [
        ("{header: X-Shopify-Access-Token, format: '{token}'}", "x-shopify-access-token", "x1"),
        ("{format: 'token {token}'}", "authorization", "token x1"),
        ("{format: 'OAuth {token}'}", "authorization", "OAuth x1"),
    ] {
        let (request, _) = borne_with(&format!("inject: {inject}"), reply()).await;
        assert_eq!(request.field(name), Some(value), "{inject}");
    }
    let (request, _) = borne_with("inject: {query: access_token}", reply()).await;
    assert_eq!(request.first_line(), "GET /?access_token=x1 HTTP/1.1");
    assert_eq!(request.field("authorization"), None);
}

// No. 26. "OAuth Server-to-Server credential" (Adobe): x-api-key; "Getting started as a tenant" (Sophos): X-Tenant-ID.
#[tokio::test]
async fn adobe_and_sophos_want_a_fixed_header_field_too() {
    let world = with_route("", "    request_headers: {set: {X-Api-Key: me, X-Tenant-ID: '57ca9a6b'}}\n").await;
    world.get().await;
    let request = world.upstream.requests().remove(0);
    assert_eq!((request.field("x-api-key"), request.field("x-tenant-id")), (Some("me"), Some("57ca9a6b")));
}

/// What an API that refuses `T1` with this answer, and takes `T2`, is made to say; and how many tokens that took.
async fn refusing(refusal: Vec<u8>, route: &str) -> (u16, usize) {
    let endpoint = TokenEndpoint::start().await;
    let api = Upstream::answering_by(move |request| match request.field("authorization") {
        Some("Bearer T2") => answer("200 OK", &[], ""),
        _ => refusal.clone(),
    })
    .await;
    let proxy = Proxy::new().credential(&endpoint.credential("api")).route("/", &api.url(), "api", route).start().await;
    let status = Downstream::of(&proxy).await.get("/").await.status();
    (status, endpoint.asked())
}

// No. 27. Vault answers 403 to a token that has expired; Google 400 to an API key.
#[tokio::test]
async fn vault_answers_403_and_google_400_to_a_token_that_has_expired() {
    let vault = || answer("403 Forbidden", &[], r#"{"errors":["permission denied"]}"#);
    assert_eq!(refusing(vault(), "    retry: {statuses: [401, 403]}\n").await, (200, 2));
    assert_eq!(refusing(vault(), "").await, (403, 1), "unless the file says so, a 403 is an answer");
    let google = answer("400 Bad Request", &[], r#"{"error":{"code":400,"status":"INVALID_ARGUMENT"}}"#);
    assert_eq!(refusing(google, "    retry: {statuses: [400]}\n").await, (200, 2));
}

// No. 27. "Status Codes and Error Responses" (Salesforce REST API): a list, not RFC 6750.
#[tokio::test]
async fn salesforce_answers_401_with_invalid_session_id() {
    let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    let fields = ["www-authenticate: Token"];
    assert_eq!(refusing(answer("401 Unauthorized", &fields, body), "").await, (200, 2));
}

// No. 27. DuendeArchive/Duende.AccessTokenManagement#31: a 401 may be meant.
#[tokio::test]
async fn duendes_users_mean_their_401() {
    let refusal = || answer("401 Unauthorized", &["www-authenticate: Bearer error=\"insufficient_scope\""], "");
    assert_eq!(refusing(refusal(), "").await, (401, 1), "a fresh token cannot help");
    assert_eq!(refusing(answer("401 Unauthorized", &[], ""), "    retry: off\n").await, (401, 1));
}
