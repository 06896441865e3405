//! From what an entry of a pack says to the values of its row.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, FieldDef, FieldType, TableDef, Value};

use super::document::{Item, Row};
use super::names::{Names, rows_with};
use super::sections::{NAMES_IN_TEXT, Section};
use super::yaml::{bad_input, unknown_key};
use crate::error::EngineError;
use crate::records::conversion;
use crate::records::execution::Execution;
use campanile_model::nearest::suggestion;

/// Values by column, and journal entries.
pub(super) type Values = (Vec<(Arc<str>, Value)>, Vec<(Arc<str>, Arc<str>)>);

/// What values are resolved against.
pub(super) struct Resolver<'a> {
    pub(super) execution: &'a Rc<Execution>,
    pub(super) dictionary: &'a Dictionary,
    pub(super) names: &'a Names,
    pub(super) file: &'a str,
}

impl Resolver<'_> {
    /// The values of an entry of a section.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] with the path of the key that is unknown or the value that stands for nothing.
    pub(super) fn entry(
        &self,
        section: &Section,
        table: &Arc<TableDef>,
        path: &str,
        row: &Row,
    ) -> Result<Values, EngineError> {
        for (key, _) in &row.0 {
            let known = section.beside.contains(&key.as_str())
                || is_writable(table, section.column(key)).is_some();
            if !known {
                let columns = table.fields.iter().map(|field| section.key_of(&field.name));
                let known: Vec<&str> = columns
                    .filter(|name| !name.starts_with("sys_"))
                    .chain(section.beside.iter().copied())
                    .collect();
                return Err(bad_input(
                    self.file,
                    format!("{path}.{key}"),
                    unknown_key(key, &known),
                ));
            }
        }
        let columns = row.0.iter().filter(|(key, _)| !section.beside.contains(&key.as_str()));
        let mut values = self.values(table, path, columns, |key| section.column(key))?;
        for (column, text) in section.defaults {
            if let Some(field) =
                table.field(column).filter(|f| !values.0.iter().any(|(n, _)| *n == f.name))
            {
                values
                    .0
                    .push((Arc::clone(&field.name), self.plain(field, text).unwrap_or_default()));
            }
        }
        Ok(values)
    }

    /// The values of a data row.
    ///
    /// # Errors
    /// As [`Resolver::entry`].
    pub(super) fn record(
        &self,
        table: &Arc<TableDef>,
        path: &str,
        row: &Row,
    ) -> Result<Values, EngineError> {
        if let Some((key, _)) = row.0.iter().find(|(key, _)| is_writable(table, key).is_none()) {
            let known = table.fields.iter().map(|field| &*field.name);
            let known: Vec<&str> = known.filter(|name| !name.starts_with("sys_")).collect();
            let detail =
                format!("table '{}' has no such column: {}", table.name, unknown_key(key, &known));
            return Err(bad_input(self.file, format!("{path}.values.{key}"), detail));
        }
        self.values(table, &format!("{path}.values"), row.0.iter(), |key| key)
    }

    fn values<'k>(
        &self,
        table: &Arc<TableDef>,
        path: &str,
        entries: impl Iterator<Item = &'k (String, Item)>,
        column: impl Fn(&'k str) -> &'k str,
    ) -> Result<Values, EngineError> {
        let (mut values, mut journals) = (Vec::new(), Vec::new());
        for (key, item) in entries {
            let Some(field) = is_writable(table, column(key)) else { continue };
            let path = format!("{path}.{key}");
            if field.field_type == FieldType::Journal {
                journals.push((Arc::clone(&field.name), Arc::from(item.joined())));
                continue;
            }
            let value = self
                .value(table, field, item)?
                .map_err(|reason| bad_input(self.file, path, reason))?;
            values.push((Arc::clone(&field.name), value));
        }
        Ok((values, journals))
    }

    /// One value. The inner error says in words why it stands for nothing.
    fn value(
        &self,
        table: &TableDef,
        field: &FieldDef,
        item: &Item,
    ) -> Result<Result<Value, String>, EngineError> {
        let text = item.joined();
        if text.is_empty() {
            return Ok(Ok(Value::Nil));
        }
        match field.field_type {
            FieldType::Reference => {
                let found =
                    self.names.resolve(self.execution, self.dictionary, &field.reference, &text)?;
                return Ok(found.map(Value::from));
            }
            FieldType::GlideList if !field.reference.is_empty() => {
                let mut members = Vec::new();
                for name in item.members() {
                    let found = self.names.resolve(
                        self.execution,
                        self.dictionary,
                        &field.reference,
                        &name,
                    )?;
                    match found {
                        Ok(sys_id) => members.push(sys_id),
                        Err(reason) => return Ok(Err(reason)),
                    }
                }
                return Ok(Ok(Value::from(members.join(","))));
            }
            FieldType::TableName => {
                let is_global = &*table.name == "sys_script" && text == "global";
                if !is_global && self.dictionary.table(&text).is_none() {
                    let known = self.dictionary.tables().map(|table| &*table.name);
                    return Ok(Err(format!(
                        "there is no table '{text}'{}",
                        suggestion(&text, known)
                    )));
                }
            }
            _ if &*field.internal_type == "user_roles" => {
                for role in item.members() {
                    let found = self.names.resolve(
                        self.execution,
                        self.dictionary,
                        "sys_user_role",
                        &role,
                    )?;
                    if let Err(reason) = found {
                        return Ok(Err(reason));
                    }
                }
            }
            _ => {}
        }
        if let Some(reason) = self.unknown_name(table, field, &text)? {
            return Ok(Err(reason));
        }
        Ok(self.plain(field, &text))
    }

    /// Why a text that must be the name of another row is none.
    fn unknown_name(
        &self,
        table: &TableDef,
        field: &FieldDef,
        text: &str,
    ) -> Result<Option<String>, EngineError> {
        let rule = NAMES_IN_TEXT
            .iter()
            .find(|(of, column, ..)| *of == &*table.name && *column == &*field.name);
        let Some((_, _, target, column, section)) = rule else { return Ok(None) };
        if self.names.has(target, text) {
            return Ok(None);
        }
        let Some(target_table) = self.dictionary.table(target) else { return Ok(None) };
        if !rows_with(self.execution, target_table, column, text)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!("'{text}' is not known: add it to '{section}'")))
    }

    fn plain(&self, field: &FieldDef, text: &str) -> Result<Value, String> {
        match field.field_type {
            FieldType::Boolean if !matches!(text, "true" | "false" | "1" | "0") => {
                Err(format!("expected true or false, got '{text}'"))
            }
            FieldType::Duration if text.starts_with('P') => duration(text),
            FieldType::Password | FieldType::Password2 => {
                Err("packs hold no credentials: leave it out".to_owned())
            }
            _ => conversion::from_text(field, text),
        }
    }
}

/// The column called `name`, when a pack may write it.
fn is_writable<'a>(table: &'a TableDef, name: &str) -> Option<&'a FieldDef> {
    table.field(name).filter(|field| !field.name.starts_with("sys_"))
}

/// ISO 8601: `PT30S`, `P1DT2H`.
fn duration(text: &str) -> Result<Value, String> {
    match text.parse::<jiff::Span>().and_then(|span| {
        span.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours()))
    }) {
        Ok(seconds) if seconds >= 0.0 => match format!("{:.0}", seconds * 1000.0).parse() {
            Ok(millis) => {
                Ok(Value::from(campanile_model::Instant::from_millis(millis).to_glide_text()))
            }
            Err(_too_long) => Err(format!("'{text}' is too long a duration")),
        },
        _ => Err(format!("'{text}' is no duration: expected for example PT30S or 00:00:30")),
    }
}
