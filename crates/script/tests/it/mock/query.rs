//! Conditions of a mock record object, and the rows that meet them.

use std::rc::Rc;

use campanile_script::{ConditionId, ExternalValue};

use super::tables::{Row, Tables};

/// One term.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) field: String,
    pub(super) operator: String,
    pub(super) values: Vec<String>,
}

/// The conditions of one record object: AND of OR groups.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) groups: Vec<Vec<Term>>,
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) window: Option<(usize, usize)>,
}

/// Texts to compare with; several for a list.
pub(super) fn texts(value: &ExternalValue) -> Vec<String> {
    match value {
        ExternalValue::Undefined | ExternalValue::Null => vec![String::new()],
        ExternalValue::Bool(flag) => vec![if *flag { "1" } else { "0" }.to_owned()],
        ExternalValue::Number(number) => vec![number.to_string()],
        ExternalValue::Text(text) => vec![text.to_string()],
        ExternalValue::Element(record, path) => {
            vec![record.stored_text(*path).map(|text| text.to_string()).unwrap_or_default()]
        }
        ExternalValue::Record(record) => vec![record.unique_value().unwrap_or_default()],
        ExternalValue::DateTime(instant) => {
            vec![instant.map(campanile_model::Instant::to_glide_text).unwrap_or_default()]
        }
        ExternalValue::List(items) => items.iter().flat_map(texts).collect(),
        ExternalValue::Object { text, .. } => vec![text.to_string()],
    }
}

impl Query {
    pub(super) fn add(
        &mut self,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.groups.push(vec![term(field, operator, value)]);
        self.last()
    }

    pub(super) fn add_or(
        &mut self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.groups[on as usize].push(term(field, operator, value));
        on
    }

    pub(super) fn last(&self) -> ConditionId {
        ConditionId::try_from(self.groups.len().saturating_sub(1)).unwrap()
    }

    pub(super) fn encoded(&self) -> String {
        let terms = self.groups.iter().map(|group| {
            group
                .iter()
                .map(|term| format!("{}{}{}", term.field, term.operator, term.values.join(",")))
                .collect::<Vec<_>>()
                .join("^OR")
        });
        let order = self
            .order
            .iter()
            .map(|(field, down)| format!("ORDERBY{}{field}", if *down { "DESC" } else { "" }));
        terms.chain(order).collect::<Vec<_>>().join("^")
    }

    /// Rows of `table` that meet all conditions, in order; limit and window apart.
    pub(super) fn matches(&self, tables: &Tables, table: &str) -> Vec<String> {
        let mut rows: Vec<&Row> = tables
            .rows
            .iter()
            .filter(|row| tables.extends(&row.class, table))
            .filter(|row| {
                self.groups.iter().all(|group| group.iter().any(|term| meets(tables, row, term)))
            })
            .collect();
        for (field, down) in self.order.iter().rev() {
            rows.sort_by_key(|row| row.values.get(field).cloned());
            if *down {
                rows.reverse();
            }
        }
        rows.iter().map(|row| row.values["sys_id"].clone()).collect()
    }

    /// What `setLimit` or `chooseWindow` leaves of the matches.
    pub(super) fn cut(&self, matches: Vec<String>) -> Vec<String> {
        match (self.window, self.limit) {
            (Some((first, last)), _) => {
                matches.into_iter().skip(first).take(last.saturating_sub(first)).collect()
            }
            (None, Some(limit)) => matches.into_iter().take(limit).collect(),
            (None, None) => matches,
        }
    }
}

fn term(field: &str, operator: &str, value: &ExternalValue) -> Term {
    Term { field: field.to_owned(), operator: operator.to_uppercase(), values: texts(value) }
}

/// The stored text at a dotted name.
fn text_at(tables: &Tables, row: &Row, path: &str) -> String {
    match path.split_once('.') {
        None => row.values.get(path).cloned().unwrap_or_default(),
        Some((first, rest)) => row
            .values
            .get(first)
            .and_then(|sys_id| tables.row(sys_id))
            .map(|row| text_at(tables, row, rest))
            .unwrap_or_default(),
    }
}

fn meets(tables: &Tables, row: &Row, term: &Term) -> bool {
    let own = text_at(tables, row, &term.field).to_lowercase();
    let is_one_of = term.values.iter().any(|value| {
        let value = match value.as_str() {
            "true" => "1",
            "false" => "0",
            other => other,
        };
        own == value.to_lowercase()
    });
    match term.operator.as_str() {
        "!=" | "NOT IN" => !is_one_of,
        "CONTAINS" => own.contains(&term.values.concat().to_lowercase()),
        _ => is_one_of,
    }
}

/// Reads `a=b^c!=d` texts; the mock knows no more of the grammar.
pub(super) fn parse(query: &str) -> Vec<(String, String, ExternalValue)> {
    query
        .split('^')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (field, value) = part.split_once('=').unwrap();
            let (field, operator) =
                field.strip_suffix('!').map_or((field, "="), |field| (field, "!="));
            (field.to_owned(), operator.to_owned(), ExternalValue::Text(Rc::from(value)))
        })
        .collect()
}
