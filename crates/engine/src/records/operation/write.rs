//! The pipeline of an insert or update (business-rules §3.1); step numbers are the reference's.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, Record, SysId, TableDef, Value};
use campanile_store::StoreError;

use super::change::{Change, Failure, Kind, Outcome};
use super::save_checks::Written;
use super::{audit, defaults, integrity, journal, save_checks, stamp};
use crate::error::EngineError;
use crate::records::dictionary;
use crate::records::execution::{Execution, WrittenRecord};
use crate::records::rules::{self, ClassRules, Moment, RuleRun};
use crate::records::script_record::ScriptRecord;
use crate::records::users::administrators;

/// A row on its way through the pipeline.
struct Passage {
    current: Rc<ScriptRecord>,
    class: Arc<TableDef>,
    /// As stored before this operation; `None` on insert.
    before: Option<Record>,
    /// Key in lower case.
    row: Arc<str>,
    /// Writes of the row in this context when the operation began.
    writes_seen: u32,
}

impl Passage {
    /// Gives the fields these values, nil ones included.
    fn lay_over(&self, values: &[(Arc<str>, Value)]) {
        for (name, value) in values {
            if let Some(index) = self.class.index(name).filter(|_| &**name != "sys_class_name") {
                self.current.put(index, value.clone());
            }
        }
    }
}

/// What step 1 found.
enum Begin {
    Go(Box<Passage>),
    End(Outcome),
}

pub(super) fn perform(execution: &Rc<Execution>, change: &Change) -> Result<Outcome, Failure> {
    let begin = match change.kind {
        Kind::Insert => begin_insert(execution, change)?,
        _ => begin_update(execution, change)?,
    };
    let passage = match begin {
        Begin::Go(passage) => *passage,
        Begin::End(outcome) => return Ok(outcome),
    };
    if change.kind == Kind::Insert {
        defaults::fill(execution, &passage.current)?;
        if change.options.values_win {
            passage.lay_over(&change.values);
        }
    }
    // Step 4.
    let previous = execution
        .transaction(|tx| {
            let slot = tx.previous.entry(Arc::clone(&passage.row));
            slot.or_insert_with(|| passage.before.clone().map(Rc::new)).clone()
        })
        .flatten();
    let rules = if change.options.workflow {
        Some(ClassRules::of(execution, &passage.class)?)
    } else {
        None
    };
    let run = RuleRun::new(
        execution,
        &passage.current,
        previous,
        &passage.class,
        &passage.row,
        change.kind,
    );
    // Steps 5 to 7.
    if let Some(rules) = &rules {
        rules::run_phase(&run, rules.list(change.kind, Moment::Before), Moment::Before)?;
    }
    if change.options.values_win {
        passage.lay_over(&change.values);
    }
    // Step 8.
    if let Some(abort) = passage.current.abort() {
        return Ok(Outcome::Refused(abort.into_error(execution, &passage.class.name)));
    }
    // Steps 10 and 11.
    let written = match store(execution, change, &passage)? {
        Stored::Yes(record) => record,
        Stored::Refused(error) => return Ok(Outcome::Refused(error)),
    };
    // Steps 13 to 16.
    if let Some(rules) = &rules {
        rules::run_phase(&run, rules.list(change.kind, Moment::After), Moment::After)?;
    }
    let writes = execution.transaction(|tx| tx.writes_of(&passage.row)).unwrap_or(0);
    let written_again = writes > passage.writes_seen + 1;
    Ok(Outcome::Done { record: written, changed: true, written_again })
}

/// Step 2, without the defaults: key, class, values.
fn begin_insert(execution: &Rc<Execution>, change: &Change) -> Result<Begin, Failure> {
    let class = insert_class(execution, change)?;
    let mut record = Record::empty(Arc::clone(&class));
    for (name, value) in &change.values {
        let read_only = class
            .field(name)
            .is_some_and(|field| integrity::is_read_only(execution, change.options.door, field));
        if read_only {
            tracing::debug!(
                table = &*class.name,
                field = &**name,
                "a read-only field was left empty"
            );
        } else {
            record.set(name, value.clone());
        }
    }
    let sys_id: Arc<str> = match change.sys_id.as_ref().filter(|id| !id.is_empty()) {
        Some(id) if SysId::is_valid(id) => Arc::clone(id),
        Some(id) => {
            return Ok(Begin::End(Outcome::Refused(integrity::bad_sys_id(change, &class, id))));
        }
        None => Arc::from(SysId::generate(execution.now()).as_str()),
    };
    let row: Arc<str> = Arc::from(sys_id.to_ascii_lowercase());
    record.set("sys_id", &*sys_id);
    if class.has_class {
        record.set("sys_class_name", &*class.name);
    }
    let current =
        ScriptRecord::of_operation(execution, record, None, &change.journals, change.kind);
    let writes_seen = execution.transaction(|tx| tx.writes_of(&row)).unwrap_or(0);
    Ok(Begin::Go(Box::new(Passage { current, class, before: None, row, writes_seen })))
}

