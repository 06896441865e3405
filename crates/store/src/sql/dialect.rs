//! What the two engines write differently. Everything else is the same text for both.

use campanile_model::ColumnStorage;

use super::values::Param;

/// An engine's way to write SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Texts have collations; a parameter has the type of its value.
    Sqlite,
    /// Texts are compared byte by byte (every column has the collation `C`); a parameter's type is written down.
    Postgres,
}

impl Dialect {
    /// `sql`, a text, compared and ordered ignoring the case of ASCII letters. The other side has to go through
    /// [`Dialect::no_case_param`]. What is written can be served by an index.
    pub(crate) fn no_case(self, sql: &str) -> String {
        match self {
            Self::Sqlite => format!("{sql} COLLATE NOCASE"),
            Self::Postgres => format!("lower({sql})"),
        }
    }

    /// A text that is compared with [`Dialect::no_case`].
    pub(crate) fn no_case_param(self, text: &str) -> Param {
        match self {
            Self::Sqlite => Param::Text(text.into()),
            Self::Postgres => Param::Text(text.to_ascii_lowercase().into()),
        }
    }

    /// `sql`, a text column, compared byte by byte whatever its collation.
    pub(crate) fn exact(self, sql: &str) -> String {
        match self {
            Self::Sqlite => format!("{sql} COLLATE BINARY"),
            Self::Postgres => sql.to_owned(),
        }
    }

    /// `sql`, a column that is stored so and is no text, as its stored text.
    pub(crate) fn as_text(self, sql: &str, storage: ColumnStorage, scale: u8) -> String {
        let text = match (storage, self) {
            (ColumnStorage::Text | ColumnStorage::None, _) => return sql.to_owned(),
            (ColumnStorage::Boolean, Self::Postgres) => {
                format!("CAST(CAST({sql} AS INTEGER) AS TEXT)")
            }
            (ColumnStorage::Integer | ColumnStorage::Boolean, _) => format!("CAST({sql} AS TEXT)"),
            (ColumnStorage::Real, _) => format!("campanile_decimal({sql}, {scale})"),
            (ColumnStorage::EpochMillis, _) => format!("campanile_time({sql})"),
        };
        match self {
            Self::Sqlite => text,
            // What is no column has the collation of the database.
            Self::Postgres => format!("({text} COLLATE \"C\")"),
        }
    }

    /// `sql`, a text column, as a number.
    pub(crate) fn as_number(self, sql: &str) -> String {
        match self {
            Self::Sqlite => format!("CAST({sql} AS NUMERIC)"),
            Self::Postgres => format!("campanile_number({sql})"),
        }
    }

    /// The place of the second text in the first, from 1; 0 when it is not there.
    pub(crate) fn position_function(self) -> &'static str {
        match self {
            Self::Sqlite => "instr",
            Self::Postgres => "strpos",
        }
    }

    /// `sql` as one key of ORDER BY: nil is first ascending, last descending.
    pub(crate) fn order_key(self, sql: &str, descending: bool) -> String {
        match (self, descending) {
            (Self::Sqlite, false) => sql.to_owned(),
            (Self::Sqlite, true) => format!("{sql} DESC"),
            (Self::Postgres, false) => format!("{sql} NULLS FIRST"),
            (Self::Postgres, true) => format!("{sql} DESC NULLS LAST"),
        }
    }

    /// The place of `param` where it is compared with a column that is stored so.
    ///
    /// A whole number and a broken one are compared exactly: PostgreSQL does that with `numeric`, and reads a broken
    /// number digit by digit from its text, because its cast from a float keeps 15 digits.
    pub(crate) fn place(self, param: &Param, storage: ColumnStorage) -> &'static str {
        if self == Self::Sqlite {
            return "?";
        }
        match (storage, param) {
            (ColumnStorage::Boolean, _) => "?::boolean",
            (ColumnStorage::Real, _) => "?::float8",
            (ColumnStorage::Integer, Param::Real(_))
            | (ColumnStorage::Text, Param::Integer(_) | Param::Real(_)) => "?::text::numeric",
            (ColumnStorage::Integer | ColumnStorage::EpochMillis, _) => "?::bigint",
            (ColumnStorage::Text | ColumnStorage::None, _) => "?::text",
        }
    }

    /// The place of a list of `params`, as [`Dialect::place`].
    pub(crate) fn list_place(params: &[Param], storage: ColumnStorage) -> &'static str {
        let has_broken = params.iter().any(|param| matches!(param, Param::Real(_)));
        let has_number = params.iter().any(|param| matches!(param, Param::Integer(_)));
        match storage {
            ColumnStorage::Boolean => "?::boolean[]",
            ColumnStorage::Real => "?::float8[]",
            ColumnStorage::Integer if has_broken => "?::text[]::numeric[]",
            ColumnStorage::Integer | ColumnStorage::EpochMillis => "?::bigint[]",
            ColumnStorage::Text if has_broken || has_number => "?::text[]::numeric[]",
            ColumnStorage::Text | ColumnStorage::None => "?::text[]",
        }
    }
}
