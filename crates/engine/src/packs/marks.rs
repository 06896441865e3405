//! What a pack wrote last: tells a row that a person has edited since from one that is only outdated.

use std::collections::BTreeMap;

use campanile_model::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The rows of one pack by `sys_id`: table, and a digest of the row as the pack left it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    rows: BTreeMap<String, (String, String)>,
}

impl Marks {
    /// Key of the store's small key–value table.
    pub(super) fn key(pack: &str) -> String {
        format!("pack:{pack}")
    }

    /// Reads what was kept; nothing when nothing was, or when it cannot be read (every row then counts as edited).
    pub(super) fn read(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::error!(%error, "the marks of a pack could not be read: its rows count as edited");
            Self::default()
        })
    }

    /// The text to keep.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The digest of the row when the pack wrote it last.
    pub(super) fn of(&self, sys_id: &str) -> Option<&str> {
        self.rows.get(sys_id).map(|(_, digest)| digest.as_str())
    }

    /// The pack wrote the row as it is in `record`.
    pub(super) fn set(&mut self, record: &Record) {
        let row = (record.table().name.to_string(), digest(record));
        self.rows.insert(record.text("sys_id").to_ascii_lowercase(), row);
    }

    /// The rows, with their tables.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(sys_id, (table, _))| (sys_id.as_str(), table.as_str()))
    }

    /// Forgets a row.
    pub(super) fn forget(&mut self, sys_id: &str) {
        self.rows.remove(sys_id);
    }
}

/// A digest of what people may edit: system columns, passwords and what the product keeps for itself are left out.
pub(super) fn digest(record: &Record) -> String {
    let mut digest = Sha256::new();
    for (field, value) in record.table().fields.iter().zip(record.values()) {
        let kept_by_product = field.name.starts_with("sys_")
            || field.field_type.is_secret()
            || matches!(&*field.name, "column_name" | "derived_priority" | "previous_config");
        if value.is_nil() || kept_by_product {
            continue;
        }
        digest.update(field.name.as_bytes());
        digest.update([0]);
        digest.update(value.as_str().as_bytes());
        digest.update([0]);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
