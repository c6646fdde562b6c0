//! Answers of real servers as PEERS.md section 3 has them, by its numbers, and the rules of DESIGN.md section 3.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http::{HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::oauth::settings::{CredentialSettings, ExpiresUnit, LifetimeSettings, Pointer, for_test};

/// 2025-11-21T15:00:00Z.
const NOW: u64 = 1_763_737_200;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn answer(status: u16, content_type: &str, body: &[u8]) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]);
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Zeroizing::new(body.to_vec()), whole: true }
}

fn read_answer(answer: &Answer, settings: &CredentialSettings) -> Result<TokenResponse, TokenError> {
    read(answer, &super::body(answer), &settings.response, settings, now())
}

fn ok(body: &str) -> TokenResponse {
    read_answer(&answer(200, "application/json", body.as_bytes()), &for_test()).unwrap()
}

fn refused(status: u16, body: &str) -> TokenError {
    let answer = answer(status, "application/json", body.as_bytes());
    read_answer(&answer, &for_test()).map(|_| ()).unwrap_err()
}

fn lifetime(body: &str) -> u64 {
    ok(body).lifetime.as_secs()
}

fn with(place: &str, body: &str) -> Result<String, TokenError> {
    let mut settings = for_test();
    settings.response.access_token = TokenPlace::Body(Pointer(place.to_owned()));
    let answer = answer(200, "application/json", body.as_bytes());
    read_answer(&answer, &settings).map(|response| response.access_token.expose().to_owned())
}

fn jwt(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(claims))
}

fn code_of(error: &TokenError) -> (&str, bool) {
    (error.code(), error.is_transient())
}

