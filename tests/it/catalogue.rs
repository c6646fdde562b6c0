//! Every kind of login that a public catalogue of providers knows, as this file's table or a test elsewhere has it: an
//! index of what a credential can say. The kinds are those of the survey of dialects (PEERS.md section 3): OAuth with a
//! dialect, and logins of the provider's own, in one step or in several.
//!
//! A kind that another file shows is in [`ELSEWHERE`], with its test; [`HERE`] has the others, each a credential that the
//! file takes without a doubt, with the requests that it leads to and what the API is sent. What answers in XML, or wants a
//! signature of its own making, is for a command (`grant: exec`).

use super::support::{Downstream, Files, Proxy, TokenEndpoint, Upstream, json_answer};

/// A kind, the file beside this one that shows it, and the test there.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    // What the plain keys say.
    ("the secret by Basic, or in the body", "dialects", "dropbox_takes_basic_or_body_but_not_both"),
    ("Basic, form-encoded", "dialects", "salesforce_commerce_wants_basic_form_encoded"),
    ("Basic, raw", "dialects", "gluu_wants_basic_as_it_is"),
    ("a password", "dialects", "azure_21vianet_takes_a_password_and_a_resource"),
    (
        "a refresh token of a person's",
        "tokens",
        "a_first_refresh_token_from_the_file_is_used_once_and_its_successors_after_it",
    ),
    ("a token that is there", "tokens", "a_static_token_is_sent_as_it_is_and_a_refusal_of_it_is_passed_on"),
    ("providers as their pages have it", "presets", "each_provider_is_asked_as_its_own_pages_say"),
    // OAuth with one of the particulars.
    ("a JSON body", "dialects", "shopware_reads_json"),
    ("the query", "dialects", "transporeon_reads_the_query"),
    ("the query of a GET", "dialects", "marketo_is_asked_with_get"),
    ("parameters beyond scope", "dialects", "auth0_wants_an_audience_azure_v1_a_resource_and_azure_v2_a_scope"),
    ("several of a parameter", "dialects", "several_audiences_and_resources_are_repeated"),
    ("no grant_type", "dialects", "personio_knows_no_grant_type"),
    ("the grant_type in the URL", "dialects", "greenhouse_has_the_grant_in_the_url_and_a_number_in_the_body"),
    ("another grant_type", "dialects", "zoom_and_ariba_have_grants_of_their_own"),
    ("another grant_type with a password", "dialects", "auth0_knows_passwords_of_a_realm"),
    ("scopes separated by commas", "dialects", "adobe_separates_scopes_by_commas_and_others_by_a_plus"),
    ("further header fields", "dialects", "vendors_reddit_and_github_want_header_fields"),
    ("another URL for refreshes", "dialects", "figma_refreshes_at_another_url"),
    ("a lifetime in milliseconds", "dialects", "fiserv_counts_in_milliseconds"),
    (
        "an end in place of a lifetime",
        "dialects",
        "azure_says_expires_on_others_expires_at_and_facebook_of_old_expires",
    ),
    ("no lifetime", "dialects", "salesforce_says_no_lifetime_and_a_401_renews"),
    ("the token elsewhere in the reply", "dialects", "slack_and_many_others_put_the_token_elsewhere"),
    ("a reply in a form", "dialects", "facebook_of_old_and_github_answer_in_a_form"),
    ("a reply in camel case", "dialects", "plentymarkets_writes_in_camel_case"),
    (
        "a field other than Authorization",
        "dialects",
        "shopify_github_soundcloud_and_instagram_read_the_token_elsewhere",
    ),
    ("a fixed field beside the token", "dialects", "adobe_and_sophos_want_a_fixed_header_field_too"),
    // The client's own proof.
    (
        "a client certificate",
        "client_auth",
        "a_client_proves_itself_with_its_certificate_and_with_the_new_one_once_it_is_there",
    ),
    ("private_key_jwt", "client_auth", "a_client_proves_itself_with_a_private_key_anew_for_each_attempt"),
    ("client_secret_jwt", "client_auth", "a_client_signs_with_its_secret_and_does_not_send_it"),
    ("a ready-made client assertion", "client_auth", "a_ready_made_client_assertion_is_read_anew_for_each_attempt"),
    ("an assertion as the grant", "assertions", "an_assertion_of_ours_is_exchanged_for_a_token_and_each_is_another"),
    ("a JWT as the token", "assertions", "a_jwt_of_ours_is_the_token_and_a_refused_one_is_signed_anew"),
    ("an app's installation", "assertions", "an_assertion_stands_wherever_a_login_that_is_written_out_wants_it"),
    // Logins of the provider's own.
    (
        "a login in JSON, its token at a pointer",
        "custom",
        "a_login_in_json_brings_a_token_at_a_pointer_and_a_tenant_beside_it",
    ),
    ("a login by GET, its token in a field", "custom", "a_login_by_get_has_its_token_in_a_header_field"),
    ("a login in a form or in XML", "custom", "a_login_in_a_form_or_in_a_text_has_the_whole_body_as_its_token"),
    ("a session in cookies", "custom", "a_session_by_cookies_is_one_and_nothing_is_kept_from_one_login_to_the_next"),
    ("a login with Basic", "custom", "a_client_with_a_secret_proves_itself_at_a_login_too"),
    ("several calls", "custom", "several_steps_lead_to_a_token_and_no_reply_says_where_it_goes"),
    ("a lifetime in days, hours and minutes", "dialects", "tableau_says_days_hours_and_minutes"),
    ("anything else: a command", "exec", "what_helpers_print_is_understood"),
    ("a command, and calls after it", "exec", "steps_may_follow_a_command"),
];

