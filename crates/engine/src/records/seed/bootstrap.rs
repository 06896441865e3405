//! Bringing a database up to the shipped tables and rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use campanile_model::{Instant, Record, TableDef, Value};
use campanile_store::{CommitMark, Store, WriteTx};
use sha2::{Digest, Sha256};

use super::rows::{apply_constant_defaults, constant, stamp_new};
use super::spec::stable_id;
use super::system::{DOCUMENT, PACK, System, system};
use crate::error::EngineError;
use crate::records::dictionary::{ColumnRow, after_many};
use crate::records::lookup;
use crate::records::properties::KNOWN;

/// Where a database notes which shipped rows it has.
const MARK_KEY: &str = "seed:system";

/// Columns that identify a row besides its key: a row that a person made before is not made twice.
const NATURAL_KEYS: [(&str, &[&str]); 11] = [
    ("sys_db_object", &["name"]),
    ("sys_dictionary", &["name", "element"]),
    ("sys_choice", &["name", "element", "value", "language"]),
    ("sys_properties", &["name"]),
    ("sys_user_role", &["name"]),
    ("sys_user_role_contains", &["role", "contains"]),
    ("sys_user", &["user_name"]),
    ("sys_user_has_role", &["user", "role"]),
    ("sysevent_queue", &["queue"]),
    ("sys_package", &["source"]),
    ("sys_number", &["category"]),
];

/// Adds the shipped tables and rows that the database lacks, in one transaction; changes and deletes nothing.
/// A database that has them already, or those of a newer version, is only looked at. Returns the commit to wait for, when there was one.
///
/// # Errors
/// What the store answers.
pub fn bring_up_to_date(
    store: &Arc<dyn Store>,
    now: Instant,
) -> Result<Option<CommitMark>, EngineError> {
    let system = system()?;
    let mark = mark(system);
    let mut tx = Arc::clone(store).write()?;
    let present = tx.meta_get(MARK_KEY)?.unwrap_or_default();
    if present == mark || version_of(&present) > system.spec.version {
        return Ok(None);
    }
    let mut tables: Vec<Arc<TableDef>> = system.dictionary.tables().cloned().collect();
    tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    tx.ensure_tables(&system.dictionary, &tables)?;
    let rows = shipped_rows(system)?;
    let added = add_missing(&mut *tx, rows, now)?;
    // The full dictionary may know more columns of these tables than the shipped one.
    after_many(&mut *tx, tables.iter().map(|table| &*table.name))?;
    tx.meta_set(MARK_KEY, &mark)?;
    let commit = tx.commit()?;
    tracing::info!(rows = added, "shipped tables and rows added");
    Ok(Some(commit))
}

/// Changes with the document, with the list of properties, and with the program's version.
fn mark(system: &System) -> String {
    let mut digest = Sha256::new();
    digest.update(DOCUMENT);
    digest.update(format!("{KNOWN:?}"));
    // What is made of them is the program's.
    digest.update(env!("CARGO_PKG_VERSION"));
    let digest = digest.finalize();
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{hex}", system.spec.version)
}

/// The version in a mark; 0 when there is none.
fn version_of(mark: &str) -> u32 {
    mark.split_once(':').and_then(|(version, _)| version.parse().ok()).unwrap_or(0)
}

