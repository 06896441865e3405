//! The system's own tables and rows.

use std::sync::Arc;

use campanile_model::TableDef;

use crate::error::EngineError;

/// A table of the system as it is shipped.
///
/// # Errors
/// [`EngineError::TableUnknown`].
pub fn system_table(name: &str) -> Result<Arc<TableDef>, EngineError> {
    Err(EngineError::TableUnknown(name.to_owned()))
}
