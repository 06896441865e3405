//! The nearest known name for one that is unknown: settings, packs and bodies all suggest it.

/// The candidate with the fewest edits to `unknown`, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(
    unknown: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edits(unknown, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Whether `unknown` is `known` but for a slip or two.
#[must_use]
pub fn is_slip(unknown: &str, known: &str) -> bool {
    edits(unknown, known) <= 2
}

/// `; did you mean 'x'?`, or nothing.
#[must_use]
pub fn suggestion<'a>(unknown: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(unknown, candidates)
        .map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// Levenshtein distance in characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["table", "filter_condition", "order"];
        assert_eq!(nearest("tabel", names), Some("table"));
        assert_eq!(nearest("filter_conditon", names), Some("filter_condition"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("x", []), None);
        let keys = ["server.data", "server.listen", "node.name"];
        assert_eq!(nearest("server.listn", keys), Some("server.listen"));
        assert_eq!(nearest("nod.name", keys), Some("node.name"));
    }
}
