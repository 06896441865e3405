//! Dot-walks as joins: one LEFT JOIN for each distinct prefix of a path.

use std::collections::HashMap;

use campanile_model::FieldDef;
use campanile_model::query::{BoundPath, PathStep};

use super::dialect::Dialect;
use super::statement::{Statement, push_quoted};

/// Aliases of the tables that a query reads: `t0` is the queried one.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    /// (alias that the reference stands on, its column, target class) → alias of the target.
    aliases: HashMap<(usize, String, String), usize>,
    steps: Vec<(usize, PathStep)>,
}

/// A field as an SQL expression.
#[derive(Debug, Clone)]
pub(crate) struct Column<'a> {
    pub(crate) sql: String,
    pub(crate) field: &'a FieldDef,
}

impl Joins {
    /// The column at the end of `path`; its joins are noted.
    pub(crate) fn column<'a>(&mut self, path: &'a BoundPath) -> Column<'a> {
        let alias = path.steps.iter().fold(0, |alias, step| self.follow(alias, step));
        let field = path.field_def();
        Column { sql: column_sql(alias, &field.column), field }
    }

    fn follow(&mut self, from: usize, step: &PathStep) -> usize {
        let column = step.table.fields[step.field].column.to_string();
        let next = self.steps.len() + 1;
        let alias =
            *self.aliases.entry((from, column, step.target.name.to_string())).or_insert(next);
        if alias == next {
            self.steps.push((from, step.clone()));
        }
        alias
    }

    /// Adds the joins, in the order in which they build on each other.
    pub(crate) fn write(&self, statement: &mut Statement) {
        for (i, (from, step)) in self.steps.iter().enumerate() {
            let alias = format!("t{}", i + 1);
            let reference = column_sql(*from, &step.table.fields[step.field].column);
            statement.push(" LEFT JOIN ").name(&step.target.root).push(" AS ").push(&alias);
            let dialect = statement.dialect;
            let key = match dialect {
                // The key's own collation ignores case.
                Dialect::Sqlite => format!("{alias}.\"sys_id\""),
                Dialect::Postgres => dialect.no_case(&format!("{alias}.\"sys_id\"")),
            };
            statement.push(" ON ").push(&key).push(" = ").push(&dialect.no_case(&reference));
            statement.class_condition_beside_key(" AND ", &alias, &step.target);
        }
    }
}

/// `t1."column"`.
pub(crate) fn column_sql(alias: usize, column: &str) -> String {
    let mut sql = format!("t{alias}.");
    push_quoted(&mut sql, column);
    sql
}
