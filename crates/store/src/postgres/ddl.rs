//! Physical tables, views and indexes after the dictionary.
//!
//! One table for each root of a hierarchy holds the columns of all its classes; each class below has a view of its
//! own, so that any SQL tool sees it as a table. Only [`drop_unused`] drops anything but a view whose class has changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use campanile_model::{ColumnStorage, Dictionary, FieldDef, FieldType, TableDef};

use super::connection::Connection;
use crate::contract::StoreError;
use crate::sql::{EVENT_TABLES, columns, other_type, quoted};

/// The advisory lock of whoever changes tables: "camp" and 2. Held to the end of the transaction.
const CHANGING_TABLES: &str = "SELECT pg_advisory_xact_lock(1667329392, 2)";

/// Longest name that PostgreSQL keeps whole.
const NAME_BYTES_MAX: usize = 63;

/// Brings the physical tables of the hierarchies of `tables` in line with `dictionary`.
pub(super) fn ensure_tables(
    connection: &Connection,
    dictionary: &Dictionary,
    tables: &[Arc<TableDef>],
) -> Result<(), StoreError> {
    // Differs because other nodes may be about to make the same tables.
    connection.batch(CHANGING_TABLES)?;
    let roots: BTreeSet<&str> = tables.iter().map(|table| &*table.root).collect();
    for root in roots {
        // What events are kept in comes from a migration and is read through views of these names.
        if EVENT_TABLES.contains(&root) {
            continue;
        }
        let mut classes: Vec<&Arc<TableDef>> =
            dictionary.tables().filter(|table| &*table.root == root).collect();
        // Ancestors first, so that their columns come first.
        classes.sort_by(|l, r| (l.lineage.len(), &l.name).cmp(&(r.lineage.len(), &r.name)));
        ensure_table(connection, root, &classes)?;
        ensure_indexes(connection, root, &classes)?;
        for class in classes.iter().filter(|class| &*class.name != root) {
            ensure_view(connection, class)?;
        }
    }
    Ok(())
}

/// Drops the table or view of `gone`, if `dictionary` lacks it, and its columns that no class uses any more.
pub(super) fn drop_unused(
    connection: &Connection,
    dictionary: &Dictionary,
    gone: &TableDef,
) -> Result<(), StoreError> {
    connection.batch(CHANGING_TABLES)?;
    let root = &*gone.root;
    if EVENT_TABLES.contains(&root) {
        return Ok(());
    }
    if dictionary.table(&gone.name).is_none() {
        // Differs because views stand on their table: those of classes go with it.
        let (kind, how) = if *gone.name == *root { ("TABLE", " CASCADE") } else { ("VIEW", "") };
        connection.batch(&format!("DROP {kind} IF EXISTS {}{how}", quoted(&gone.name)))?;
    }
    let classes: Vec<&Arc<TableDef>> =
        dictionary.tables().filter(|table| &*table.root == root).collect();
    let used: BTreeSet<&str> =
        columns(root, &classes, sql_type)?.into_iter().map(|field| &*field.column).collect();
    let existing = existing_columns(connection, root)?;
    let columns = gone.fields.iter().map(|field| &*field.column);
    for column in columns.filter(|name| existing.contains_key(*name) && !used.contains(name)) {
        // Differs because a column's indexes go with it.
        let (root, column) = (quoted(root), quoted(column));
        connection.batch(&format!("ALTER TABLE {root} DROP COLUMN IF EXISTS {column}"))?;
    }
    Ok(())
}

fn ensure_table(
    connection: &Connection,
    root: &str,
    classes: &[&Arc<TableDef>],
) -> Result<(), StoreError> {
    let columns = columns(root, classes, sql_type)?;
    let existing = existing_columns(connection, root)?;
    if existing.is_empty() {
        let list: Vec<String> = columns.iter().map(|field| definition(field)).collect();
        connection.batch(&format!("CREATE TABLE {} ({})", quoted(root), list.join(", ")))?;
        return Ok(());
    }
    for field in columns {
        match existing.get(&*field.column) {
            None => connection.batch(&format!(
                "ALTER TABLE {} ADD COLUMN {}",
                quoted(root),
                definition(field)
            ))?,
            Some(found) if found == sql_type(field) => {}
            Some(found) => return Err(other_type(root, field, found, sql_type(field))),
        }
    }
    Ok(())
}

/// Name → type of the columns of `table`; none when there is no such table.
fn existing_columns(
    connection: &Connection,
    table: &str,
) -> Result<HashMap<String, String>, StoreError> {
    let rows = connection.query(
        "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        &[&quoted(table)],
    )?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The type as PostgreSQL spells it.
fn sql_type(field: &FieldDef) -> &'static str {
    match field.storage {
        ColumnStorage::Text | ColumnStorage::None => "text",
        ColumnStorage::Integer | ColumnStorage::EpochMillis => "bigint",
        // Differs because PostgreSQL has truth values.
        ColumnStorage::Boolean => "boolean",
        ColumnStorage::Real => "double precision",
    }
}

