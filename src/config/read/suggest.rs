//! "Did you mean …?"

/// The one of `known` that is most like `written`, if any is like it at all.
///
/// Case, `_`, `-` and spaces do not count: `clientId` is `client_id`.
pub(crate) fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody misspells at this length; it also bounds the work.
    if written.len() > 64 {
        return None;
    }
    let written = plain(written);
    let bound = match written.len() {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let near = known.into_iter().filter_map(|word| {
        let plain = plain(word);
        let may_be = plain.len().abs_diff(written.len()) <= bound;
        may_be.then(|| (distance(&written, &plain), word)).filter(|(distance, _)| *distance <= bound)
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (row, &from) in a.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        let mut previous_b = None;
        for (column, &to) in b.iter().enumerate() {
            let cell = |cells: &[usize], at: usize| cells.get(at).copied().unwrap_or(usize::MAX);
            let mut best = cell(&last, column).saturating_add(usize::from(from != to));
            best = best.min(cell(&last, column.saturating_add(1)).saturating_add(1));
            best = best.min(cell(&current, column).saturating_add(1));
            if previous_a == Some(to) && previous_b == Some(from) {
                let swapped = column.checked_sub(1).map_or(usize::MAX, |at| cell(&before_last, at));
                best = best.min(swapped.saturating_add(1));
            }
            current.push(best);
            previous_b = Some(to);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_a = Some(from);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_strangers_are_not() {
        let known = ["client_id", "client_secret", "client_auth", "scope", "off"];
        assert_eq!(suggest("clientId", known), Some("client_id"));
        assert_eq!(suggest("client-secrte", known), Some("client_secret"));
        assert_eq!(suggest("scpoe", known), Some("scope"));
        assert_eq!(suggest("scopes", known), Some("scope"));
        assert_eq!(suggest("issuer", known), None);
        assert_eq!(suggest("", known), None);
        assert_eq!(suggest("of", known), None);
        assert_eq!(suggest(&"x".repeat(100), known), None);
    }
}
