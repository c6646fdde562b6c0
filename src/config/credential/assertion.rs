//! `assertion` and `client_assertion`: as written, and what they become.
//!
//! Refused: what both an assertion of ours and a ready-made one would say, an audience that is not known, and claims that
//! are ours to write.

use std::time::Duration;

use super::CredentialSection;
use super::Texts;
use super::client::GrantName;
use super::described::Json;
use super::private_key;
use super::private_key::PrivateKey;
use super::private_key::contents;
use crate::config::read::Field;
use crate::config::read::Placed;
use crate::config::read::ReadableFile;
use crate::config::read::Reader;
use crate::config::read::section;
use crate::config::read::value_or;
use crate::jose::Algorithm;
use crate::oauth::settings::AssertionAudience;
use crate::oauth::settings::AssertionSettings;
use crate::oauth::settings::AssertionSource;
use crate::oauth::settings::ParamValue;
use crate::oauth::settings::SecretEncoding;
use crate::oauth::settings::Subject;
use crate::secret::SecretSource;

section! {
    /// `assertion`.
    struct Assertion {
        private_key: PrivateKey;
        secret: SecretSource;
        secret_encoding: SecretEncoding;
        algorithm: Algorithm;
        key_id: SecretSource;
        certificate: ReadableFile;
        issuer: SecretSource;
        subject: SecretSource;
        audience: Texts;
        lifetime: Duration;
        header: Json;
        claims: Json;
    }
}

section! {
    /// `client_assertion`: from and about the client itself (RFC 7523 §3).
    struct ClientAssertion {
        private_key: PrivateKey;
        algorithm: Algorithm;
        key_id: SecretSource;
        certificate: ReadableFile;
        audience: Texts;
        lifetime: Duration;
        header: Json;
        claims: Json;
    }
}

/// The assertion of a grant that cannot do without one.
pub(super) fn needed(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<AssertionSource> {
    let keys = &section.value;
    if keys.assertion.is_none() && keys.assertion_file.is_none() {
        let message = "\"assertion\" is missing; write for example `assertion: {private_key: key.pem}`";
        reader.absent(section, message);
    }
    of_grant(section, reader)
}

/// `assertion` or `assertion_file`.
pub(super) fn of_grant(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<AssertionSource> {
    let keys = &section.value;
    let grant = keys.grant.as_ref().map(|grant| grant.value);
    match (&keys.assertion, &keys.assertion_file) {
        // Told already: nothing but one of ours is a token.
        (Some(_), Some(_)) if grant == Some(GrantName::SignedJwt) => None,
        (Some(_), Some(file)) => {
            reader.wrong(&file.at, "`assertion` and `assertion_file` say the same thing twice; remove one");
            None
        }
        (None, Some(file)) => Some(AssertionSource::Ready(contents(file.value.clone()))),
        (Some(assertion), None) => {
            let asks = grant == Some(GrantName::JwtBearer);
            let about = if asks { Subject::Issuer } else { Subject::None };
            Writing { keys, asks, about }.settings(assertion, reader)
        }
        (None, None) => None,
    }
}

/// `client_assertion` as it is signed with a private key; `None`: the mistake is noted.
pub(super) fn of_client(section: &Placed<CredentialSection>, reader: &mut Reader<'_>) -> Option<AssertionSource> {
    let keys = &section.value;
    match (&keys.client_assertion, &keys.client_assertion_file) {
        (Some(_), Some(file)) => {
            reader
                .wrong(&file.at, "`client_assertion` and `client_assertion_file` say the same thing twice; remove one");
            None
        }
        (None, Some(file)) => Some(AssertionSource::Ready(contents(file.value.clone()))),
        (None, None) => {
            let message =
                "\"client_assertion\" is missing; write for example `client_assertion: {private_key: key.pem}`";
            reader.absent(section, message);
            None
        }
        (Some(assertion), None) => {
            let whole = assertion.value.clone().whole(keys, None);
            client(keys).settings(&Placed { value: whole, at: assertion.at.clone(), sound: assertion.sound }, reader)
        }
    }
}

/// The same, as it is signed with the client's secret.
pub(super) fn of_client_secret(
    section: &Placed<CredentialSection>,
    secret: &Placed<SecretSource>,
    reader: &mut Reader<'_>,
) -> Option<AssertionSource> {
    let keys = &section.value;
    if let Some(file) = &keys.client_assertion_file {
        reader.wrong(&file.at, "`client_secret_jwt` signs with `client_secret`; remove one of the two");
    }
    let (written, at) = match &keys.client_assertion {
        Some(assertion) => (assertion.value.clone(), assertion.at.clone()),
        None => (ClientAssertion::NOTHING, secret.at.clone()),
    };
    if let Some(key) = &written.private_key {
        reader.wrong(&key.at, "`client_secret_jwt` signs with `client_secret`; remove it, or change `client_auth`");
        return None;
    }
    let whole = written.whole(keys, Some(secret.clone()));
    client(keys).settings(&Placed { value: whole, at, sound: true }, reader)
}

fn client(keys: &CredentialSection) -> Writing<'_> {
    Writing { keys, asks: true, about: Subject::Issuer }
}

impl ClientAssertion {
    const NOTHING: Self = Self {
        private_key: None,
        algorithm: None,
        key_id: None,
        certificate: None,
        audience: None,
        lifetime: None,
        header: None,
        claims: None,
    };

    /// From and about the client.
    fn whole(self, keys: &CredentialSection, secret: Field<SecretSource>) -> Assertion {
        let Self { private_key, algorithm, key_id, certificate, audience, lifetime, header, claims } = self;
        let (issuer, subject, secret_encoding) = (keys.client_id.clone(), keys.client_id.clone(), None);
        Assertion {
            private_key,
            secret,
            secret_encoding,
            algorithm,
            key_id,
            certificate,
            issuer,
            subject,
            audience,
            lifetime,
            header,
            claims,
        }
    }
}

/// What an assertion is written for.
struct Writing<'a> {
    keys: &'a CredentialSection,
    /// It goes to a token endpoint.
    asks: bool,
    /// Whom it is about, unless it says so.
    about: Subject,
}