/// A kind of login: its credential, what the provider says, and what that leads to.
struct Kind {
    what: &'static str,
    /// The keys; `URL` is where the provider is, `FILES` a directory with a client's certificate and key.
    keys: &'static str,
    replies: &'static [&'static str],
    /// First line, `Authorization` and body of each request.
    asked: &'static [(&'static str, Option<&'static str>, &'static str)],
    /// A header field that the API is sent.
    borne: (&'static str, &'static str),
}

const BASIC: &str = "Basic bWU6czNjcmV0"; // me:s3cret

const HERE: &[Kind] = &[
    Kind {
        what: "a JSON body and Basic",
        keys: "
grant: client_credentials
token_url: URL/token
client_id: me
client_secret: s3cret
request: {format: json}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[("POST /token", Some(BASIC), r#"{"grant_type":"client_credentials"}"#)],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a JSON body with names of its own",
        keys: "
grant: client_credentials
token_url: URL/token
request: {format: json, params: {grant_type: null, clientId: me, clientSecret: s3cret}}
response: {access_token: /accessToken, expires_in: /validFor}",
        replies: &[r#"{"accessToken":"t1","validFor":3600}"#],
        asked: &[("POST /token", None, r#"{"clientId":"me","clientSecret":"s3cret"}"#)],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a JSON body with lists, numbers and what is true",
        keys: "
grant: client_credentials
token_url: URL/token
client_id: me
client_secret: s3cret
client_auth: client_secret_post
request: {format: json, params: {scopes: [read, write], expiration: 3600, remember: true}}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[(
            "POST /token",
            None,
            r#"{"grant_type":"client_credentials","client_id":"me","client_secret":"s3cret","scopes":["read","write"],"expiration":3600,"remember":true}"#,
        )],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "the query, with names of its own and no grant_type",
        keys: "
grant: client_credentials
token_url: URL/token?version=2
request: {format: query, params: {grant_type: null, key: me, secret: s&t}}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[("POST /token?version=2&key=me&secret=s%26t", None, "")],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a certificate and a secret",
        keys: "
grant: client_credentials
token_url: URL/token
client_id: me
client_secret: s3cret
request: {tls: {certificate: FILES/client.pem, private_key: FILES/client.key}}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[("POST /token", Some(BASIC), "grant_type=client_credentials")],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a scheme of its own at the token endpoint",
        keys: "
grant: client_credentials
token_url: URL/token
request: {headers: {Authorization: Api-Key k3y}}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[("POST /token", Some("Api-Key k3y"), "grant_type=client_credentials")],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a key that is Basic's whole user",
        keys: "
grant: client_credentials
token_url: URL/token
request: {headers: {Authorization: 'Basic {base64(k3y:)}'}}",
        replies: &[r#"{"access_token":"t1"}"#],
        asked: &[("POST /token", Some("Basic azN5Og=="), "grant_type=client_credentials")],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a token that buys another",
        keys: "
grant: client_credentials
token_url: URL/token
client_id: me
client_secret: s3cret
then:
  - request:
      url: URL/tenants/t7/token
      method: POST
      headers: {Authorization: 'Bearer {token}'}
    response: {access_token: /jwt}",
        replies: &[r#"{"access_token":"t1"}"#, r#"{"jwt":"t2"}"#],
        asked: &[
            ("POST /token", Some(BASIC), "grant_type=client_credentials"),
            ("POST /tenants/t7/token", Some("Bearer t1"), ""),
        ],
        borne: ("authorization", "Bearer t2"),
    },
    Kind {
        what: "a login by GET with Basic",
        keys: "
grant: custom
request: {url: URL/auth, headers: {Authorization: 'Basic {base64(me:s3cret)}'}}
response: {access_token: /idToken}",
        replies: &[r#"{"idToken":"t1"}"#],
        asked: &[("GET /auth", Some(BASIC), "")],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a login whose key is in the path, a token that is Basic's password",
        keys: "
grant: custom
request: {url: 'URL/keys/${NOBODY_SET_THIS:-k3y}/token', method: POST}
response: {access_token: /data/0/token}
inject: {format: 'Basic {base64(api:{token})}'}",
        replies: &[r#"{"data":[{"token":"t1"}]}"#],
        asked: &[("POST /keys/k3y/token", None, "")],
        borne: ("authorization", "Basic YXBpOnQx"),
    },
    Kind {
        what: "a login in a document of JSON:API, with an end",
        keys: "
grant: custom
request:
  url: URL/sessions
  headers: {Content-Type: application/vnd.api+json}
  body: {json: {data: {type: sessions, attributes: {id: me, secret: s3cret}}}}
response: {access_token: /data/attributes/token, expires_in: /data/attributes/expiresAt}",
        replies: &[r#"{"data":{"attributes":{"token":"t1","expiresAt":"2999-01-01T00:00:00Z"}}}"#],
        asked: &[(
            "POST /sessions",
            None,
            r#"{"data":{"type":"sessions","attributes":{"id":"me","secret":"s3cret"}}}"#,
        )],
        borne: ("authorization", "Bearer t1"),
    },
    Kind {
        what: "a login by GraphQL, its token as it is",
        keys: "
grant: custom
request:
  url: URL/graphql
  body: {json: {query: 'mutation ($k: String!) { login(key: $k) { token } }', variables: {k: k3y}}}
response: {access_token: /data/login/token}
inject: {format: '{token}'}",
        replies: &[r#"{"data":{"login":{"token":"t1"}}}"#],
        asked: &[(
            "POST /graphql",
            None,
            r#"{"query":"mutation ($k: String!) { login(key: $k) { token } }","variables":{"k":"k3y"}}"#,
        )],
        borne: ("authorization", "t1"),
    },
    Kind {
        what: "a login whose session is one of the API's cookies, with a lifetime in milliseconds",
        keys: "
grant: custom
request: {url: URL/login, body: {form: {user: me, password: s3cret}}}
response: {access_token: /sessionId, expires_in: /ttl, expires_unit: milliseconds}
inject: [{header: Cookie, format: 'sid={token}'}, {header: X-Session, format: '{token}'}]",
        replies: &[r#"{"sessionId":"t1","ttl":900000}"#],
        asked: &[("POST /login", None, "user=me&password=s3cret")],
        borne: ("cookie", "sid=t1"),
    },
];

#[tokio::test]
async fn every_kind_of_login_can_be_written_and_asks_as_it_should() {
    let files = Files::new();
    files.pair("client", &super::support::Authority::new("internal").issue("client"));
    for Kind { what, keys, replies, asked, borne } in HERE {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        replies.iter().for_each(|reply| endpoint.answer_next(json_answer(reply)));
        let here = endpoint.url().replace("/token", "");
        let keys = keys.replace("URL", &here).replace("FILES", files.directory().to_str().unwrap());
        let keys: String = keys.trim().lines().map(|line| format!("    {line}\n")).collect();
        let builder = Proxy::new().credential(&format!("  api:\n{keys}"));
        let config = builder.route("/", &upstream.url(), "api", "").config();
        assert!(config.warnings.is_empty(), "{what}: {:?}", config.warnings);
        let proxy = Proxy::from(&config).await;

        let answer = Downstream::of(&proxy).await.get("/").await;

        assert_eq!(answer.status(), 200, "{what}: {}", answer.body_text());
        let requests = endpoint.requests();
        let said: Vec<_> = requests
            .iter()
            .map(|request| {
                let line = request.first_line().strip_suffix(" HTTP/1.1").unwrap();
                (line, request.field("authorization"), request.body_text())
            })
            .collect();
        assert_eq!(said, *asked, "{what}");
        let (name, value) = borne;
        assert_eq!(upstream.requests()[0].fields(name), [*value], "{what}");
    }
}

#[test]
fn every_kind_that_is_shown_elsewhere_is_there() {
    for (kind, file, test) in ELSEWHERE {
        let text = match *file {
            "assertions" => include_str!("assertions.rs"),
            "client_auth" => include_str!("client_auth.rs"),
            "custom" => include_str!("custom.rs"),
            "dialects" => include_str!("dialects.rs"),
            "exec" => include_str!("exec.rs"),
            "presets" => include_str!("presets.rs"),
            "tokens" => include_str!("tokens.rs"),
            other => panic!("{other}.rs is not looked into"),
        };
        assert!(text.contains(&format!("fn {test}(")), "{kind}: {file}.rs has no {test}");
    }
}
