//! A hash index whose keys come in pieces: one hash is carried along while a path or a host is read, and asked for at
//! each boundary.
//!
//! The keys are in the configuration and only looked up by what comes from outside, so the hash needs no secret seed.

/// Hash → number, by open addressing. The numbers' keys are elsewhere; the asker compares them.
#[derive(Debug)]
pub(super) struct Index {
    /// A power of two of them, at most half of them taken.
    slots: Vec<Option<(u64, usize)>>,
}

impl Index {
    /// For at most `count` entries.
    pub(super) fn for_entries(count: usize) -> Self {
        Self { slots: vec![None; count.saturating_mul(2).max(2).next_power_of_two()] }
    }

    pub(super) fn insert(&mut self, hash: u64, number: usize) {
        let mut place = self.place(hash);
        while let Some(Some(_)) = self.slots.get(place) {
            place = self.after(place);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some((hash, number));
        }
    }

    /// The number with this hash whose key is the one looked for.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut place = self.place(hash);
        while let Some(Some((other, number))) = self.slots.get(place) {
            if *other == hash && is_it(*number) {
                return Some(*number);
            }
            place = self.after(place);
        }
        None
    }

    fn place(&self, hash: u64) -> usize {
        // The upper half has seen every byte well mixed, the lower half only the last ones.
        usize::try_from(hash >> 32).unwrap_or(0) & (self.slots.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }
}

/// Adds one byte to a hash.
pub(super) fn add(hash: u64, byte: u8) -> u64 {
    (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A hash to begin with, another for each number.
pub(super) fn seed(number: usize) -> u64 {
    add(u64::try_from(number).unwrap_or(u64::MAX), 0x5A)
}