/// Name, type and, for texts, the collation that compares bytes.
fn definition(field: &FieldDef) -> String {
    let mut sql = format!("{} {}", quoted(&field.column), sql_type(field));
    if field.storage == ColumnStorage::Text {
        sql.push_str(" COLLATE \"C\"");
    }
    if &*field.column == "sys_id" {
        sql.push_str(" NOT NULL");
    }
    sql
}

/// Indexes, few, since each is paid by every write: the key; the class; unique and display columns; keys that the
/// dictionary asks for with the attribute `index`, and in tables without classes all references.
fn ensure_indexes(
    connection: &Connection,
    root: &str,
    classes: &[&Arc<TableDef>],
) -> Result<(), StoreError> {
    let has_class = classes.iter().any(|class| class.has_class);
    for field in columns(root, classes, sql_type)? {
        let column = &*field.column;
        if column == "sys_id" {
            // Differs because no collation here ignores case: the key is an index on its small letters.
            ensure_index(connection, root, column, Index::Key)?;
            continue;
        }
        let is_text = field.storage == ColumnStorage::Text;
        let is_class = has_class && column == "sys_class_name";
        let is_reference = field.field_type == FieldType::Reference && !has_class;
        let is_display = classes.iter().any(|class| {
            class.fields.get(class.display_field).is_some_and(|f| f.column == field.column)
        });
        let asked = field.attribute("index").is_some_and(|value| value != "false");
        if field.unique {
            ensure_index(connection, root, column, Index::Unique)?;
        }
        if is_text && (field.unique || is_display || is_reference || asked) {
            ensure_index(connection, root, column, Index::IgnoringCase)?;
        } else if is_class || asked {
            ensure_index(connection, root, column, Index::Plain)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Index {
    /// No two rows with the same key, whatever its case.
    Key,
    /// No two rows with the same value, case and all; nil is no value.
    Unique,
    /// For lookups and order, ignoring the case of ASCII letters.
    IgnoringCase,
    /// As stored.
    Plain,
}

fn ensure_index(
    connection: &Connection,
    table: &str,
    column: &str,
    index: Index,
) -> Result<(), StoreError> {
    let quoted_column = quoted(column);
    // Nil first, as queries order it.
    let (kind, suffix, key) = match index {
        Index::Key => ("UNIQUE INDEX", "key", format!("lower({quoted_column}) NULLS FIRST")),
        Index::Unique => ("UNIQUE INDEX", "unique", quoted_column.clone()),
        Index::IgnoringCase => ("INDEX", "nocase", format!("lower({quoted_column}) NULLS FIRST")),
        Index::Plain => ("INDEX", "plain", format!("{quoted_column} NULLS FIRST")),
    };
    let name = index_name(table, column, suffix);
    let sql = format!("CREATE {kind} IF NOT EXISTS {} ON {} ({key})", quoted(&name), quoted(table));
    connection.batch(&sql).map_err(|error| {
        if super::failure::broken_uniqueness(&error).is_some() {
            return StoreError::Statement {
                reason: format!(
                    "'{table}.{column}' cannot become unique: rows with equal values exist"
                ),
            };
        }
        error.into()
    })
}

/// The name of an index. One that PostgreSQL would cut off ends in a hash of the whole.
pub(super) fn index_name(table: &str, column: &str, suffix: &str) -> String {
    let name = format!("{table}_{column}_{suffix}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Names of the dictionary are ASCII.
    let kept: String = name.chars().take(NAME_BYTES_MAX - 17).collect();
    format!("{kept}_{hash:016x}")
}

/// The view of a class: its columns under the names of its fields.
fn ensure_view(connection: &Connection, class: &TableDef) -> Result<(), StoreError> {
    let columns: Vec<String> = class
        .fields
        .iter()
        .filter(|field| field.storage != ColumnStorage::None)
        .map(|field| {
            let column = quoted(&field.column);
            if field.column == field.name {
                column
            } else {
                format!("{column} AS {}", quoted(&field.name))
            }
        })
        .collect();
    let classes: Vec<String> =
        class.subtree.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
    let sql = format!(
        "CREATE VIEW {} AS SELECT {} FROM {} WHERE \"sys_class_name\" IN ({})",
        quoted(&class.name),
        columns.join(", "),
        quoted(&class.root),
        classes.join(", ")
    );
    // Differs because PostgreSQL rewrites the text of a view: ours is kept as its comment.
    let existing = connection.query_first(
        "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass($1)",
        &[&quoted(&class.name)],
    )?;
    if let Some(row) = existing {
        let known: Option<String> = row.try_get(0)?;
        if known.as_deref() == Some(sql.as_str()) {
            return Ok(());
        }
        connection.batch(&format!("DROP VIEW {}", quoted(&class.name)))?;
    }
    connection.batch(&sql)?;
    connection.batch(&format!(
        "COMMENT ON VIEW {} IS '{}'",
        quoted(&class.name),
        sql.replace('\'', "''")
    ))?;
    Ok(())
}
