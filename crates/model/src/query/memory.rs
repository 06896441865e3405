//! Evaluating a bound query on one record.

use std::sync::Arc;

use super::bound::{BoundPath, BoundQuery, BoundTerm, Comparison, Test, TextMatch};
use super::compare::{Order, list_has, satisfies, text_matches};
use crate::record::Record;
use crate::table_def::{FieldIndex, FieldType, TableDef};
use crate::value::Value;

pub use super::explain::explain_mismatch;

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
    fn load(&self, table: &Arc<TableDef>, sys_id: &str) -> Option<Record>;
}

/// What a condition is judged on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The record with its new values.
    pub current: &'a Record,
    /// The record as stored before; `None` on insert. Used by change operators only. Without it, and not on an
    /// insert, nothing changed.
    pub previous: Option<&'a Record>,
    /// The operation is an insert: a field that received a value counts as changed.
    pub is_insert: bool,
    /// Journal fields that receive an entry in this operation, with its text: the field's value here.
    pub journal_entries: &'a [(Arc<str>, Arc<str>)],
}

impl<'a> Subject<'a> {
    /// A record to which nothing happens, or that is deleted: no field counts as changed.
    #[must_use]
    pub const fn unchanged(current: &'a Record) -> Self {
        Self { current, previous: None, is_insert: false, journal_entries: &[] }
    }

    /// A record that is inserted.
    #[must_use]
    pub const fn inserted(current: &'a Record) -> Self {
        Self { current, previous: None, is_insert: true, journal_entries: &[] }
    }

    /// A record that changes from `previous` to `current`.
    #[must_use]
    pub const fn updated(previous: &'a Record, current: &'a Record) -> Self {
        Self { current, previous: Some(previous), is_insert: false, journal_entries: &[] }
    }

    /// The same with entries for journal fields, as (field, text).
    #[must_use]
    pub const fn with_journal_entries(mut self, entries: &'a [(Arc<str>, Arc<str>)]) -> Self {
        self.journal_entries = entries;
        self
    }
}

/// Whether the subject satisfies the query. Order terms are ignored.
#[must_use]
pub fn matches(
    query: &BoundQuery,
    subject: &Subject<'_>,
    mode: EvaluationMode,
    references: &dyn References,
) -> bool {
    let evaluator = Evaluator { subject, mode, references };
    !query.never
        && (query.alternatives.is_empty()
            || query
                .alternatives
                .iter()
                .any(|groups| groups.iter().all(|arms| evaluator.any(arms))))
}

/// Judges terms on one subject.
pub(super) struct Evaluator<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) mode: EvaluationMode,
    pub(super) references: &'a dyn References,
}

