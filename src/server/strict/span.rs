//! How far a run of like bytes goes: what most of the reading of a head is.

/// How many bytes at the beginning have, in this table, one of the wanted bits.
#[inline]
pub(super) fn span(bytes: &[u8], table: &[u8; 256], wanted: u8) -> usize {
    let ends = |byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(0) & wanted == 0;
    let (words, rest) = bytes.as_chunks::<4>();
    let mut run = 0;
    // Four at a time: one look at the length instead of four.
    for [a, b, c, d] in words {
        if ends(a) {
            return run;
        }
        if ends(b) {
            return run + 1;
        }
        if ends(c) {
            return run + 2;
        }
        if ends(d) {
            return run + 3;
        }
        run += 4;
    }
    run + rest.iter().position(ends).unwrap_or(rest.len())
}
