//! Stored text ↔ column, at the edge of the database.

use std::sync::Arc;

use campanile_model::{ColumnStorage, FieldDef, Instant, Value};

use crate::contract::StoreError;

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Param {
    Null,
    Integer(i64),
    Real(f64),
    Text(Arc<str>),
    /// Several values as one.
    List(Vec<Param>),
}

/// The column's value for `value`.
///
/// # Errors
/// [`StoreError::Statement`] when the stored text does not fit the column: whoever sets fields has to check.
pub(crate) fn to_column(field: &FieldDef, value: &Value) -> Result<Param, StoreError> {
    let Value::Text(text) = value else { return Ok(Param::Null) };
    let fitting = match field.storage {
        ColumnStorage::Text => Some(Param::Text(Arc::clone(text))),
        ColumnStorage::Integer => integer(text).map(Param::Integer),
        ColumnStorage::Boolean => flag(text).map(Param::Integer),
        ColumnStorage::Real => real(text).map(|n| Param::Real(rounded(n, field.scale))),
        ColumnStorage::EpochMillis => {
            Instant::parse_glide_text(text).map(|at| Param::Integer(at.as_millis()))
        }
        ColumnStorage::None => Some(Param::Null),
    };
    fitting.ok_or_else(|| StoreError::Statement {
        reason: format!(
            "'{text}' does not fit column '{}' of type {}",
            field.name, field.internal_type
        ),
    })
}

/// What reading `value` back from its column gives; `None` when it does not fit.
pub(crate) fn stored(field: &FieldDef, value: &Value) -> Option<Value> {
    Some(match to_column(field, value).ok()? {
        Param::Null => Value::Nil,
        Param::Integer(number) => from_integer(field, number),
        Param::Real(number) => from_real(field, number),
        Param::Text(text) => Value::Text(text),
        Param::List(_) => return None,
    })
}

/// The stored text of an integer column.
pub(crate) fn from_integer(field: &FieldDef, number: i64) -> Value {
    match field.storage {
        ColumnStorage::Boolean => Value::bool(number != 0),
        ColumnStorage::EpochMillis => Value::text(&glide_text(number)),
        #[expect(clippy::cast_precision_loss, reason = "a decimal column has at most 15 digits")]
        ColumnStorage::Real => Value::text(&decimal_text(number as f64, field.scale)),
        _ => Value::int(number),
    }
}

/// The stored text of a floating-point column.
pub(crate) fn from_real(field: &FieldDef, number: f64) -> Value {
    Value::text(&decimal_text(number, field.scale))
}

/// A whole number, also when it is written as one with zeros behind the point.
pub(crate) fn integer(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (whole, fraction) = text.split_once('.')?;
    fraction.bytes().all(|b| b == b'0').then(|| whole.parse().ok()).flatten()
}

/// A finite number.
pub(crate) fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A boolean's stored text.
pub(crate) fn flag(text: &str) -> Option<i64> {
    match text {
        "1" | "true" => Some(1),
        "0" | "false" => Some(0),
        _ => None,
    }
}

/// `number` with `scale` digits behind the point.
pub(crate) fn decimal_text(number: f64, scale: u8) -> String {
    let text = format!("{number:.*}", usize::from(scale));
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|b| matches!(b, b'0' | b'.')) => digits.to_owned(),
        _ => text,
    }
}

/// What reading `number` back from its stored text gives.
fn rounded(number: f64, scale: u8) -> f64 {
    decimal_text(number, scale).parse().unwrap_or(number)
}

/// The stored text of an instant.
pub(crate) fn glide_text(millis: i64) -> String {
    Instant::from_millis(millis).to_glide_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_scale_and_have_no_negative_zero() {
        assert_eq!(decimal_text(12.5, 2), "12.50");
        assert_eq!(decimal_text(-0.001, 2), "0.00");
        assert_eq!(decimal_text(-1.5, 0), "-2");
        assert_eq!(rounded(12.345_678, 2).to_string(), "12.35");
    }

    #[test]
    fn whole_numbers_may_have_zeros_behind_the_point_and_nothing_else() {
        assert_eq!(integer("5.00"), Some(5));
        assert_eq!(integer("-7"), Some(-7));
        assert_eq!(integer("5.1"), None);
        assert_eq!(integer("five"), None);
        assert_eq!(integer(""), None);
    }
}
