//! What compares how: the SQL side of the database mode of business-rules §11.5.

use campanile_model::{ColumnStorage, FieldDef, FieldType, Instant};

use super::dialect::Dialect;
use super::joins::Column;
use super::values::{Param, flag, real};

/// How values of a field compare. Decided by its type, as in memory; how it is stored decides only how the
/// comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As numbers.
    Number,
    /// False before true.
    Boolean,
    /// As plain texts that order as the times do.
    Temporal,
    /// The same, kept in milliseconds and compared by the second.
    Millis,
    /// Keys of rows: ASCII, ignoring case.
    Key,
    /// Texts, ignoring case.
    Text,
}

impl Kind {
    pub(super) fn of(field: &FieldDef) -> Self {
        match field.field_type {
            kind if kind.is_numeric() => Self::Number,
            FieldType::Boolean => Self::Boolean,
            kind if kind.is_temporal() && field.storage == ColumnStorage::EpochMillis => {
                Self::Millis
            }
            kind if kind.is_temporal() => Self::Temporal,
            FieldType::Guid if field.storage == ColumnStorage::Text => Self::Key,
            _ => Self::Text,
        }
    }
}

/// The column as stored text.
pub(super) fn text_sql(dialect: Dialect, column: &Column<'_>) -> String {
    dialect.as_text(&column.sql, column.field.storage, column.field.scale)
}

/// The column as something that orders as its values do: for comparisons with another field.
pub(super) fn comparable_sql(dialect: Dialect, column: &Column<'_>) -> String {
    let sql = &column.sql;
    match (Kind::of(column.field), column.field.storage) {
        (Kind::Number, ColumnStorage::Text) => dialect.as_number(sql),
        (Kind::Number | Kind::Boolean, _) => sql.clone(),
        (Kind::Millis | Kind::Temporal, _) => text_sql(dialect, column),
        (Kind::Key | Kind::Text, _) => format!("campanile_fold({})", text_sql(dialect, column)),
    }
}

/// A number as it is bound; `None` for a text that is no number.
pub(super) fn number_param(text: &str) -> Option<Param> {
    text.parse().map(Param::Integer).ok().or_else(|| real(text).map(Param::Real))
}

/// A boolean as it is bound: what is not true is false.
pub(super) fn flag_param(text: &str) -> Param {
    Param::Integer(flag(text).unwrap_or(0))
}

/// First and last millisecond of the second that `text` names.
pub(super) fn second_of(text: &str) -> Option<(i64, i64)> {
    let start = (text.len() == 19).then(|| Instant::parse_glide_text(text)).flatten()?.as_millis();
    Some((start, start + 999))
}

/// The millisecond that `text` names: an instant in RFC 3339.
pub(super) fn moment_of(text: &str) -> Option<i64> {
    text.contains('T').then(|| Instant::parse_rfc3339(text)).flatten().map(Instant::as_millis)
}
