//! Insert, update and delete by scripts (scripting §5.5).

use std::sync::Arc;

use campanile_model::{FieldType, Record, SysId, Value};
use campanile_script::{HostError, LimitKind};
use campanile_store::Select;

use super::object::{Nature, ScriptRecord};
use super::row::{Place, Row};
use crate::error::EngineError;
use crate::records::operation::{self, Change, Door, Failure, Kind, Options, Outcome, integrity};

/// System fields that a copy of a row does not take over.
const NOT_COPIED: &[&str] = &[
    "sys_id",
    "sys_created_on",
    "sys_created_by",
    "sys_updated_on",
    "sys_updated_by",
    "sys_mod_count",
    "sys_class_name",
];

impl ScriptRecord {
    /// A blank row; conditions are forgotten.
    pub(super) fn blank_row(&self) {
        *self.row() = Row::blank(&self.table);
        self.search.borrow_mut().clear();
    }

    /// A blank row with defaults and a key.
    pub(super) fn begin_new(&self) -> Result<(), HostError> {
        self.check_budget()?;
        self.blank_row();
        if self.nature != Nature::Plain {
            return Ok(());
        }
        {
            let key = SysId::generate(self.execution.now());
            let mut row = self.row();
            row.record.set("sys_id", key.as_str());
            row.place = Place::New;
        }
        self.fill_defaults().map_err(|failure| self.ended(failure))
    }

    pub(super) fn do_insert(&self) -> Result<Option<String>, HostError> {
        self.check_budget()?;
        if !self.may_write("insert") {
            return Ok(None);
        }
        let change = {
            let row = self.row();
            let copy = row.is_on_row() || row.place == Place::PastEnd;
            let values = self.table.fields.iter().zip(row.record.values()).enumerate();
            let values = values.filter(|(index, (field, value))| {
                // A password that was not set on this object is the hash of the row that is copied.
                let not_copied = NOT_COPIED.contains(&&*field.name)
                    || (field.field_type.is_secret() && !row.assigned.contains(index))
                    || self.hides_own(&row, *index);
                let skipped = &*field.name == "sys_id" || (copy && not_copied);
                !value.is_nil() && !skipped && field.field_type != FieldType::Journal
            });
            let key = row.record.get("sys_id").as_option().filter(|_| !copy).map(Arc::from);
            Change {
                kind: Kind::Insert,
                table: Arc::clone(&self.table),
                sys_id: key,
                values: values
                    .map(|(_, (field, value))| (Arc::clone(&field.name), value.clone()))
                    .collect(),
                journals: row.journals.iter().filter(|entry| !entry.stored).cloned().collect(),
                fresh: None,
                reason: Arc::from(""),
                options: self.options(),
            }
        };
        let Some(record) = self.perform(&change)? else { return Ok(None) };
        let key = record.text("sys_id").to_owned();
        self.refresh(&record, Place::Inserted);
        Ok(Some(key))
    }

    pub(super) fn do_update(&self, reason: &str) -> Result<Option<String>, HostError> {
        self.check_budget()?;
        if !self.may_write("update") {
            return Ok(None);
        }
        match self.nature {
            Nature::Operation(Kind::Delete) => {
                self.execution
                    .warn("current.update() has no effect while the record is being deleted");
                return Ok(None);
            }
            Nature::Operation(Kind::Insert) if self.row().base().is_none() => {
                self.execution.warn(
                    "current.update() in a before insert rule is not needed: the row is written when the rules are done",
                );
                return Ok(self.key());
            }
            _ => {}
        }
        let place = self.row().place;
        match place {
            Place::OnRow | Place::Inserted => {}
            Place::PastEnd | Place::Gone => {
                self.execution.warn(&format!(
                    "update() on {} was refused: no row stands at the cursor",
                    self.name
                ));
                return Ok(None);
            }
            _ => return self.do_insert(),
        }
        let change = self.update_change(reason);
        let Some(record) = self.perform(&change)? else { return Ok(None) };
        let key = record.text("sys_id").to_owned();
        if matches!(self.nature, Nature::Operation(_)) {
            self.sync(&record);
        } else {
            self.refresh(&record, place);
        }
        Ok(Some(key))
    }

    /// What an update of the present row changes.
    fn update_change(&self, reason: &str) -> Change {
        let row = self.row();
        let base = row.base();
        let changed = self.table.fields.iter().enumerate().filter(|(index, field)| {
            base.is_none_or(|base| !integrity::same(field, base.at(*index), row.record.at(*index)))
        });
        Change {
            kind: Kind::Update,
            table: Arc::clone(&self.table),
            sys_id: row.record.get("sys_id").as_option().map(Arc::from),
            values: changed
                .map(|(index, field)| (Arc::clone(&field.name), row.record.at(index).clone()))
                .collect(),
            journals: row.journals.iter().filter(|entry| !entry.stored).cloned().collect(),
            fresh: None,
            reason: Arc::from(reason),
            options: self.options(),
        }
    }

    pub(super) fn do_delete(&self) -> Result<bool, HostError> {
        self.check_budget()?;
        if !self.may_write("deleteRecord") || self.row().place != Place::OnRow {
            return Ok(false);
        }
        let change = self.plain_change(Kind::Delete, &self.key().unwrap_or_default());
        let done = self.perform(&change)?.is_some();
        if done && self.nature == Nature::Plain {
            self.row().place = Place::PastEnd;
        }
        Ok(done)
    }

