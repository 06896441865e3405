//! Display values as the session's user sees them.

use std::sync::Arc;

use campanile_model::{FieldType, Instant, Record};

use super::execution::Execution;

impl Execution {
    /// Display value of a field of `record`; empty when nil, or when a reference leads nowhere.
    pub(crate) fn display_field(&self, record: &Record, index: usize) -> String {
        let table = record.table();
        let field = &table.fields[index];
        let text = record.at(index).as_str();
        if text.is_empty() {
            return String::new();
        }
        let Ok(dictionary) = self.dictionary() else { return text.to_owned() };
        if field.has_choices {
            let label = dictionary.choice_label(record.class_name(), &field.name, text);
            return label.map_or_else(|| text.to_owned(), ToString::to_string);
        }
        match field.field_type {
            FieldType::Boolean => if text == "1" { "true" } else { "false" }.to_owned(),
            FieldType::Reference => self.display_of_row(&field.reference, text),
            FieldType::GlideList if !field.reference.is_empty() => {
                let names = text.split(',').map(|id| self.display_of_row(&field.reference, id));
                names.collect::<Vec<_>>().join(", ")
            }
            FieldType::TableName => dictionary
                .table(text)
                .map_or_else(|| text.to_owned(), |table| table.label.to_string()),
            FieldType::Password | FieldType::Password2 => "********".to_owned(),
            _ => text.to_owned(),
        }
    }

    fn display_of_row(&self, table: &str, sys_id: &str) -> String {
        let Ok(dictionary) = self.dictionary() else { return String::new() };
        let Some(table) = dictionary.table(table).map(Arc::clone) else { return String::new() };
        match self.read_row(&table, sys_id) {
            Ok(Some(row)) => row.at(table.display_field).as_str().to_owned(),
            Ok(None) => String::new(),
            Err(error) => {
                tracing::error!(%error, table = &*table.name, "a display value could not be read");
                String::new()
            }
        }
    }

    /// An instant in the session's zone and format.
    pub(crate) fn display_instant(&self, at: Instant) -> String {
        at.to_glide_text()
    }

    /// The instant of a text in the session's zone and format.
    pub(crate) fn parse_instant(&self, text: &str) -> Option<Instant> {
        Instant::parse_glide_text(text)
    }
}
