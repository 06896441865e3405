//! Dotted paths: from names to fields, reference by reference.

use std::sync::Arc;

use super::bound::{BoundPath, PathStep};
use crate::dictionary::Dictionary;
use crate::limits::DOT_WALK_STEPS_MAX;
use crate::table_def::{FieldType, TableDef};

/// The field that `path` leads to from a row of `table`: each name before the last is a reference of the table
/// that the names so far lead to, and only fields of that declared table count, not those of its subclasses.
///
/// # Errors
/// Why the path leads nowhere, in words: an unknown field, a step over a field that is no reference, more than
/// [`DOT_WALK_STEPS_MAX`] steps.
pub fn resolve(
    table: &Arc<TableDef>,
    dictionary: &Dictionary,
    path: &str,
) -> Result<BoundPath, String> {
    let mut names = path.split('.');
    let first = names.next().unwrap_or_default();
    let mut found =
        BoundPath { steps: Vec::new(), table: Arc::clone(table), field: index(table, first)? };
    for name in names {
        let target = follow(&mut found, dictionary)?;
        found.field = index(&target, name)?;
    }
    Ok(found)
}

/// Whether `path` leads to a field from a row of `table`; the callback that [`super::parse_counting`] wants.
#[must_use]
pub fn names_a_field(table: &Arc<TableDef>, dictionary: &Dictionary, path: &str) -> bool {
    resolve(table, dictionary, path).is_ok()
}

/// `path` itself, or, when it ends on a reference, the field that gives the target's display text.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn to_display_text(
    mut path: BoundPath,
    dictionary: &Dictionary,
) -> Result<BoundPath, String> {
    while path.field_def().field_type == FieldType::Reference {
        path.field = follow(&mut path, dictionary)?.display_field;
    }
    Ok(path)
}

/// Extends `path` by the reference that it ends on; its field has no meaning until the caller sets it.
fn follow(path: &mut BoundPath, dictionary: &Dictionary) -> Result<Arc<TableDef>, String> {
    let field = path.field_def();
    if field.field_type != FieldType::Reference {
        return Err(format!(
            "field '{}' of table '{}' is no reference",
            field.name, path.table.name
        ));
    }
    let Some(target) = dictionary.table(&field.reference).cloned() else {
        let (field, table) = (&field.name, &path.table.name);
        let target = &path.field_def().reference;
        return Err(format!(
            "field '{field}' of table '{table}' refers to the unknown table '{target}'"
        ));
    };
    if path.steps.len() == DOT_WALK_STEPS_MAX {
        return Err(format!("the path follows more than {DOT_WALK_STEPS_MAX} references"));
    }
    let table = std::mem::replace(&mut path.table, Arc::clone(&target));
    path.steps.push(PathStep { table, field: path.field, target: Arc::clone(&target) });
    path.field = 0;
    Ok(target)
}

fn index(table: &TableDef, name: &str) -> Result<usize, String> {
    table.index(name).ok_or_else(|| format!("no field '{name}' on table '{}'", table.name))
}
