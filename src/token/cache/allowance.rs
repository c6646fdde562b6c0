//! How often refusals by the upstream may cost a renewal.
//!
//! A token that one node of an upstream accepts and another refuses would otherwise be renewed with every second
//! request, and no failure of the authorization server would ever stop it.

use std::time::Duration;

use super::super::Moment;

/// A few renewals at once, then one each ten seconds.
pub(super) struct Allowance {
    left: u32,
    /// When the next one is added.
    refill: Option<Moment>,
}

impl Default for Allowance {
    /// All of it.
    fn default() -> Self {
        Self { left: AT_ONCE, refill: None }
    }
}

impl Allowance {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// None is left; how long until there is one.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Duration> {
        while let Some(refill) = self.refill.filter(|refill| now.reached(*refill)) {
            self.left += 1;
            self.refill = (self.left < AT_ONCE).then(|| refill.after(ONE_EACH));
        }
        let next = *self.refill.get_or_insert(now.after(ONE_EACH));
        self.left = self.left.checked_sub(1).ok_or_else(|| now.until(next).max(Duration::from_millis(1)))?;
        Ok(())
    }
}

/// Enough for somebody who revokes tokens by hand, or an upstream that is being rolled over.
const AT_ONCE: u32 = 8;

/// As long as a refused token is remembered by default (`retry.cooldown`).
const ONE_EACH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_are_allowed_then_one_each_ten_seconds() {
        let now = Moment::now();
        let mut allowance = Allowance::default();
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.take(now), Ok(()));
        }
        assert_eq!(allowance.take(now), Err(ONE_EACH));
        assert_eq!(allowance.take(now.after(ONE_EACH)), Ok(()));
        assert_eq!(allowance.take(now.after(ONE_EACH)), Err(ONE_EACH));
    }

    #[test]
    fn it_fills_up_and_not_beyond() {
        let now = Moment::now();
        let mut allowance = Allowance::default();
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.take(now), Ok(()));
        }
        let later = now.after(ONE_EACH * 1_000);
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.take(later), Ok(()));
        }
        assert!(allowance.take(later).is_err());
    }
}
