//! How a store encrypts: AES-256-GCM-SIV (RFC 8452), under a key derived by HKDF-SHA256 (RFC 5869).
//!
//! A sealed text is a header, a nonce, and the ciphertext with its tag. The header (what it is, which version, the salt of
//! the key, which key) and the text's place are bound to it as additional data: moved to another place, cut or changed
//! it does not open. HKDF makes no good key of a bad pass-phrase: short keys are refused.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why a text cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[error("the key is shorter than {SHORTEST} characters; make one with `openssl rand -base64 32`")]
    ShortKey,
    #[error("is not of bearer-proxy")]
    Foreign,
    #[error("is of another version of bearer-proxy")]
    Version,
    #[error("was written with another key")]
    WrongKey,
    #[error("is damaged: it was cut off or changed")]
    Damaged,
    #[error("cannot be encrypted")]
    Crypto,
}

/// Encrypts. `place` has to be the same when it is opened.
pub(super) fn seal(key: &Secret, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| SealError::Crypto)?;
    let derived = Derived::new(key, &salt)?;
    let header = [MAGIC, VERSION, &salt, &derived.id].concat();
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + 64));
    text.extend_from_slice(plain);
    let aad = Aad::from([&header, place].concat());
    let nonce = derived.key.seal_in_place_append_tag(aad, &mut *text).map_err(|_| SealError::Crypto)?;
    Ok([&header, nonce.as_ref().as_slice(), &text].concat())
}

/// Decrypts what [`seal`] made for this place.
pub(super) fn open(key: &Secret, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let rest = sealed.strip_prefix(MAGIC).ok_or_else(|| begun(sealed))?;
    let rest = rest.strip_prefix(VERSION).ok_or(if rest.len() < VERSION.len() {
        SealError::Damaged
    } else {
        SealError::Version
    })?;
    let (salt, rest) = rest.split_at_checked(SALT).ok_or(SealError::Damaged)?;
    let (id, rest) = rest.split_at_checked(ID).ok_or(SealError::Damaged)?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
    let derived = Derived::new(key, salt)?;
    if derived.id != id {
        return Err(SealError::WrongKey);
    }
    let header = sealed.get(..MAGIC.len() + VERSION.len() + SALT + ID).ok_or(SealError::Damaged)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
    let mut text = Zeroizing::new(text.to_vec());
    let aad = Aad::from([header, place].concat());
    let length = derived.key.open_in_place(nonce, aad, &mut text).map_err(|_| SealError::Damaged)?.len();
    text.truncate(length);
    Ok(text)
}

/// A name for this text that any file may have: 32 hexadecimal digits.
pub(super) fn digest(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Nothing, or the beginning of ours, is ours and cut off.
fn begun(sealed: &[u8]) -> SealError {
    if MAGIC.starts_with(sealed) { SealError::Damaged } else { SealError::Foreign }
}

/// A key for one salt, and the mark that tells whether it is the right one.
struct Derived {
    key: RandomizedNonceKey,
    id: [u8; ID],
}

impl Derived {
    fn new(key: &Secret, salt: &[u8]) -> Result<Self, SealError> {
        if key.expose().chars().count() < SHORTEST {
            return Err(SealError::ShortKey);
        }
        let secret = Salt::new(HKDF_SHA256, salt).extract(key.expose().as_bytes());
        let bytes = expand(&secret, b"bearer-proxy token store: key")?;
        let mark = expand(&secret, b"bearer-proxy token store: key id")?;
        let mut id = [0; ID];
        id.iter_mut().zip(mark.iter()).for_each(|(to, from)| *to = *from);
        Ok(Self { key: RandomizedNonceKey::new(&AES_256_GCM_SIV, &*bytes).map_err(|_| SealError::Crypto)?, id })
    }
}

fn expand(secret: &Prk, purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut bytes = Zeroizing::new([0; 32]);
    let purpose = [purpose];
    let derived = secret.expand(&purpose, HKDF_SHA256).map_err(|_| SealError::Crypto)?;
    derived.fill(&mut *bytes).map_err(|_| SealError::Crypto)?;
    Ok(bytes)
}

const MAGIC: &[u8] = b"bearer-proxy token store ";
const VERSION: &[u8] = b"1\n";
const SALT: usize = 32;
const ID: usize = 8;

/// 128 bits in hexadecimal.
const SHORTEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: char) -> Secret {
        Secret::new(letter.to_string().repeat(32))
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_and_nowhere_else() {
        let sealed = seal(&key('k'), b"here", b"hunter2").unwrap();
        assert_eq!(open(&key('k'), b"here", &sealed).unwrap().as_slice(), b"hunter2");
        assert_eq!(open(&key('k'), b"there", &sealed), Err(SealError::Damaged));
        assert_eq!(open(&key('K'), b"here", &sealed), Err(SealError::WrongKey));
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(sealed, seal(&key('k'), b"here", b"hunter2").unwrap());
    }

    #[test]
    fn cut_off_anywhere_it_is_damaged() {
        let sealed = seal(&key('k'), b"", b"hunter2").unwrap();
        for length in 0..sealed.len() {
            assert_eq!(open(&key('k'), b"", &sealed[..length]), Err(SealError::Damaged), "{length}");
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert_eq!(open(&key('k'), b"", &longer), Err(SealError::Damaged));
    }

    #[test]
    fn changed_in_any_byte_it_does_not_open() {
        let sealed = seal(&key('k'), b"", b"hunter2").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let error = open(&key('k'), b"", &changed).unwrap_err();
            let expected = match at {
                at if at < MAGIC.len() => SealError::Foreign,
                at if at < MAGIC.len() + VERSION.len() => SealError::Version,
                // The salt is part of what the key is made of.
                at if at < MAGIC.len() + VERSION.len() + SALT + ID => SealError::WrongKey,
                _ => SealError::Damaged,
            };
            assert_eq!(error, expected, "{at}");
        }
    }

    #[test]
    fn a_key_that_may_be_guessed_is_refused() {
        let short = Secret::new("k".repeat(31));
        assert_eq!(seal(&short, b"", b"x"), Err(SealError::ShortKey));
    }
}
