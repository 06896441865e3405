//! Assigning values in memory (scripting §3.8, §4).

use std::sync::Arc;

use campanile_model::{FieldType, Value};
use campanile_script::{ExternalValue, HostRecord, PathId};

use super::object::{Nature, ScriptRecord};
use super::paths::Located;
use super::row::Place;
use crate::records::conversion;
use crate::records::operation::JournalEntry;

/// Tables whose over-long values are refused when the row is written, never cut (business-rules §12.2).
const NEVER_CUT: &[&str] =
    &["sysevent", "sysevent_register", "sysevent_queue", "sysevent_script_action"];

impl ScriptRecord {
    /// `gr.f = v`.
    pub(super) fn assign_at(&self, path: PathId, value: &ExternalValue) {
        let Some(at) = self.locate(path).filter(|_| self.may_assign()) else { return };
        match at.field().field_type {
            FieldType::Journal => self.enter(path, &conversion::text_of(value), None),
            FieldType::JournalList => {}
            _ => match conversion::from_script(at.field(), value) {
                Ok(value) => self.store_fitting(path, &at, value),
                Err(reason) => self.not_assigned(&at, &reason),
            },
        }
    }

    /// `setValue`.
    pub(super) fn set_value_at(&self, path: PathId, value: &ExternalValue) {
        if matches!(value, ExternalValue::Null | ExternalValue::Undefined) {
            return;
        }
        let Some(at) = self.locate(path) else { return };
        if super::reading::is_journal(at.field()) {
            self.not_assigned(
                &at,
                "setValue() does not work on journals: assign the field, or use setJournalEntry()",
            );
            return;
        }
        self.assign_at(path, value);
    }

    /// `setDisplayValue`.
    pub(super) fn set_display_at(&self, path: PathId, text: &str) {
        let Some(at) = self.locate(path).filter(|_| self.may_assign()) else { return };
        let field = at.field();
        if field.field_type == FieldType::Journal {
            self.enter(path, text, None);
            return;
        }
        match self.execution.value_of_display(&at.table, field, text) {
            Ok(found) => {
                if let Some(warning) = found.warning {
                    self.not_assigned(&at, &warning);
                }
                self.store_fitting(path, &at, found.value);
            }
            Err(reason) => self.not_assigned(&at, &reason),
        }
    }

    fn store_fitting(&self, path: PathId, at: &Located, value: Value) {
        let value = if NEVER_CUT.contains(&&*at.table.name) {
            value
        } else {
            let (value, cut) = conversion::fit(at.field(), value);
            if cut {
                self.execution.warn(&format!(
                    "value of {}.{} was cut to {} characters",
                    at.table.name,
                    at.field().name,
                    at.field().max_length
                ));
            }
            value
        };
        if &*at.field().name == "sys_id" && self.own_field(path).is_some() {
            self.choose_key(value.as_str());
            return;
        }
        self.put_at(path, value);
    }

    fn not_assigned(&self, at: &Located, reason: &str) {
        self.execution.warn(&format!("{}.{}: {reason}", at.table.name, at.field().name));
    }

    /// Queues a journal entry: the last one before the write wins; an empty text queues nothing.
    pub(super) fn enter(&self, path: PathId, text: &str, user: Option<&str>) {
        if text.is_empty() || !self.may_assign() {
            return;
        }
        let Some(index) = self.own_field(path) else { return };
        let field = &self.table.fields[index];
        if field.field_type != FieldType::Journal {
            return;
        }
        let mut row = self.row();
        let is_replaced = |entry: &JournalEntry| !entry.stored && entry.field == field.name;
        let replaced: usize =
            row.journals.iter().filter(|e| is_replaced(e)).map(|entry| entry.text.len()).sum();
        row.assigned_bytes = (row.assigned_bytes + text.len()).saturating_sub(replaced);
        row.journals.retain(|entry| !is_replaced(entry));
        row.journals.push(JournalEntry {
            field: Arc::clone(&field.name),
            text: Arc::from(text),
            user: user.map(Arc::from),
            stored: false,
        });
    }

    /// `setNewGuidValue`, `gr.sys_id = …`: the key of a row that is not stored yet.
    pub(super) fn choose_key(&self, sys_id: &str) {
        let Some(index) = self.table.index("sys_id") else { return };
        let mut row = self.row();
        if row.is_on_row() && matches!(self.nature, Nature::Operation(_)) {
            drop(row);
            self.execution.warn("the sys_id of a row cannot be changed");
            return;
        }
        row.record.set_at(index, Value::text(sys_id));
        if row.place != Place::New {
            row.place = Place::Nowhere;
        }
    }

    /// Sets a field without conversions; for steps of the operation.
    pub(crate) fn put(&self, index: usize, value: Value) {
        self.put_at(Self::path_of(index), value);
    }

    /// The value of a field of the row.
    pub(crate) fn value_at(&self, index: usize) -> Value {
        self.row().record.values().get(index).cloned().unwrap_or_default()
    }

    /// The member of a list of arguments that names this record, for `addQuery('caller_id', gr)`.
    pub(super) fn key(&self) -> Option<String> {
        self.row().record.get("sys_id").as_option().map(str::to_owned)
    }
}

/// Texts of an operand: a list keeps its members, everything else is one text.
pub(super) fn operand_texts(value: &ExternalValue) -> Option<Vec<String>> {
    match value {
        ExternalValue::List(items) => Some(items.iter().map(conversion::text_of).collect()),
        _ => None,
    }
}

/// Downcasts a record object of ours.
pub(crate) fn ours(record: &dyn HostRecord) -> Option<&ScriptRecord> {
    record.as_any().downcast_ref()
}
