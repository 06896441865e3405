//! A statement that grows: text and parameters.

use campanile_model::TableDef;

use super::values::Param;

/// Text with `?` for each parameter, and their values in that order.
#[derive(Debug, Default)]
pub(crate) struct Statement {
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

    /// Adds a parameter and its place.
    pub(crate) fn bind(&mut self, param: Param) -> &mut Self {
        self.params.push(param);
        self.push("?")
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

    /// Adds `= value`, or `IN (…)` for several values. `params` must not be empty.
    pub(crate) fn is_one_of(&mut self, mut params: Vec<Param>) -> &mut Self {
        if params.len() == 1 {
            self.push(" = ");
            for param in params {
                self.bind(param);
            }
            return self;
        }
        if params.len() > LIST_INLINE_MAX {
            return self
                .push(" IN (SELECT value FROM json_each(")
                .bind(json_array(&params))
                .push("))");
        }
        self.push(" IN (");
        for (i, param) in params.drain(..).enumerate() {
            self.push(if i == 0 { "" } else { ", " }).bind(param);
        }
        self.push(")")
    }

    /// Adds the condition that the row aliased `alias` is of `table`'s class or below. Returns whether there is one.
    ///
    /// The sign keeps the index on the class out of the plan. Without statistics the planner takes a class for ten
    /// rows; it is a third of the table, and any other index, or the order of the page, serves better.
    pub(crate) fn class_condition(&mut self, before: &str, alias: &str, table: &TableDef) -> bool {
        self.class_condition_by_index(before, &format!("+{alias}"), table)
    }

    /// The same, for a statement that has no other condition.
    pub(crate) fn class_condition_by_index(
        &mut self,
        before: &str,
        alias: &str,
        table: &TableDef,
    ) -> bool {
        if !table.has_class || table.name == table.root {
            return false;
        }
        self.push(before).push(alias).push(".\"sys_class_name\"");
        self.is_one_of(table.subtree.iter().cloned().map(Param::Text).collect());
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
    let values = params.iter().map(|param| match param {
        Param::Null => serde_json::Value::Null,
        Param::Integer(number) => (*number).into(),
        Param::Real(number) => (*number).into(),
        Param::Text(text) => (**text).into(),
    });
    Param::Text(serde_json::Value::Array(values.collect()).to_string().into())
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
        let mut statement = Statement::default();
        statement.push("c").is_one_of((0..5_000).map(Param::Integer).collect());
        assert_eq!(statement.params.len(), 1);
        assert_eq!(statement.text, "c IN (SELECT value FROM json_each(?))");
    }
}
