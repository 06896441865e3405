//! Default values of a new row (business-rules §12.5).

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldType, TableDef};
use campanile_script::{Bindings, ScriptKind, ScriptSource};

use super::change::{Failure, Kind};
use crate::error::EngineError;
use crate::records::conversion;
use crate::records::execution::Execution;
use crate::records::rules::limits_of;
use crate::records::script_record::ScriptRecord;

/// What a default that is a script begins with.
const SCRIPT_PREFIX: &str = "javascript:";

/// Fills the fields of `current` that are nil and have a default. A script that throws leaves its field nil.
///
/// # Errors
/// [`Failure`] when a script was ended by a limit, or the store failed.
pub(crate) fn fill(execution: &Rc<Execution>, current: &Rc<ScriptRecord>) -> Result<(), Failure> {
    let table = Arc::clone(current.table());
    for (index, field) in table.fields.iter().enumerate() {
        if field.default_value.is_empty()
            || matches!(field.field_type, FieldType::Journal | FieldType::JournalList)
            || !current.value_at(index).is_nil()
        {
            continue;
        }
        let text = match field.default_value.strip_prefix(SCRIPT_PREFIX) {
            None => Some(field.default_value.to_string()),
            Some(script) if is_numbering(script) => execution.next_number(&table)?,
            Some(script) => evaluate(execution, current, &field.name, script)?,
        };
        // A script may have set the field itself.
        let Some(text) = text.filter(|_| current.value_at(index).is_nil()) else { continue };
        match conversion::from_text(field, &text) {
            Ok(value) => current.put(index, conversion::fit(field, value).0),
            Err(reason) => {
                execution.warn(&format!(
                    "default of {}.{} was left out: {reason}",
                    table.name, field.name
                ));
            }
        }
    }
    Ok(())
}

/// The usual numbering default, which needs no script engine.
fn is_numbering(script: &str) -> bool {
    let script = script.trim().trim_end_matches(';').trim_end();
    let script = script.strip_prefix("global.").unwrap_or(script);
    script == "getNextObjNumberPadded()"
}

fn evaluate(
    execution: &Rc<Execution>,
    current: &Rc<ScriptRecord>,
    field: &Arc<str>,
    script: &str,
) -> Result<Option<String>, Failure> {
    let table = Arc::clone(current.table());
    let name: Arc<str> = Arc::from(format!("default of {}.{field}", table.name));
    let running = execution
        .count_running(|script| script.kind == ScriptKind::DefaultValue && script.name == name);
    if running >= execution.budget().bounds(execution.engine()).rule_recursion() {
        return Err(endless(execution, &table, &name, running).into());
    }
    let source = ScriptSource {
        kind: ScriptKind::DefaultValue,
        table: Arc::from("sys_dictionary"),
        sys_id: Arc::from(""),
        name,
        text: Arc::from(script),
    };
    let current: campanile_script::RecordRef = Rc::clone(current) as _;
    let bindings = Bindings { current: Some(current), ..Bindings::default() };
    let outcome = execution.run_script(&source, &bindings, limits_of(execution, source.kind));
    execution.failure_of_run(&source, &outcome)?;
    match outcome.result {
        Ok(completion) if completion.is_nullish => Ok(None),
        Ok(completion) => Ok(Some(completion.text)),
        Err(error) => {
            execution.log_script_failure(&source, "", &error);
            Ok(None)
        }
    }
}

/// Each row that a default makes has defaults of its own, so the bound of recursion holds for the default itself,
/// whatever the row. The whole operation fails: a chain that was cut somewhere would be half a result.
fn endless(execution: &Execution, table: &TableDef, name: &str, running: usize) -> EngineError {
    let detail = format!(
        "the {name} runs inside itself {running} times (campanile.script.max_rule_recursion): it makes rows of \
         {} that have the same default; let it not, or set the field in the rows that it makes",
        table.name
    );
    execution.log_error("default value", &detail);
    EngineError::Integrity {
        code: "nested_too_deep",
        operation: Kind::Insert.word(),
        table: table.name.to_string(),
        display: String::new(),
        detail,
    }
}

impl Execution {
    /// The next number of the table's sequence; through the writer when this execution holds it.
    pub(crate) fn next_number(&self, table: &TableDef) -> Result<Option<String>, EngineError> {
        let engine = self.engine();
        self.with_writer_if_held(|writer| match writer {
            Some(writer) => engine.numbers.next_in(engine, writer, table),
            None => engine.numbers.next(engine, table),
        })
    }
}
