//! The pipeline of a delete (business-rules §3.2).

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::Record;

use super::change::{Change, Failure, Kind, Outcome};
use super::save_checks::Written;
use super::{audit, cascade, integrity, journal, save_checks};
use crate::error::EngineError;
use crate::records::dictionary;
use crate::records::execution::{Execution, WrittenRecord};
use crate::records::rules::{self, ClassRules, Moment, RuleRun};
use crate::records::script_record::ScriptRecord;
use crate::records::users::administrators;

pub(super) fn perform(execution: &Rc<Execution>, change: &Change) -> Result<Outcome, Failure> {
    let sys_id = change.sys_id.as_deref().unwrap_or_default();
    let unknown = || EngineError::RecordUnknown {
        table: change.table.name.to_string(),
        sys_id: sys_id.to_owned(),
    };
    let Some(stored) = execution.read_to_change(&change.table, sys_id)? else {
        return Ok(Outcome::Refused(unknown()));
    };
    if let Some(conflict) = change.conflict_with(&stored) {
        return Ok(Outcome::Refused(conflict));
    }
    let class = Arc::clone(stored.table());
    let row: Arc<str> = Arc::from(stored.text("sys_id").to_ascii_lowercase());
    let previous = execution
        .transaction(|tx| {
            if let Some(frame) = tx.frames.last_mut() {
                frame.deleting = Some(Arc::clone(&row));
                if tx.writer.is_none() {
                    frame.read = Some(stored.clone());
                }
            }
            let slot = tx.previous.entry(Arc::clone(&row));
            slot.or_insert_with(|| Some(Rc::new(stored.clone()))).clone()
        })
        .flatten();
    let current = ScriptRecord::of_operation(
        execution,
        stored.clone(),
        Some(stored.clone()),
        &[],
        Kind::Delete,
    );
    let rules =
        if change.options.workflow { Some(ClassRules::of(execution, &class)?) } else { None };
    let run = RuleRun::new(execution, &current, previous, &class, &row, Kind::Delete);
    if let Some(rules) = &rules {
        rules::run_phase(&run, rules.list(Kind::Delete, Moment::Before), Moment::Before)?;
    }
    if let Some(abort) = current.abort() {
        return Ok(Outcome::Refused(abort.into_error(execution, &class.name)));
    }
    if let Some(refusal) = remove(execution, change, &stored, &row)? {
        return Ok(Outcome::Refused(refusal));
    }
    if let Some(rules) = &rules {
        rules::run_phase(&run, rules.list(Kind::Delete, Moment::After), Moment::After)?;
    }
    Ok(Outcome::Done { record: stored, changed: true, written_again: false })
}

/// Cascades, journal, audit, the row: all of it, or a refusal that leaves nothing of it.
fn remove(
    execution: &Rc<Execution>,
    change: &Change,
    stored: &Record,
    row: &Arc<str>,
) -> Result<Option<EngineError>, Failure> {
    execution.ensure_writer()?;
    if let Some(refusal) = save_checks::run_delete(execution, stored, change.options.insists)? {
        return Ok(Some(refusal));
    }
    let admins_at_stake = administrators::are_at_stake_in_deletion(execution, stored.table())?;
    let references = cascade::rules_for(execution, stored.table())?;
    if let Some(refusal) = cascade::restricted(execution, stored, &references)? {
        return Ok(Some(refusal));
    }
    let savepoint = execution.with_writer(|writer| Ok(writer.savepoint()?))?;
    let (kept, written) =
        execution.transaction(|tx| (tx.kept.len(), tx.written.len())).unwrap_or_default();
    // What was written since, and the events that rules fired with it.
    let undo = |execution: &Execution| -> Result<(), Failure> {
        execution.with_writer(|writer| Ok(writer.rollback_to(savepoint)?))?;
        execution.transaction(|tx| {
            tx.kept.truncate(kept);
            tx.written.truncate(written);
        });
        Ok(())
    };
    if let Some(refusal) = cascade::apply(execution, stored, &references)? {
        undo(execution)?;
        return Ok(Some(refusal));
    }
    journal::delete(execution, stored)?;
    if change.options.workflow {
        audit::deletion(execution, stored)?;
    }
    let class = stored.table();
    let found = execution.with_writer(|writer| Ok(writer.delete(class, stored.text("sys_id"))?))?;
    if !found {
        undo(execution)?;
        return Ok(Some(EngineError::RecordUnknown {
            table: class.name.to_string(),
            sys_id: stored.text("sys_id").to_owned(),
        }));
    }
    if admins_at_stake && administrators::are_lost(execution)? {
        undo(execution)?;
        return integrity::last_administrator(execution, Kind::Delete, stored).map(Some);
    }
    if dictionary::defines_tables(&class.name) {
        let checked = execution.with_writer(|writer| {
            Ok(dictionary::after_write(writer, dictionary::Change::Deleted, stored))
        })?;
        match checked {
            Ok(written) => {
                let written = written.into_iter().map(Arc::from);
                execution.transaction(|tx| tx.tables.extend(written));
            }
            Err(refusal @ EngineError::Integrity { .. }) => {
                undo(execution)?;
                return Ok(Some(refusal));
            }
            Err(other) => return Err(other.into()),
        }
    }
    save_checks::follow(execution, stored, Written::Deleted)?;
    execution.with_writer(|writer| Ok(writer.release(savepoint)?))?;
    execution.budget().count_row_written();
    execution.transaction(|tx| {
        tx.note_write(class, row);
        tx.written.push(WrittenRecord {
            operation: Kind::Delete.word(),
            table: Arc::clone(&class.name),
            sys_id: Arc::from(stored.text("sys_id")),
            changes: Vec::new(),
        });
    });
    Ok(None)
}
