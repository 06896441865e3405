//! Building the query of a record object (scripting §5.2).

use std::vec;

use campanile_model::Record;
use campanile_model::query::Order;
use campanile_model::query::build::Operand;
use campanile_model::query::{
    BindMode, BindOptions, BoundQuery, Group, InvalidTerm, ParseLimits, Query, Term, bind, parse,
    print,
};
use campanile_script::{ConditionId, ExternalValue};

use super::assigning::operand_texts;
use super::held::bytes_of;
use super::object::ScriptRecord;
use crate::records::{conversion, withheld};

/// What `addQuery` and its kin collected, and the rows that the last query found.
#[derive(Debug, Default)]
pub(super) struct Search {
    parts: Vec<Part>,
    order: Vec<Order>,
    invalid: Vec<InvalidTerm>,
    pub(super) limit: Option<u64>,
    /// First row and number of rows.
    pub(super) window: Option<(u64, u64)>,
    /// Rows behind the cursor.
    pub(super) rows: vec::IntoIter<Record>,
    pub(super) row_count: u64,
    pub(super) queried: bool,
    /// Bytes of conditions and order.
    condition_bytes: usize,
    /// Bytes of the rows that the last query found.
    row_bytes: usize,
}

/// One condition that must hold.
#[derive(Debug, Clone)]
enum Part {
    /// Terms joined by OR.
    Group(Vec<Term>),
    Encoded(Query),
}

impl Search {
    /// Forgets conditions, order and rows.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn query(&self) -> Query {
        let mut query = Query { invalid: self.invalid.clone(), ..Query::default() };
        for part in &self.parts {
            match part {
                Part::Group(terms) => query.push_group(Group { terms: terms.clone() }),
                Part::Encoded(encoded) => query = query.and(encoded.clone()),
            }
        }
        query.order.extend(self.order.iter().cloned());
        query
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.condition_bytes + self.row_bytes
    }

    /// The rows that a query found.
    pub(super) fn keep_rows(&mut self, found: Vec<Record>) {
        self.row_bytes = found.iter().map(bytes_of).sum();
        self.row_count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        self.rows = found.into_iter();
        self.queried = true;
    }

    fn push(&mut self, part: Part) -> ConditionId {
        self.condition_bytes += size_of::<Part>();
        self.parts.push(part);
        ConditionId::try_from(self.parts.len() - 1).unwrap_or(ConditionId::MAX)
    }
}

impl ScriptRecord {
    /// A new condition.
    pub(super) fn add_term(
        &self,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        let built = build(field, operator, value);
        let made = {
            let mut search = self.search.borrow_mut();
            search.condition_bytes += bytes_of_condition(&built);
            match built {
                Ok(term) => search.push(Part::Group(vec![term])),
                Err(invalid) => {
                    search.invalid.push(invalid);
                    search.push(Part::Group(Vec::new()))
                }
            }
        };
        self.count_held();
        made
    }

    /// Another arm of the condition `on`.
    pub(super) fn add_arm(
        &self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        let built = build(field, operator, value);
        self.search.borrow_mut().condition_bytes += bytes_of_condition(&built);
        self.count_held();
        let mut search = self.search.borrow_mut();
        let term = match built {
            Ok(term) => term,
            Err(invalid) => {
                search.invalid.push(invalid);
                return on;
            }
        };
        let position = usize::try_from(on).unwrap_or(usize::MAX);
        match search.parts.get_mut(position) {
            Some(Part::Group(terms)) => terms.push(term),
            Some(Part::Encoded(query)) => {
                let last = query.alternatives.last_mut().and_then(|a| a.groups.last_mut());
                match last {
                    Some(group) => group.terms.push(term),
                    None => query.push_group(Group { terms: vec![term] }),
                }
            }
            None => return search.push(Part::Group(vec![term])),
        }
        on
    }

