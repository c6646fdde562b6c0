//! The vectors of RFC 7515 appendix A, RFC 7638 §3.1 and RFC 8037 appendix A; keys in every form; and what we sign read
//! by somebody else's code.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value, json};

use super::algorithm::Family;
use super::*;
use crate::secret::Secret;

/// The payload of RFC 7515 appendices A.1 to A.3, with its line ends.
const JOE: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

/// RFC 7515 appendix A.2.1.
const RSA: &str = r#"{"kty":"RSA",
"n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
"e":"AQAB",
"d":"Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
"p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
"q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
"dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
"dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
"qi":"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"}"#;

/// 1024 bits, made for this test: the library that makes the others makes none so short.
const SHORT: [&str; 2] = [
    "-----BEGIN RSA PRIVATE KEY-----\n\
MIICXAIBAAKBgQDSO6dlLuiLAP1XnmpWu5el7Td6/lDoghiMo6e9wgcahkVeFd1P\n\
Cl4vH3/x8pTtG+Yn68T6mn1HSlAkt0RW4nUh6Mx6Zb5u3Jlp+GKZ9Bi1jM9dKkf5\n\
zCk9wlxN9x70TJkmTs50v/4APJEef6qJ0BXrO/CWwg5QUT4VPIGzAKZ1tQIDAQAB\n\
AoGAbJUlA0y0DL9pGi0W7U8cpzWbNypNLZmsBk+snoStWJTLFSoj0OQg+yPA2H0b\n\
UE/dkvbiGTFbzUtjk2MYp+t05SuVWbuXw1W1z0rnJ2Y33RUwOdjBUUVwJW8GAfQF\n\
3uhAOT6oVljV8JkXypkMQrJb6lwk79A+ytU8rLS0/KOFYyECQQD25Dwc+cs1MMbm\n\
cbu73+EPQ/9OuaGFZBDNVRcNhPdGBBrDvEya8CxCoa/svk+U7tSUqkfIcTullwQF\n\
MChqSqw5AkEA2f0yrtt49vxMB5lRA/1rnxdu4dEkG9T310Wh0qYuMw05mGKNLXRP\n\
m8ICyYlIXJOW5CWhDB+MqjRIteM9bP8NXQJAHmAAIVR+MsIYhnuRrFCkANvNymK+\n\
Q4oHIywH1Qr53SxeGpzNE/beiygXW9oiMmGb19qHUFrWCs5kmTrOjh03yQJASDLO\n\
OI/ETrldTR8AcDvdC0ItnWkxdm5g79HGOQiFQK9ephPuAmIFg+cMGUf4yYCwdzvn\n\
TSad5jmO438x9wm6mQJBAOjk3KCnCgGoMG0nzWFnr0LC0peq+bQBr2lqE8RkP2Ko\n\
KA3it0tiu8IH4z8vJvMM0meGYdD1rYTwNE6BDpEmVoA=\n\
-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n\
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBANI7p2Uu6IsA/Vee\n\
ala7l6XtN3r+UOiCGIyjp73CBxqGRV4V3U8KXi8ff/HylO0b5ifrxPqafUdKUCS3\n\
RFbidSHozHplvm7cmWn4Ypn0GLWMz10qR/nMKT3CXE33HvRMmSZOznS//gA8kR5/\n\
qonQFes78JbCDlBRPhU8gbMApnW1AgMBAAECgYBslSUDTLQMv2kaLRbtTxynNZs3\n\
Kk0tmawGT6yehK1YlMsVKiPQ5CD7I8DYfRtQT92S9uIZMVvNS2OTYxin63TlK5VZ\n\
u5fDVbXPSucnZjfdFTA52MFRRXAlbwYB9AXe6EA5PqhWWNXwmRfKmQxCslvqXCTv\n\
0D7K1TystLT8o4VjIQJBAPbkPBz5yzUwxuZxu7vf4Q9D/065oYVkEM1VFw2E90YE\n\
GsO8TJrwLEKhr+y+T5Tu1JSqR8hxO6WXBAUwKGpKrDkCQQDZ/TKu23j2/EwHmVED\n\
/WufF27h0SQb1PfXRaHSpi4zDTmYYo0tdE+bwgLJiUhck5bkJaEMH4yqNEi14z1s\n\
/w1dAkAeYAAhVH4ywhiGe5GsUKQA283KYr5DigcjLAfVCvndLF4anM0T9t6LKBdb\n\
2iIyYZvX2odQWtYKzmSZOs6OHTfJAkBIMs44j8ROuV1NHwBwO90LQi2daTF2bmDv\n\
0cY5CIVAr16mE+4CYgWD5wwZR/jJgLB3O+dNJp3mOY7jfzH3CbqZAkEA6OTcoKcK\n\
AagwbSfNYWevQsLSl6r5tAGvaWoTxGQ/YqgoDeK3S2K7wgfjPy8m8wzSZ4Zh0PWt\n\
hPA0ToEOkSZWgA==\n\
-----END PRIVATE KEY-----",
];

