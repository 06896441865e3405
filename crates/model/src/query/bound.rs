//! A query whose paths and values are resolved against the dictionary: what SQL and memory both run.

use std::sync::Arc;

use super::tree::InvalidTerm;
use crate::table_def::{FieldDef, FieldIndex, TableDef};

/// One step of a dot-walk: follow reference `field` of `table` to `target`.
#[derive(Debug, Clone)]
pub struct PathStep {
    /// Table the reference stands on.
    pub table: Arc<TableDef>,
    /// The reference.
    pub field: FieldIndex,
    /// Table it points to.
    pub target: Arc<TableDef>,
}

/// A field, reached through zero or more references.
#[derive(Debug, Clone)]
pub struct BoundPath {
    /// References to follow, at most [`crate::limits::DOT_WALK_STEPS_MAX`].
    pub steps: Vec<PathStep>,
    /// Table of the last field.
    pub table: Arc<TableDef>,
    /// The last field.
    pub field: FieldIndex,
}

impl BoundPath {
    /// The definition of the last field.
    #[must_use]
    pub fn field_def(&self) -> &FieldDef {
        &self.table.fields[self.field]
    }
}

/// The four orderings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Where a text must stand in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextMatch {
    /// At the beginning.
    Prefix,
    /// At the end.
    Suffix,
    /// Anywhere.
    Contains,
}

/// What a field must satisfy. Literals are stored texts of the field's type (booleans `1`/`0`, dates UTC);
/// numbers compare as numbers, temporal fields as their texts, everything else as text: ignoring case in the
/// database mode, with case in the condition mode (§11.5).
#[derive(Debug, Clone)]
pub enum Test {
    /// The field is nil.
    Nil,
    /// The field is not nil.
    NotNil,
    /// Always true.
    Anything,
    /// Never true (an empty `IN` list).
    Never,
    /// Equal to one of the values; nil never is. Texts with no number in a numeric field are left out at binding.
    In(Vec<Arc<str>>),
    /// Equal to none of the values; nil satisfies it (§11.4).
    NotIn(Vec<Arc<str>>),
    /// Ordering against a literal: in a field that is kept in milliseconds a second, or one exact moment when it is
    /// written as RFC 3339. Nil: never in the database mode; before every value in the condition mode.
    Compare(Comparison, Arc<str>),
    /// Inclusive both ends; nil never is.
    Between(Arc<str>, Arc<str>),
    /// Outside the closed interval (`NOTON`); nil never is.
    NotBetween(Arc<str>, Arc<str>),
    /// Text affix or substring; nil never is.
    Text(TextMatch, Arc<str>),
    /// Substring absent; nil never is (§11.4).
    NotContains(Arc<str>),
    /// A comma list holds the member; nil never does.
    ListHas(Arc<str>),
    /// A comma list does not hold the member; nil never satisfies it.
    ListHasNot(Arc<str>),
    /// The class is one of these (`INSTANCEOF`, already expanded to the subtree).
    ClassIn(Vec<Arc<str>>),
    /// Equal to another field of the same row; both nil: no.
    SameAs(BoundPath),
    /// Different from another field of the same row; left nil: no; right nil and left not: yes.
    NotSameAs(BoundPath),
    /// Ordering against another field; nil on either side: no.
    CompareField(Comparison, BoundPath),
    /// Condition mode only: the field changed.
    Changes,
    /// Condition mode only: it changed and was this before.
    ChangesFrom(Arc<str>),
    /// Condition mode only: it changed and is this now.
    ChangesTo(Arc<str>),
}

/// One bound term.
#[derive(Debug, Clone)]
pub struct BoundTerm {
    /// The field.
    pub path: BoundPath,
    /// What it must satisfy.
    pub test: Test,
    /// The term as it was written, for explanations.
    pub text: Arc<str>,
}

/// One order key.
#[derive(Debug, Clone)]
pub struct BoundOrder {
    /// The field; a reference is already extended to the display field of its target.
    pub path: BoundPath,
    /// Descending.
    pub descending: bool,
}

/// A bound query: alternatives (OR) of groups (AND) of terms (OR).
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// The queried class; rows of its subtree match.
    pub table: Arc<TableDef>,
    /// None at all means every row.
    pub alternatives: Vec<Vec<Vec<BoundTerm>>>,
    /// In order of significance. The store adds `sys_id` as the last key.
    pub order: Vec<BoundOrder>,
    /// What was dropped.
    pub dropped: Vec<InvalidTerm>,
    /// No row satisfies it, whatever the alternatives say (an invalid term under
    /// `glide.invalid_query.returns_no_rows`, or in a condition).
    pub never: bool,
}

impl BoundQuery {
    /// Every row of `table`.
    #[must_use]
    pub fn all(table: Arc<TableDef>) -> Self {
        Self {
            table,
            alternatives: Vec::new(),
            order: Vec::new(),
            dropped: Vec::new(),
            never: false,
        }
    }
}
