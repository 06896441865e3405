//! Physical tables, views and indexes after the dictionary.
//!
//! One table for each root of a hierarchy holds the columns of all its classes; each class below has a view of its
//! own, so that any SQL tool sees it as a table. Only [`drop_unused`] drops anything but a view whose class has changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use campanile_model::{ColumnStorage, Dictionary, FieldDef, FieldType, TableDef};
use rusqlite::{Connection, OptionalExtension};

use crate::contract::StoreError;
use crate::sql::{EVENT_TABLES, columns, other_type, quoted};

/// Brings the physical tables of the hierarchies of `tables` in line with `dictionary`.
pub(in crate::sqlite) fn ensure_tables(
    connection: &Connection,
    dictionary: &Dictionary,
    tables: &[Arc<TableDef>],
) -> Result<(), StoreError> {
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
pub(in crate::sqlite) fn drop_unused(
    connection: &Connection,
    dictionary: &Dictionary,
    gone: &TableDef,
) -> Result<(), StoreError> {
    let root = &*gone.root;
    if EVENT_TABLES.contains(&root) {
        return Ok(());
    }
    if dictionary.table(&gone.name).is_none() {
        let kind = if *gone.name == *root { "TABLE" } else { "VIEW" };
        connection.execute_batch(&format!("DROP {kind} IF EXISTS {}", quoted(&gone.name)))?;
    }
    let classes: Vec<&Arc<TableDef>> =
        dictionary.tables().filter(|table| &*table.root == root).collect();
    let used: BTreeSet<&str> =
        columns(root, &classes, sql_type)?.into_iter().map(|field| &*field.column).collect();
    let existing = existing_columns(connection, root)?;
    let columns = gone.fields.iter().map(|field| &*field.column);
    for column in columns.filter(|name| existing.contains_key(*name) && !used.contains(name)) {
        for suffix in INDEX_SUFFIXES {
            let index = quoted(&index_name(root, column, suffix));
            connection.execute_batch(&format!("DROP INDEX IF EXISTS {index}"))?;
        }
        let (root, column) = (quoted(root), quoted(column));
        connection.execute_batch(&format!("ALTER TABLE {root} DROP COLUMN {column}"))?;
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
        let sql = format!("CREATE TABLE {} ({})", quoted(root), list.join(", "));
        connection.execute_batch(&sql)?;
        return Ok(());
    }
    for field in columns {
        match existing.get(&*field.column) {
            None => connection.execute_batch(&format!(
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

/// Name → declared type of the columns of `table`; none when there is no such table.
fn existing_columns(
    connection: &Connection,
    table: &str,
) -> Result<HashMap<String, String>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT name, type FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn sql_type(field: &FieldDef) -> &'static str {
    match field.storage {
        ColumnStorage::Text | ColumnStorage::None => "TEXT",
        ColumnStorage::Integer | ColumnStorage::Boolean | ColumnStorage::EpochMillis => "INTEGER",
        ColumnStorage::Real => "REAL",
    }
}

/// Name, type and, for keys, the collation that joins them whatever their case.
fn definition(field: &FieldDef) -> String {
    let mut sql = format!("{} {}", quoted(&field.column), sql_type(field));
    if &*field.column == "sys_id" {
        sql.push_str(" PRIMARY KEY NOT NULL");
    }
    if is_key(field) {
        sql.push_str(" COLLATE NOCASE");
    }
    sql
}

fn is_key(field: &FieldDef) -> bool {
    field.storage == ColumnStorage::Text
        && matches!(field.field_type, FieldType::Guid | FieldType::Reference)
}

/// Indexes, few, since each is paid by every write: the class; unique and display columns; keys that the dictionary
/// asks for with the attribute `index`, and in tables without classes all references.
fn ensure_indexes(
    connection: &Connection,
    root: &str,
    classes: &[&Arc<TableDef>],
) -> Result<(), StoreError> {
    let has_class = classes.iter().any(|class| class.has_class);
    for field in columns(root, classes, sql_type)? {
        let column = &*field.column;
        if column == "sys_id" {
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
            ensure_index(connection, root, column, &Index::Unique)?;
        }
        if is_text && (field.unique || is_display || is_reference || asked) {
            ensure_index(connection, root, column, &Index::IgnoringCase)?;
        } else if is_class || asked {
            ensure_index(connection, root, column, &Index::Plain)?;
        }
    }
    Ok(())
}

enum Index {
    /// No two rows with the same value, case and all; nil is no value.
    Unique,
    /// For lookups and order, ignoring the case of ASCII letters.
    IgnoringCase,
    /// As stored.
    Plain,
}

/// How the names of indexes may end, after their kind.
const INDEX_SUFFIXES: [&str; 3] = ["unique", "nocase", "plain"];

fn index_name(table: &str, column: &str, suffix: &str) -> String {
    format!("{table}_{column}_{suffix}")
}

fn ensure_index(
    connection: &Connection,
    table: &str,
    column: &str,
    index: &Index,
) -> Result<(), StoreError> {
    let (kind, suffix, collation, filter) = match index {
        Index::Unique => {
            ("UNIQUE INDEX", "unique", "BINARY", format!(" WHERE {} IS NOT NULL", quoted(column)))
        }
        Index::IgnoringCase => ("INDEX", "nocase", "NOCASE", String::new()),
        Index::Plain => ("INDEX", "plain", "BINARY", String::new()),
    };
    let sql = format!(
        "CREATE {kind} IF NOT EXISTS {} ON {} ({} COLLATE {collation}){filter}",
        quoted(&index_name(table, column, suffix)),
        quoted(table),
        quoted(column),
    );
    connection.execute_batch(&sql).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => StoreError::Statement {
            reason: format!(
                "'{table}.{column}' cannot become unique: rows with equal values exist"
            ),
        },
        _ => error.into(),
    })
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
    let existing: Option<String> = connection
        .prepare_cached("SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1")?
        .query_row([&*class.name], |row| row.get(0))
        .optional()?;
    if existing.as_deref() == Some(sql.as_str()) {
        return Ok(());
    }
    // An unchanged view is left alone: any change of the schema makes every connection prepare its statements anew.
    if existing.is_some() {
        connection.execute_batch(&format!("DROP VIEW {}", quoted(&class.name)))?;
    }
    connection.execute_batch(&sql)?;
    Ok(())
}
