//! `preset` and `with`: what is filled in, what goes before it, and what is said of mistakes in it.

use super::*;
use crate::oauth::settings::EndpointSettings;
use crate::oauth::settings::ParamValue;
use crate::token::Inject;

fn credential(keys: &str) -> CredentialSettings {
    right(&credential_with(keys)).credentials[0].settings.clone()
}

fn token_url(settings: &CredentialSettings) -> String {
    match &settings.endpoint {
        Some(EndpointSettings::TokenUrl(url)) => url.to_string(),
        other => panic!("{other:?}"),
    }
}

fn params(settings: &CredentialSettings) -> Vec<(&str, String)> {
    let params = settings.request.params.iter();
    params
        .map(|(name, value)| match value {
            ParamValue::Text(text) => (name.as_str(), text.read().unwrap().expose().to_owned()),
            other => (name.as_str(), format!("{other:?}")),
        })
        .collect()
}

const ZOOM: &str = "preset: zoom\nclient_id: a\nclient_secret: b\n";

#[test]
fn a_preset_fills_in_what_is_not_written() {
    let settings = credential(&format!("{ZOOM}with: {{account: x1}}\n"));
    assert_eq!(token_url(&settings), "https://zoom.us/oauth/token");
    assert_eq!(params(&settings), [("grant_type", "account_credentials".to_owned()), ("account_id", "x1".to_owned())]);
}

#[test]
fn a_parameter_may_come_from_the_environment_and_stays_text() {
    assert_eq!(params(&credential(&format!("{ZOOM}with: {{account: '${{ID}}'}}\n")))[1].1, "the-id");
    assert_eq!(params(&credential(&format!("{ZOOM}with: {{account: 123}}\n")))[1].1, "123");
}

#[test]
fn a_parameter_with_a_default_may_be_left_out() {
    let entra = "preset: entra\nclient_id: a\nclient_secret: b\n";
    let url = |with: &str| token_url(&credential(&format!("{entra}with: {with}\n")));
    assert_eq!(url("{tenant: t}"), "https://login.microsoftonline.com/t/oauth2/v2.0/token");
    assert_eq!(url("{tenant: t, login: login.example}"), "https://login.example/t/oauth2/v2.0/token");
}

#[test]
fn every_value_can_be_overridden_and_mappings_are_merged() {
    let zoom = |more: &str| credential(&format!("{ZOOM}with: {{account: x1}}\n{more}\n"));
    assert_eq!(token_url(&zoom("token_url: https://other.example/")), "https://other.example/");
    let merged = zoom("request: {timeout: 3s, params: {account_id: mine, more: x}}");
    let expected = [("grant_type", "account_credentials"), ("account_id", "mine"), ("more", "x")];
    assert_eq!(params(&merged), expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(merged.request.timeout, Duration::from_secs(3));
}

#[test]
fn a_key_with_nothing_behind_it_takes_away_what_the_preset_says() {
    let zoom = |more: &str| credential(&format!("{ZOOM}with: {{account: x1}}\n{more}\n"));
    let less = zoom("request: {params: {account_id: null}}");
    assert_eq!(params(&less), [("grant_type", "account_credentials".to_owned())]);
    assert!(params(&zoom("request:")).is_empty());
    // Nothing is a value here: the parameter is left out.
    let without = zoom("request: {params: {grant_type: null}}");
    assert!(without.request.omit_grant_type);
    assert_eq!(params(&without), [("account_id", "x1".to_owned())]);
}

#[test]
fn an_issuer_takes_the_place_of_a_presets_token_url() {
    let keys = "preset: spotify\nissuer: https://as.example\nclient_id: a\nclient_secret: b\n";
    assert!(matches!(credential(keys).endpoint, Some(EndpointSettings::Issuer(_))));
}

#[test]
fn a_place_for_the_token_is_replaced_whole() {
    let shop = "preset: shopify\nwith: {shop: s}\nclient_id: a\nclient_secret: b\ninject: {query: token}\n";
    assert!(matches!(credential(shop).inject[..], [Inject::Query { .. }]));
}

#[test]
fn another_tenant_is_another_credential() {
    let mark = |account: &str| {
        right(&credential_with(&format!("{ZOOM}with: {{account: {account}}}"))).credentials[0].fingerprint
    };
    assert_eq!(mark("a"), mark("a"));
    assert_ne!(mark("a"), mark("b"));
}

#[test]
fn a_mistake_in_what_a_preset_fills_in_names_a_line_of_the_file() {
    let secret = "client_id: a\nclient_secret: b\n";
    for (keys, message) in [
        ("preset: »entrra", "credentials.one.preset: no preset has this name; did you mean \"entra\"?"),
        ("preset: »qqq", "credentials.one.preset: no preset has this name; `bearer-proxy presets` lists them"),
        ("preset: »[zoom]", "credentials.one.preset: expected the name of a preset, found a list"),
        ("preset: »zoom", "\"account\" is missing (the account id of the app); write `with: {account: "),
        ("preset: zoom\nwith: »x1", "credentials.one.with: expected a mapping of parameters, found text"),
        (
            "preset: zoom\nwith: {»acount: x1}",
            "credentials.one.with: the preset has no such parameter; did you mean \"account\"?",
        ),
        ("preset: spotify\nwith: {»tenant: x1}", "credentials.one.with: the preset has no parameters; remove it"),
        ("preset: zoom\nwith: {account: »''}", "credentials.one.with.account: must not be empty"),
        ("preset: zoom\nwith: {account: »'a?b'}", "credentials.one.with.account: must be visible ASCII without"),
        // The parameter's own place, where it is what made the mistake.
        ("preset: keycloak\nwith: {realm: r, url: »http://sso.example}", "credentials.one.token_url: must be https"),
        (
            "preset: »sophos\nclient_auth: client_secret_basic\ngrant: static\ntoken: t",
            "(the preset says it; `null` takes it away)",
        ),
    ] {
        let text = credential_with(&format!("{keys}\n{secret}"));
        let (before, _) = text.split_once('»').unwrap();
        let place = (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().chars().count() + 1);
        let error = parse_text(&text.replace('»', "")).unwrap_err();
        let found = error.problems.iter().find(|problem| problem.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("{error}\n{text}"));
        assert_eq!((found.line, found.column), place, "{error}\n{text}");
    }
}

#[test]
fn parameters_need_a_preset() {
    let error = parse_text(&credential_with("grant: static\ntoken: t\nwith: {tenant: x}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "proxy.yaml:7:11: credentials.one.with: fills in a preset; write `preset: NAME` beside it"
    );
}

#[test]
fn a_misspelt_key_beside_a_preset_is_a_mistake() {
    let error = parse_text(&credential_with("preset: spotify\nclient_idd: a\nclient_secret: b")).unwrap_err();
    assert!(error.to_string().contains("unknown key \"client_idd\"; did you mean \"client_id\"?"), "{error}");
}

#[test]
fn what_a_preset_needs_and_nobody_wrote_is_asked_for_at_the_credential() {
    let error = parse_text(&credential_with("preset: spotify\nclient_id: a")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "proxy.yaml:5:5: credentials.one: \"client_secret\" is missing; this `client_auth` sends it"
    );
}
