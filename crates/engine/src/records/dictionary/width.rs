//! How many columns a table may have: as many as both database engines take, told when a column is saved.

use std::collections::BTreeSet;

use campanile_model::limits::TABLE_COLUMNS_MAX;
use campanile_model::{ColumnStorage, Dictionary};

/// Why `table`, which got new columns, cannot have them. The root of a hierarchy holds the columns of all its classes.
///
/// # Errors
/// The reason, with the fix.
pub(super) fn check(dictionary: &Dictionary, table: &str) -> Result<(), String> {
    let Some(table) = dictionary.table(table) else { return Ok(()) };
    let family = dictionary.tables().filter(|other| other.root == table.root);
    let stored =
        family.flat_map(|class| &class.fields).filter(|f| f.storage != ColumnStorage::None);
    let columns = stored.map(|field| &*field.column).collect::<BTreeSet<_>>().len();
    if columns <= TABLE_COLUMNS_MAX {
        return Ok(());
    }
    let (name, root) = (&table.name, &table.root);
    let of = if name == root && table.subtree.len() == 1 {
        format!("table '{name}'")
    } else {
        format!("table '{root}', which holds the columns of all its classes ('{name}' is one),")
    };
    Err(format!(
        "{of} would have {columns} columns, the limit is {TABLE_COLUMNS_MAX}: keep some in a table of their own that refers \
         to this one, or delete columns that nobody needs"
    ))
}
