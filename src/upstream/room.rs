//! Room to read long bodies into: the same again and again, so that it is in the processor's cache.

use std::cell::RefCell;

use bytes::Bytes;

/// Room for one read, that which was used last.
pub(super) struct Room(
    /// Empty once it has been given back.
    Box<[u8]>,
);

impl Room {
    /// Room for what is left of a body, or a good part of it.
    pub(super) fn take(left: u64) -> Self {
        let size = if usize::try_from(left).is_ok_and(|left| left <= SMALL) { SMALL } else { LARGE };
        let spare = SPARE.with_borrow_mut(|spare| {
            let last = spare.iter().rposition(|room| room.len() == size)?;
            Some(spare.remove(last))
        });
        Self(spare.unwrap_or_else(|| vec![0; size].into_boxed_slice()))
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The first so many bytes of it; copied if they are few, for whoever waits for a slow downstream is not to hold much
    /// more than he has.
    pub(super) fn filled(self, length: usize) -> Bytes {
        match self.0.get(..length) {
            Some(bytes) if length <= self.0.len() / 4 => Bytes::copy_from_slice(bytes),
            _ => Bytes::from_owner(Filled { room: self, length }),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let room = std::mem::take(&mut self.0);
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(room);
            }
        });
    }
}

/// Room with something in it.
struct Filled {
    room: Room,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.room.0.get(..self.length).unwrap_or_default()
    }
}

/// In bytes: a body of this length, and its writing, fit into the second-level cache.
const SMALL: usize = 128 * 1024;

/// Beyond that it is the number of reads that counts: 10 MiB cost a fifth less in pieces of 512 KiB than of 128.
const LARGE: usize = 512 * 1024;

/// How many a thread keeps.
const SPARES: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_put_there_and_its_room_is_used_again() {
        let mut room = Room::take(100_000);
        room.bytes()[..3].copy_from_slice(b"abc");
        let (place, size) = (room.bytes().as_ptr(), room.bytes().len());
        room.bytes()[size - 1] = b'z';
        let whole = room.filled(size);
        assert_eq!((&whole[..3], whole.len(), whole.as_ptr()), (&b"abc"[..], SMALL, place));
        let mut other = Room::take(100_000);
        assert_ne!(other.bytes().as_ptr(), place, "somebody still has it");
        drop(whole.slice(1..2));
        drop(whole);
        assert_eq!(Room::take(100_000).bytes().as_ptr(), place);
        assert_eq!(Room::take(u64::MAX).bytes().len(), LARGE, "not the small one that lies there");
    }

    #[test]
    fn few_bytes_do_not_hold_much_room() {
        let mut room = Room::take(1);
        room.bytes()[0] = b'a';
        let place = room.bytes().as_ptr();
        let few = room.filled(1);
        assert_eq!((&few[..], Room::take(1).bytes().as_ptr()), (&b"a"[..], place));
    }

    #[test]
    fn a_thread_keeps_a_few_and_no_more() {
        let taken: Vec<_> = (0..SPARES + 3).map(|_| Room::take(1)).collect();
        drop(taken);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARES);
    }
}