#[test]
fn the_answer_of_rfc_6749_section_5_1() {
    let response = ok(r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
        "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}"#);
    assert_eq!(response.access_token.expose(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(response.lifetime, Duration::from_secs(3600));
    let refresh_token = response.refresh_token.unwrap();
    assert_eq!(refresh_token.token.expose(), "tGzv3JOkF0XG5Qx2TlKWIA");
    assert_eq!(refresh_token.lifetime, None);
}

#[test]
fn the_refusal_of_rfc_6749_section_5_2() {
    let error = refused(400, r#"{"error":"invalid_request"}"#);
    assert_eq!(error.to_string(), "the authorization server refused the request: invalid_request");
    assert!(!error.is_transient());
}

// No. 10.
#[test]
fn github_apps_are_answered_201_with_an_expires_at() {
    let body = br#"{"token":"ghs_16C7e42F292c6912E7710c838347Ae178B4a","expires_at":"2025-11-21T16:00:00Z",
        "permissions":{"issues":"write"},"repository_selection":"selected"}"#;
    let mut settings = for_test();
    settings.response.access_token = TokenPlace::Body(Pointer("/token".to_owned()));
    let response = read_answer(&answer(201, "application/json; charset=utf-8", body), &settings).unwrap();
    assert_eq!(response.access_token.expose(), "ghs_16C7e42F292c6912E7710c838347Ae178B4a");
    assert_eq!(response.lifetime, Duration::from_secs(3600));
}

// No. 11.
#[test]
fn azure_v1_sends_expires_in_as_a_string() {
    let body = r#"{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","expires_on":"1763740799",
        "not_before":"1763736899","resource":"https://management.azure.com/","access_token":"t"}"#;
    assert_eq!(lifetime(body), 3599);
}

// No. 15.
#[test]
fn azure_managed_identities_say_expires_on() {
    assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_on":"{}"}}"#, NOW + 86_399)), 86_399);
}

// No. 11.
#[test]
fn paypal_sends_floats_and_strings() {
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":3600.0}"#), 3600);
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":" 3600.5 "}"#), 3600);
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":3.6e3}"#), 3600);
}

// No. 12.
#[test]
fn fiserv_counts_in_milliseconds() {
    let mut settings = for_test();
    settings.response.expires_unit = ExpiresUnit::Milliseconds;
    let body = br#"{"access_token":"t","expires_in":1800000}"#;
    let response = read_answer(&answer(200, "application/json", body), &settings).unwrap();
    assert_eq!(response.lifetime, Duration::from_secs(1800));
}

// No. 12: a human duration is nothing we understand.
#[test]
fn tableau_says_days_hours_minutes() {
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":"351:01:58"}"#), 300);
}

// DESIGN.md section 5.
#[test]
fn apiax_java_timestamps() {
    let moment = (NOW + 600) * 1000;
    for member in ["expires_in", "expires_at"] {
        assert_eq!(lifetime(&format!(r#"{{"access_token":"t","{member}":{moment}}}"#)), 600);
        assert_eq!(lifetime(&format!(r#"{{"access_token":"t","{member}":"{moment}"}}"#)), 600);
    }
    assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":{}}}"#, NOW + 600)), 600);
}

// No. 13 and 19.
#[test]
fn mailchimp_says_scope_null_and_expires_in_0() {
    assert_eq!(lifetime(r#"{"access_token":"5c6ccc561059aa386da9d112215bae55","expires_in":0,"scope":null}"#), 300);
}

// No. 13.
#[test]
fn vk_says_expires_in_0() {
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":0,"user_id":66748}"#), 300);
}

// No. 14.
#[test]
fn salesforce_says_no_lifetime_at_all() {
    let body = r#"{"access_token":"00Dx!AR8AQ","instance_url":"https://x.my.salesforce.com","token_type":"Bearer",
        "issued_at":"1763737200000","signature":"c2ln"}"#;
    assert_eq!(lifetime(body), 300);
}

// No. 14.
#[test]
fn a_jwt_says_itself_how_long_it_lives() {
    let body = |claims: &str| format!(r#"{{"access_token":"{}"}}"#, jwt(claims));
    assert_eq!(lifetime(&body(&format!(r#"{{"exp":{}}}"#, NOW + 900))), 900);
    assert_eq!(lifetime(&body(&format!(r#"{{"exp":{}.0,"iat":{NOW}}}"#, NOW + 900))), 900);
    // Our clock is ten minutes behind: it was made for fifteen all the same.
    assert_eq!(lifetime(&body(&format!(r#"{{"exp":{},"iat":{}}}"#, NOW + 1500, NOW + 600))), 900);
    for useless in ["{}", "[]", "", r#"{"exp":0}"#, r#"{"exp":-5}"#, r#"{"exp":"x"}"#, r#"{"exp":1500000000}"#] {
        assert_eq!(lifetime(&body(useless)), 300, "{useless}");
    }
    // A source that says something wins over the next.
    let both = format!(r#"{{"access_token":"{}","expires_in":60}}"#, jwt(&format!(r#"{{"exp":{}}}"#, NOW + 900)));
    assert_eq!(lifetime(&both), 60);
}

// No. 15.
#[test]
fn facebook_of_old_answers_in_a_form_with_expires() {
    for content_type in ["text/plain; charset=UTF-8", "application/x-www-form-urlencoded", "text/html"] {
        let answer = answer(200, content_type, b"access_token=CAAC%7Cx&expires=5184000");
        let response = read_answer(&answer, &for_test()).unwrap();
        assert_eq!(response.access_token.expose(), "CAAC|x");
        assert_eq!(response.lifetime, Duration::from_secs(5_184_000));
    }
}

// No. 15.
#[test]
fn dates_are_read_as_rfc_3339_has_them() {
    for date in [
        "2025-11-21T15:10:00Z",
        "2025-11-21t15:10:00z",
        "2025-11-21T15:10:00.25Z",
        "2025-11-21T16:10:00+01:00",
        "2025-11-21T10:40:00-0430",
        "2025-11-21 15:10:00",
        "2025-11-21T15:10:00.0000000",
    ] {
        for member in ["expires_at", "expires_on", "expires"] {
            assert_eq!(lifetime(&format!(r#"{{"access_token":"t","{member}":"{date}"}}"#)), 600, "{date}");
        }
    }
    assert_eq!(lifetime(r#"{"access_token":"t","expires_at":"2026-03-01T00:00:00Z"}"#), 8_586_000);
    for nonsense in
        ["2025-11-21", "2025-13-21T15:10:00Z", "2025-11-21T25:10:00Z", "tomorrow", "2025-11-21T15:10:00+1", "1:1"]
    {
        assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_at":"{nonsense}"}}"#)), 300, "{nonsense}");
    }
}

// No. 15.
#[test]
fn some_say_expiry_time() {
    let mut settings = for_test();
    settings.response.expires_in = Pointer("/expiry_time".to_owned());
    let body = br#"{"access_token":"t","expiry_time":"2025-11-21T15:10:00Z"}"#;
    let response = read_answer(&answer(200, "application/json", body), &settings).unwrap();
    assert_eq!(response.lifetime, Duration::from_secs(600));
}

// No. 16.
#[test]
fn scala_oauth2_provider_hands_out_the_same_token_with_what_is_left() {
    assert_eq!(lifetime(r#"{"access_token":"same","expires_in":3}"#), 3);
}

#[test]
fn what_is_zero_negative_past_or_nonsense_counts_as_absent() {
    for value in ["0", "-1", "null", "true", "[]", "{}", r#""""#, r#""NaN""#, r#""inf""#, r#""-inf""#, "1500000000"] {
        assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":{value}}}"#)), 300, "{value}");
    }
    assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":0,"expires_at":{}}}"#, NOW + 60)), 60);
}

// R66.
#[test]
fn an_absurd_lifetime_is_clamped() {
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":999999999}"#), 366 * 24 * 3600);
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":1e300}"#), 366 * 24 * 3600);
    let mut settings = for_test();
    settings.lifetime = LifetimeSettings { default: Duration::from_secs(300), max: Some(Duration::from_secs(120)) };
    for body in [r#"{"access_token":"t","expires_in":3600}"#, r#"{"access_token":"t"}"#] {
        let response = read_answer(&answer(200, "application/json", body.as_bytes()), &settings).unwrap();
        assert_eq!(response.lifetime, Duration::from_secs(120));
    }
}

#[test]
fn a_lifetime_in_seconds_is_never_taken_for_a_moment() {
    let mut settings = for_test();
    settings.response.expires_unit = ExpiresUnit::Seconds;
    let body = format!(r#"{{"access_token":"t","expires_in":{}}}"#, NOW + 60);
    let response = read_answer(&answer(200, "application/json", body.as_bytes()), &settings).unwrap();
    assert_eq!(response.lifetime, Duration::from_secs(366 * 24 * 3600));
}

// No. 17.
#[test]
fn keycloak_offline_tokens_say_refresh_expires_in_0() {
    let end = |body: &str| ok(body).refresh_token.unwrap().lifetime;
    let refresh_token = jwt(&format!(r#"{{"exp":{}}}"#, NOW + 1800));
    assert_eq!(end(r#"{"access_token":"t","refresh_token":"r","refresh_expires_in":0}"#), None);
    assert_eq!(end(r#"{"access_token":"t","refresh_token":"r"}"#), None);
    assert_eq!(
        end(r#"{"access_token":"t","refresh_token":"r","refresh_expires_in":1800}"#),
        Some(Duration::from_secs(1800))
    );
    assert_eq!(
        end(&format!(r#"{{"access_token":"t","refresh_token":"{refresh_token}"}}"#)),
        Some(Duration::from_secs(1800))
    );
}

// No. 18.
#[test]
fn keycloak_writes_bearer_in_lower_case() {
    assert_eq!(lifetime(r#"{"access_token":"t","expires_in":60,"token_type":"bearer","not-before-policy":0}"#), 60);
}

// No. 18.
#[test]
fn slack_sends_no_token_type() {
    assert_eq!(ok(r#"{"ok":true,"access_token":"xoxb-1","scope":"chat:write"}"#).access_token.expose(), "xoxb-1");
}

// No. 18.
#[test]
fn ebay_says_application_access_token() {
    let body = r#"{"access_token":"v^1.1#i^1#p^1#r^0#I^3","expires_in":7200,"token_type":"Application Access Token"}"#;
    assert_eq!(ok(body).access_token.expose(), "v^1.1#i^1#p^1#r^0#I^3");
}

// R68.
#[test]
fn a_token_that_is_not_to_be_borne_is_refused() {
    for kind in ["mac", "MAC", "DPoP", "pop", "N_A"] {
        let error = refused(200, &format!(r#"{{"access_token":"t","token_type":"{kind}"}}"#));
        assert_eq!(code_of(&error), ("malformed_answer", true), "{kind}");
    }
}

// R68.
#[test]
fn a_token_with_control_characters_is_refused() {
    for token in [r"a\r\nX-Evil: 1", r"a\u0000", r"a\u00e9", r"\t"] {
        let error = refused(200, &format!(r#"{{"access_token":"{token}"}}"#));
        assert_eq!(code_of(&error), ("malformed_answer", true));
        assert!(!error.to_string().contains("Evil"));
    }
    let long = "a".repeat(64 * 1024 + 1);
    assert!(refused(200, &format!(r#"{{"access_token":"{long}"}}"#)).to_string().contains("longer"));
}

// No. 19.
#[test]
fn github_without_accept_answers_in_a_form() {
    let body = b"access_token=gho_16C7e42F292c6912E7710c838347Ae178B4a&scope=repo%2Cgist&token_type=bearer";
    let answer = answer(200, "application/x-www-form-urlencoded; charset=utf-8", body);
    let response = read_answer(&answer, &for_test()).unwrap();
    assert_eq!(response.access_token.expose(), "gho_16C7e42F292c6912E7710c838347Ae178B4a");
}

// No. 19.
#[test]
fn plentymarkets_writes_in_camel_case() {
    let mut settings = for_test();
    settings.response.access_token = TokenPlace::Body(Pointer("/accessToken".to_owned()));
    settings.response.expires_in = Pointer("/expiresIn".to_owned());
    settings.response.refresh_token = Pointer("/refreshToken".to_owned());
    let body = br#"{"tokenType":"Bearer","expiresIn":86400,"accessToken":"a","refreshToken":"r"}"#;
    let response = read_answer(&answer(200, "application/json", body), &settings).unwrap();
    assert_eq!(response.access_token.expose(), "a");
    assert_eq!(response.lifetime, Duration::from_secs(86_400));
    assert_eq!(response.refresh_token.unwrap().token.expose(), "r");
}

// No. 20.
#[test]
fn tokens_stand_in_many_places() {
    assert_eq!(with("/data/token", r#"{"data":{"token":"a"}}"#).unwrap(), "a");
    assert_eq!(with("/tokens/access/token", r#"{"tokens":{"access":{"token":"a"}}}"#).unwrap(), "a");
    assert_eq!(with("/authed_user/access_token", r#"{"authed_user":{"access_token":"a"}}"#).unwrap(), "a");
    assert_eq!(with("/0/a~1b", r#"[{"a/b":"a"}]"#).unwrap(), "a");
    assert_eq!(with("", r#""a""#).unwrap(), "a");
    assert_eq!(with("", "eyJhbGciOiJub25lIn0.e30.\n").unwrap(), "eyJhbGciOiJub25lIn0.e30.");
    assert_eq!(with("", "dG9rZW4gaW4gYmFzZTY0IQ==").unwrap(), "dG9rZW4gaW4gYmFzZTY0IQ==");
    for no_token in ["Service Unavailable", "<html>", "", "{}", "7"] {
        let result = with("", no_token);
        assert!(no_token == "7" || result.unwrap_err().is_transient(), "{no_token}");
    }
    for no_text in [r#"{"access_token":7}"#, r#"{"access_token":null}"#, r#"{"access_token":""}"#, r#"[]"#, "7"] {
        assert_eq!(with("/access_token", no_text).unwrap_err().code(), "malformed_answer");
    }
}

// No. 20.
#[test]
fn a_token_may_stand_in_a_header_field() {
    let in_header = |name: &'static str, value: &'static str| {
        let mut settings = for_test();
        settings.response.access_token = TokenPlace::Header(HeaderName::from_static(name));
        let mut answer = answer(200, "text/html", b"<html>welcome");
        answer.headers.insert(HeaderName::from_static("x-auth-token"), HeaderValue::from_static("other"));
        answer.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        read_answer(&answer, &settings).map(|response| response.access_token.expose().to_owned())
    };
    assert_eq!(in_header("x-subject-token", "gAAAA").unwrap(), "gAAAA");
    assert_eq!(in_header("authorization", "bearer  gAAAA").unwrap(), "gAAAA");
    assert_eq!(in_header("x-subject-token", "").unwrap_err().code(), "malformed_answer");
    let mut settings = for_test();
    settings.response.access_token = TokenPlace::Header(HeaderName::from_static("x-none"));
    let error = read_answer(&answer(200, "text/plain", b""), &settings).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("x-none"));
}

// No. 21 and 22.
#[test]
fn github_answers_200_with_an_error() {
    let error = refused(
        200,
        r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
    );
    assert_eq!(code_of(&error), ("bad_refresh_token", false));
    assert!(is_of_refresh_token(error.code()));
    let error = refused(200, r#"{"error":"incorrect_client_credentials","error_description":"…"}"#);
    assert_eq!(code_of(&error), ("incorrect_client_credentials", false));
    let form = answer(200, "application/x-www-form-urlencoded", b"error=bad_verification_code&error_description=x+y");
    let error = read_answer(&form, &for_test()).map(|_| ()).unwrap_err();
    assert_eq!(code_of(&error), ("bad_verification_code", false));
}

// No. 21: an error that nobody knows, with 200, is a passing fault; so is one beside a token.
#[test]
fn a_200_with_an_error_is_a_failure_that_passes() {
    for body in
        [r#"{"error":"oops","message":"try later"}"#, r#"{"error":"oops","access_token":"t"}"#, r#"{"error":{}}"#]
    {
        assert_eq!(code_of(&refused(200, body)), ("unavailable", true));
    }
    for body in [
        r#"{"error":null,"access_token":"t"}"#,
        r#"{"error":"","access_token":"t"}"#,
        r#"{"error":0,"access_token":"t"}"#,
    ] {
        assert_eq!(ok(body).access_token.expose(), "t");
    }
}

// No. 21: envoy#42009.
#[test]
fn a_200_with_an_empty_truncated_or_html_body_is_a_failure_that_passes() {
    for body in
        ["", "  \n", r#"{"access_token":"t"#, "<!doctype html><title>Sign in</title>", "null", "{", "\"", "\u{7}"]
    {
        assert_eq!(code_of(&refused(200, body)), ("malformed_answer", true), "{body}");
    }
    let mut cut_off = answer(200, "application/json", br#"{"access_token":"t"}"#);
    cut_off.whole = false;
    assert!(read_answer(&cut_off, &for_test()).is_err());
}

// No. 21.
#[test]
fn fitbit_says_errors_instead_of_error() {
    let body = r#"{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid: abc"}],"success":false}"#;
    for status in [200, 400] {
        assert_eq!(code_of(&refused(status, body)), ("invalid_grant", false));
    }
}

// No. 22.
#[test]
fn azure_numbers_stand_in_the_description() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1",
        "error_codes":[7000215],"timestamp":"2025-11-21 15:00:00Z"}"#;
    let error = refused(401, body);
    assert_eq!(code_of(&error), ("invalid_client", false));
    let text = error.to_string();
    assert!(text.contains("AADSTS7000215: Invalid client secret provided. Trace ID: 1"), "{text}");
}

// DESIGN.md section 5.
#[test]
#[allow(non_snake_case)]
fn screening_eagle_errorDescription() {
    let error = refused(401, r#"{"error":"invalid_client","errorDescription":"Client authentication failed"}"#);
    assert_eq!(
        error.to_string(),
        "the authorization server refused the request: invalid_client (Client authentication failed)"
    );
}

// DESIGN.md section 5.
#[test]
fn applixure_refuses_by_rfc_6749_and_is_away_with_500_and_503() {
    assert_eq!(code_of(&refused(400, r#"{"error":"invalid_scope"}"#)), ("invalid_scope", false));
    for status in [500, 503] {
        assert_eq!(code_of(&refused(status, "")), ("unavailable", true));
    }
}

#[test]
fn okta_says_error_code() {
    let body =
        r#"{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorCauses":[]}"#;
    assert_eq!(code_of(&refused(401, body)), ("invalid_client", false));
}

#[test]
fn every_code_of_rfc_6749_is_permanent_whatever_its_status() {
    for code in [
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_grant_type",
        "access_denied",
        "invalid_grant",
        "invalid_request",
    ] {
        for status in [200, 400, 401, 403, 500] {
            assert_eq!(code_of(&refused(status, &format!(r#"{{"error":"{code}"}}"#))), (code, false));
        }
    }
}

#[test]
fn what_says_later_is_asked_later() {
    for code in ["temporarily_unavailable", "server_error", "slow_down"] {
        for status in [200, 400, 503] {
            assert_eq!(code_of(&refused(status, &format!(r#"{{"error":"{code}"}}"#))), ("unavailable", true));
        }
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        assert_eq!(code_of(&refused(status, "<html>")), ("unavailable", true));
    }
}

#[test]
fn another_4xx_is_permanent_under_its_status() {
    for (status, code) in
        [(400, "http_400"), (401, "http_401"), (403, "http_403"), (404, "http_404"), (405, "http_405")]
    {
        for body in ["", "<html>", "Not Found", r#"{"message":"no"}"#, r#"{"error":"Wrong password for bob"}"#] {
            assert_eq!(code_of(&refused(status, body)), (code, false), "{body}");
        }
    }
}

// No. 24.
#[test]
fn soundcloud_answers_429_with_retry_after() {
    let wait = |value: &'static str| {
        let mut answer = answer(429, "application/json", b"{}");
        answer.headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(value));
        read_answer(&answer, &for_test()).map(|_| ()).unwrap_err().retry_after()
    };
    assert_eq!(wait("120"), Some(Duration::from_secs(120)));
    assert_eq!(wait("Fri, 21 Nov 2025 15:02:00 GMT"), Some(Duration::from_secs(120)));
    assert_eq!(wait("99999999999999999999"), Some(Duration::from_secs(24 * 3600)));
    for nothing in ["", "0", "-5", "soon", "Fri, 21 Nov 2025 14:00:00 GMT"] {
        assert_eq!(wait(nothing), None, "{nothing}");
    }
}

#[test]
fn a_redirect_says_where_it_points_to() {
    let mut answer = answer(302, "text/html", b"<a>");
    answer.headers.insert(http::header::LOCATION, HeaderValue::from_static("https://login.example/sso?secret=1"));
    let error = read_answer(&answer, &for_test()).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token endpoint answered 302 (redirects are not followed; this one points to https://login.example/sso)"
    );
    assert!(error.is_transient());
}

#[test]
fn a_servers_text_is_one_short_line_and_its_code_a_word() {
    let body = format!(r#"{{"error":"invalid_client","error_description":"a\u001b[31m\n{}"}}"#, "x".repeat(1000));
    let text = refused(400, &body).to_string();
    assert!(text.chars().count() < 400 && !text.contains(char::is_control), "{text}");
    let long = refused(400, &format!(r#"{{"error":"{}"}}"#, "x".repeat(1000)));
    assert_eq!(long.code().len(), 64);
}

#[test]
fn a_byte_order_mark_is_no_harm() {
    let answer = answer(200, "application/json", b"\xEF\xBB\xBF{\"access_token\":\"t\"}");
    assert_eq!(read_answer(&answer, &for_test()).unwrap().access_token.expose(), "t");
}

/// JSON that looks enough like an answer to get far.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let names =
        ["access_token", "expires_in", "expires_at", "expires", "error", "errors", "refresh_token", "token_type"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|number| serde_json::Number::from_f64(number).into()),
        any::<String>().prop_map(Into::into),
        "[-+0-9TtZz:. ]{0,30}".prop_map(Into::into),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,20})?(Z|[+-][0-9]{0,6}:?[0-9]{0,3})"
            .prop_map(Into::into),
        "[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,10}".prop_map(Into::into),
    ];
    let member = (prop::sample::select(names.to_vec()), leaf.clone());
    let object = prop::collection::vec(member, 0..8).prop_map(|members| {
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    });
    prop_oneof![3 => object, 1 => prop::collection::vec(leaf, 0..4).prop_map(serde_json::Value::Array)]
}

proptest! {
    // R66.
    #[test]
    fn a_lifetime_is_positive_and_at_most_a_year(body in json(), unit in 0..3_usize, seconds in 0..u64::from(u32::MAX)) {
        let mut settings = for_test();
        settings.response.expires_unit = [ExpiresUnit::Auto, ExpiresUnit::Seconds, ExpiresUnit::Milliseconds][unit];
        let answer = answer(200, "application/json", body.to_string().as_bytes());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        if let Ok(response) = read(&answer, &super::body(&answer), &settings.response, &settings, now) {
            prop_assert!(response.lifetime > Duration::ZERO && response.lifetime <= Duration::from_secs(366 * 24 * 3600));
        }
    }

    #[test]
    fn a_duration_is_what_it_says(seconds in 1..1_000_000_000_u64) {
        let expected = seconds.min(366 * 24 * 3600);
        prop_assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":{seconds}}}"#)), expected);
        prop_assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":"{seconds}"}}"#)), expected);
    }

    #[test]
    fn a_moment_is_what_is_left_until_then(left in 1..30_000_000_u64) {
        let expected = left.min(366 * 24 * 3600);
        prop_assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_in":{}}}"#, NOW + left)), expected);
        prop_assert_eq!(lifetime(&format!(r#"{{"access_token":"t","expires_at":{}}}"#, (NOW + left) * 1000)), expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        status in 100..600_u16,
        content_type in "[ -~]{0,40}",
        location in "[ -~]{0,40}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut answer = answer(status, &content_type, &body);
        answer.headers.insert(http::header::LOCATION, HeaderValue::from_str(&location).unwrap());
        answer.headers.insert(http::header::RETRY_AFTER, HeaderValue::from_str(&location).unwrap());
        if let Err(error) = read_answer(&answer, &for_test()) {
            prop_assert!(error.code().len() <= 64);
            prop_assert!(!error.code().contains(' '));
        }
    }

    #[test]
    fn no_jwt_makes_the_reader_panic(claims in "[ -~]{0,60}", whole in "[ -~]{0,60}") {
        let _ = jwt_lifetime(&Secret::new(jwt(&claims)), now());
        let _ = jwt_lifetime(&Secret::new(whole), now());
    }
}