/// RFC 7515 appendix A.3.1.
const EC: &str = r#"{"kty":"EC","crv":"P-256",
"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// RFC 7515 appendix A.4.1.
const P521: &str = r#"{"kty":"EC","crv":"P-521",
"x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
"y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
"d":"AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C"}"#;

/// RFC 8037 appendix A.1.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519",
"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn key(text: &str) -> SigningKey {
    SigningKey::from_text(&Secret::new(text), None).unwrap()
}

fn refused(text: &str, algorithm: Option<Algorithm>) -> String {
    SigningKey::from_text(&Secret::new(text), algorithm).unwrap_err().to_string()
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What another library makes of a token, with the public key that we publish.
fn verified(token: &Secret, key: &SigningKey) -> Map<String, Value> {
    let jwk: Jwk = serde_json::from_value(serde_json::to_value(key.public_jwk().unwrap()).unwrap()).unwrap();
    read(token, &DecodingKey::from_jwk(&jwk).unwrap())
}

fn read(token: &Secret, key: &DecodingKey) -> Map<String, Value> {
    let header = jsonwebtoken::decode_header(token.expose()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    jsonwebtoken::decode(token.expose(), key, &validation).unwrap().claims
}

fn claims() -> Value {
    json!({"iss": "me", "list": [1, "two"]})
}

#[test]
fn the_token_of_rfc_7515_appendix_a_1() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let expected = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9l\
                    eGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap();
    let as_jwk = format!(r#"{{"kty":"oct","k":"{secret}"}}"#);
    for key in [SigningKey::from_secret(&bytes, None).unwrap(), key(&as_jwk)] {
        let token = key.sign_bytes(b"{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}", JOE.as_bytes()).unwrap();
        assert_eq!(token.expose(), expected);
        assert!(key.public_jwk().is_none() && key.thumbprint().is_none());
    }
}

#[test]
fn the_token_of_rfc_7515_appendix_a_2() {
    let token = key(RSA).sign_bytes(b"{\"alg\":\"RS256\"}", JOE.as_bytes()).unwrap();
    assert_eq!(
        token.expose(),
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0\
         cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
         F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_\
         dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN\
         _IoypGlUPQGe77Rw"
    );
}

// An ECDSA signature is another each time: theirs shows that the key was read right, ours that we sign with it.
#[test]
fn the_keys_of_rfc_7515_appendices_a_3_and_a_4() {
    let theirs = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
                  b290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let p256 = key(EC);
    assert_eq!(verified(&Secret::new(theirs), &p256)["iss"], "joe");
    let ours = p256.sign(Map::new(), &claims()).unwrap();
    assert_eq!(Value::Object(verified(&ours, &p256)), claims());

    let p521 = key(P521);
    assert_eq!(p521.algorithm(), Algorithm::Es512);
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgo\
                     XD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let ours = p521.sign_bytes(b"{\"alg\":\"ES512\"}", b"Payload").unwrap();
    for signature in [signature, ours.expose().rsplit('.').next().unwrap()] {
        assert_on_p521(&p521, b"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap());
    }
}

/// jsonwebtoken knows no ES512.
fn assert_on_p521(key: &SigningKey, message: &[u8], signature: &[u8]) {
    let jwk = serde_json::to_value(key.public_jwk().unwrap()).unwrap();
    let member = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], member("x"), member("y")].concat();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P521_SHA512_FIXED, point);
    public.verify(message, signature).unwrap();
}