/// A `sys_class_name` below the addressed table redirects the insert.
fn insert_class(execution: &Execution, change: &Change) -> Result<Arc<TableDef>, Failure> {
    let wanted = change.values.iter().find(|(name, _)| &**name == "sys_class_name");
    let wanted = wanted.map_or("", |(_, value)| value.as_str());
    if !change.table.has_class || wanted.is_empty() || wanted == &*change.table.name {
        return Ok(Arc::clone(&change.table));
    }
    let dictionary = execution.dictionary()?;
    match dictionary.table(wanted) {
        Some(class) if class.extends(&change.table.name) => Ok(Arc::clone(class)),
        _ => {
            execution.warn(&format!(
                "sys_class_name '{wanted}' is no class below {}: the row goes to {}",
                change.table.name, change.table.name
            ));
            Ok(Arc::clone(&change.table))
        }
    }
}

/// Steps 0 and 1: the stored row, the caller's changes on it.
fn begin_update(execution: &Rc<Execution>, change: &Change) -> Result<Begin, Failure> {
    let sys_id = change.sys_id.as_deref().unwrap_or_default();
    // Inside an operation, and when it begins again, only what is read now counts.
    let fresh = change.fresh.clone().filter(|_| execution.may_use_fresh());
    let read = match fresh {
        Some(row) => Some(row),
        None => execution.read_to_change(&change.table, sys_id)?,
    };
    let Some(stored) = read else {
        return Ok(Begin::End(Outcome::Refused(EngineError::RecordUnknown {
            table: change.table.name.to_string(),
            sys_id: sys_id.to_owned(),
        })));
    };
    execution.transaction(|tx| {
        if let (None, Some(frame)) = (&tx.writer, tx.frames.last_mut()) {
            frame.read = Some(stored.clone());
        }
    });
    if let Some(conflict) = change.conflict_with(&stored) {
        return Ok(Begin::End(Outcome::Refused(conflict)));
    }
    let class = Arc::clone(stored.table());
    let mut record = stored.clone();
    let mut changed = change.options.force || !change.journals.is_empty();
    for (name, value) in &change.values {
        let Some(index) = class.index(name) else { continue };
        if matches!(&**name, "sys_id" | "sys_class_name") {
            continue;
        }
        if integrity::is_read_only(execution, change.options.door, &class.fields[index]) {
            tracing::debug!(
                table = &*class.name,
                field = &**name,
                "a read-only field was left as it was"
            );
            continue;
        }
        if !integrity::same(&class.fields[index], record.at(index), value) {
            record.set_at(index, value.clone());
            changed = true;
        }
    }
    if !changed {
        return Ok(Begin::End(Outcome::Done {
            record: stored,
            changed: false,
            written_again: false,
        }));
    }
    let row: Arc<str> = Arc::from(stored.text("sys_id").to_ascii_lowercase());
    let before = Some(stored.clone());
    let current =
        ScriptRecord::of_operation(execution, record, Some(stored), &change.journals, change.kind);
    let writes_seen = execution.transaction(|tx| tx.writes_of(&row)).unwrap_or(0);
    Ok(Begin::Go(Box::new(Passage { current, class, before, row, writes_seen })))
}

enum Stored {
    Yes(Record),
    Refused(EngineError),
}