    /// Conditions in encoded form; `javascript:` values run with the script's rights.
    pub(super) fn add_encoded(&self, text: &str) -> ConditionId {
        let query = match parse(text, ParseLimits::STORED) {
            Ok(mut query) => {
                self.execution.evaluate_values(&mut query);
                query
            }
            Err(error) => Query {
                invalid: vec![InvalidTerm {
                    text: text.chars().take(100).collect(),
                    reason: error.to_string(),
                }],
                ..Query::default()
            },
        };
        let made = {
            let mut search = self.search.borrow_mut();
            search.condition_bytes += bytes_of_encoded(&query);
            search.push(Part::Encoded(query))
        };
        self.count_held();
        made
    }

    pub(super) fn add_order(&self, field: &str, descending: bool) {
        {
            let mut search = self.search.borrow_mut();
            search.condition_bytes += size_of::<Order>() + field.len();
            search.order.push(Order { path: field.to_owned(), descending });
        }
        self.count_held();
    }

    pub(super) fn set_row_limit(&self, rows: i64) {
        let mut search = self.search.borrow_mut();
        search.window = None;
        search.limit = u64::try_from(rows).ok().filter(|rows| *rows > 0);
    }

    pub(super) fn set_window(&self, first: i64, last: i64) {
        let first = u64::try_from(first).unwrap_or(0);
        let last = u64::try_from(last).unwrap_or(0);
        let mut search = self.search.borrow_mut();
        search.limit = None;
        search.window = Some((first, last.saturating_sub(first)));
    }

    pub(super) fn encoded(&self) -> String {
        print(&self.search.borrow().query())
    }

    pub(super) fn is_valid_query(&self, text: &str) -> bool {
        let Ok(query) = parse(text, ParseLimits::STORED) else { return false };
        let Ok(dictionary) = self.execution.dictionary() else { return false };
        if text.is_empty() || !query.invalid.is_empty() {
            return false;
        }
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: false };
        bind(&query, &self.table, &dictionary, options).dropped.is_empty()
    }

    /// The query against the dictionary; terms that were dropped are logged. Of secrets that the session may not have it
    /// asks nothing.
    pub(super) fn bound(&self) -> Option<BoundQuery> {
        let dictionary = self.execution.dictionary().ok()?;
        let strict =
            self.execution.engine().bool_property("glide.invalid_query.returns_no_rows", false);
        let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: strict };
        let query = self.search.borrow().query();
        let mut bound = bind(&query, &self.table, &dictionary, options);
        let user = &self.execution.session().user;
        let restricted = self
            .execution
            .with_read(|read| withheld::restrict_secrets(user, &dictionary, read, &mut bound));
        if let Err(error) = restricted {
            self.execution
                .log_error("record", &format!("a query on {} was not run: {error}", self.name));
            return None;
        }
        bound.never |= strict && !bound.dropped.is_empty();
        for term in &bound.dropped {
            self.execution.warn(&format!(
                "a condition of a query on {} was {}: '{}': {}",
                self.name,
                if strict { "invalid, so the query finds nothing" } else { "left out" },
                term.text,
                term.reason
            ));
        }
        Some(bound)
    }
}

/// About how many bytes a condition takes.
fn bytes_of_condition(built: &Result<Term, InvalidTerm>) -> usize {
    match built {
        Ok(term) => size_of::<Term>() + term.path.len() + term.value.len(),
        Err(invalid) => size_of::<InvalidTerm>() + invalid.text.len() + invalid.reason.len(),
    }
}

/// About how many bytes the conditions of an encoded query take.
fn bytes_of_encoded(query: &Query) -> usize {
    let terms = query.terms().map(|term| size_of::<Term>() + term.path.len() + term.value.len());
    let order = query.order.iter().map(|order| size_of::<Order>() + order.path.len());
    terms.chain(order).sum()
}

fn build(field: &str, operator: &str, value: &ExternalValue) -> Result<Term, InvalidTerm> {
    if let Some(items) = operand_texts(value) {
        return Term::build(field, operator, Operand::List(&items));
    }
    if conversion::is_nothing(value) {
        return Term::build(field, operator, Operand::Nothing);
    }
    Term::build(field, operator, Operand::Text(&conversion::text_of(value)))
}