#[test]
fn the_token_and_the_thumbprint_of_rfc_8037_appendix_a() {
    let key = key(ED25519);
    let token = key.sign_bytes(b"{\"alg\":\"EdDSA\"}", b"Example of Ed25519 signing").unwrap();
    assert_eq!(
        token.expose(),
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4\
         ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    assert_eq!(key.thumbprint().unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn the_thumbprint_of_rfc_7638_section_3_1() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o\
             knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZH\
             zu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEg\
             U8awapJzKnqDKgw";
    let jwk = PublicJwk::rsa(&BASE64_URL_SAFE_NO_PAD.decode(n).unwrap(), &[1, 0, 1]);
    assert_eq!(jwk.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn every_algorithm_is_read_by_another_library() {
    let secret = SigningKey::from_secret(b"a secret of some length", Some(Algorithm::Hs512)).unwrap();
    let token = secret.sign(Map::new(), &claims()).unwrap();
    assert_eq!(Value::Object(read(&token, &DecodingKey::from_secret(b"a secret of some length"))), claims());

    let (p384, _) = SigningKey::generate(Algorithm::Es384).unwrap();
    let rsa = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() == Family::Rsa);
    let rsa = rsa.map(|algorithm| SigningKey::from_text(&Secret::new(RSA), Some(algorithm)).unwrap());
    for key in rsa.chain([p384, key(EC), key(ED25519)]) {
        let token = key.sign(Map::from_iter([("kid".to_owned(), json!("k1"))]), &claims()).unwrap();
        let header = jsonwebtoken::decode_header(token.expose()).unwrap();
        assert_eq!(format!("{:?}", header.alg).to_uppercase(), key.algorithm().name().to_uppercase());
        assert_eq!(header.kid.as_deref(), Some("k1"));
        assert_eq!(Value::Object(verified(&token, &key)), claims());
    }
}

#[test]
fn a_key_is_read_in_every_form() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    // PKCS#8 of RSA is PKCS#1 behind 26 bytes of which only lengths differ (RFC 5958 §2), for keys of 2048 bits.
    let pkcs1 = &pkcs8.as_ref()[26..];
    let mut seen = Vec::new();
    for text in [pem("PRIVATE KEY", pkcs8.as_ref()), pem("RSA PRIVATE KEY", pkcs1)] {
        seen.push(key(&text).thumbprint().unwrap());
        // As a variable of the environment holds it.
        seen.push(key(&text.replace('\n', "\\n")).thumbprint().unwrap());
        seen.push(key(&text.replace('\n', "\r\n")).thumbprint().unwrap());
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");

    for (family, algorithm) in
        [(Family::P256, Algorithm::Es256), (Family::P384, Algorithm::Es384), (Family::P521, Algorithm::Es512)]
    {
        let ec = EcdsaKeyPair::generate(family.ecdsa().unwrap()).unwrap();
        let sec1 = AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>>::as_der(&ec.private_key()).unwrap();
        // As `openssl ecparam -genkey` writes it.
        let sec1 = format!("{}{}", pem("EC PARAMETERS", &[6, 1, 0]), pem("EC PRIVATE KEY", sec1.as_ref()));
        let pkcs8 = pem("PRIVATE KEY", ec.to_pkcs8v1().unwrap().as_ref());
        assert_eq!(key(&sec1).algorithm(), algorithm);
        assert_eq!(key(&sec1).thumbprint(), key(&pkcs8).thumbprint());
    }

    let ed25519 = Ed25519KeyPair::generate().unwrap();
    assert_eq!(key(&pem("PRIVATE KEY", ed25519.to_pkcs8v1().unwrap().as_ref())).algorithm(), Algorithm::EdDsa);
    assert_eq!(key(&pem("PRIVATE KEY", ed25519.to_pkcs8().unwrap().as_ref())).algorithm(), Algorithm::EdDsa);
}

#[test]
fn a_generated_key_is_read_back_from_its_pem() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let (generated, pem) = SigningKey::generate(algorithm).unwrap();
        let again = SigningKey::from_text(&pem, None).unwrap();
        assert_eq!((again.algorithm(), again.thumbprint()), (algorithm, generated.thumbprint()));
    }
    assert!(SigningKey::generate(Algorithm::Rs256).is_err());
}

#[test]
fn the_file_of_a_google_service_account_is_a_key_and_says_whose() {
    let (_, pem) = SigningKey::generate(Algorithm::Es256).unwrap();
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": pem.expose(),
        "client_email": "me@p.iam.gserviceaccount.com", "client_id": "1", "universe_domain": "googleapis.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let read = KeyFile::read(&Secret::new(file.to_string()), None).unwrap();
    assert_eq!(read.key_id.as_deref(), Some("k1"));
    assert_eq!(read.client_email.as_deref(), Some("me@p.iam.gserviceaccount.com"));
    assert_eq!(read.token_uri.as_deref(), Some("https://oauth2.googleapis.com/token"));

    let mut lacking = file;
    lacking.as_object_mut().unwrap().remove("client_email");
    assert!(refused(&lacking.to_string(), None).contains("without `client_email`"));
}

#[test]
fn a_jwk_says_its_id_and_its_algorithm() {
    let text = RSA.replacen('{', r#"{"kid":"k1","alg":"PS256","use":"sig","#, 1);
    let file = KeyFile::read(&Secret::new(text.as_str()), None).unwrap();
    assert_eq!((file.key_id.as_deref(), file.key.algorithm()), (Some("k1"), Algorithm::Ps256));
    let file = KeyFile::read(&Secret::new(text), Some(Algorithm::Rs512)).unwrap();
    assert_eq!(file.key.algorithm(), Algorithm::Rs512);
}

#[test]
fn what_is_no_private_key_is_told_by_name() {
    let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    let (_, good) = SigningKey::generate(Algorithm::Es256).unwrap();
    let encrypted =
        pem("RSA PRIVATE KEY", b"").replace("\n\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0\n\nAAAA\n");
    for (text, expected) in [
        (String::new(), "is none"),
        ("hunter2".to_owned(), "is none"),
        ("{}".to_owned(), "is none"),
        (r#"{"type":"authorized_user","refresh_token":"hunter2"}"#.to_owned(), "is none"),
        (certificate.cert.pem(), "is a certificate; the private key"),
        (certificate.signing_key.public_key_pem(), "is a public key; the private key"),
        (pem("ENCRYPTED PRIVATE KEY", b"hunter2"), "is encrypted"),
        (encrypted, "is encrypted"),
        (pem("OPENSSH PRIVATE KEY", b"hunter2"), "OpenSSH"),
        (pem("PRIVATE KEY", b"hunter2"), "cannot be read"),
        (pem("RSA PRIVATE KEY", b"hunter2"), "cannot be read"),
        (pem("EC PRIVATE KEY", b"hunter2"), "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2".to_owned(), "damaged"),
        ("-----BEGIN PRIVATE KEY-----\n!hunter2!\n-----END PRIVATE KEY-----".to_owned(), "damaged"),
        (good.expose().replace("-----END", "====-----END"), "damaged"),
        (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(), "is a public key"),
        (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}"#.to_owned(), "without all of"),
        (EC.replace("P-256", "secp256k1"), "on a curve that is not known"),
        (EC.replace("f83O", "f83P"), "do not belong together"),
        (ED25519.replace("11qY", "11qZ"), "do not belong together"),
        (ED25519.replace("nWGx", "!!!!"), "no base64url"),
        (r#"{"kty":"oct","k":""}"#.to_owned(), "is empty"),
        (r#"{"kty":"OKP","crv":"X25519","d":"AQAB","x":"AQAB"}"#.to_owned(), "of a kind that cannot sign"),
    ] {
        let said = refused(&text, None);
        assert!(said.contains(expected), "{text}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(SigningKey::from_secret(b"", None).is_err());
}

#[test]
fn a_short_rsa_key_is_refused() {
    for text in SHORT {
        assert!(refused(text, None).contains("fewer than 2048 bits"), "{}", refused(text, None));
    }
}

#[test]
fn an_algorithm_that_does_not_suit_the_key_is_refused_with_those_that_do() {
    let said = refused(EC, Some(Algorithm::Rs256));
    assert_eq!(said, "is an EC key on P-256, which cannot sign with RS256; write ES256");
    assert!(refused(RSA, Some(Algorithm::EdDsa)).ends_with("write RS256, RS384, RS512, PS256, PS384, PS512"));
    // The oldest attack on JWTs: a key that is public elsewhere, taken for a secret.
    assert!(refused(RSA, Some(Algorithm::Hs256)).contains("cannot sign with HS256"));
    assert!(SigningKey::from_secret(b"secret", Some(Algorithm::Rs256)).is_err());
    assert_eq!(Algorithm::named("none"), None);
}

#[test]
fn the_thumbprint_of_a_certificate_is_that_of_its_der() {
    let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.cert.der());
    let expected = BASE64_URL_SAFE_NO_PAD.encode(digest);
    let both = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
    assert_eq!(certificate_thumbprint(&both), Some(expected));
    assert_eq!(certificate_thumbprint(&made.signing_key.serialize_pem()), None);
}

#[test]
fn a_key_does_not_print() {
    let key = key(ED25519);
    assert_eq!(format!("{key:?}"), "SigningKey(EdDSA)");
}
