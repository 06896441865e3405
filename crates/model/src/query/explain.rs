//! Why a condition does not hold, in words for people.

use super::bound::{BoundPath, BoundQuery, BoundTerm, Test};
use super::memory::{EvaluationMode, Evaluator, References, Subject};
use crate::table_def::FieldType;
use crate::value::Value;

/// Longest value that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Why the first alternative does not hold, for people: `priority=1, the record has 4`. `None` when the subject
/// satisfies the query.
///
/// Names the first group that fails, with each arm and the value it was compared with; invalid terms of a
/// condition come before everything else. Never shows a password.
#[must_use]
pub fn explain_mismatch(
    query: &BoundQuery,
    subject: &Subject<'_>,
    mode: EvaluationMode,
    references: &dyn References,
) -> Option<String> {
    if query.never {
        let invalid =
            query.dropped.iter().map(|term| format!("'{}' is invalid: {}", term.text, term.reason));
        let all: Vec<_> = invalid.collect();
        let none = || "the condition never holds".to_owned();
        return Some(if all.is_empty() { none() } else { all.join("; ") });
    }
    if super::memory::matches(query, subject, mode, references) {
        return None;
    }
    let evaluator = Evaluator { subject, mode, references };
    let failing =
        query.alternatives.iter().find_map(|groups| groups.iter().find(|g| !evaluator.any(g)))?;
    let mut sentence = evaluator.describe_group(failing);
    let others = query.alternatives.len() - 1;
    if others > 0 {
        let alternatives = if others == 1 { "alternative does" } else { "alternatives do" };
        sentence.push_str(&format!("; {others} other {alternatives} not hold either"));
    }
    Some(sentence)
}

impl Evaluator<'_> {
    /// `a=1 or a=2, the record has 3`; each arm with its own value where they differ.
    fn describe_group(&self, arms: &[BoundTerm]) -> String {
        let mut told: Vec<(Vec<&str>, String)> = Vec::new();
        for arm in arms {
            let found = self.found(arm);
            match told.last_mut() {
                Some((texts, last)) if *last == found => {
                    // One written term may be bound as several arms.
                    if !texts.contains(&&*arm.text) {
                        texts.push(&arm.text);
                    }
                }
                _ => told.push((vec![&arm.text], found)),
            }
        }
        let told =
            told.into_iter().map(|(texts, found)| format!("{}, {found}", texts.join(" or ")));
        told.collect::<Vec<_>>().join("; or ")
    }

    /// What stands against a term: `the record has 4`.
    fn found(&self, term: &BoundTerm) -> String {
        let path = &term.path;
        match &term.test {
            Test::Changes | Test::ChangesFrom(_) | Test::ChangesTo(_) => {
                let (old, new) = (self.old_value(path), self.value(path));
                if old == new {
                    format!("it did not change from {}", shown(path, &new))
                } else if self.subject.is_insert {
                    format!("the new record has {}", shown(path, &new))
                } else {
                    format!("it changed from {} to {}", shown(path, &old), shown(path, &new))
                }
            }
            Test::SameAs(other) | Test::NotSameAs(other) | Test::CompareField(_, other) => {
                let (left, right) = (self.value(path), self.value(other));
                format!("the record has {} and {}", shown(path, &left), shown(other, &right))
            }
            _ => format!("the record has {}", shown(path, &self.value(path))),
        }
    }
}

fn shown(path: &BoundPath, value: &Value) -> String {
    let secret = path.field_def().field_type.is_secret();
    match value.as_option() {
        None => "no value".to_owned(),
        Some(_) if secret => "a hidden value".to_owned(),
        Some("1" | "true") if path.field_def().field_type == FieldType::Boolean => {
            "true".to_owned()
        }
        Some("0" | "false") if path.field_def().field_type == FieldType::Boolean => {
            "false".to_owned()
        }
        Some(text) => match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text.to_owned(),
        },
    }
}
