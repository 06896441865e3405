//! Tests on texts, ignoring case.
//!
//! Ignoring case is Unicode simple folding. Comparing by `COLLATE NOCASE` can use an index, but knows ASCII only. For
//! a literal that folds to ASCII the two agree, except that the Kelvin sign folds to `k` and the long s to `s`: a
//! literal with these letters is looked up in all its spellings.

use std::sync::Arc;

use campanile_model::ColumnStorage;
use campanile_model::fold::fold;
use campanile_model::query::TextMatch;

use super::statement::Statement;
use super::values::Param;

const KELVIN_SIGN: char = '\u{212A}';
const LONG_S: char = '\u{017F}';

/// Letters of a literal that double its spellings, at most; a literal with more is compared by folding.
const DOUBLING_LETTERS_MAX: usize = 6;

/// Adds: the text `sql`, if there is one, is one of `values`.
pub(crate) fn is_one_of(statement: &mut Statement, sql: &str, values: &[Arc<str>]) {
    let mut spelled = Vec::new();
    let mut folded = Vec::new();
    for value in values {
        let value = fold(value);
        match spellings(&value) {
            Some(all) => spelled.extend(all.into_iter().map(text_param)),
            None => folded.push(text_param(value)),
        }
    }
    match (spelled.is_empty(), folded.is_empty()) {
        (true, true) => {
            statement.push("FALSE");
        }
        (false, true) => by_collation(statement, sql, spelled),
        (true, false) => by_folding(statement, sql, folded),
        (false, false) => {
            statement.push("(");
            by_collation(statement, sql, spelled);
            statement.push(" OR ");
            by_folding(statement, sql, folded);
            statement.push(")");
        }
    }
}

fn by_collation(statement: &mut Statement, sql: &str, params: Vec<Param>) {
    let sql = statement.dialect.no_case(sql);
    statement.push(&sql).is_one_of(params, ColumnStorage::Text);
}

fn by_folding(statement: &mut Statement, sql: &str, params: Vec<Param>) {
    statement.push("campanile_fold(").push(sql).push(")").is_one_of(params, ColumnStorage::Text);
}

/// Adds: `part` stands in the text `sql`.
pub(super) fn stands_in(statement: &mut Statement, sql: &str, place: TextMatch, part: &str) {
    let folded = fold(part);
    let function = match place {
        TextMatch::Prefix => "campanile_starts_with(",
        TextMatch::Suffix => "campanile_ends_with(",
        TextMatch::Contains => "campanile_contains(",
    };
    let range = (place == TextMatch::Prefix).then(|| prefix_range(&folded)).flatten();
    if let Some((low, high)) = range {
        let no_case = statement.dialect.no_case(sql);
        statement.push("(").push(&no_case).push(" >= ");
        statement.bind_as(text_param(low), ColumnStorage::Text).push(" AND ");
        statement.push(&no_case).push(" < ").bind_as(text_param(high), ColumnStorage::Text);
        statement.push(" AND ").push(function).push(sql).push(", ");
        statement.bind_as(text_param(folded), ColumnStorage::Text).push("))");
    } else {
        statement.push(function).push(sql).push(", ");
        statement.bind_as(text_param(folded), ColumnStorage::Text).push(")");
    }
}

/// Every text that `COLLATE NOCASE` tells apart and folding does not; `None` when they are too many or unknown.
fn spellings(folded: &str) -> Option<Vec<String>> {
    let doubling = folded.bytes().filter(|b| matches!(b, b'k' | b's')).count();
    if !folded.is_ascii() || doubling > DOUBLING_LETTERS_MAX {
        return None;
    }
    let mut all = vec![String::with_capacity(folded.len())];
    for c in folded.chars() {
        let other = match c {
            'k' => Some(KELVIN_SIGN),
            's' => Some(LONG_S),
            _ => None,
        };
        let with_other: Vec<_> = other
            .map_or(Vec::new(), |other| all.iter().map(|text| format!("{text}{other}")).collect());
        for text in &mut all {
            text.push(c);
        }
        all.extend(with_other);
    }
    Some(all)
}

/// A range by `COLLATE NOCASE` that holds every text that begins with `folded`, and perhaps some more: from the
/// beginning up to the first letter that has other spellings.
fn prefix_range(folded: &str) -> Option<(String, String)> {
    let sure = folded.bytes().take_while(|b| b.is_ascii() && !matches!(b, b'k' | b's')).count();
    let low = &folded[..sure];
    let last = low.bytes().last()?;
    // The byte behind `@` is `A`, which NOCASE orders as `a`; behind DEL begin the bytes that are not ASCII.
    if matches!(last, b'@' | 0x7f) {
        return None;
    }
    let mut high = low.to_owned();
    high.pop();
    high.push(char::from(last + 1));
    Some((low.to_owned(), high))
}

fn text_param(text: String) -> Param {
    Param::Text(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_looked_up_in_every_spelling_that_folds_to_it() {
        let all = spellings("task").unwrap();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|text| fold(text) == "task"));
        assert_eq!(spellings("ärger"), None);
        assert_eq!(spellings("sksksks"), None, "128 spellings are too many");
    }

    #[test]
    fn the_range_of_a_prefix_ends_before_letters_with_other_spellings() {
        assert_eq!(prefix_range("inc001"), Some(("inc001".to_owned(), "inc002".to_owned())));
        assert_eq!(prefix_range("task"), Some(("ta".to_owned(), "tb".to_owned())));
        assert_eq!(prefix_range("kiosk"), None);
        assert_eq!(prefix_range("@"), None);
        assert_eq!(prefix_range("é"), None);
    }
}
