//! What is checked when a definition is saved, from every door: scripts that do not parse are refused, things that
//! will surprise give a warning.

use std::collections::HashMap;
use std::rc::Rc;

use campanile_model::Record;
use campanile_model::query::{ParseLimits, parse};
use campanile_script::ScriptKind;
use campanile_store::WriteTx;

use super::change::{Failure, Kind};
use super::{definition_checks, delete_checks, integrity, rule_checks};
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::properties;
use crate::records::script_record::ScriptRecord;

/// Looks at a row of one table before it is written: may mend it, refuse it, or add warnings. The third argument
/// is the row as stored, `None` on insert.
pub type SaveCheck =
    fn(&Rc<Execution>, &mut Record, Option<&Record>) -> Result<Vec<String>, EngineError>;

/// Looks at a row of one table before it is deleted: may refuse that. The third argument says that the caller insists; what a
/// check lets go then, it tells as a warning.
pub type DeleteCheck = fn(&Rc<Execution>, &Record, bool) -> Result<(), EngineError>;

/// Called inside the operation's transaction once a row of one table was written or deleted, with what the row says now; a
/// row that was deleted says nothing.
pub type AfterWrite = fn(&mut dyn WriteTx, &Record, Written) -> Result<(), EngineError>;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was inserted or changed.
    Stored,
    /// It was deleted.
    Deleted,
}

/// The checks of all tables, put together where the engine is.
#[derive(Debug, Default)]
pub struct SaveChecks {
    by_table: HashMap<&'static str, Vec<SaveCheck>>,
    on_delete: HashMap<&'static str, DeleteCheck>,
    after_write: HashMap<&'static str, AfterWrite>,
}

impl SaveChecks {
    /// The checks of the record room itself.
    #[must_use]
    pub fn of_records() -> Self {
        Self::default()
            .with("sys_script", rule_checks::save)
            .with("sysevent_script_action", script_action)
            .with("sys_dictionary", definition_checks::column)
            .with("sys_dictionary_override", definition_checks::default_value)
            .with("sys_choice", definition_checks::choice)
            .with("sys_number", definition_checks::number)
            .with("sys_properties", properties::save_check::save)
            .with_delete("sys_db_object", delete_checks::table)
            .with_delete("sys_dictionary", delete_checks::column)
    }

    /// Adds a check for rows of `table`.
    #[must_use]
    pub fn with(mut self, table: &'static str, check: SaveCheck) -> Self {
        self.by_table.entry(table).or_default().push(check);
        self
    }

    /// Adds the check for deletions of rows of `table`.
    #[must_use]
    pub fn with_delete(mut self, table: &'static str, check: DeleteCheck) -> Self {
        self.on_delete.insert(table, check);
        self
    }

    /// Adds what follows writes of rows of `table`.
    #[must_use]
    pub fn with_after_write(mut self, table: &'static str, follow: AfterWrite) -> Self {
        self.after_write.insert(table, follow);
        self
    }

    fn of(&self, table: &str) -> &[SaveCheck] {
        self.by_table.get(table).map_or(&[], Vec::as_slice)
    }
}

/// Runs the checks of the row's class. Warnings go to the log and to the caller.
pub(super) fn run(
    execution: &Rc<Execution>,
    current: &Rc<ScriptRecord>,
    before: Option<&Record>,
    kind: Kind,
) -> Result<Option<EngineError>, Failure> {
    let checks = execution.engine().save_checks.of(&current.table().name);
    if checks.is_empty() {
        return Ok(None);
    }
    let mut record = current.snapshot();
    for check in checks {
        match check(execution, &mut record, before) {
            Ok(warnings) => {
                for warning in &warnings {
                    execution.warn(warning);
                }
                execution.transaction(|tx| tx.warnings.extend(warnings));
            }
            // Failures of the store end the operation; everything else refuses the row.
            Err(EngineError::Store(error)) => return Err(error.into()),
            Err(EngineError::BadParameter { parameter, detail }) => {
                let detail = format!("'{parameter}': {detail}");
                return Ok(Some(integrity::refusal_of(
                    "definition_invalid",
                    kind,
                    &record,
                    detail,
                )));
            }
            Err(refusal) => return Ok(Some(refusal)),
        }
    }
    current.replace_values(&record);
    Ok(None)
}

/// Does what follows a write of the row, in its transaction.
pub(super) fn follow(
    execution: &Rc<Execution>,
    record: &Record,
    written: Written,
) -> Result<(), Failure> {
    let follow = execution.engine().save_checks.after_write.get(&*record.table().name);
    let Some(follow) = follow else { return Ok(()) };
    execution.with_writer(|writer| Ok(follow(writer, record, written)))?.map_err(Failure::from)
}

/// Runs the check for deletions of the row's class: the refusal, if it may not go.
pub(super) fn run_delete(
    execution: &Rc<Execution>,
    stored: &Record,
    insists: bool,
) -> Result<Option<EngineError>, Failure> {
    let checks = &execution.engine().save_checks.on_delete;
    let Some(check) = checks.get(&*stored.table().name) else { return Ok(None) };
    match check(execution, stored, insists) {
        Ok(()) => Ok(None),
        Err(EngineError::Store(error)) => Err(error.into()),
        Err(refusal) => Ok(Some(refusal)),
    }
}

fn script_action(
    _execution: &Rc<Execution>,
    record: &mut Record,
    before: Option<&Record>,
) -> Result<Vec<String>, EngineError> {
    script_field(record, before, "script", ScriptKind::ScriptAction)?;
    script_field(record, before, "condition_script", ScriptKind::ScriptActionCondition)?;
    condition_field(record, before, "filter_condition")?;
    Ok(Vec::new())
}

/// Refuses the row when its script does not parse; only a changed text is looked at.
///
/// # Errors
/// [`EngineError::Integrity`] with code `definition_invalid`, naming line and column.
pub fn script_field(
    record: &Record,
    before: Option<&Record>,
    field: &str,
    kind: ScriptKind,
) -> Result<(), EngineError> {
    let text = record.text(field);
    if text.is_empty() || before.is_some_and(|before| before.text(field) == text) {
        return Ok(());
    }
    check_script(record, field, kind, text)
}

pub(super) fn check_script(
    record: &Record,
    field: &str,
    kind: ScriptKind,
    text: &str,
) -> Result<(), EngineError> {
    campanile_script::check(kind, text).map_err(|error| {
        let detail = format!(
            "'{field}' of {} does not parse: {} (line {}, column {})",
            record.table().name,
            error.message,
            error.line,
            error.column
        );
        integrity::refusal_of("definition_invalid", kind_of(record), record, detail)
    })
}

/// Refuses the row when an encoded query is larger than a stored one may be.
///
/// # Errors
/// [`EngineError::Integrity`] with code `definition_invalid`.
pub fn condition_field(
    record: &Record,
    before: Option<&Record>,
    field: &str,
) -> Result<(), EngineError> {
    let text = record.text(field);
    if text.is_empty() || before.is_some_and(|before| before.text(field) == text) {
        return Ok(());
    }
    match parse(text, ParseLimits::STORED) {
        Ok(_) => Ok(()),
        Err(error) => {
            let detail = format!("'{field}': {error}");
            Err(integrity::refusal_of("definition_invalid", kind_of(record), record, detail))
        }
    }
}

fn kind_of(record: &Record) -> Kind {
    if record.get("sys_created_on").is_nil() { Kind::Insert } else { Kind::Update }
}