impl Writing<'_> {
    fn settings(self, written: &Placed<Assertion>, reader: &mut Reader<'_>) -> Option<AssertionSource> {
        let Assertion { algorithm, key_id, certificate, issuer, subject, lifetime, .. } = written.value.clone();
        let key = private_key::key(written, reader);
        let header = self.members(&written.value.header, &[("alg", "write `algorithm`")], reader);
        let times = [("exp", "write `lifetime`"), ("iat", "it is the time at which it is signed")];
        let claims = self.members(&written.value.claims, &times, reader);
        if let Some(certificate) = &certificate {
            private_key::check_certificate(certificate, reader);
        }
        let keys = self.keys;
        Some(AssertionSource::Signed(Box::new(AssertionSettings {
            audience: self.audience(&written.value.audience, reader),
            key: key?,
            algorithm: algorithm.map(Placed::into_value),
            key_id: key_id.map(Placed::into_value),
            certificate: certificate.map(|file| contents(file.value)),
            issuer: issuer.map(Placed::into_value),
            default_issuer: keys.client_id.clone().map(Placed::into_value),
            subject: subject.map_or(self.about, |subject| Subject::Named(subject.value)),
            account_scope: keys.scope.as_ref().map(|scope| scope.value.0.join(" ")).unwrap_or_default(),
            lifetime: value_or(lifetime, Duration::from_secs(300)),
            header,
            claims,
        })))
    }

    /// Of a request to the token endpoint, that endpoint; else nobody.
    fn audience(&self, written: &Field<Texts>, reader: &mut Reader<'_>) -> Vec<AssertionAudience> {
        let Some(written) = written else {
            return if self.asks { vec![AssertionAudience::Endpoint] } else { Vec::new() };
        };
        let one = |name: &String| match (name.as_str(), &self.keys.issuer) {
            ("token_url", _) if self.asks => Some(AssertionAudience::Endpoint),
            ("token_url", _) => {
                reader.wrong(&written.at, "this grant asks no token endpoint; write for whom the token is");
                None
            }
            ("issuer", Some(issuer)) => Some(AssertionAudience::Named(issuer.value.1.clone())),
            ("issuer", None) => {
                reader.wrong(&written.at, "this credential has no `issuer`; write the audience itself");
                None
            }
            (name, _) => Some(AssertionAudience::Named(name.to_owned())),
        };
        written.value.0.iter().filter_map(one).collect()
    }

    /// Further members, save those that are ours to write; `null` leaves one of ours out.
    fn members(
        &self,
        written: &Field<Json>,
        ours: &[(&str, &str)],
        reader: &mut Reader<'_>,
    ) -> Vec<(String, ParamValue)> {
        let Some(written) = written else { return Vec::new() };
        for (name, value) in written.value.members() {
            let own = ours.iter().find(|(own, _)| own == name);
            let left_out = matches!(value, ParamValue::Null);
            match own {
                Some((_, instead)) if !left_out => {
                    reader.wrong(&written.at, format_args!("`{name}` is written by us; {instead}"));
                }
                Some((_, instead)) if *name == "alg" || (*name == "exp" && !self.asks) => {
                    reader.wrong(&written.at, format_args!("`{name}` cannot be left out; {instead}"));
                }
                Some(_) | None => {}
            }
        }
        written.value.members().to_vec()
    }
}
