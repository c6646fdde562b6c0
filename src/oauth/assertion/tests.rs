//! What an assertion says of itself, and that it is another each time.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::json;

use super::*;
use crate::jose::Algorithm;
use crate::oauth::settings::SecretEncoding;
use crate::secret::Part;

fn settings(key: &Secret) -> AssertionSettings {
    AssertionSettings {
        key: AssertionKey::Private(SecretSource::fixed(key.expose())),
        algorithm: None,
        key_id: None,
        certificate: None,
        issuer: None,
        default_issuer: Some(SecretSource::fixed("client")),
        subject: Subject::Issuer,
        audience: vec![AssertionAudience::Endpoint],
        account_scope: "read write".to_owned(),
        lifetime: Duration::from_secs(300),
        header: Vec::new(),
        claims: Vec::new(),
    }
}

fn endpoint() -> Url {
    Url::parse("https://as.example/token").unwrap()
}

fn written(name: &str, text: &str) -> (String, ParamValue) {
    (name.to_owned(), ParamValue::Text(SecretSource::fixed(text)))
}

fn made(settings: AssertionSettings) -> Secret {
    Assertion::read(&AssertionSource::Signed(Box::new(settings))).unwrap().text(&endpoint()).unwrap()
}

/// Header and claims, verified by another library.
fn said(settings: AssertionSettings, key: &SigningKey) -> (Value, Value) {
    let token = made(settings);
    let jwk: Jwk = serde_json::from_value(serde_json::to_value(key.public_jwk().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.required_spec_claims.clear();
    (validation.validate_aud, validation.validate_exp) = (false, false);
    let read =
        jsonwebtoken::decode::<Value>(token.expose(), &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
    (serde_json::to_value(&read.header).unwrap(), read.claims)
}

fn key() -> (SigningKey, Secret) {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

#[test]
fn it_says_what_rfc_7523_section_3_wants() {
    let (key, pem) = key();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (header, claims) = said(settings(&pem), &key);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256"}));
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&json!("client"), &json!("client"), &json!("https://as.example/token"))
    );
    let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert!((before - 5..=after - 5).contains(&issued), "{before} {issued} {after}: five seconds ago, for slow clocks");
    assert_eq!(expires - issued, 300);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    assert_eq!(claims.as_object().unwrap().len(), 6, "{claims}");
}

#[test]
fn each_is_another() {
    let (_, pem) = key();
    let signer = Assertion::read(&AssertionSource::Signed(Box::new(settings(&pem)))).unwrap();
    let id = |token: &Secret| {
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["jti"].clone()
    };
    let (one, other) = (signer.text(&endpoint()).unwrap(), signer.text(&endpoint()).unwrap());
    assert_ne!(id(&one), id(&other));
}

#[test]
fn the_file_adds_overwrites_and_leaves_out() {
    let (key, pem) = key();
    let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
    let thumbprint = jose::certificate_thumbprint(&certificate).unwrap();
    let mut settings = settings(&pem);
    settings.key_id = Some(SecretSource::fixed("k1"));
    settings.certificate = Some(SecretSource::fixed(certificate));
    settings.issuer = Some(SecretSource::fixed("me"));
    settings.subject = Subject::Named(SecretSource::fixed("alice"));
    settings.audience = vec![AssertionAudience::Endpoint, AssertionAudience::Named("https://as.example".to_owned())];
    settings.header = vec![("typ".to_owned(), ParamValue::Null), written("x-more", "a")];
    let nested = ParamValue::Object(vec![
        ("list".to_owned(), ParamValue::List(vec![ParamValue::Number(1.into()), ParamValue::Bool(true)])),
        ("null".to_owned(), ParamValue::Null),
    ]);
    settings.claims = vec![("jti".to_owned(), ParamValue::Null), written("sub", "bob"), ("nested".to_owned(), nested)];
    let token = made(settings.clone());
    let (_, claims) = said(settings, &key);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("me"), &json!("bob")));
    assert_eq!(claims["aud"], json!(["https://as.example/token", "https://as.example"]));
    assert_eq!(claims["nested"], json!({"list": [1, true], "null": null}));
    assert!(claims.get("jti").is_none());
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.expose().split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header, json!({"alg": "ES256", "kid": "k1", "x5t#S256": thumbprint, "x-more": "a"}));
}

// Google: delegation is `sub`, so that an account that acts for itself must not be about anybody.
#[test]
fn a_service_account_is_its_own_issuer_about_nobody_and_says_its_scope() {
    let (key, pem) = key();
    let account = json!({"type": "service_account", "private_key_id": "k1", "private_key": pem.expose(),
        "client_email": "me@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token"});
    let mut settings = settings(&Secret::new(account.to_string()));
    let (header, claims) = said(settings.clone(), &key);
    assert_eq!(header["kid"], "k1");
    assert_eq!((&claims["iss"], &claims["scope"]), (&json!("me@p.iam.gserviceaccount.com"), &json!("read write")));
    assert!(claims.get("sub").is_none(), "{claims}");
    settings.subject = Subject::Named(SecretSource::fixed("alice@example.com"));
    assert_eq!(said(settings, &key).1["sub"], "alice@example.com");
}

#[test]
fn a_shared_secret_signs_as_it_is_written() {
    let mut settings = settings(&Secret::new("unused"));
    settings.key = AssertionKey::Secret { secret: SecretSource::fixed("00ff10"), encoding: SecretEncoding::Hex };
    let token = made(settings.clone());
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(&[0, 255, 16]);
    jsonwebtoken::decode::<Value>(token.expose(), &key, &validation).unwrap();

    settings.key = AssertionKey::Secret { secret: SecretSource::fixed("hunter2"), encoding: SecretEncoding::Hex };
    let error = Assertion::read(&AssertionSource::Signed(Box::new(settings))).err().unwrap().to_string();
    assert_eq!(error, "the secret is not written as `secret_encoding` says");
}

#[test]
fn a_key_that_became_unusable_is_named_by_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2").unwrap();
    let mut settings = settings(&Secret::new("unused"));
    settings.key = AssertionKey::Private(SecretSource::from_parts(vec![Part::File(file.path().to_owned())]));
    let error = Assertion::read(&AssertionSource::Signed(Box::new(settings))).err().unwrap().to_string();
    assert!(error.starts_with(&format!("the private key in {} is none", file.path().display())), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn a_ready_made_one_is_sent_as_it_is_and_xml_in_base64url() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = AssertionSource::Ready(SecretSource::from_parts(vec![Part::File(file.path().to_owned())]));
    let read = || Assertion::read(&source).map(|one| one.text(&endpoint()).unwrap().expose().to_owned());
    std::fs::write(file.path(), " a.b.c\n\n").unwrap();
    assert_eq!(read().unwrap(), "a.b.c");
    std::fs::write(file.path(), "<Assertion>?</Assertion>\n").unwrap();
    assert_eq!(read().unwrap(), BASE64_URL_SAFE_NO_PAD.encode("<Assertion>?</Assertion>"));
    std::fs::write(file.path(), "\n").unwrap();
    assert!(read().unwrap_err().to_string().contains("is empty"));
}
