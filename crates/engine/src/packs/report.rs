//! What applying a pack did, or would do.

use std::fmt;

use campanile_model::counted;
use campanile_store::CommitMark;

/// One row that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `insert` or `update`.
    pub action: &'static str,
    /// Table.
    pub table: String,
    /// What identifies the row for people.
    pub key: String,
    /// Columns that were written on an update.
    pub fields: Vec<String>,
}

/// What applying a pack did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackReport {
    /// Name of the pack.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Rows that were written, in order. None when the pack was applied before and nothing has changed since.
    pub changes: Vec<Change>,
    /// What was left as it is, and what is surprising.
    pub warnings: Vec<String>,
    /// Wait for this before telling anybody.
    pub mark: CommitMark,
}

impl fmt::Display for PackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, changes, warnings, .. } = self;
        write!(f, "{name} {version}: {}", counted(changes.len(), "change", "changes"))?;
        match warnings.len() {
            0 => Ok(()),
            1 => f.write_str(", 1 warning"),
            many => write!(f, ", {many} warnings"),
        }
    }
}
