//! Everything that is in a database, table by table and row by row, in words that belong to no engine: what one database
//! gives, another takes.

use std::sync::Arc;

use campanile_model::Dictionary;
use serde_json::{Value, json};

use super::StoreError;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpKind {
    /// Any text.
    Text,
    /// A whole number of 64 bits; times are milliseconds.
    Integer,
    /// True or false.
    Flag,
    /// A floating-point number.
    Real,
}

/// A value of one row. No value and the empty text are two things.
#[derive(Debug, Clone, PartialEq)]
pub enum DumpValue {
    /// No value.
    Null,
    /// A text.
    Text(Arc<str>),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Flag(bool),
    /// A floating-point number.
    Real(f64),
}

impl DumpValue {
    /// About how much room it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => size_of::<Self>() + text.len(),
            _ => size_of::<Self>(),
        }
    }
}

/// One row: a value for each column.
pub type DumpRow = Vec<DumpValue>;

/// A table: its columns in the order of the values, and what orders its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpTable {
    /// Name of the table in the database.
    pub name: String,
    /// Name and kind of each column.
    pub columns: Vec<(String, DumpKind)>,
    /// Positions of the columns that name a row: unique, never null.
    pub key: Vec<usize>,
    /// It is a table of records: two keys that differ in the case of letters only are one.
    pub is_records: bool,
}

impl DumpTable {
    /// The key of one of its rows.
    #[must_use]
    pub fn key_of(&self, row: &DumpRow) -> Vec<DumpValue> {
        self.key.iter().filter_map(|at| row.get(*at).cloned()).collect()
    }
}

/// How far the copy of one table is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CopyMark {
    /// Key of the last row that is there; empty before the first.
    pub key: Vec<DumpValue>,
    /// Rows that are there.
    pub rows: u64,
}

impl CopyMark {
    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let key: Vec<Value> = self
            .key
            .iter()
            .map(|value| match value {
                DumpValue::Null => Value::Null,
                DumpValue::Text(text) => json!(&**text),
                DumpValue::Integer(number) => json!(number),
                DumpValue::Flag(flag) => json!(flag),
                DumpValue::Real(number) => json!(number),
            })
            .collect();
        json!({"key": key, "rows": self.rows}).to_string()
    }

    /// What was kept; `None` when it is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let kept: Value = serde_json::from_str(text).ok()?;
        let key = kept["key"].as_array()?.iter().map(|value| match value {
            Value::String(text) => Some(DumpValue::Text(text.as_str().into())),
            Value::Number(number) => number.as_i64().map(DumpValue::Integer),
            _ => None,
        });
        Some(Self { key: key.collect::<Option<_>>()?, rows: kept["rows"].as_u64()? })
    }
}

/// A database from which everything is read, as it was at one moment.
pub trait Dump {
    /// The database in words: a file, or an address without user and password.
    fn place(&self) -> String;

    /// Up to `rows_max` rows of `table` behind the key `after` (empty: from the first), in the order of their keys.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Statement`] that names the column when a value is not of its kind.
    fn rows(
        &self,
        table: &DumpTable,
        after: &[DumpValue],
        rows_max: usize,
    ) -> Result<Vec<DumpRow>, StoreError>;
}

/// A database that takes everything of another one. While one exists, no program can work on its database; and none can
/// open it before [`Load::finish`], whatever happens.
pub trait Load: Dump {
    /// The first table that has rows, or is not ours; `None` when the database is empty but for an unfinished copy.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn occupied_by(&self) -> Result<Option<String>, StoreError>;

    /// What an unfinished copy was begun with; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn unfinished(&self) -> Result<Option<String>, StoreError>;

    /// Makes the tables of `dictionary` and notes that the copy of `source` has begun. Begun before, it goes on.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`].
    fn begin(&mut self, source: &str, dictionary: &Dictionary) -> Result<(), StoreError>;

    /// How far `table` is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn mark(&self, table: &DumpTable) -> Result<CopyMark, StoreError>;

    /// Adds rows and moves the mark of their table: both are kept, or neither.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`]; [`StoreError::Statement`] for a row that the database refuses.
    fn load(
        &mut self,
        table: &DumpTable,
        rows: &[DumpRow],
        mark: &CopyMark,
    ) -> Result<(), StoreError>;

    /// Lets new events and runs be numbered above those that were loaded, and the database be opened. It is on disk
    /// afterwards.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Unavailable`]; then the copy is still unfinished.
    fn finish(&mut self) -> Result<(), StoreError>;
}

/// Count and sum of the rows of a table, whatever their order: equal for equal rows, and hardly ever for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DumpSum {
    /// Rows.
    pub rows: u64,
    /// Sum of the rows' hashes.
    pub sum: u128,
}

impl DumpSum {
    /// Takes a row in.
    pub fn add(&mut self, row: &DumpRow) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash(row));
    }
}

/// FNV-1a of 128 bits over the values, each with its kind and its length.
fn hash(row: &DumpRow) -> u128 {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash =
                (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    };
    for value in row {
        match value {
            DumpValue::Null => take(&[0]),
            DumpValue::Text(text) => {
                take(&[1]);
                take(&text.len().to_le_bytes());
                take(text.as_bytes());
            }
            DumpValue::Integer(number) => {
                take(&[2]);
                take(&number.to_le_bytes());
            }
            DumpValue::Flag(flag) => take(&[3, u8::from(*flag)]),
            DumpValue::Real(number) => {
                take(&[4]);
                take(&number.to_bits().to_le_bytes());
            }
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> DumpValue {
        DumpValue::Text(text.into())
    }

    #[test]
    fn a_sum_knows_rows_and_not_their_order() {
        let rows: [DumpRow; 3] = [
            vec![text("a"), DumpValue::Null],
            vec![text(""), DumpValue::Integer(1)],
            vec![text("a"), text("b")],
        ];
        let sum = |rows: &[&DumpRow]| {
            let mut sum = DumpSum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        assert_eq!(sum(&[&rows[0], &rows[1], &rows[2]]), sum(&[&rows[2], &rows[0], &rows[1]]));
        assert_ne!(sum(&[&rows[0], &rows[1]]), sum(&[&rows[0], &rows[2]]));
        let others: [DumpRow; 4] = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![DumpValue::Integer(1), text("")],
            vec![DumpValue::Flag(true), DumpValue::Null],
        ];
        for (at, left) in others.iter().enumerate() {
            for right in &others[at + 1..] {
                assert_ne!(sum(&[left]), sum(&[right]), "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn a_mark_reads_back_as_it_was_written() {
        for key in [
            vec![],
            vec![DumpValue::Integer(i64::MIN)],
            vec![text("\u{0}\"é"), DumpValue::Integer(7)],
        ] {
            let mark = CopyMark { key, rows: 12 };
            assert_eq!(CopyMark::from_text(&mark.to_text()), Some(mark));
        }
        assert_eq!(CopyMark::from_text("{}"), None);
    }
}
