//! The shipped document, read once: its tables as a dictionary that needs no database.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use campanile_model::{Dictionary, TableDef};
use serde::Deserialize;

use super::spec::{Scalar, TableRows, TableSpec};
use crate::error::EngineError;
use crate::records::dictionary::{DictionaryRows, choice_lists, flatten};
use crate::records::lookup;

/// Name of the pack that the system's own rows belong to.
pub(crate) const PACK: &str = "system";

pub(super) const DOCUMENT: &str = include_str!("../../../seed/system.yaml");

/// The document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemSpec {
    #[serde(rename = "campanile")]
    _form: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "title")]
    _title: String,
    pub(super) version: u32,
    pub(super) tables: Vec<TableSpec>,
    pub(super) roles: Vec<RoleSpec>,
    pub(super) users: Vec<UserSpec>,
    pub(super) queues: Vec<HashMap<String, Scalar>>,
}

/// One of `roles`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleSpec {
    pub(super) name: String,
    pub(super) description: String,
    #[serde(default)]
    pub(super) elevated: bool,
    #[serde(default)]
    pub(super) contains: Vec<String>,
}

/// One of `users`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserSpec {
    pub(super) user_name: String,
    pub(super) name: String,
    pub(super) first_name: String,
    #[serde(default)]
    pub(super) last_name: String,
    pub(super) roles: Vec<String>,
}

/// The document and what its tables amount to.
pub(super) struct System {
    pub(super) spec: SystemSpec,
    pub(super) tables: Vec<TableRows>,
    pub(super) dictionary: Dictionary,
}

/// The document, read at its first use.
pub(super) fn system() -> Result<&'static System, EngineError> {
    static SYSTEM: OnceLock<Result<System, String>> = OnceLock::new();
    SYSTEM.get_or_init(read).as_ref().map_err(|detail| EngineError::BadInput {
        path: "seed/system.yaml".to_owned(),
        detail: detail.clone(),
    })
}

pub(super) fn read() -> Result<System, String> {
    let spec: SystemSpec = serde_yaml_ng::from_str(DOCUMENT).map_err(|error| error.to_string())?;
    let tables: Vec<TableRows> = spec.tables.iter().map(|table| table.rows(PACK)).collect();
    let rows = DictionaryRows {
        tables: tables.iter().map(|t| t.table.clone()).collect(),
        columns: tables.iter().flat_map(|t| t.columns.iter().cloned()).collect(),
        overrides: Vec::new(),
    };
    let choices: Vec<_> = tables.iter().flat_map(|t| t.choices.iter().cloned()).collect();
    let lists = choice_lists(&choices, &rows.columns, "en");
    let dictionary = Dictionary::new(flatten(&rows, ""), lists);
    Ok(System { spec, tables, dictionary })
}

/// The system's tables as they are shipped: enough to read the rows that the full dictionary is made of.
///
/// # Errors
/// [`EngineError::BadInput`] when the shipped document is broken.
pub fn system_dictionary() -> Result<&'static Dictionary, EngineError> {
    Ok(&system()?.dictionary)
}

/// A table of the system as it is shipped.
///
/// # Errors
/// [`EngineError::TableUnknown`].
pub fn system_table(name: &str) -> Result<Arc<TableDef>, EngineError> {
    Ok(Arc::clone(lookup::table(system_dictionary()?, name)?))
}

#[cfg(test)]
mod tests {
    use campanile_model::ColumnStorage;

    use super::*;

    #[test]
    fn the_shipped_document_is_sound() {
        let system = system().unwrap();
        for table in &system.spec.tables {
            let def = system.dictionary.table(&table.name).unwrap();
            for field in &table.fields {
                let known = def
                    .field(&field.name)
                    .unwrap_or_else(|| panic!("{}.{}", table.name, field.name));
                let target = &known.reference;
                assert!(target.is_empty() || system.dictionary.table(target).is_some(), "{target}");
            }
        }
        let known = |role: &String| system.spec.roles.iter().any(|r| r.name == *role);
        assert!(system.spec.users.iter().flat_map(|u| &u.roles).all(known));
        assert!(system.spec.roles.iter().flat_map(|r| &r.contains).all(known));
    }

    #[test]
    fn times_of_events_keep_milliseconds() {
        for (table, field) in [
            ("sysevent", "process_on"),
            ("sysevent", "sys_created_on"),
            ("sysevent_handler_run", "started_at"),
            ("sysevent_action_log", "at"),
        ] {
            let def = system_table(table).unwrap();
            assert_eq!(
                def.field(field).unwrap().storage,
                ColumnStorage::EpochMillis,
                "{table}.{field}"
            );
        }
        let users = system_table("sys_user").unwrap();
        assert_eq!(users.field("sys_created_on").unwrap().storage, ColumnStorage::Text);
    }

    #[test]
    fn system_columns_stand_last() {
        let def = system_table("sys_user").unwrap();
        let first_system = def.fields.iter().position(|f| f.name.starts_with("sys_")).unwrap();
        assert!(def.fields[first_system..].iter().all(|f| f.name.starts_with("sys_")));
        assert_eq!(&*def.fields[0].name, "user_name");
        assert_eq!(&*def.fields[def.display_field].name, "name");
    }
}
