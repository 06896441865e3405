//! What is checked when a business rule is saved: whether it parses, and what keeps it from doing what it says.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::nearest::suggestion;
use campanile_model::query::{
    BindMode, BindOptions, InvalidTerm, Operator, ParseLimits, Term, bind, parse,
};
use campanile_model::{Dictionary, Record, TableDef};
use campanile_script::ScriptKind;

use super::save_checks::{condition_field, script_field};
use crate::error::EngineError;
use crate::records::conversion;
use crate::records::execution::Execution;

/// Operations that a rule may watch.
const WATCHED: [&str; 4] = ["action_insert", "action_update", "action_delete", "action_query"];

/// Checks a row of `sys_script` before it is written.
///
/// # Errors
/// [`EngineError::Integrity`] for a script that does not parse or a filter beyond its limits; what the store answers.
pub(super) fn save(
    execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    script_field(record, before, "script", ScriptKind::BusinessRule)?;
    script_field(record, before, "condition", ScriptKind::BusinessRuleCondition)?;
    condition_field(record, before, "filter_condition")?;
    let mut problems = Vec::new();
    let moment = match record.text("when") {
        when @ ("async" | "async_always" | "display") => Some(when),
        _ if record.get("action_query").is_true() => Some("query"),
        _ => None,
    };
    if let Some(moment) = moment {
        problems.push(format!("is kept, but {moment} rules do not run in this version"));
    }
    problems.extend(unknown_moment(record));
    problems.extend(idle_script(record));
    let never = why_it_never_runs(&*execution.dictionary()?, record);
    problems
        .extend(never.iter().map(|NeverRuns { what, fix }| format!("never runs: {what}: {fix}")));
    problems.extend(roles(execution, record)?);
    problems.extend(set_values(execution, record)?);
    let name = record.text("name");
    Ok(problems.into_iter().map(|problem| format!("business rule '{name}' {problem}")).collect())
}

/// A `when` that is no moment at all.
fn unknown_moment(record: &Record) -> Option<String> {
    let when = record.text("when");
    let is_known = matches!(when, "before" | "after" | "async" | "async_always" | "display");
    (!is_known).then(|| format!("never runs: 'when' is '{when}'; expected before or after"))
}

/// A script that is there and does not run.
fn idle_script(record: &Record) -> Option<String> {
    let idle = ["script", "condition"].into_iter().find(|field| !record.get(field).is_nil())?;
    (!record.get("advanced").is_true()).then(|| {
        format!("has a {idle} that does not run, because 'advanced' is false: set it, or remove the {idle}")
    })
}

/// What keeps a rule from ever running, and the way out: told when it is saved, and by `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NeverRuns {
    /// What is wrong with it.
    pub(crate) what: String,
    /// What to set.
    pub(crate) fix: String,
}

/// What keeps the rule `record` from ever running: a table that does not exist, a filter with a part that has no meaning, no
/// operation that it watches. Whether it is active, and its `when`, are not asked for.
pub(crate) fn why_it_never_runs(dictionary: &Dictionary, record: &Record) -> Vec<NeverRuns> {
    let collection = record.text("collection");
    if collection == "global" {
        return Vec::new();
    }
    let Some(table) = dictionary.table(collection) else {
        let hint = suggestion(collection, dictionary.tables().map(|table| &*table.name));
        return vec![NeverRuns {
            what: format!("there is no table '{collection}'"),
            fix: format!("set 'collection' to a table of the dictionary{hint}"),
        }];
    };
    let mut problems = Vec::new();
    let is_display = record.text("when") == "display";
    if !is_display && !WATCHED.iter().any(|action| record.get(action).is_true()) {
        problems.push(NeverRuns {
            what: "it watches no operation".to_owned(),
            fix: format!("set one of {}", WATCHED.join(", ")),
        });
    }
    let Ok(filter) = parse(record.text("filter_condition"), ParseLimits::STORED) else {
        return problems;
    };
    let options = BindOptions { mode: BindMode::Condition, invalid_returns_no_rows: true };
    let never = |part: &InvalidTerm| NeverRuns {
        what: format!("its filter has a part without meaning, '{}': {}", part.text, part.reason),
        fix: "mend 'filter_condition'".to_owned(),
    };
    problems.extend(bind(&filter, table, dictionary, options).dropped.iter().map(never));
    problems
}

/// Roles that nobody can have.
fn roles(execution: &Execution, record: &Record) -> Result<Vec<String>, EngineError> {
    let mut problems = Vec::new();
    let names = record.text("role_conditions").split(',').map(str::trim);
    for role in names.filter(|role| !role.is_empty()) {
        if !execution.sees_row("sys_user_role", "name", role)? {
            problems.push(format!("asks for role '{role}', which does not exist"));
        }
    }
    Ok(problems)
}

/// Parts of *set values* that have no effect.
fn set_values(execution: &Execution, record: &Record) -> Result<Vec<String>, EngineError> {
    let template = record.text("template");
    if template.is_empty() {
        return Ok(Vec::new());
    }
    if record.text("when") == "after" {
        return Ok(vec!["has 'set values', which have an effect in before rules only".to_owned()]);
    }
    let dictionary = execution.dictionary()?;
    let (Some(table), Ok(parsed)) =
        (dictionary.table(record.text("collection")), parse(template, ParseLimits::STORED))
    else {
        return Ok(Vec::new());
    };
    let wrong = parsed.terms().filter_map(|term| wrong_assignment(table, term));
    let broken = parsed.invalid.iter().map(|part| format!("'{}': {}", part.text, part.reason));
    Ok(wrong.chain(broken).map(|reason| format!("leaves out of 'set values': {reason}")).collect())
}

fn wrong_assignment(table: &Arc<TableDef>, term: &Term) -> Option<String> {
    let unknown = |name: &str| {
        let hint = suggestion(name, table.fields.iter().map(|field| &*field.name));
        format!("no field '{name}' on {}{hint}", table.name)
    };
    let Some(field) = table.field(&term.path) else { return Some(unknown(&term.path)) };
    match term.operator {
        Operator::Equals | Operator::IsEmpty => conversion::from_text(field, &term.value).err(),
        Operator::SameAs => (table.field(&term.value).is_none()).then(|| unknown(&term.value)),
        other => Some(format!("'{}{}' is not supported", term.path, other.word())),
    }
}
