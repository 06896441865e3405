//! Binding a parsed query to the dictionary.

use std::collections::HashSet;
use std::sync::Arc;

use super::bound::{BoundOrder, BoundPath, BoundQuery, BoundTerm, Comparison, Test, TextMatch};
use super::literal::Literal;
use super::parse::TEXT_SEARCH_FIELDS;
use super::path::{resolve, to_display_text};
use super::print::print_term;
use super::tree::{Group, InvalidTerm, Operator, Order, Query, Term};
use super::value_tests::{among_booleans, any_of, changed, items, none_of, span};
use crate::dictionary::Dictionary;
use crate::sys_id::SysId;
use crate::table_def::{ColumnStorage, FieldDef, FieldType, TableDef};

/// Where the query will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindMode {
    /// As a database query: change operators are invalid; an invalid term is dropped, or makes the query match
    /// no row when [`BindOptions::invalid_returns_no_rows`] is set.
    Database,
    /// As a condition on one record in memory: change operators are valid; an invalid term makes the whole
    /// condition false.
    Condition,
}

/// How to bind.
#[derive(Debug, Clone, Copy)]
pub struct BindOptions {
    /// Where the query will run.
    pub mode: BindMode,
    /// `glide.invalid_query.returns_no_rows`.
    pub invalid_returns_no_rows: bool,
}

/// Resolves every path and literal of `query` for rows of `table`.
///
/// Never fails: what has no meaning is listed in [`BoundQuery::dropped`]. An invalid arm of an OR group drops
/// only that arm; a group whose arms are all invalid is dropped, and so is an alternative whose groups are all
/// dropped while another stands. A literal that is no value of its field's type (`priority=abc`) is no invalid
/// term: no row has that value. Order terms are resolved in the database mode only; groupings are not bound.
#[must_use]
pub fn bind(
    query: &Query,
    table: &Arc<TableDef>,
    dictionary: &Dictionary,
    options: BindOptions,
) -> BoundQuery {
    let binder = Binder { table, dictionary, mode: options.mode };
    let mut bound = BoundQuery::all(Arc::clone(table));
    bound.dropped.clone_from(&query.invalid);
    for alternative in &query.alternatives {
        let groups = alternative.groups.iter().map(|group| binder.group(group, &mut bound.dropped));
        let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
        if !groups.is_empty() {
            bound.alternatives.push(groups);
        }
    }
    if options.mode == BindMode::Database {
        // A field that orders the rows already orders them no further.
        let mut seen = HashSet::new();
        for order in query.order.iter().filter(|order| seen.insert(&order.path)) {
            match binder.order(order) {
                Ok(order) => bound.order.push(order),
                Err(invalid) => bound.dropped.push(invalid),
            }
        }
    }
    bound.never = !bound.dropped.is_empty()
        && (options.mode == BindMode::Condition || options.invalid_returns_no_rows);
    bound
}

struct Binder<'a> {
    table: &'a Arc<TableDef>,
    dictionary: &'a Dictionary,
    mode: BindMode,
}

