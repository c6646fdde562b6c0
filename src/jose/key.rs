//! A key to sign with, and the compact serialization that it makes (RFC 7515 §7.1).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Family};
use super::pem::Form;
use super::{KeyError, KeyFile, PublicJwk, SignError};
use crate::secret::Secret;

/// A private key or shared secret, with the algorithm it signs with. Does not print.
pub struct SigningKey {
    kind: Kind,
    algorithm: Algorithm,
}

/// The key itself.
pub(super) enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ec(Family, Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Secret(Box<hmac::Key>),
}

impl SigningKey {
    /// Reads a private key: PEM (PKCS#8, PKCS#1, SEC1), a JWK, or the JSON file of a Google service account.
    ///
    /// `algorithm` absent: what the JWK says, else the first that suits the key (RS256, ES256, ES384, ES512, EdDSA).
    ///
    /// # Errors
    ///
    /// It is something else, too short, or cannot sign with `algorithm`.
    pub fn from_text(text: &Secret, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        KeyFile::read(text, algorithm).map(|file| file.key)
    }

    /// A shared secret, by its bytes; HS256 unless `algorithm` says otherwise.
    ///
    /// Its length is not judged: RFC 7518 §3.2 wants at least that of the hash, and servers give out shorter ones.
    ///
    /// # Errors
    ///
    /// It is empty, or `algorithm` is none for a secret.
    pub fn from_secret(secret: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        Self::new(Kind::secret(secret, algorithm)?, algorithm)
    }

    /// A new private key for this algorithm (ES256, ES384, ES512 or EdDSA), and the same as PEM, to be kept.
    ///
    /// # Errors
    ///
    /// The system has no randomness, or `algorithm` needs another kind of key.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Secret), SignError> {
        let family = algorithm.family();
        let (kind, der) = match family.ecdsa() {
            Some(curve) => {
                let key = EcdsaKeyPair::generate(curve).map_err(|_| SignError)?;
                let der = key.to_pkcs8v1().map_err(|_| SignError)?;
                (Kind::Ec(family, Box::new(key)), der)
            }
            None if family == Family::Ed25519 => {
                let key = Ed25519KeyPair::generate().map_err(|_| SignError)?;
                let der = key.to_pkcs8v1().map_err(|_| SignError)?;
                (Kind::Ed25519(Box::new(key)), der)
            }
            None => return Err(SignError),
        };
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(der.as_ref()));
        let pem = ["-----BEGIN PRIVATE KEY-----\n", encoded.as_str(), "\n-----END PRIVATE KEY-----\n"].concat();
        Ok((Self { kind, algorithm }, Secret::new(pem)))
    }

    /// `algorithm` absent: the default of its kind.
    pub(super) fn new(kind: Kind, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let family = kind.family();
        let algorithm = algorithm.unwrap_or_else(|| family.default_algorithm());
        if algorithm.family() != family {
            let (key, suited) = (family.described(), family.algorithms());
            return Err(KeyError::Unsuited { key, algorithm: algorithm.name(), suited });
        }
        Ok(Self { kind, algorithm })
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its public half; `None`: a shared secret has none.
    #[must_use]
    pub fn public_jwk(&self) -> Option<PublicJwk> {
        Some(match &self.kind {
            Kind::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                PublicJwk::rsa(n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero())
            }
            Kind::Ec(family, key) => PublicJwk::ec(family.curve(), key.public_key().as_ref()),
            Kind::Ed25519(key) => PublicJwk::ed25519(key.public_key().as_ref()),
            Kind::Secret(_) => return None,
        })
    }

    /// The SHA-256 thumbprint of its public half (RFC 7638), in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> Option<String> {
        self.public_jwk().map(|jwk| jwk.thumbprint())
    }

    /// A compact JWS with these header members, to which `alg` is added, and these claims.
    ///
    /// # Errors
    ///
    /// The signature cannot be made.
    pub fn sign(&self, mut header: Map<String, Value>, claims: &impl Serialize) -> Result<Secret, SignError> {
        header.insert("alg".to_owned(), self.algorithm.name().into());
        let header = serde_json::to_vec(&header).map_err(|_| SignError)?;
        let claims = Zeroizing::new(serde_json::to_vec(claims).map_err(|_| SignError)?);
        self.sign_bytes(&header, &claims)
    }

    /// The same of a header and a payload as they are: `alg` in the header must be that of this key.
    ///
    /// # Errors
    ///
    /// The signature cannot be made.
    pub fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> Result<Secret, SignError> {
        // Sized beforehand: a buffer that grows leaves copies of its beginning behind, and nobody wipes those.
        let length = (header.len() + payload.len() + LONGEST_SIGNATURE) / 3 * 4 + 16;
        let mut token = Zeroizing::new(String::with_capacity(length));
        BASE64_URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(&*signature, &mut token);
        Ok(token.into())
    }

    /// The signature alone, as it stands in a JWS (RFC 7518 §3), for who writes the rest.
    ///
    /// # Errors
    ///
    /// The signature cannot be made.
    pub fn signature(&self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let random = SystemRandom::new();
        Ok(Zeroizing::new(match &self.kind {
            Kind::Rsa(key) => {
                let padding = self.algorithm.rsa().ok_or(SignError)?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).map_err(|_| SignError)?;
                signature
            }
            Kind::Ec(_, key) => key.sign(&random, message).map_err(|_| SignError)?.as_ref().to_vec(),
            Kind::Ed25519(key) => key.try_sign(message).map_err(|_| SignError)?.as_ref().to_vec(),
            Kind::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
        }))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm.name())
    }
}

impl Kind {
    /// A shared secret, made for `algorithm`; one that is none for a secret is found out later.
    pub(super) fn secret(secret: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        let hash = algorithm.and_then(Algorithm::hmac).unwrap_or(hmac::HMAC_SHA256);
        Ok(Self::Secret(Box::new(hmac::Key::new(hash, secret))))
    }

    /// A private key in DER.
    pub(super) fn from_der(form: Form, der: &[u8]) -> Result<Self, KeyError> {
        let rsa = match form {
            Form::Pkcs8 => RsaKeyPair::from_pkcs8(der),
            Form::Pkcs1 => RsaKeyPair::from_der(der),
            Form::Sec1 => return Self::ec(der).ok_or(KeyError::Unreadable),
        };
        match rsa {
            Ok(key) => return Ok(Self::Rsa(Box::new(key))),
            Err(error) if error.description_() == "TooSmall" => return Err(KeyError::TooShort),
            Err(_) if form == Form::Pkcs1 => return Err(KeyError::Unreadable),
            Err(_) => {}
        }
        let ed25519 = Ed25519KeyPair::from_pkcs8(der).ok().map(|key| Self::Ed25519(Box::new(key)));
        ed25519.or_else(|| Self::ec(der)).ok_or(KeyError::Unreadable)
    }

    /// On the curve that it says.
    fn ec(der: &[u8]) -> Option<Self> {
        Family::CURVES.into_iter().find_map(|family| {
            let key = EcdsaKeyPair::from_private_key_der(family.ecdsa()?, der).ok()?;
            Some(Self::Ec(family, Box::new(key)))
        })
    }

    fn family(&self) -> Family {
        match self {
            Self::Rsa(_) => Family::Rsa,
            Self::Ec(family, _) => *family,
            Self::Ed25519(_) => Family::Ed25519,
            Self::Secret(_) => Family::Secret,
        }
    }
}

/// That of an RSA key of 8192 bits.
const LONGEST_SIGNATURE: usize = 1024;