    /// Applies the assigned values to every row of the query, ignoring limits.
    pub(super) fn do_update_multiple(&self) -> Result<(), HostError> {
        let Some(keys) = self.keys_of_query("updateMultiple")? else { return Ok(()) };
        let (values, journals) = {
            let row = self.row();
            let values: Vec<(Arc<str>, Value)> = row
                .assigned
                .iter()
                .map(|index| {
                    (Arc::clone(&self.table.fields[*index].name), row.record.at(*index).clone())
                })
                .collect();
            (values, row.journals.clone())
        };
        for key in keys {
            let change = Change {
                values: values.clone(),
                journals: journals.clone(),
                ..self.plain_change(Kind::Update, &key)
            };
            self.check_budget()?;
            self.perform(&change)?;
        }
        Ok(())
    }

    /// Deletes every row of the query, ignoring limits.
    pub(super) fn do_delete_multiple(&self) -> Result<(), HostError> {
        let Some(keys) = self.keys_of_query("deleteMultiple")? else { return Ok(()) };
        for key in keys {
            self.check_budget()?;
            self.perform(&self.plain_change(Kind::Delete, &key))?;
        }
        Ok(())
    }

    /// Keys of all rows of the query; `None` when the bulk operation must not run.
    fn keys_of_query(&self, method: &str) -> Result<Option<Vec<String>>, HostError> {
        self.check_budget()?;
        if self.nature != Nature::Plain {
            return Ok(None);
        }
        let Some(bound) = self.bound() else { return Ok(None) };
        let allowed =
            self.execution.engine().bool_property("campanile.allow_bulk_on_invalid_query", false);
        if !bound.dropped.is_empty() && !allowed {
            self.execution.log_error(
                "record",
                &format!(
                    "{method}() on {} did nothing, because a condition of its query is invalid: {}",
                    self.name, bound.dropped[0].reason
                ),
            );
            return Ok(None);
        }
        let mut select = Select::new(bound);
        select.fields = self.table.index("sys_id").map(|index| vec![index]);
        let rows = self
            .execution
            .with_read(|tx| tx.select(&select))
            .map_err(|error| self.read_failed(&error))?;
        Ok(Some(rows.iter().map(|row| row.text("sys_id").to_owned()).collect()))
    }

    fn plain_change(&self, kind: Kind, sys_id: &str) -> Change {
        Change {
            kind,
            table: Arc::clone(&self.table),
            sys_id: Some(Arc::from(sys_id)),
            values: Vec::new(),
            journals: Vec::new(),
            fresh: None,
            reason: Arc::from(""),
            options: self.options(),
        }
    }

    fn options(&self) -> Options {
        let switches = self.switches.get();
        Options {
            workflow: switches.workflow,
            auto_sys_fields: switches.auto_sys_fields,
            force: switches.force_update,
            ..Options::plain(Door::Script)
        }
    }

    fn may_write(&self, method: &str) -> bool {
        match &self.nature {
            Nature::Plain | Nature::Operation(_) => true,
            Nature::ReadOnly { what, .. } => {
                self.execution.warn(&format!("{what} is read-only: {method}() has no effect"));
                false
            }
            Nature::NullLike | Nature::UnknownTable => {
                self.execution
                    .warn(&format!("{method}() has no effect: there is no table '{}'", self.name));
                false
            }
        }
    }

    /// Does the operation: the row as written, `None` when it was refused.
    fn perform(&self, change: &Change) -> Result<Option<Record>, HostError> {
        self.last_operation.set(Some(change.kind));
        if let Some(special) = self.special_table() {
            return Ok(match self.perform_special(special, change) {
                Ok(record) => Some(record),
                Err(error) => self.refused(change, &error),
            });
        }
        match operation::run(&self.execution, change) {
            Ok(Outcome::Done { record, .. }) => {
                self.last_error.replace(None);
                Ok(Some(record))
            }
            Ok(Outcome::Refused(error)) => Ok(self.refused(change, &error)),
            Err(failure) => match self.ended(failure) {
                HostError::Throw { message, .. } => {
                    self.last_error.replace(Some(message));
                    Ok(None)
                }
                terminated @ HostError::Terminated(_) => Err(terminated),
            },
        }
    }

    /// A refusal is a return value and a text, never an exception (scripting §17).
    fn refused(&self, change: &Change, error: &EngineError) -> Option<Record> {
        if !matches!(error, EngineError::Aborted { .. }) {
            self.execution.warn(&format!(
                "{} on {} was refused: {error}",
                change.kind.word(),
                self.name
            ));
        }
        self.last_error.replace(Some(error.to_string()));
        None
    }

    /// What a failed operation means for the script that began it: inside another operation the script ends,
    /// because everything is rolled back; else the write failed, unless the script itself has used up its bounds.
    fn ended(&self, failure: Failure) -> HostError {
        if let Failure::Error(error) = &failure {
            self.execution.note_outage(error);
        }
        if self.execution.in_operation() {
            return HostError::Terminated(LimitKind::Cancelled);
        }
        if let Failure::Limit(reached) = &failure
            && matches!(
                reached.limit,
                LimitKind::Statements
                    | LimitKind::RowsWritten
                    | LimitKind::Events
                    | LimitKind::EventDepth
            )
        {
            return HostError::Terminated(reached.limit);
        }
        // A limit was logged where it ended its script.
        let logged = matches!(failure, Failure::Limit(..));
        let error = failure.into_error();
        if !logged {
            self.execution.log_error(
                "record operation",
                &format!("on {}: {error}; it was rolled back", self.name),
            );
        }
        HostError::Throw { class: "Error", message: error.to_string() }
    }

    /// The object shows the row as it was written; nothing counts as changed any more.
    fn refresh(&self, record: &Record, place: Place) {
        let record = if Arc::ptr_eq(record.table(), &self.table) {
            record.clone()
        } else {
            record.as_table(&self.table)
        };
        *self.row() = Row { place, ..Row::read(record) };
        self.aborted.replace(None);
        self.field_errors.borrow_mut().clear();
    }
}
