//! A bound query as SELECT.

use std::collections::VecDeque;

use campanile_model::query::{BoundOrder, BoundQuery, BoundTerm, Test};
use campanile_model::{ColumnStorage, FieldIndex, TableDef};

use super::comparison::{Kind, text_sql};
use super::dialect::Dialect;
use super::joins::{Column, Joins};
use super::statement::Statement;
use super::terms;
use super::values::Param;
use crate::contract::Select;

/// The rows of `select`, and the fields that the columns of the answer are.
pub(crate) fn select(dialect: Dialect, select: &Select) -> (Statement, Vec<FieldIndex>) {
    select_within(dialect, select, None)
}

/// As [`select`]. `narrowing` is a condition on `t0` that the query implies and that an index serves.
pub(crate) fn select_within(
    dialect: Dialect,
    select: &Select,
    narrowing: Option<Statement>,
) -> (Statement, Vec<FieldIndex>) {
    let query = &select.query;
    let fields = stored_fields(&query.table, select.fields.as_deref());
    let mut joins = Joins::default();
    let condition = condition(dialect, query, &mut joins);
    let order: Vec<String> =
        query.order.iter().map(|key| order_key(dialect, key, &mut joins)).collect();

    let mut statement = Statement::new(dialect, "SELECT ");
    push_columns(&mut statement, &query.table, &fields);
    push_source(&mut statement, query, &joins, both(condition, narrowing));
    statement.push(" ORDER BY ");
    for key in order {
        statement.push(&key).push(", ");
    }
    match dialect {
        // The key's own collation ignores case.
        Dialect::Sqlite => statement.push("t0.\"sys_id\""),
        Dialect::Postgres => statement.push(&dialect.no_case("t0.\"sys_id\"")),
    };
    let number = |rows: u64| Param::Integer(i64::try_from(rows).unwrap_or(i64::MAX));
    match (select.limit, dialect) {
        (Some(rows), _) => {
            statement.push(" LIMIT ").bind_as(number(rows), ColumnStorage::Integer);
        }
        // SQLite has no offset without a limit.
        (None, Dialect::Sqlite) if select.offset > 0 => {
            statement.push(" LIMIT ").bind(Param::Integer(-1));
        }
        (None, _) => {}
    }
    if select.offset > 0 {
        statement.push(" OFFSET ").bind_as(number(select.offset), ColumnStorage::Integer);
    }
    (statement, fields)
}

/// The number of rows of `query`.
pub(crate) fn count(dialect: Dialect, query: &BoundQuery) -> Statement {
    count_within(dialect, query, None)
}

/// As [`count`], with `narrowing` as in [`select_within`].
pub(crate) fn count_within(
    dialect: Dialect,
    query: &BoundQuery,
    narrowing: Option<Statement>,
) -> Statement {
    let mut joins = Joins::default();
    let condition = condition(dialect, query, &mut joins);
    let mut statement = Statement::new(dialect, "SELECT count(*)");
    if condition.is_none() {
        // The index on the class has all that counting needs.
        statement.push(" FROM ").name(&query.table.root).push(" AS t0");
        statement.class_condition_by_index(" WHERE ", "t0", &query.table);
    } else {
        push_source(&mut statement, query, &joins, both(condition, narrowing));
    }
    statement
}

/// Adds `parts` joined by `word` as a balanced tree: SQLite refuses expressions deeper than 1,000, and a query may
/// have thousands of terms. `parts` must not be empty.
pub(super) fn joined<T>(
    statement: &mut Statement,
    word: &str,
    parts: impl IntoIterator<Item = T>,
    write: &mut dyn FnMut(&mut Statement, T),
) {
    let mut parts: VecDeque<T> = parts.into_iter().collect();
    let count = parts.len();
    joined_first(statement, word, &mut parts, count, write);
}

fn joined_first<T>(
    statement: &mut Statement,
    word: &str,
    parts: &mut VecDeque<T>,
    count: usize,
    write: &mut dyn FnMut(&mut Statement, T),
) {
    if count <= 1 {
        if let Some(part) = parts.pop_front() {
            write(statement, part);
        }
        return;
    }
    statement.push("(");
    joined_first(statement, word, parts, count / 2, write);
    statement.push(word);
    joined_first(statement, word, parts, count - count / 2, write);
    statement.push(")");
}

