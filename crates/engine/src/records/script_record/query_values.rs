//! `javascript:` values of encoded queries that server scripts pass (business-rules §11.3).

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::{Operator, Query};
use campanile_script::{Bindings, ScriptKind, ScriptSource};

use crate::records::execution::Execution;
use crate::records::rules::limits_of;

const PREFIX: &str = "javascript:";

impl Execution {
    /// Replaces `javascript:` values by what they evaluate to: arrays become comma lists, `null` becomes empty.
    /// One that throws becomes empty, and the error is logged.
    pub(crate) fn evaluate_values(self: &Rc<Self>, query: &mut Query) {
        let groups = query.alternatives.iter_mut().flat_map(|alternative| &mut alternative.groups);
        for term in groups.flat_map(|group| &mut group.terms) {
            if !term.value.contains(PREFIX) {
                continue;
            }
            let parts = match term.operator {
                Operator::Between | Operator::On | Operator::NotOn => split_outside(&term.value),
                _ => vec![term.value.as_str()],
            };
            let values: Vec<String> = parts
                .into_iter()
                .map(|part| match part.strip_prefix(PREFIX) {
                    Some(script) => self.evaluate_expression(script),
                    None => part.to_owned(),
                })
                .collect();
            let list = term.value.starts_with(PREFIX) && values[0].contains(',');
            term.operator = match term.operator {
                Operator::Equals if list => Operator::In,
                Operator::NotEquals if list => Operator::NotIn,
                other => other,
            };
            term.value = values.join("@");
        }
    }

    fn evaluate_expression(self: &Rc<Self>, script: &str) -> String {
        let source = ScriptSource {
            kind: ScriptKind::DefaultValue,
            table: Arc::from(""),
            sys_id: Arc::from(""),
            name: Arc::from("value of a query"),
            text: Arc::from(script),
        };
        let outcome = self.run_script(&source, &Bindings::default(), limits_of(self, source.kind));
        match outcome.result {
            Ok(completion) if completion.is_nullish => String::new(),
            Ok(completion) => completion.text,
            Err(error) => {
                self.log_script_failure(&source, "", &error);
                String::new()
            }
        }
    }
}

/// Splits at `@` outside parentheses and quotes.
fn split_outside(text: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut start) = (0i32, None, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, '@') if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_in_parentheses_or_quotes_separates_nothing() {
        assert_eq!(split_outside("a@b"), ["a", "b"]);
        assert_eq!(
            split_outside("Today@javascript:gs.f('x@y')@javascript:g(a@b)"),
            ["Today", "javascript:gs.f('x@y')", "javascript:g(a@b)"]
        );
    }
}
