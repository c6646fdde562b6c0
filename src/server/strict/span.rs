//! How far a run of like bytes goes: what most of the reading of a head is.

/// How many bytes at the beginning have, in this table, one of the wanted bits.
pub(super) fn span(bytes: &[u8], table: &[u8; 256], wanted: u8) -> usize {
    let class = |byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(0);
    let (words, _) = bytes.as_chunks::<4>();
    // Four at a time: one test instead of four.
    let run =
        4 * words.iter().take_while(|[a, b, c, d]| class(a) & class(b) & class(c) & class(d) & wanted != 0).count();
    let rest = bytes.get(run..).unwrap_or_default();
    run + rest.iter().take_while(|byte| class(byte) & wanted != 0).count()
}
