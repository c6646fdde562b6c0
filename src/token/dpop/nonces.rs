//! The nonces that servers want in proofs (RFC 9449 §8), by origin: the newest of each.
//!
//! Read by each request without a lock, written when a server offers another one. Refuses what is no nonce, and keeps
//! few: origins are those of the file.

use arc_swap::ArcSwap;

/// Nonces by origin.
#[derive(Default)]
pub(super) struct Nonces(ArcSwap<Vec<(Box<str>, Box<str>)>>);

impl Nonces {
    /// Does this with the nonce of that origin, if there is one.
    pub(super) fn with(&self, origin: &str, then: impl FnOnce(&str)) {
        if let Some((_, nonce)) = self.0.load().iter().find(|(known, _)| **known == *origin) {
            then(nonce);
        }
    }

    /// Remembers it in the place of that origin's last one. Says whether it is one.
    pub(super) fn learn(&self, origin: &str, nonce: &str) -> bool {
        if !is_nonce(nonce) {
            return false;
        }
        let mut is_known = false;
        self.with(origin, |known| is_known = known == nonce);
        if !is_known {
            self.0.rcu(|all| {
                let others = all.iter().filter(|(known, _)| **known != *origin);
                // The oldest is the last.
                let newest = (origin.into(), nonce.into());
                std::iter::once(newest).chain(others.cloned()).take(MOST).collect::<Vec<(Box<str>, Box<str>)>>()
            });
        }
        true
    }
}

/// `1*NQCHAR` (§8.1), and no longer than a header field of ours may be made by somebody else.
fn is_nonce(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

const MOST: usize = 64;

const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nonces: &Nonces, origin: &str) -> Option<String> {
        let mut found = None;
        nonces.with(origin, |nonce| found = Some(nonce.to_owned()));
        found
    }

    #[test]
    fn the_newest_of_each_origin_is_kept() {
        let nonces = Nonces::default();
        assert_eq!(of(&nonces, "a"), None);
        for (origin, nonce) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "3")] {
            assert!(nonces.learn(origin, nonce));
        }
        assert_eq!((of(&nonces, "a").as_deref(), of(&nonces, "b").as_deref()), (Some("3"), Some("2")));
        assert_eq!(nonces.0.load().len(), 2);
    }

    #[test]
    fn what_is_no_nonce_is_refused() {
        let nonces = Nonces::default();
        for text in ["", "a b", "a\"b", "a\\b", "a\u{7f}", "ü", &"x".repeat(LONGEST + 1)] {
            assert!(!nonces.learn("a", text), "{text}");
        }
        assert_eq!(of(&nonces, "a"), None);
        assert!(nonces.learn("a", &"x".repeat(LONGEST)));
    }

    #[test]
    fn there_are_never_many() {
        let nonces = Nonces::default();
        for number in 0..1_000 {
            assert!(nonces.learn(&format!("o{number}"), "n"));
        }
        assert_eq!(nonces.0.load().len(), MOST);
        assert_eq!(of(&nonces, "o999").as_deref(), Some("n"));
    }
}
