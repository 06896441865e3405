//! The columns of a map, bound to the fields of a table.

use std::sync::Arc;

use campanile_model::{Dictionary, FieldDef, FieldIndex, FieldType, TableDef};

use super::map::{ColumnSpec, ReplayMap};
use crate::error::EngineError;
use crate::packs::yaml::bad_input;
use campanile_model::nearest::suggestion;

/// How the cells of a column become values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the type of the field.
    Plain,
    /// By label.
    Choice,
    /// By a field of the row that is referred to.
    Reference {
        /// Its table.
        table: Arc<str>,
        /// That field.
        find_by: Arc<str>,
    },
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) spec: ColumnSpec,
    pub(super) field: FieldIndex,
    pub(super) kind: Kind,
    /// Position in the rows that were sent.
    pub(super) at: usize,
}

/// All columns of a map.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) table: Arc<TableDef>,
    pub(super) list: Vec<Column>,
    /// Position of the key in the list.
    pub(super) key: usize,
}

impl Columns {
    pub(super) fn key(&self) -> &Column {
        &self.list[self.key]
    }

    pub(super) fn field(&self, column: &Column) -> &FieldDef {
        &self.table.fields[column.field]
    }

    /// Binds the map to the dictionary and to the columns of `file` as they were sent.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] with the path in the map, or the column that is missing.
    pub(super) fn bind(
        map: &ReplayMap,
        dictionary: &Dictionary,
        file: &str,
        sent: &[String],
    ) -> Result<Self, EngineError> {
        let Some(table) = dictionary.table(&map.table) else {
            let meant = suggestion(&map.table, dictionary.tables().map(|table| &*table.name));
            return Err(map.refuse("table", format!("there is no table '{}'{meant}", map.table)));
        };
        let mut list = Vec::with_capacity(map.columns.len());
        for (name, spec) in &map.columns {
            let Some(at) = sent.iter().position(|column| column == name) else {
                let detail =
                    format!("the map needs it and it was not sent; sent were: {}", sent.join(", "));
                return Err(bad_input(file, format!("column '{name}'"), detail));
            };
            let path = format!("columns.{name}");
            let Some(field) = writable(table, &spec.field) else {
                let fields = table.fields.iter().map(|field| &*field.name);
                let meant = suggestion(&spec.field, fields);
                let detail =
                    format!("table '{}' has no field '{}' to write{meant}", table.name, spec.field);
                return Err(map.refuse(format!("{path}.field"), detail));
            };
            let kind = kind(dictionary, &table.fields[field], spec)
                .map_err(|(part, detail)| map.refuse(format!("{path}.{part}"), detail))?;
            list.push(Column { name: name.clone(), spec: spec.clone(), field, kind, at });
        }
        let key = list.iter().position(|column| column.name == map.key).unwrap_or_default();
        if list[key].kind != Kind::Plain {
            let detail =
                format!("'{}' cannot tell records apart: expected a text or number field", map.key);
            return Err(map.refuse("key", detail));
        }
        Ok(Self { table: Arc::clone(table), list, key })
    }
}

fn writable(table: &TableDef, name: &str) -> Option<FieldIndex> {
    let field = table.field(name)?;
    let unwritable = field.name.starts_with("sys_")
        || matches!(
            field.field_type,
            FieldType::Journal
                | FieldType::JournalList
                | FieldType::Password
                | FieldType::Password2
        );
    if unwritable { None } else { table.index(name) }
}

fn kind(
    dictionary: &Dictionary,
    field: &FieldDef,
    spec: &ColumnSpec,
) -> Result<Kind, (&'static str, String)> {
    if field.field_type == FieldType::Reference {
        let Some(target) = dictionary.table(&field.reference) else {
            return Err((
                "field",
                format!("refers to table '{}', which does not exist", field.reference),
            ));
        };
        let find_by = match &spec.find_by {
            Some(name) => writable(target, name).ok_or_else(|| {
                let meant = suggestion(name, target.fields.iter().map(|field| &*field.name));
                ("find_by", format!("table '{}' has no field '{name}'{meant}", target.name))
            })?,
            None => target.display_field,
        };
        let find_by = &target.fields[find_by];
        if find_by.name.starts_with("sys_") {
            let detail = format!("rows of '{}' have no name: write find_by", target.name);
            return Err(("find_by", detail));
        }
        return Ok(Kind::Reference {
            table: Arc::clone(&target.name),
            find_by: Arc::clone(&find_by.name),
        });
    }
    if spec.find_by.is_some() {
        return Err(("find_by", format!("'{}' is no reference", field.name)));
    }
    let labelled = field.has_choices || !spec.labels.is_empty();
    Ok(if labelled { Kind::Choice } else { Kind::Plain })
}