fn shipped_rows(system: &System) -> Result<Vec<Record>, EngineError> {
    let table = |name: &str| lookup::table(&system.dictionary, name);
    let objects = table("sys_db_object")?;
    let columns = table("sys_dictionary")?;
    let choices = table("sys_choice")?;
    let mut rows = Vec::new();
    for shipped in &system.tables {
        let parent = match shipped.table.parent.as_str() {
            "" => String::new(),
            parent => stable_id(PACK, "tables", parent).to_string(),
        };
        rows.push(shipped.table.to_record(objects, &parent));
        // Nothing stands beside these tables yet, so each column has its name for itself.
        let settled = |column: &ColumnRow| {
            let column_name = column.element.clone();
            ColumnRow { column_name, ..column.clone() }.to_record(columns)
        };
        rows.extend(shipped.columns.iter().map(settled));
        rows.extend(shipped.choices.iter().map(|choice| choice.to_record(choices)));
    }
    let row = |table_name: &str, section: &str, key: &str, values: &[(&str, &str)]| {
        let table = table(table_name)?;
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", stable_id(PACK, section, key).as_str());
        for (name, value) in values {
            if let Some(field) = table.index(name) {
                row.set_at(field, constant(&table.fields[field], value));
            }
        }
        Ok::<_, EngineError>(row)
    };
    let package = [("name", "System"), ("source", PACK), ("description", "The product's own rows")];
    rows.push(row("sys_package", "packages", PACK, &package)?);
    for p in KNOWN {
        let Some(default) = p.default else { continue };
        let values = [
            ("name", p.name),
            ("value", default),
            ("type", p.kind.type_name()),
            ("description", p.description),
        ];
        rows.push(row("sys_properties", "properties", p.name, &values)?);
    }
    let role_id = |name: &str| stable_id(PACK, "roles", name).to_string();
    for role in &system.spec.roles {
        let elevated = if role.elevated { "true" } else { "false" };
        let values = [
            ("name", role.name.as_str()),
            ("description", &role.description),
            ("elevated_privilege", elevated),
        ];
        rows.push(row("sys_user_role", "roles", &role.name, &values)?);
        for contained in &role.contains {
            let key = format!("{}:{contained}", role.name);
            let (role, contains) = (role_id(&role.name), role_id(contained));
            let values = [("role", role.as_str()), ("contains", &contains)];
            rows.push(row("sys_user_role_contains", "roles", &key, &values)?);
        }
    }
    for user in &system.spec.users {
        let values = [
            ("user_name", user.user_name.as_str()),
            ("name", &user.name),
            ("first_name", &user.first_name),
            ("last_name", &user.last_name),
        ];
        rows.push(row("sys_user", "users", &user.user_name, &values)?);
        let user_id = stable_id(PACK, "users", &user.user_name).to_string();
        for role in &user.roles {
            let (key, role) = (format!("{}:{role}", user.user_name), role_id(role));
            let values = [("user", user_id.as_str()), ("role", &role)];
            rows.push(row("sys_user_has_role", "users", &key, &values)?);
        }
    }
    for queue in &system.spec.queues {
        let values: Vec<(&str, &str)> =
            queue.iter().map(|(name, value)| (name.as_str(), value.0.as_str())).collect();
        let key = queue.get("queue").map(|name| name.0.as_str()).unwrap_or_default();
        rows.push(row("sysevent_queue", "queues", key, &values)?);
    }
    Ok(rows)
}

/// Inserts the rows whose key and natural key are both free. Returns how many.
fn add_missing(
    tx: &mut dyn WriteTx,
    rows: Vec<Record>,
    now: Instant,
) -> Result<usize, EngineError> {
    let mut present: HashMap<Arc<str>, HashSet<String>> = HashMap::new();
    let mut added = 0;
    for mut row in rows {
        let table = Arc::clone(row.table());
        if !present.contains_key(&table.name) {
            let known = tx.select(&lookup::equal(&table, &[]))?;
            present.insert(Arc::clone(&table.name), known.iter().flat_map(keys_of).collect());
        }
        let known = present.entry(Arc::clone(&table.name)).or_default();
        let keys = keys_of(&row);
        if keys.iter().any(|key| known.contains(key)) {
            continue;
        }
        apply_constant_defaults(&mut row);
        stamp_new(&mut row, now, "system");
        if table.field("sys_package").is_some() {
            row.set("sys_package", Value::text(stable_id(PACK, "packages", PACK).as_str()));
        }
        tx.insert(&row)?;
        known.extend(keys);
        added += 1;
    }
    Ok(added)
}

/// The key of a row, and its natural key.
fn keys_of(row: &Record) -> Vec<String> {
    let mut keys = vec![row.text("sys_id").to_ascii_lowercase()];
    let natural = NATURAL_KEYS.iter().find(|(table, _)| **table == *row.table().name);
    if let Some((_, columns)) = natural {
        let values: Vec<&str> = columns.iter().map(|column| row.text(column)).collect();
        keys.push(values.join("\u{1f}"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::super::system::read;
    use super::*;

    #[test]
    fn each_start_of_a_program_makes_the_same_mark() {
        let [one, another] = [read().unwrap(), read().unwrap()];
        assert_eq!(mark(&one), mark(&another));
        assert_eq!(version_of(&mark(&one)), one.spec.version);
    }
}
