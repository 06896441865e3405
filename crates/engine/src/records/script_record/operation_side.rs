//! What the operation asks of its `current`.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{FieldIndex, Record};
use campanile_script::MessageKind;

use super::object::{Abort, Nature, ScriptRecord};
use crate::error::EngineError;
use crate::events::fire::FireRequest;
use crate::events::global_events::{self, Moment, Saved};
use crate::records::execution::Execution;
use crate::records::operation::{JournalEntry, integrity};

impl ScriptRecord {
    /// The values as they are now.
    pub(crate) fn snapshot(&self) -> Record {
        self.row().record.clone()
    }

    /// Does something with the values, now and before.
    pub(crate) fn with_values<T>(&self, f: impl FnOnce(&Record, Option<&Record>) -> T) -> T {
        let row = self.row();
        f(&row.record, row.original.as_deref())
    }

    /// Replaces all values by those of `record`, a row of the same table.
    pub(crate) fn replace_values(&self, record: &Record) {
        self.row().record = record.clone();
    }

    /// Entries that are not stored yet.
    pub(crate) fn waiting_journals(&self) -> Vec<JournalEntry> {
        self.row().journals.iter().filter(|entry| !entry.stored).cloned().collect()
    }

    /// Field and text of all entries of this operation.
    pub(crate) fn waiting_or_stored_journals(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let row = self.row();
        row.journals
            .iter()
            .map(|entry| (Arc::clone(&entry.field), Arc::clone(&entry.text)))
            .collect()
    }

    /// The operation wrote `record`: that is what a further `update()` is judged against.
    pub(crate) fn mark_stored(&self, record: &Record) {
        let mut row = self.row();
        row.record = record.clone();
        row.synced = Some(Rc::new(record.clone()));
        for entry in &mut row.journals {
            entry.stored = true;
        }
    }

    /// `current.update()` wrote the row: the object shows it, and what the outer operation still has to write is
    /// judged against it.
    pub(super) fn sync(&self, record: &Record) {
        self.mark_stored(record);
        self.row().references.clear();
    }

    /// Whether a nested write of this row has stored the field as it is now.
    pub(crate) fn has_stored(&self, index: FieldIndex) -> bool {
        let row = self.row();
        row.synced.as_deref().is_some_and(|stored| stored.at(index) == row.record.at(index))
    }

    /// Another operation wrote the row meanwhile: fields that this one did not change take its values.
    pub(crate) fn take_over(&self, stored: &Record, before: &Record) {
        let mut row = self.row();
        let base = row.synced.clone();
        let base = base.as_deref().unwrap_or(before);
        for (index, field) in self.table.fields.iter().enumerate() {
            if integrity::same(field, base.at(index), row.record.at(index)) {
                row.record.set_at(index, stored.at(index).clone());
            }
        }
    }

    /// Class of the row, as events name it.
    pub(crate) fn class_for_events(&self) -> String {
        self.row().record.class_name().to_owned()
    }

    /// What `global_events` fires for this record.
    pub(crate) fn global_event_requests(&self) -> Vec<FireRequest> {
        let Ok(dictionary) = self.execution.dictionary() else { return Vec::new() };
        let (current, previous, commented) = {
            let row = self.row();
            let commented = row.journals.iter().any(|entry| &*entry.field == "comments");
            (row.record.clone(), row.original.clone(), commented)
        };
        let operation = match self.nature {
            Nature::Operation(kind) => Some(kind),
            _ => self.last_operation.get(),
        };
        let display = |field: &str, moment: Moment| {
            let record = match (moment, previous.as_deref()) {
                (Moment::Current, _) => &current,
                (Moment::Previous, Some(previous)) => previous,
                (Moment::Previous, None) => return String::new(),
            };
            record
                .table()
                .index(field)
                .map_or_else(String::new, |index| self.execution.display_field(record, index))
        };
        global_events::plan(&Saved {
            dictionary: &dictionary,
            current: &current,
            previous: previous.as_deref(),
            operation: operation.map_or("", crate::records::operation::Kind::word),
            commented,
            user: &self.execution.session().user,
            display: &display,
        })
    }

    /// Who aborted the operation, if it is aborted now.
    pub(crate) fn abort(&self) -> Option<Abort> {
        self.aborted.borrow().clone()
    }

    /// `setAbortAction`: only `current` of an operation can be aborted.
    pub(crate) fn set_abort(&self, abort: bool) {
        if !matches!(self.nature, Nature::Operation(_)) {
            return;
        }
        let said = self.aborted.take().map_or_else(Vec::new, |before| before.said);
        let by = abort.then(|| {
            let names = |tx: &mut crate::records::operation::transaction::Transaction| {
                let stack: Vec<String> =
                    tx.rules.iter().rev().map(|rule| rule.name.to_string()).collect();
                let innermost = tx.rules.last();
                Abort {
                    rule: innermost.map_or_else(String::new, |rule| rule.name.to_string()),
                    rule_id: innermost.map_or_else(String::new, |rule| rule.rule_id.to_string()),
                    stack,
                    said: Vec::new(),
                }
            };
            let by = self.execution.transaction(names).unwrap_or(Abort {
                rule: String::new(),
                rule_id: String::new(),
                stack: Vec::new(),
                said: Vec::new(),
            });
            Abort { said, ..by }
        });
        self.aborted.replace(by);
    }

    /// The message of the rule that aborts the operation: whoever asked for the operation is told it.
    pub(crate) fn say_of_abort(&self, message: String) {
        if let Some(abort) = &mut *self.aborted.borrow_mut() {
            abort.said.push(message);
        }
    }
}

impl Abort {
    /// The refusal that callers see, with the error messages of the session and those of the rules that aborted by
    /// their action, in the order in which they were added.
    pub(crate) fn into_error(self, execution: &Execution, table: &str) -> EngineError {
        let messages = execution.messages().into_iter();
        EngineError::Aborted {
            table: table.to_owned(),
            rule: self.rule,
            rule_id: self.rule_id,
            stack: self.stack,
            messages: messages
                .filter(|(kind, text)| *kind == MessageKind::Error || self.said.contains(text))
                .map(|(_, text)| text)
                .collect(),
        }
    }
}
