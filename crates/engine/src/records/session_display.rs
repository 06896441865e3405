//! Display values as the session's user sees them.

use campanile_model::{FieldType, Record};

use super::display::{self, Formats};
use super::execution::Execution;
use super::journal;
use crate::error::EngineError;

impl Execution {
    /// Zone and formats of the session's user.
    pub(crate) fn formats(&self) -> &Formats {
        self.formats_cell().get_or_init(|| Formats::of(self.engine(), &self.session().user))
    }

    /// Display value of a field of `record`; empty when nil, or when a reference leads nowhere.
    pub(crate) fn display_field(&self, record: &Record, index: usize) -> String {
        let shown = self.dictionary().and_then(|dictionary| {
            self.with_read(|tx| display::field(tx, &dictionary, record, index, self.formats()))
        });
        self.or_empty(shown, record)
    }

    /// Display value of the row.
    pub(crate) fn display_record(&self, record: &Record) -> String {
        let field = &record.table().fields[record.table().display_field];
        if field.field_type == FieldType::String && !field.has_choices {
            let shown = record.at(record.table().display_field);
            if !shown.is_nil() {
                return shown.as_str().to_owned();
            }
        }
        let shown = self.dictionary().and_then(|dictionary| {
            self.with_read(|tx| display::record(tx, &dictionary, record, self.formats()))
        });
        self.or_empty(shown, record)
    }

    /// The newest `count` entries of a journal, all for −1, formatted, newest first.
    pub(crate) fn journal_text(&self, record: &Record, index: usize, count: i64) -> String {
        let field = &record.table().fields[index];
        let text = self.dictionary().and_then(|dictionary| {
            self.with_read(|tx| {
                let key = record.text("sys_id");
                let entries = journal::entries(tx, &dictionary, key, &field.name, count)?;
                journal::print(tx, &dictionary, &entries, &field.label, self.formats())
            })
        });
        self.or_empty(text, record)
    }

    fn or_empty(&self, shown: Result<String, EngineError>, record: &Record) -> String {
        shown.unwrap_or_else(|error| {
            let table = &record.table().name;
            self.log_error(
                "record",
                &format!("a display value of {table} could not be read: {error}"),
            );
            String::new()
        })
    }
}
