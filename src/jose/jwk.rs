//! A private key as a JWK (RFC 7517; RFC 7518 §6, RFC 8037 §2).

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::KeyError;
use super::algorithm::{Algorithm, Family};
use super::key::Kind;

/// Its members, as they are written.
#[derive(Deserialize)]
pub(super) struct PrivateJwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
    k: Option<String>,
}

impl PrivateJwk {
    /// `kid`.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// `alg`, if it is one to sign with.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.alg.as_deref().and_then(Algorithm::named)
    }

    /// The key; a shared secret is made for `algorithm`.
    pub(super) fn key(&self, algorithm: Option<Algorithm>) -> Result<Kind, KeyError> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Kind::secret(&bytes(self.k.as_ref(), "without `k`")?, algorithm),
            ("RSA" | "EC" | "OKP", _) if self.d.is_none() => Err(KeyError::NotPrivate("a public key")),
            ("RSA", _) => self.rsa(),
            ("OKP", Some("Ed25519")) => {
                let (seed, public) = (bytes(self.d.as_ref(), "without `d`")?, bytes(self.x.as_ref(), "without `x`")?);
                let key = Ed25519KeyPair::from_seed_and_public_key(&seed, &public);
                key.map(|key| Kind::Ed25519(Box::new(key))).map_err(|_| DAMAGED)
            }
            ("EC", Some(curve)) => self.ec(curve),
            _ => Err(KeyError::Jwk("of a kind that cannot sign here; there are RSA, EC, OKP with Ed25519, and oct")),
        }
    }

    fn ec(&self, curve: &str) -> Result<Kind, KeyError> {
        let family = Family::CURVES.into_iter().find(|family| family.curve() == curve);
        let unknown = KeyError::Jwk("on a curve that is not known here; there are P-256, P-384 and P-521");
        let (Some(family), Some(algorithm)) = (family, family.and_then(Family::ecdsa)) else { return Err(unknown) };
        let (x, y) = (bytes(self.x.as_ref(), "without `x`")?, bytes(self.y.as_ref(), "without `y`")?);
        let point = [&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat();
        let private = bytes(self.d.as_ref(), "without `d`")?;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, &point);
        key.map(|key| Kind::Ec(family, Box::new(key))).map_err(|_| DAMAGED)
    }

    fn rsa(&self) -> Result<Kind, KeyError> {
        const WHOLE: &str = "without all of `n`, `e`, `d`, `p`, `q`, `dp`, `dq` and `qi`";
        let member = |value: &Option<String>| bytes(value.as_ref(), WHOLE);
        let public_key = PublicKeyComponents { n: member(&self.n)?, e: member(&self.e)? };
        let components = KeyPairComponents {
            public_key,
            d: member(&self.d)?,
            p: member(&self.p)?,
            q: member(&self.q)?,
            dP: member(&self.dp)?,
            dQ: member(&self.dq)?,
            qInv: member(&self.qi)?,
        };
        let key = RsaKeyPair::from_components(&components).map_err(|error| match error.description_() {
            "TooSmall" => KeyError::TooShort,
            _ => DAMAGED,
        })?;
        Ok(Kind::Rsa(Box::new(key)))
    }
}

impl Drop for PrivateJwk {
    fn drop(&mut self) {
        for member in [&mut self.d, &mut self.p, &mut self.q, &mut self.dp, &mut self.dq, &mut self.qi, &mut self.k] {
            member.zeroize();
        }
    }
}

/// SEC 1 §2.3.3.
const UNCOMPRESSED: u8 = 4;

const DAMAGED: KeyError = KeyError::Jwk("whose members do not belong together");

/// Bytes that are wiped; `AsRef` for the library that takes them.
struct Bytes(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

fn bytes(member: Option<&String>, missing: &'static str) -> Result<Bytes, KeyError> {
    let text = member.ok_or(KeyError::Jwk(missing))?;
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    decoded.map(|bytes| Bytes(Zeroizing::new(bytes))).map_err(|_| KeyError::Jwk("with a member that is no base64url"))
}
