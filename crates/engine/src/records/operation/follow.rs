//! Seam: the dictionary's own checks on definition rows.

use campanile_model::Record;
use campanile_store::WriteTx;

use crate::error::EngineError;

/// What was done to a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Inserted,
    Updated(&'a Record),
    Deleted,
}

pub(crate) fn defines_tables(_table: &str) -> bool {
    false
}

pub(crate) fn after_write(
    _tx: &mut dyn WriteTx,
    change: Change<'_>,
    _record: &Record,
) -> Result<(), EngineError> {
    if let Change::Updated(before) = change {
        tracing::trace!(table = &*before.table().name, "a definition was written");
    }
    Ok(())
}