/// Integrity checks and the write itself.
fn store(execution: &Rc<Execution>, change: &Change, passage: &Passage) -> Result<Stored, Failure> {
    let Passage { current, class, before, .. } = passage;
    if let Some(refusal) = save_checks::run(execution, current, before.as_ref(), change.kind)?
        .or_else(|| integrity::check(change, class, &current.snapshot(), before.as_ref()))
    {
        return Ok(Stored::Refused(refusal));
    }
    integrity::hash_passwords(current, before.as_ref())?;
    execution.ensure_writer()?;
    let Some(base) = base_of_write(execution, passage)? else {
        return Ok(Stored::Refused(EngineError::RecordUnknown {
            table: class.name.to_string(),
            sys_id: passage.row.to_string(),
        }));
    };
    let mut record = current.snapshot();
    let mut changed = changed_fields(class, &record, base.as_ref());
    let journals = current.waiting_journals();
    if change.kind == Kind::Update
        && changed.is_empty()
        && journals.is_empty()
        && !change.options.force
    {
        // A nested write of this row has done everything already.
        current.mark_stored(&record);
        return Ok(Stored::Yes(record));
    }
    stamp::stamp(execution, &mut record, base.as_ref(), change, &mut changed);
    let defines_tables =
        dictionary::defines_tables(&class.name) && !execution.defers_definition(&record);
    let admins_at_stake = match change.kind {
        Kind::Insert => administrators::are_at_stake_in_insertion(execution, class)?,
        _ => administrators::are_at_stake(execution, class, &changed)?,
    };
    let savepoint = match defines_tables || admins_at_stake {
        true => Some(execution.with_writer(|writer| Ok(writer.savepoint()?))?),
        false => None,
    };
    let result = execution.with_writer(|writer| {
        Ok(match change.kind {
            Kind::Insert => writer.insert(&record).map(|()| true),
            _ => writer.update(&record, &changed),
        })
    })?;
    match result {
        Ok(true) => {}
        Ok(false) => {
            return Ok(Stored::Refused(EngineError::RecordUnknown {
                table: class.name.to_string(),
                sys_id: passage.row.to_string(),
            }));
        }
        Err(StoreError::Duplicate { field, value, .. }) => {
            return Ok(Stored::Refused(integrity::duplicate(change, &record, &field, &value)));
        }
        Err(other) => return Err(other.into()),
    }
    if let Some(savepoint) = savepoint {
        let undo = || execution.with_writer(|writer| Ok(writer.rollback_to(savepoint)?));
        if admins_at_stake {
            if administrators::are_lost(execution)? {
                undo()?;
                let refusal = integrity::last_administrator(execution, change.kind, &record)?;
                return Ok(Stored::Refused(refusal));
            }
        } else if let Some(refusal) = follow_definition(execution, base.as_ref(), &record)? {
            undo()?;
            return Ok(Stored::Refused(refusal));
        }
        execution.with_writer(|writer| Ok(writer.release(savepoint)?))?;
    }
    save_checks::follow(execution, &record, Written::Stored)?;
    execution.budget().count_row_written();
    journal::store(execution, &record, &journals)?;
    if change.options.workflow {
        audit::changes(execution, &record, base.as_ref(), &changed, &journals, &change.reason)?;
    }
    let mut names: Vec<Arc<str>> = changed
        .iter()
        .map(|index| &class.fields[*index].name)
        .filter(|name| !name.starts_with("sys_"))
        .cloned()
        .collect();
    names.extend(journals.iter().map(|entry| Arc::clone(&entry.field)));
    execution.transaction(|tx| {
        tx.note_write(class, &passage.row);
        tx.written.push(WrittenRecord {
            operation: change.kind.word(),
            table: Arc::clone(&class.name),
            sys_id: Arc::from(record.text("sys_id")),
            changes: names,
        });
    });
    current.mark_stored(&record);
    Ok(Stored::Yes(record))
}

/// Has the physical tables follow a definition: the refusal, if it makes no sense.
fn follow_definition(
    execution: &Execution,
    base: Option<&Record>,
    record: &Record,
) -> Result<Option<EngineError>, Failure> {
    let moved = base.map_or(dictionary::Change::Inserted, dictionary::Change::Updated);
    match execution.with_writer(|writer| Ok(dictionary::after_write(writer, moved, record)))? {
        Ok(_nothing_deleted) => Ok(None),
        Err(refusal @ EngineError::Integrity { .. }) => Ok(Some(refusal)),
        Err(other) => Err(other.into()),
    }
}

/// The row as the write finds it: `Some(None)` for an insert, `None` when it is gone. When a nested operation
/// wrote it meanwhile, the fields that this operation did not change are taken over into `current`.
fn base_of_write(
    execution: &Execution,
    passage: &Passage,
) -> Result<Option<Option<Record>>, Failure> {
    let Some(before) = &passage.before else { return Ok(Some(None)) };
    let writes = execution.transaction(|tx| tx.writes_of(&passage.row)).unwrap_or(0);
    if writes == passage.writes_seen {
        return Ok(Some(Some(before.clone())));
    }
    let Some(stored) = execution.read_row(&passage.class, &passage.row)? else { return Ok(None) };
    passage.current.take_over(&stored, before);
    Ok(Some(Some(stored)))
}

/// Positions of the fields whose value differs from `base`; of those that have a value, on insert.
fn changed_fields(class: &TableDef, record: &Record, base: Option<&Record>) -> Vec<FieldIndex> {
    let differs = |index: &FieldIndex| match base {
        Some(base) => !integrity::same(&class.fields[*index], base.at(*index), record.at(*index)),
        None => !record.at(*index).is_nil(),
    };
    (0..class.fields.len()).filter(differs).collect()
}