impl Binder<'_> {
    fn group(&self, group: &Group, dropped: &mut Vec<InvalidTerm>) -> Vec<BoundTerm> {
        let mut arms = Vec::new();
        for term in &group.terms {
            let text: Arc<str> = Arc::from(print_term(term));
            match self.term(term) {
                Ok((path, tests)) => arms.extend(tests.into_iter().map(|test| BoundTerm {
                    path: path.clone(),
                    test,
                    text: Arc::clone(&text),
                })),
                Err(reason) => dropped.push(InvalidTerm { text: text.to_string(), reason }),
            }
        }
        arms
    }

    fn order(&self, order: &Order) -> Result<BoundOrder, InvalidTerm> {
        let path = self.stored(&order.path).and_then(|path| {
            let target = self.dictionary.table(&path.field_def().reference);
            // A reference to a table that does not exist has no display text: its key orders it.
            if target.is_none() { Ok(path) } else { to_display_text(path, self.dictionary) }
        });
        path.map(|path| BoundOrder { path, descending: order.descending }).map_err(|reason| {
            let word = if order.descending { "ORDERBYDESC" } else { "ORDERBY" };
            InvalidTerm { text: format!("{word}{}", order.path), reason }
        })
    }

    /// The field of a term and what it must satisfy: one of the tests.
    fn term(&self, term: &Term) -> Result<(BoundPath, Vec<Test>), String> {
        let value = term.value.as_str();
        if let Operator::Unsupported(word) = term.operator {
            return Err(format!("{word} is not evaluated yet"));
        }
        if TEXT_SEARCH_FIELDS.contains(&term.path.as_str()) {
            return Err("text search is not evaluated yet".to_owned());
        }
        let is_compound =
            matches!(term.operator, Operator::Between | Operator::On | Operator::NotOn);
        if value.starts_with("javascript:") || is_compound && value.contains("@javascript:") {
            return Err("javascript: values are not evaluated yet".to_owned());
        }
        if term.operator.is_change() && self.mode == BindMode::Database {
            return Err(format!("{} needs a record with old and new values", term.operator.word()));
        }
        let path = resolve(self.table, self.dictionary, &term.path)?;
        self.admit(&path, term)?;
        let field = path.field_def();
        let one = |test| Ok(vec![test]);
        let tests = match term.operator {
            Operator::Equals if value.is_empty() || value == "NULL" => one(Test::Nil),
            Operator::NotEquals if value.is_empty() || value == "NULL" => one(Test::NotNil),
            Operator::Equals => Ok(any_of(field, [value])),
            Operator::NotEquals => Ok(none_of(field, [value])),
            Operator::In => Ok(any_of(field, items(value))),
            Operator::NotIn => Ok(none_of(field, items(value))),
            Operator::IsEmpty => one(Test::Nil),
            Operator::IsNotEmpty => one(Test::NotNil),
            Operator::Anything => one(Test::Anything),
            Operator::Less => one(self.ordering(field, Comparison::Less, value)),
            Operator::LessOrEqual => one(self.ordering(field, Comparison::LessOrEqual, value)),
            Operator::Greater => one(self.ordering(field, Comparison::Greater, value)),
            Operator::GreaterOrEqual => {
                one(self.ordering(field, Comparison::GreaterOrEqual, value))
            }
            Operator::Between => {
                let ends = value.split_once('@').ok_or("expected low@high after BETWEEN")?;
                one(span(field, ends, Test::Between)?)
            }
            Operator::On | Operator::NotOn => self.on(term.operator, field, value),
            Operator::StartsWith => return self.text(path, TextMatch::Prefix, value),
            Operator::EndsWith => return self.text(path, TextMatch::Suffix, value),
            Operator::Like => return self.text(path, TextMatch::Contains, value),
            Operator::NotLike => return self.not_like(path, value),
            Operator::InstanceOf => {
                if field.field_type != FieldType::TableName {
                    return Err(format!(
                        "INSTANCEOF needs a field that holds a class, not '{}'",
                        field.name
                    ));
                }
                one(match self.dictionary.table(value) {
                    Some(class) => Test::ClassIn(class.subtree.clone()),
                    None => Test::Never,
                })
            }
            Operator::SameAs => one(Test::SameAs(self.other_field(term, &path)?)),
            Operator::NotSameAs => one(Test::NotSameAs(self.other_field(term, &path)?)),
            Operator::GreaterField => one(self.field_ordering(term, &path, Comparison::Greater)?),
            Operator::LessField => one(self.field_ordering(term, &path, Comparison::Less)?),
            Operator::GreaterOrEqualField => {
                one(self.field_ordering(term, &path, Comparison::GreaterOrEqual)?)
            }
            Operator::LessOrEqualField => {
                one(self.field_ordering(term, &path, Comparison::LessOrEqual)?)
            }
            Operator::Changes => one(Test::Changes),
            Operator::ChangesFrom => one(changed(field, value, Test::ChangesFrom)),
            Operator::ChangesTo => one(changed(field, value, Test::ChangesTo)),
            Operator::Unsupported(word) => Err(format!("{word} is not evaluated yet")),
        }?;
        Ok((path, tests))
    }

    /// Whether the field can be asked this at all: a journal has no stored value, only the text that is being
    /// entered; of a password no more can be learnt than whether there is one and whether it changed.
    fn admit(&self, path: &BoundPath, term: &Term) -> Result<(), String> {
        let field = path.field_def();
        let (name, table) = (&field.name, &path.table.name);
        if field.field_type == FieldType::Journal
            && self.mode == BindMode::Condition
            && path.steps.is_empty()
        {
            return Ok(());
        }
        if field.storage == ColumnStorage::None {
            return Err(format!(
                "field '{name}' of table '{table}' is a journal and has no stored value"
            ));
        }
        let asks_little = match term.operator {
            Operator::IsEmpty | Operator::IsNotEmpty | Operator::Anything | Operator::Changes => {
                true
            }
            Operator::Equals | Operator::NotEquals => term.value.is_empty() || term.value == "NULL",
            _ => false,
        };
        if is_password(field) && !asks_little {
            return Err(format!(
                "field '{name}' of table '{table}' is a password and is not compared"
            ));
        }
        Ok(())
    }

    /// A path whose values can be compared and ordered.
    fn stored(&self, path: &str) -> Result<BoundPath, String> {
        let path = resolve(self.table, self.dictionary, path)?;
        let field = path.field_def();
        if field.storage == ColumnStorage::None || is_password(field) {
            return Err(format!(
                "field '{}' of table '{}' is not compared",
                field.name, path.table.name
            ));
        }
        Ok(path)
    }

    fn ordering(&self, field: &FieldDef, comparison: Comparison, value: &str) -> Test {
        if value.is_empty() {
            // Against nil: nothing in the database; in a condition nil orders before every value.
            return match (self.mode, comparison) {
                (BindMode::Database, _) | (_, Comparison::Less) => Test::Never,
                (_, Comparison::LessOrEqual) => Test::Nil,
                (_, Comparison::Greater) => Test::NotNil,
                (_, Comparison::GreaterOrEqual) => Test::Anything,
            };
        }
        let literal = Literal::of(field, value);
        let bound = match comparison {
            Comparison::Less | Comparison::GreaterOrEqual => literal.first(),
            Comparison::LessOrEqual | Comparison::Greater => literal.last(),
        };
        bound.map_or(Test::Never, |bound| Test::Compare(comparison, bound))
    }

    fn on(&self, operator: Operator, field: &FieldDef, value: &str) -> Result<Vec<Test>, String> {
        if !field.field_type.is_temporal() {
            return Err(format!(
                "{} needs a date or time, not field '{}'",
                operator.word(),
                field.name
            ));
        }
        let ends = value.split_once('@').and_then(|(_label, ends)| ends.split_once('@'));
        let ends =
            ends.ok_or_else(|| format!("expected label@start@end after {}", operator.word()))?;
        let test = if operator == Operator::On { Test::Between } else { Test::NotBetween };
        Ok(vec![span(field, ends, test)?])
    }

    fn text(
        &self,
        path: BoundPath,
        place: TextMatch,
        value: &str,
    ) -> Result<(BoundPath, Vec<Test>), String> {
        let path = to_display_text(path, self.dictionary)?;
        let field = path.field_def();
        let test = if value.is_empty() {
            Test::NotNil
        } else if is_membership(field, place, value) {
            Test::ListHas(Arc::from(value))
        } else if field.field_type == FieldType::Boolean {
            among_booleans(value, true)
        } else {
            Test::Text(place, Arc::from(value))
        };
        Ok((path, vec![test]))
    }

    fn not_like(&self, path: BoundPath, value: &str) -> Result<(BoundPath, Vec<Test>), String> {
        let path = to_display_text(path, self.dictionary)?;
        let field = path.field_def();
        let test = if value.is_empty() {
            Test::Never
        } else if is_membership(field, TextMatch::Contains, value) {
            Test::ListHasNot(Arc::from(value))
        } else if field.field_type == FieldType::Boolean {
            among_booleans(value, false)
        } else {
            Test::NotContains(Arc::from(value))
        };
        Ok((path, vec![test]))
    }

    /// The field on the right side of a field comparison: stored, and of the same kind as the left one.
    fn other_field(&self, term: &Term, left: &BoundPath) -> Result<BoundPath, String> {
        if let Some((_, unit)) = term.value.split_once('@') {
            return Err(format!("comparing by '{unit}' is not evaluated yet"));
        }
        let right = self.stored(&term.value)?;
        if FieldKind::of(left.field_def()) != FieldKind::of(right.field_def()) {
            return Err(format!(
                "'{}' and '{}' hold different kinds of values",
                term.path, term.value
            ));
        }
        Ok(right)
    }

    fn field_ordering(
        &self,
        term: &Term,
        left: &BoundPath,
        comparison: Comparison,
    ) -> Result<Test, String> {
        let kind = left.field_def().field_type;
        if !kind.is_numeric() && !kind.is_temporal() {
            return Err(format!("{} compares numbers and dates only", term.operator.word()));
        }
        Ok(Test::CompareField(comparison, self.other_field(term, left)?))
    }
}

/// Kinds of values that two fields must share to be compared with each other.
#[derive(Debug, PartialEq, Eq)]
enum FieldKind {
    Number,
    Boolean,
    DateTime,
    Date,
    Time,
    Duration,
    Text,
}

impl FieldKind {
    fn of(field: &FieldDef) -> Self {
        match field.field_type {
            FieldType::Integer | FieldType::Decimal | FieldType::Float => Self::Number,
            FieldType::Boolean => Self::Boolean,
            FieldType::DateTime => Self::DateTime,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::Duration => Self::Duration,
            _ => Self::Text,
        }
    }
}

fn is_password(field: &FieldDef) -> bool {
    field.field_type.is_secret()
}

fn is_membership(field: &FieldDef, place: TextMatch, value: &str) -> bool {
    field.field_type == FieldType::GlideList
        && place == TextMatch::Contains
        && SysId::is_valid(value)
}
