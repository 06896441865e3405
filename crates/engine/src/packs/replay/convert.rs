//! From the cells of a row to what they mean, as far as one row can tell: no other row is looked up here.

use campanile_model::{FieldType, Value};

use super::columns::{Column, Columns, Kind};
use super::map::ReplayMap;
use crate::records::conversion;

/// What a cell means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// This value.
    Value(Value),
    /// The choice with this label.
    Label(String),
    /// The row of another table with this name.
    Name(String),
}

/// What the cells of a row mean, in the order of the map's columns.
///
/// # Errors
/// In words: the column, and what is wrong.
pub(super) fn row(
    map: &ReplayMap,
    columns: &Columns,
    cells: &[String],
) -> Result<Vec<Cell>, String> {
    let mut meant = Vec::with_capacity(columns.list.len());
    for column in &columns.list {
        let Some(text) = cells.get(column.at) else {
            return Err(format!("column '{}' is missing in this row", column.name));
        };
        let cell = cell(map, columns, column, map.cell(text))
            .map_err(|reason| format!("column '{}': {reason}", column.name))?;
        meant.push(cell);
    }
    if meant[columns.key] == Cell::Value(Value::Nil) {
        return Err(format!("column '{}' is empty: it tells records apart", columns.key().name));
    }
    Ok(meant)
}

fn cell(map: &ReplayMap, columns: &Columns, column: &Column, text: &str) -> Result<Cell, String> {
    if text.is_empty() {
        return Ok(Cell::Value(Value::Nil));
    }
    let field = columns.field(column);
    match &column.kind {
        Kind::Reference { .. } => return Ok(Cell::Name(text.to_owned())),
        Kind::Choice => return Ok(Cell::Label(text.to_owned())),
        Kind::Plain => {}
    }
    let value = match field.field_type {
        FieldType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Value::bool(true),
            "false" | "0" | "no" => Value::bool(false),
            _ => return Err(format!("expected true or false, got '{text}'")),
        },
        FieldType::DateTime => Value::from(map.instant(text)?.to_glide_text()),
        FieldType::Date => Value::text(&map.instant(text)?.to_glide_text()[..10]),
        // The text that empties a field in scripts is a text like any other in a file.
        FieldType::String | FieldType::Html => Value::text(text),
        _ => conversion::from_text(field, text)?,
    };
    if conversion::is_too_long(field, value.as_str()) {
        let length = text.chars().count();
        return Err(format!(
            "the value has {length} characters, '{}' holds {}",
            field.name, field.max_length
        ));
    }
    Ok(Cell::Value(value))
}
