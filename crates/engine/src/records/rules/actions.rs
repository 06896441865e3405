//! Script-free actions of a rule (business-rules §4.1).

use campanile_model::query::{Operator, Query, Term};
use campanile_script::MessageKind;

use super::cache::{Moment, Rule};
use super::run::RuleRun;
use crate::records::conversion;

/// Adds the message as an info message, `${field}` replaced by display values, and gives the text.
pub(super) fn add_message(run: &RuleRun<'_>, message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
        text.push_str(&rest[..start]);
        let field = &rest[start + 2..end];
        match run.current.display_of(field.trim()) {
            Some(display) => text.push_str(&display),
            None => text.push_str(&rest[start..=end]),
        }
        rest = &rest[end + 1..];
    }
    text.push_str(rest);
    run.execution.add_message(MessageKind::Info, &text);
    text
}

/// Assigns the terms of the template to `current`: `f=value`, `fSAMEASg`.
pub(super) fn set_values(run: &RuleRun<'_>, rule: &Rule, template: &Query, moment: Moment) {
    let warn = |what: &str| {
        run.execution.warn(&format!(
            "'set values' of business rule '{}' (sys_script {}): {what}",
            rule.name, rule.sys_id
        ));
    };
    if moment != Moment::Before {
        warn("has no effect: it works in before rules only");
        return;
    }
    for term in template.terms() {
        if let Err(reason) = set_value(run, term) {
            warn(&reason);
        }
    }
    for invalid in &template.invalid {
        warn(&format!("'{}' was left out: {}", invalid.text, invalid.reason));
    }
}

fn set_value(run: &RuleRun<'_>, term: &Term) -> Result<(), String> {
    let table = run.current.table();
    let Some(index) = table.index(&term.path) else {
        return Err(format!("no field '{}' on {}", term.path, table.name));
    };
    let field = &table.fields[index];
    let value = match term.operator {
        Operator::Equals | Operator::IsEmpty => conversion::from_text(field, &term.value)?,
        Operator::SameAs => match table.index(&term.value) {
            Some(other) if table.fields[other].field_type.is_secret() => {
                return Err(format!("'{}' is a password and is not copied", term.value));
            }
            Some(other) if run.current.withholds(other) => {
                return Err(format!(
                    "'{}' is the value of a secret that this session may not have and is not copied",
                    term.value
                ));
            }
            Some(other) => {
                let value = run.current.value_at(other);
                conversion::from_text(field, value.as_str())?
            }
            None => return Err(format!("no field '{}' on {}", term.value, table.name)),
        },
        other => return Err(format!("'{}{}' is not supported", term.path, other.word())),
    };
    let (value, cut) = conversion::fit(field, value);
    run.current.put(index, value);
    if cut {
        Err(format!("value of '{}' was cut to {} characters", field.name, field.max_length))
    } else {
        Ok(())
    }
}
