//! From display values to stored ones: `setDisplayValue`, `sysparm_input_display_value` (scripting §4).

use std::sync::Arc;

use campanile_model::{FieldDef, FieldType, Record, TableDef, Value};

use super::execution::Execution;
use super::{conversion, lookup};
use crate::error::EngineError;

/// What a display value stands for.
#[derive(Debug, Clone, Default)]
pub(crate) struct FromDisplay {
    /// The stored value.
    pub(crate) value: Value,
    /// Nothing has this display value.
    pub(crate) is_missing: bool,
    /// What is surprising about it.
    pub(crate) warning: Option<String>,
}

impl From<Value> for FromDisplay {
    fn from(value: Value) -> Self {
        Self { value, ..Self::default() }
    }
}

impl Execution {
    /// The stored value of a display value.
    ///
    /// # Errors
    /// In words, why the field has to stay as it was.
    pub(crate) fn value_of_display(
        &self,
        table: &Arc<TableDef>,
        field: &FieldDef,
        text: &str,
    ) -> Result<FromDisplay, String> {
        if text.is_empty() {
            return Ok(Value::Nil.into());
        }
        if field.has_choices {
            let dictionary = self.dictionary().map_err(|error| error.to_string())?;
            if let Some(value) = dictionary.choice_value(&table.name, &field.name, text) {
                return Ok(Value::text(value).into());
            }
            let value = conversion::from_text(field, text)?;
            let known = dictionary.choices(&table.name, &field.name);
            let warning = (!known.iter().any(|choice| &*choice.value == value.as_str()))
                .then(|| format!("no choice is called '{text}': it was stored as it was typed"));
            return Ok(FromDisplay { value, is_missing: false, warning });
        }
        match field.field_type {
            FieldType::Reference => {
                self.reference_by_display(&field.reference, text).map_err(|error| error.to_string())
            }
            FieldType::GlideList => {
                self.list_by_display(field, text).map_err(|error| error.to_string())
            }
            FieldType::DateTime => match self.formats().stored_date_time(text) {
                Some(stored) => Ok(Value::from(stored).into()),
                None => Err(format!("could not parse date-time '{text}'")),
            },
            FieldType::Date => match self.formats().stored_date(text) {
                Some(stored) => Ok(Value::from(stored).into()),
                None => Err(format!("could not parse date '{text}'")),
            },
            FieldType::TableName => {
                let dictionary = self.dictionary().map_err(|error| error.to_string())?;
                let by_label = dictionary.tables().find(|table| &*table.label == text);
                Ok(Value::text(by_label.map_or(text, |table| &table.name)).into())
            }
            _ => conversion::from_text(field, text).map(FromDisplay::from),
        }
    }

    /// The row of `table` with this display value: exact, the first by creation.
    fn reference_by_display(&self, table: &str, text: &str) -> Result<FromDisplay, EngineError> {
        let rows = self.rows_by_display(table, text)?;
        let warning = match rows.len() {
            0 => Some(format!("nothing in {table} is called '{text}'")),
            1 => None,
            many => {
                Some(format!("{many} rows of {table} are called '{text}': the oldest was taken"))
            }
        };
        let value = rows.first().map_or(Value::Nil, |row| row.get("sys_id").clone());
        Ok(FromDisplay { value, is_missing: rows.is_empty(), warning })
    }

    fn list_by_display(&self, field: &FieldDef, text: &str) -> Result<FromDisplay, EngineError> {
        let mut members = Vec::new();
        let mut unknown = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if field.reference.is_empty() {
                members.push(name.to_owned());
                continue;
            }
            match self.rows_by_display(&field.reference, name)?.first() {
                Some(row) => members.push(row.text("sys_id").to_owned()),
                None => unknown.push(name),
            }
        }
        let warning = (!unknown.is_empty()).then(|| {
            format!("nothing in {} is called '{}'", field.reference, unknown.join("', '"))
        });
        Ok(FromDisplay { value: Value::from(members.join(",")), is_missing: false, warning })
    }

    fn rows_by_display(&self, table: &str, text: &str) -> Result<Vec<Record>, EngineError> {
        let dictionary = self.dictionary()?;
        let Some(target) = dictionary.table(table) else { return Ok(Vec::new()) };
        let display = Arc::clone(&target.fields[target.display_field].name);
        let select = lookup::equal(target, &[(&display, text)]);
        let select = lookup::ordered(select, &["sys_created_on", "sys_id"]);
        let mut rows = self.with_read(|tx| tx.select(&select))?;
        rows.retain(|row| row.text(&display) == text);
        Ok(rows)
    }
}
