//! Room for a line, taken once and filled piece by piece.
//!
//! A piece costs one comparison and its bytes: no buffer is asked whether it must grow, and what is short is copied
//! without a call.

/// What is left of the room for a line. Each piece takes it and gives back what it leaves; where there is not enough,
/// nothing is left.
pub(super) struct Room<'a>(&'a mut [u8]);

/// Has `fill` write a line of at most `longest` bytes to the end of `out`.
#[inline(always)]
pub(super) fn append(out: &mut Vec<u8>, longest: usize, fill: impl FnOnce(Room<'_>) -> Room<'_>) {
    let before = out.len();
    out.resize(before + longest, 0);
    let unused = fill(Room(out.get_mut(before..).unwrap_or_default())).0.len();
    out.truncate(before + longest - unused);
}

impl Room<'_> {
    /// A piece whose length is known when this is compiled.
    #[inline(always)]
    pub(super) fn fixed<const N: usize>(self, piece: &[u8; N]) -> Self {
        match self.0.split_first_chunk_mut() {
            Some((to, rest)) => {
                *to = *piece;
                Self(rest)
            }
            None => Self(&mut []),
        }
    }

    /// Any other.
    pub(super) fn text(self, piece: &str) -> Self {
        match self.0.split_at_mut_checked(piece.len()) {
            Some((to, rest)) => {
                to.copy_from_slice(piece.as_bytes());
                Self(rest)
            }
            None => Self(&mut []),
        }
    }

    /// A text of which no byte may be odd; the room as it was, if one is.
    #[inline(always)]
    pub(super) fn unless(self, text: &str, is_odd: impl Fn(u8) -> bool + Copy) -> Result<Self, Self> {
        let bytes = text.as_bytes();
        let is_plain = |block: &[u8; BLOCK]| !block.iter().fold(false, |found, byte| found | is_odd(*byte));
        let Some(last) = bytes.last_chunk() else {
            let mut block = FILLER;
            block.get_mut(..bytes.len()).unwrap_or_default().copy_from_slice(bytes);
            return if is_plain(&block) { Ok(self.short(&block, bytes.len())) } else { Err(self) };
        };
        // Some bytes are looked at twice.
        let all_are = bytes.as_chunks().0.iter().all(is_plain) && is_plain(last);
        if all_are { Ok(self.text(text)) } else { Err(self) }
    }

    /// The first `length` bytes of a block: copied as a whole, which takes room for all of it.
    #[inline(always)]
    fn short(self, block: &[u8; BLOCK], length: usize) -> Self {
        if let Some(to) = self.0.first_chunk_mut() {
            *to = *block;
        }
        Self(self.0.get_mut(length..).unwrap_or_default())
    }

    /// As many digits as it has. One digit and three are what most numbers have.
    #[inline(always)]
    pub(super) fn number(self, number: u64) -> Self {
        match number {
            0..10 => self.fixed(&[digit(number)]),
            100..1000 => self.three_digits(number),
            _ => self.other_number(number),
        }
    }

    fn other_number(self, number: u64) -> Self {
        match number {
            0..100 => self.fixed(&[digit(number / 10), digit(number)]),
            _ => self.number(number / 1000).three_digits(number),
        }
    }

    /// The last three.
    #[inline(always)]
    pub(super) fn three_digits(self, number: u64) -> Self {
        self.fixed(&[digit(number / 100), digit(number / 10), digit(number)])
    }
}

/// The last one.
#[inline(always)]
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// As many bytes as are looked at at once.
const BLOCK: usize = 16;

/// What stands beyond the end of a short text. Never odd.
const FILLER: [u8; BLOCK] = [b'0'; BLOCK];
