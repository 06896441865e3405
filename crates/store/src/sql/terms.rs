//! One bound term as a condition.
//!
//! A condition on a nil field is NULL or false: never true unless business-rules §11.4 says so. Conditions are only
//! joined by AND and OR, so the two are one.

use std::sync::Arc;

use campanile_model::ColumnStorage;
use campanile_model::query::{BoundPath, BoundTerm, Comparison, Test, TextMatch};

use super::comparison::{
    Kind, comparable_sql, flag_param, moment_of, number_param, second_of, text_sql,
};
use super::joins::{Column, Joins};
use super::statement::Statement;
use super::text_terms;
use super::values::Param;

/// Adds the condition of `term`.
pub(super) fn write(statement: &mut Statement, joins: &mut Joins, term: &BoundTerm) {
    let column = joins.column(&term.path);
    let sql = &column.sql;
    match &term.test {
        Test::Nil => {
            statement.push(sql).push(" IS NULL");
        }
        Test::NotNil => {
            statement.push(sql).push(" IS NOT NULL");
        }
        Test::Anything => {
            statement.push("TRUE");
        }
        // Change operators have no meaning in a database query; binding refuses them.
        Test::Never | Test::Changes | Test::ChangesFrom(_) | Test::ChangesTo(_) => {
            statement.push("FALSE");
        }
        Test::In(values) => is_one_of(statement, &column, values),
        Test::NotIn(values) => {
            statement.push("(").push(sql).push(" IS NULL OR NOT ");
            is_one_of(statement, &column, values);
            statement.push(")");
        }
        Test::Compare(comparison, value) => compare(statement, &column, *comparison, value),
        Test::Between(low, high) => {
            statement.push("(");
            compare(statement, &column, Comparison::GreaterOrEqual, low);
            statement.push(" AND ");
            compare(statement, &column, Comparison::LessOrEqual, high);
            statement.push(")");
        }
        Test::NotBetween(low, high) => {
            statement.push("(");
            compare(statement, &column, Comparison::Less, low);
            statement.push(" OR ");
            compare(statement, &column, Comparison::Greater, high);
            statement.push(")");
        }
        Test::Text(place, part) => {
            let sql = text_sql(statement.dialect, &column);
            text_terms::stands_in(statement, &sql, *place, part);
        }
        Test::NotContains(part) => {
            let sql = text_sql(statement.dialect, &column);
            statement.push("NOT ");
            text_terms::stands_in(statement, &sql, TextMatch::Contains, part);
        }
        Test::ListHas(member) => list_has(statement, &column, member, " > 0"),
        Test::ListHasNot(member) => list_has(statement, &column, member, " = 0"),
        Test::ClassIn(classes) if classes.is_empty() => {
            statement.push("FALSE");
        }
        Test::ClassIn(classes) => {
            let exact = statement.dialect.exact(sql);
            let classes = classes.iter().cloned().map(Param::Text).collect();
            statement.push(&exact).is_one_of(classes, ColumnStorage::Text);
        }
        Test::SameAs(other) => compare_field(statement, joins, &column, "=", other),
        Test::NotSameAs(other) => {
            let other_sql = joins.column(other).sql;
            statement.push("(").push(sql).push(" IS NOT NULL AND (");
            statement.push(&other_sql).push(" IS NULL OR ");
            compare_field(statement, joins, &column, "<>", other);
            statement.push("))");
        }
        Test::CompareField(comparison, other) => {
            compare_field(statement, joins, &column, operator(*comparison), other);
        }
    }
}

/// Whether two terms are arms of one list: `a=1^ORa=2` is `aIN1,2`.
pub(super) fn same_column(left: &BoundPath, right: &BoundPath) -> bool {
    left.field == right.field
        && left.table.name == right.table.name
        && left.steps.len() == right.steps.len()
        && left.steps.iter().zip(&right.steps).all(|(l, r)| {
            l.field == r.field && l.table.name == r.table.name && l.target.name == r.target.name
        })
}

const fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn is_one_of(statement: &mut Statement, column: &Column<'_>, values: &[Arc<str>]) {
    let sql = &column.sql;
    let params: Vec<Param> = match Kind::of(column.field) {
        Kind::Number => values.iter().filter_map(|value| number_param(value)).collect(),
        Kind::Boolean => values.iter().map(|value| flag_param(value)).collect(),
        Kind::Temporal => values.iter().cloned().map(Param::Text).collect(),
        Kind::Key => values.iter().map(|value| statement.dialect.no_case_param(value)).collect(),
        Kind::Millis => return is_one_second_of(statement, sql, values),
        Kind::Text => {
            let sql = text_sql(statement.dialect, column);
            return text_terms::is_one_of(statement, &sql, values);
        }
    };
    if params.is_empty() {
        statement.push("FALSE");
        return;
    }
    let sql = match Kind::of(column.field) {
        Kind::Number | Kind::Boolean => comparable_sql(statement.dialect, column),
        Kind::Key => statement.dialect.no_case(sql),
        _ => statement.dialect.exact(sql),
    };
    statement.push(&sql).is_one_of(params, column.field.storage);
}

fn is_one_second_of(statement: &mut Statement, sql: &str, values: &[Arc<str>]) {
    let seconds: Vec<_> = values.iter().filter_map(|value| second_of(value)).collect();
    if seconds.is_empty() {
        statement.push("FALSE");
        return;
    }
    // Joined as the arms of a group: see `query::joined`.
    super::query::joined(statement, " OR ", seconds, &mut |statement, (first, last)| {
        statement.push(sql).push(" BETWEEN ");
        statement.bind_as(Param::Integer(first), ColumnStorage::EpochMillis).push(" AND ");
        statement.bind_as(Param::Integer(last), ColumnStorage::EpochMillis);
    });
}

fn compare(statement: &mut Statement, column: &Column<'_>, comparison: Comparison, value: &str) {
    let sql = &column.sql;
    let (sql, param) = match Kind::of(column.field) {
        Kind::Number => match number_param(value) {
            Some(param) => (comparable_sql(statement.dialect, column), param),
            None => {
                statement.push("FALSE");
                return;
            }
        },
        Kind::Boolean => (sql.clone(), flag_param(value)),
        Kind::Millis => match second_of(value).or_else(|| moment_of(value).map(|at| (at, at))) {
            // A literal is a second; a stored instant lies somewhere in its own.
            Some((first, last)) => {
                let edge = match comparison {
                    Comparison::Less | Comparison::GreaterOrEqual => first,
                    Comparison::LessOrEqual | Comparison::Greater => last,
                };
                (sql.clone(), Param::Integer(edge))
            }
            None => (text_sql(statement.dialect, column), Param::Text(value.into())),
        },
        Kind::Temporal => (statement.dialect.exact(sql), Param::Text(value.into())),
        Kind::Key | Kind::Text => (
            comparable_sql(statement.dialect, column),
            Param::Text(campanile_model::fold::fold(value).into()),
        ),
    };
    // Texts are compared as texts, whatever the column is.
    let storage = match &param {
        Param::Text(_) => ColumnStorage::Text,
        _ => column.field.storage,
    };
    statement.push(&sql).push(" ").push(operator(comparison)).push(" ").bind_as(param, storage);
}

fn compare_field(
    statement: &mut Statement,
    joins: &mut Joins,
    column: &Column<'_>,
    operator: &str,
    other: &BoundPath,
) {
    let other = joins.column(other);
    // Both sides are written for the left field's kind, as in memory; binding lets only like kinds meet.
    let (left, right) = match Kind::of(column.field) {
        Kind::Number | Kind::Boolean => {
            (comparable_sql(statement.dialect, column), comparable_sql(statement.dialect, &other))
        }
        Kind::Temporal | Kind::Millis => {
            (text_sql(statement.dialect, column), text_sql(statement.dialect, &other))
        }
        Kind::Key | Kind::Text => (
            comparable_sql(statement.dialect, column),
            format!("campanile_fold({})", text_sql(statement.dialect, &other)),
        ),
    };
    statement.push(&left).push(" ").push(operator).push(" ").push(&right);
}

fn list_has(statement: &mut Statement, column: &Column<'_>, member: &str, found: &str) {
    let member = format!(",{},", campanile_model::fold::fold(member));
    let sql = text_sql(statement.dialect, column);
    let position = statement.dialect.position_function();
    statement.push(position).push("(',' || campanile_fold(").push(&sql).push(") || ',', ");
    statement.bind_as(Param::Text(member.into()), ColumnStorage::Text).push(")").push(found);
}
