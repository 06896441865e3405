//! A statement that grows: text and parameters.

use campanile_model::{ColumnStorage, TableDef};

use super::dialect::Dialect;
use super::values::Param;

/// Text with `?` for each parameter, and their values in that order.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) dialect: Dialect,
    pub(crate) text: String,
    pub(crate) params: Vec<Param>,
}

/// Values of a list that are bound one by one; more go as one JSON array, so that a list of thousands is one
/// parameter and all long lists share one prepared statement.
const LIST_INLINE_MAX: usize = 12;

impl Statement {
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A statement that begins so.
    pub(crate) fn new(dialect: Dialect, text: &str) -> Self {
        Self { dialect, text: text.to_owned(), params: Vec::new() }
    }

    /// Adds a parameter and its place, which has the type of what it is written to.
    pub(crate) fn bind(&mut self, param: Param) -> &mut Self {
        self.params.push(param);
        self.push("?")
    }

    /// Adds a parameter and its place, to be compared with a column that is stored so.
    pub(crate) fn bind_as(&mut self, param: Param, storage: ColumnStorage) -> &mut Self {
        let place = self.dialect.place(&param, storage);
        self.params.push(param);
        self.push(place)
    }

    /// Adds: the key `sql` is `sys_id`, ignoring case.
    pub(crate) fn is_key(&mut self, sql: &str, sys_id: &str) -> &mut Self {
        let param = self.dialect.no_case_param(sys_id);
        match self.dialect {
            // The key's own collation ignores case; the parameter's does so too, for views.
            Dialect::Sqlite => self.push(sql).push(" = ").bind(param).push(" COLLATE NOCASE"),
            Dialect::Postgres => {
                let key = self.dialect.no_case(sql);
                self.push(&key).push(" = ").bind_as(param, ColumnStorage::Text)
            }
        }
    }

    /// Adds a statement with its parameters.
    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        self.params.extend(other.params);
        self.push(&other.text)
    }

    /// Adds a quoted name.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        push_quoted(&mut self.text, name);
        self
    }

    /// Adds the condition that a column that is stored so is one of `params`, which must not be empty.
    pub(crate) fn is_one_of(&mut self, params: Vec<Param>, storage: ColumnStorage) -> &mut Self {
        if params.len() == 1 {
            self.push(" = ");
            for param in params {
                self.bind_as(param, storage);
            }
            return self;
        }
        match self.dialect {
            Dialect::Sqlite if params.len() > LIST_INLINE_MAX => {
                self.push(" IN (SELECT value FROM json_each(").bind(json_array(&params)).push("))")
            }
            Dialect::Sqlite => {
                self.push(" IN (");
                for (i, param) in params.into_iter().enumerate() {
                    self.push(if i == 0 { "" } else { ", " }).bind(param);
                }
                self.push(")")
            }
            // Lists of all lengths share one prepared statement.
            Dialect::Postgres => {
                let place = Dialect::list_place(&params, storage);
                self.params.push(Param::List(params));
                self.push(" = ANY (").push(place).push(")")
            }
        }
    }

    /// Adds the condition that the row aliased `alias` is of `table`'s class or below. Returns whether there is one.
    ///
    /// The sign keeps the index on the class out of the plan. Without statistics the planner takes a class for ten
    /// rows; it is a third of the table, and any other index, or the order of the page, serves better.
    pub(crate) fn class_condition(&mut self, before: &str, alias: &str, table: &TableDef) -> bool {
        match self.dialect {
            Dialect::Sqlite => self.class_condition_by_index(before, &format!("+{alias}"), table),
            Dialect::Postgres => self.class_condition_by_index(before, alias, table),
        }
    }

    /// The same, beside a condition that finds one row by its key: no index of classes is to be used instead. On PostgreSQL both
    /// look equally cheap while the server knows little of the table, and the class then reads all its rows.
    pub(crate) fn class_condition_beside_key(
        &mut self,
        before: &str,
        alias: &str,
        table: &TableDef,
    ) -> bool {
        match self.dialect {
            Dialect::Sqlite => self.class_condition(before, alias, table),
            Dialect::Postgres => {
                let column = format!("({alias}.\"sys_class_name\" || '')");
                self.class_in(before, &column, table)
            }
        }
    }

    /// The same, for a statement that has no other condition.
    pub(crate) fn class_condition_by_index(
        &mut self,
        before: &str,
        alias: &str,
        table: &TableDef,
    ) -> bool {
        self.class_in(before, &format!("{alias}.\"sys_class_name\""), table)
    }

    fn class_in(&mut self, before: &str, column: &str, table: &TableDef) -> bool {
        if !table.has_class || table.name == table.root {
            return false;
        }
        self.push(before).push(column);
        let classes = table.subtree.iter().cloned().map(Param::Text).collect();
        self.is_one_of(classes, ColumnStorage::Text);
        true
    }
}

/// `name` in double quotes.
pub(crate) fn push_quoted(text: &mut String, name: &str) {
    text.push('"');
    for c in name.chars() {
        if c == '"' {
            text.push('"');
        }
        text.push(c);
    }
    text.push('"');
}

/// `name` in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    push_quoted(&mut text, name);
    text
}

fn json_array(params: &[Param]) -> Param {
    Param::Text(json(params).to_string().into())
}

fn json(params: &[Param]) -> serde_json::Value {
    let values = params.iter().map(|param| match param {
        Param::Null => serde_json::Value::Null,
        Param::Integer(number) => (*number).into(),
        Param::Real(number) => (*number).into(),
        Param::Text(text) => (**text).into(),
        Param::List(params) => json(params),
    });
    serde_json::Value::Array(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }

    #[test]
    fn long_lists_are_one_parameter() {
        for (dialect, text) in [
            (Dialect::Sqlite, "c IN (SELECT value FROM json_each(?))"),
            (Dialect::Postgres, "c = ANY (?::bigint[])"),
        ] {
            let mut statement = Statement::new(dialect, "c");
            statement.is_one_of((0..5_000).map(Param::Integer).collect(), ColumnStorage::Integer);
            assert_eq!(statement.params.len(), 1);
            assert_eq!(statement.text, text);
        }
    }
}