/// The fields that have a column, of `wanted` or of all.
pub(super) fn stored_fields(table: &TableDef, wanted: Option<&[FieldIndex]>) -> Vec<FieldIndex> {
    let has_column = |i: &FieldIndex| {
        table.fields.get(*i).is_some_and(|field| field.storage != ColumnStorage::None)
    };
    match wanted {
        Some(wanted) => wanted.iter().copied().filter(has_column).collect(),
        None => (0..table.fields.len()).filter(has_column).collect(),
    }
}

pub(super) fn push_columns(statement: &mut Statement, table: &TableDef, fields: &[FieldIndex]) {
    for (i, field) in fields.iter().enumerate() {
        statement.push(if i == 0 { "t0." } else { ", t0." }).name(&table.fields[*field].column);
    }
    if fields.is_empty() {
        statement.push("1");
    }
}

/// Adds `FROM … JOIN … WHERE …`.
fn push_source(
    statement: &mut Statement,
    query: &BoundQuery,
    joins: &Joins,
    condition: Option<Statement>,
) {
    statement.push(" FROM ").name(&query.table.root).push(" AS t0");
    joins.write(statement);
    let has_class = statement.class_condition(" WHERE ", "t0", &query.table);
    if let Some(condition) = condition {
        statement.push(if has_class { " AND " } else { " WHERE " }).append(condition);
    }
}

/// Both conditions, where there are two.
fn both(condition: Option<Statement>, narrowing: Option<Statement>) -> Option<Statement> {
    match (condition, narrowing) {
        (Some(condition), Some(narrowing)) => {
            let mut both = Statement::new(condition.dialect, "(");
            both.append(condition).push(") AND ").append(narrowing);
            Some(both)
        }
        (condition, narrowing) => condition.or(narrowing),
    }
}

fn condition(dialect: Dialect, query: &BoundQuery, joins: &mut Joins) -> Option<Statement> {
    let mut statement = Statement::new(dialect, "");
    if query.never {
        statement.push("FALSE");
        return Some(statement);
    }
    if query.alternatives.is_empty() {
        return None;
    }
    joined(&mut statement, " OR ", &query.alternatives, &mut |statement, groups| {
        if groups.is_empty() {
            statement.push("TRUE");
        }
        joined(statement, " AND ", groups, &mut |statement, arms| {
            let arms = merged(arms);
            if arms.is_empty() {
                statement.push("FALSE");
            }
            joined(statement, " OR ", arms, &mut |statement, arm| {
                terms::write(statement, joins, &arm);
            });
        });
    });
    Some(statement)
}

/// The arms of a group with the equalities on one field made one list, which an index can serve.
fn merged(arms: &[BoundTerm]) -> Vec<BoundTerm> {
    let mut merged: Vec<BoundTerm> = Vec::with_capacity(arms.len());
    for arm in arms {
        let Test::In(values) = &arm.test else {
            merged.push(arm.clone());
            continue;
        };
        let same = merged.iter_mut().find_map(|other| match &mut other.test {
            Test::In(list) if terms::same_column(&other.path, &arm.path) => Some(list),
            _ => None,
        });
        match same {
            Some(list) => list.extend(values.iter().cloned()),
            None => merged.push(arm.clone()),
        }
    }
    merged
}

/// One key of ORDER BY.
fn order_key(dialect: Dialect, key: &BoundOrder, joins: &mut Joins) -> String {
    let column: Column<'_> = joins.column(&key.path);
    let sql = match Kind::of(column.field) {
        Kind::Text => text_order(dialect, &column),
        // So that two spellings of one key stand together.
        Kind::Key if dialect == Dialect::Postgres => dialect.no_case(&column.sql),
        _ => column.sql,
    };
    dialect.order_key(&sql, key.descending)
}

/// Display and unique columns have an index that ignores the case of ASCII letters, and are ordered by it: a page of
/// a long list must not sort the whole list. Others are ordered by their folded texts.
fn text_order(dialect: Dialect, column: &Column<'_>) -> String {
    let field = column.field;
    if field.storage == ColumnStorage::Text && (field.display || field.unique) {
        dialect.no_case(&column.sql)
    } else {
        format!("campanile_fold({})", text_sql(dialect, column))
    }
}
