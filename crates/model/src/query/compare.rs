//! Comparing two stored texts as their type and the mode want it.

use std::cmp::Ordering;

use super::bound::{Comparison, TextMatch};
use super::memory::EvaluationMode;
use crate::fold::{equal_ignoring_case, fold, fold_char};
use crate::table_def::FieldType;

/// How stored texts of a field compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As numbers.
    Number,
    /// False before true.
    Boolean,
    /// As plain texts: dates and times, whose texts order as they do.
    Exact,
    /// As texts in which case counts for nothing.
    Folded,
}

impl Order {
    /// Keys are compared ignoring case in both modes, texts only in the database mode (§11.5).
    pub(super) fn of(field_type: FieldType, mode: EvaluationMode) -> Self {
        match field_type {
            FieldType::Integer | FieldType::Decimal | FieldType::Float => Self::Number,
            FieldType::Boolean => Self::Boolean,
            kind if kind.is_temporal() => Self::Exact,
            FieldType::Reference | FieldType::Guid => Self::Folded,
            _ => match mode {
                EvaluationMode::Database => Self::Folded,
                EvaluationMode::Condition => Self::Exact,
            },
        }
    }

    /// How `left` stands to `right`; `None` when one of them is no number where numbers compare.
    pub(super) fn compare(self, left: &str, right: &str) -> Option<Ordering> {
        match self {
            Self::Number => compare_numbers(left, right),
            Self::Boolean => Some(is_true(left).cmp(&is_true(right))),
            Self::Exact => Some(left.cmp(right)),
            Self::Folded => Some(left.chars().map(fold_char).cmp(right.chars().map(fold_char))),
        }
    }

    /// Whether the two texts are one value.
    pub(super) fn equal(self, left: &str, right: &str) -> bool {
        match self {
            Self::Exact => left == right,
            Self::Folded => equal_ignoring_case(left, right),
            Self::Number | Self::Boolean => self.compare(left, right) == Some(Ordering::Equal),
        }
    }
}

/// Whether `ordering` of left to right is what `comparison` asks.
pub(super) fn satisfies(comparison: Comparison, ordering: Ordering) -> bool {
    match comparison {
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
}

/// Whether `part` stands in `text` where `place` says.
pub(super) fn text_matches(mode: EvaluationMode, place: TextMatch, text: &str, part: &str) -> bool {
    let stands = |text: &str, part: &str| match place {
        TextMatch::Prefix => text.starts_with(part),
        TextMatch::Suffix => text.ends_with(part),
        TextMatch::Contains => text.contains(part),
    };
    match mode {
        EvaluationMode::Database => stands(&fold(text), &fold(part)),
        EvaluationMode::Condition => stands(text, part),
    }
}

/// Whether the comma list holds `member`, a key.
pub(super) fn list_has(list: &str, member: &str) -> bool {
    list.split(',').any(|item| equal_ignoring_case(item, member))
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true")
}

fn compare_numbers(left: &str, right: &str) -> Option<Ordering> {
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        (Ok(left), Err(_)) => compare_whole(left, finite(right)?),
        (Err(_), Ok(right)) => compare_whole(right, finite(left)?).map(Ordering::reverse),
        (Err(_), Err(_)) => finite(left)?.partial_cmp(&finite(right)?),
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Exact: a whole number beyond 2^53 is not rounded to the nearest float first.
fn compare_whole(whole: i64, other: f64) -> Option<Ordering> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if other >= TWO_TO_63 {
        return Some(Ordering::Less);
    }
    if other < -TWO_TO_63 {
        return Some(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked, the fraction is compared below"
    )]
    let floor = other.floor() as i64;
    let by_floor = whole.cmp(&floor);
    Some(if by_floor.is_eq() && other.fract() != 0.0 { Ordering::Less } else { by_floor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        let cases = [
            ("9", "10", Some(Ordering::Less)),
            ("2.50", "2.5", Some(Ordering::Equal)),
            ("2", "2.5", Some(Ordering::Less)),
            ("-3", "-2.5", Some(Ordering::Less)),
            ("-2", "-2.5", Some(Ordering::Greater)),
            ("9007199254740993", "9007199254740992.0", Some(Ordering::Greater)),
            ("9223372036854775807", "9223372036854775808", Some(Ordering::Less)),
            ("x", "1", None),
            ("1", "NaN", None),
        ];
        for (left, right, expected) in cases {
            assert_eq!(Order::Number.compare(left, right), expected, "{left} {right}");
            let reversed = expected.map(Ordering::reverse);
            assert_eq!(Order::Number.compare(right, left), reversed, "{right} {left}");
        }
    }

    #[test]
    fn only_the_condition_mode_minds_the_case_of_texts_and_never_that_of_keys() {
        let order = Order::of(FieldType::String, EvaluationMode::Condition);
        assert!(!order.equal("Email", "email"));
        let order = Order::of(FieldType::String, EvaluationMode::Database);
        assert!(order.equal("ÄRGER", "ärger"));
        let order = Order::of(FieldType::Reference, EvaluationMode::Condition);
        assert!(order.equal("AB", "ab"));
    }
}