impl Evaluator<'_> {
    /// Whether one of the arms holds.
    pub(super) fn any(&self, arms: &[BoundTerm]) -> bool {
        arms.iter().any(|term| self.holds(term))
    }

    fn holds(&self, term: &BoundTerm) -> bool {
        let value = match &term.test {
            Test::Anything => return true,
            Test::Never => return false,
            Test::Changes | Test::ChangesFrom(_) | Test::ChangesTo(_) => return self.changed(term),
            _ => self.value(&term.path),
        };
        let order = Order::of(term.path.field_def().field_type, self.mode);
        match value.as_option() {
            None => self.nil_satisfies(&term.test),
            Some(text) => self.satisfies(text, order, &term.test),
        }
    }

    /// §11.4: what a field without a value satisfies.
    fn nil_satisfies(&self, test: &Test) -> bool {
        match test {
            Test::Nil | Test::NotIn(_) => true,
            Test::Compare(Comparison::Less | Comparison::LessOrEqual, _) => {
                self.mode == EvaluationMode::Condition
            }
            _ => false,
        }
    }

    fn satisfies(&self, text: &str, order: Order, test: &Test) -> bool {
        let against = |comparison, other: &str| {
            order.compare(text, other).is_some_and(|ordering| satisfies(comparison, ordering))
        };
        match test {
            Test::NotNil | Test::Anything => true,
            Test::In(values) => values.iter().any(|value| order.equal(text, value)),
            Test::NotIn(values) => !values.iter().any(|value| order.equal(text, value)),
            Test::Compare(comparison, other) => against(*comparison, other),
            Test::Between(low, high) => {
                against(Comparison::GreaterOrEqual, low) && against(Comparison::LessOrEqual, high)
            }
            Test::NotBetween(low, high) => {
                against(Comparison::Less, low) || against(Comparison::Greater, high)
            }
            Test::Text(place, part) => text_matches(self.mode, *place, text, part),
            Test::NotContains(part) => !text_matches(self.mode, TextMatch::Contains, text, part),
            Test::ListHas(member) => list_has(text, member),
            Test::ListHasNot(member) => !list_has(text, member),
            Test::ClassIn(classes) => classes.iter().any(|class| &**class == text),
            Test::SameAs(other) => {
                self.value(other).as_option().is_some_and(|other| order.equal(text, other))
            }
            Test::NotSameAs(other) => {
                self.value(other).as_option().is_none_or(|other| !order.equal(text, other))
            }
            Test::CompareField(comparison, other) => {
                self.value(other).as_option().is_some_and(|other| against(*comparison, other))
            }
            Test::Nil | Test::Never => false,
            Test::Changes | Test::ChangesFrom(_) | Test::ChangesTo(_) => false,
        }
    }

    /// §4: on an insert a field that received a value changed, from nothing; otherwise old and new value differ.
    fn changed(&self, term: &BoundTerm) -> bool {
        let (old, new) = (self.old_value(&term.path), self.value(&term.path));
        if old == new {
            return false;
        }
        let order = Order::of(term.path.field_def().field_type, self.mode);
        let is = |value: &Value, wanted: &str| match value.as_option() {
            None => wanted.is_empty(),
            Some(text) => !wanted.is_empty() && order.equal(text, wanted),
        };
        match &term.test {
            Test::ChangesFrom(wanted) => !self.subject.is_insert && is(&old, wanted),
            Test::ChangesTo(wanted) => is(&new, wanted),
            _ => true,
        }
    }

    /// The value before the operation: nil on an insert and for a journal, the current one when nothing is known.
    pub(super) fn old_value(&self, path: &BoundPath) -> Value {
        if self.subject.is_insert || is_journal(path) {
            return Value::Nil;
        }
        match self.subject.previous {
            Some(previous) => self.value_in(path, previous),
            None => self.value(path),
        }
    }

    /// The value now. A path over a reference that is nil or leads nowhere gives nil (§11.4).
    pub(super) fn value(&self, path: &BoundPath) -> Value {
        if is_journal(path) {
            let name = &path.field_def().name;
            let entry = self.subject.journal_entries.iter().find(|(field, _)| field == name);
            return entry.map_or(Value::Nil, |(_, text)| Value::text(text));
        }
        self.value_in(path, self.subject.current)
    }

    fn value_in(&self, path: &BoundPath, record: &Record) -> Value {
        let mut loaded: Option<Record> = None;
        for step in &path.steps {
            let record = loaded.as_ref().unwrap_or(record);
            let next = field_of(record, &step.table, step.field)
                .as_option()
                .and_then(|sys_id| self.references.load(&step.target, sys_id));
            match next {
                Some(next) => loaded = Some(next),
                None => return Value::Nil,
            }
        }
        field_of(loaded.as_ref().unwrap_or(record), &path.table, path.field).clone()
    }
}

fn is_journal(path: &BoundPath) -> bool {
    path.steps.is_empty() && path.field_def().field_type == FieldType::Journal
}

/// The value of a field of `table` in a record that may be of another class, or of another dictionary snapshot.
fn field_of<'a>(record: &'a Record, table: &Arc<TableDef>, field: FieldIndex) -> &'a Value {
    if Arc::ptr_eq(record.table(), table) {
        record.at(field)
    } else {
        record.get(&table.fields[field].name)
    }
}
