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
        match bytes.len() {
            16.. if bytes.as_chunks().0.iter().all(|block: &[u8; 16]| is_plain(block, is_odd)) => {
                let end_is_plain = bytes.last_chunk::<16>().is_some_and(|end| is_plain(end, is_odd));
                if end_is_plain { Ok(self.text(text)) } else { Err(self) }
            }
            16.. => Err(self),
            8.. => self.both_ends::<8>(bytes, is_odd),
            4.. => self.both_ends::<4>(bytes, is_odd),
            2.. => self.both_ends::<2>(bytes, is_odd),
            _ => self.both_ends::<1>(bytes, is_odd),
        }
    }

    /// A text of N to 2N bytes: its first N and its last N, of which some may be the same. In this way all of it is looked
    /// at and copied in two pieces of known length. What is copied to a block first and looked at there has the processor
    /// wait until the copy is done: 40 ns each, by samples.
    #[inline(always)]
    fn both_ends<const N: usize>(self, bytes: &[u8], is_odd: impl Fn(u8) -> bool + Copy) -> Result<Self, Self> {
        let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else { return Ok(self) };
        if !(is_plain(first, is_odd) & is_plain(last, is_odd)) {
            return Err(self);
        }
        let Some((to, rest)) = self.0.split_at_mut_checked(bytes.len()) else { return Ok(Self(&mut [])) };
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
        Ok(Self(rest))
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

#[inline(always)]
fn is_plain<const N: usize>(bytes: &[u8; N], is_odd: impl Fn(u8) -> bool) -> bool {
    !bytes.iter().fold(false, |found, byte| found | is_odd(*byte))
}
