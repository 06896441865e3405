//! The rows that the dictionary is made of, as plain values: from a record, and back into one.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{Dictionary, Record, TableDef, Value};
use campanile_store::ReadTx;

use crate::error::EngineError;
use crate::records::lookup;

/// A row of `sys_db_object`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRow {
    /// Key.
    pub sys_id: String,
    /// Table name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// Label of many.
    pub plural: String,
    /// Name of the parent; empty for a root.
    pub parent: String,
    /// Other tables may extend it.
    pub extendable: bool,
}

/// A row of `sys_dictionary`: a column, or with an empty `element` the table itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnRow {
    /// Key.
    pub sys_id: String,
    /// Table that defines the column.
    pub table: String,
    /// Column; empty on the collection row.
    pub element: String,
    /// Dictionary type; `collection` on the collection row.
    pub internal_type: String,
    /// Label for people.
    pub label: String,
    /// Longest value; `None` takes the type's own.
    pub max_length: Option<usize>,
    /// Target table.
    pub reference: String,
    /// Constant or `javascript:`.
    pub default_value: String,
    /// Required over REST.
    pub mandatory: bool,
    /// Read-only.
    pub read_only: bool,
    /// For whom: a name of §12.7, or empty.
    pub read_only_option: String,
    /// No two rows with the same value.
    pub unique: bool,
    /// Display column of its table.
    pub display: bool,
    /// 0 none, 1 list with "-- None --", 2 suggestion, 3 list without.
    pub choice: i64,
    /// `name[=value]`, comma-separated.
    pub attributes: String,
    /// Listed over REST.
    pub active: bool,
    /// On the collection row: changes go to `sys_audit`.
    pub audit: bool,
    /// Place among the columns of its table.
    pub position: i64,
    /// Name of the physical column; empty until [`super::after_write`] or [`super::after_many`] has settled it.
    pub column_name: String,
    /// Whose choices it borrows: table and column.
    pub choice_source: Option<(String, String)>,
}

/// A row of `sys_dictionary_override`: what a class changes of an inherited column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverrideRow {
    /// Key.
    pub sys_id: String,
    /// The class.
    pub table: String,
    /// Table that defines the column.
    pub base_table: String,
    /// Column.
    pub element: String,
    /// Another default value.
    pub default_value: Option<String>,
    /// Other attributes.
    pub attributes: Option<String>,
    /// Required, or no more.
    pub mandatory: Option<bool>,
    /// Read-only, or no more.
    pub read_only: Option<bool>,
    /// Display column of the class, or no more.
    pub display: Option<bool>,
}

/// A row of `sys_choice`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChoiceRow {
    /// Key.
    pub sys_id: String,
    /// Table.
    pub table: String,
    /// Column.
    pub element: String,
    /// Stored value.
    pub value: String,
    /// Label.
    pub label: String,
    /// Order in the list.
    pub sequence: i64,
    /// Value of the column that it depends on.
    pub dependent_value: String,
    /// Language; empty is `en`.
    pub language: String,
    /// Only gives labels.
    pub inactive: bool,
}

/// Everything that tables are made of.
#[derive(Debug, Clone, Default)]
pub struct DictionaryRows {
    /// `sys_db_object`
    pub tables: Vec<TableRow>,
    /// `sys_dictionary`
    pub columns: Vec<ColumnRow>,
    /// `sys_dictionary_override`
    pub overrides: Vec<OverrideRow>,
}

impl DictionaryRows {
    /// Reads all rows. `dictionary` need only know the tables of the dictionary itself.
    ///
    /// # Errors
    /// What the store answers.
    pub fn read(read: &dyn ReadTx, dictionary: &Dictionary) -> Result<Self, EngineError> {
        let all = |name: &str, order: &[&str]| -> Result<Vec<Record>, EngineError> {
            let select = lookup::equal(lookup::table(dictionary, name)?, &[]);
            Ok(read.select(&lookup::ordered(select, order))?)
        };
        let objects = all("sys_db_object", &["name"])?;
        let names: HashMap<String, &str> = objects
            .iter()
            .map(|r| (r.text("sys_id").to_ascii_lowercase(), r.text("name")))
            .collect();
        let tables = objects.iter().map(|row| TableRow::from_record(row, &names)).collect();
        let columns = all("sys_dictionary", &["name", "position", "sys_created_on"])?;
        let overrides = all("sys_dictionary_override", &["name", "element"])?;
        Ok(Self {
            tables,
            columns: columns.iter().map(ColumnRow::from_record).collect(),
            overrides: overrides.iter().map(OverrideRow::from_record).collect(),
        })
    }
}

impl TableRow {
    /// Reads a row; `names` gives the table's name by the key of its row. A parent that is written as a name is
    /// taken as one.
    #[must_use]
    pub fn from_record(row: &Record, names: &HashMap<String, &str>) -> Self {
        let parent = row.text("super_class");
        let parent = names.get(&parent.to_ascii_lowercase()).copied().unwrap_or(parent);
        Self {
            sys_id: row.text("sys_id").to_owned(),
            name: row.text("name").to_owned(),
            label: row.text("label").to_owned(),
            plural: row.text("plural").to_owned(),
            parent: parent.to_owned(),
            extendable: row.get("is_extendable").is_true(),
        }
    }

    /// The row for `table` (`sys_db_object`); `parent_id` is the key of the parent's row.
    #[must_use]
    pub fn to_record(&self, table: &Arc<TableDef>, parent_id: &str) -> Record {
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", self.sys_id.as_str());
        row.set("name", self.name.as_str());
        row.set("label", self.label.as_str());
        row.set("plural", self.plural.as_str());
        row.set("super_class", parent_id);
        row.set("is_extendable", Value::bool(self.extendable));
        row
    }
}

impl ColumnRow {
    /// Reads a row.
    #[must_use]
    pub fn from_record(row: &Record) -> Self {
        let text = |name: &str| row.text(name).to_owned();
        let flag = |name: &str| row.get(name).is_true();
        let length = row.get("max_length").as_i64().and_then(|n| usize::try_from(n).ok());
        let (choice_table, choice_field) = (text("choice_table"), text("choice_field"));
        let borrows = !choice_table.is_empty() && !choice_field.is_empty();
        Self {
            sys_id: text("sys_id"),
            table: text("name"),
            element: text("element"),
            internal_type: text("internal_type"),
            label: text("column_label"),
            max_length: length.filter(|n| *n > 0),
            reference: text("reference"),
            default_value: text("default_value"),
            mandatory: flag("mandatory"),
            read_only: flag("read_only"),
            read_only_option: text("read_only_option"),
            unique: flag("unique"),
            display: flag("display"),
            choice: row.get("choice").as_i64().unwrap_or(0),
            attributes: text("attributes"),
            // A row that somebody made without the flag is a column like any other.
            active: row.get("active").is_nil() || flag("active"),
            audit: flag("audit"),
            position: row.get("position").as_i64().unwrap_or(i64::MAX),
            column_name: text("column_name"),
            choice_source: borrows.then_some((choice_table, choice_field)),
        }
    }

    /// The row for `table` (`sys_dictionary`).
    #[must_use]
    pub fn to_record(&self, table: &Arc<TableDef>) -> Record {
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", self.sys_id.as_str());
        row.set("name", self.table.as_str());
        row.set("element", self.element.as_str());
        row.set("internal_type", self.internal_type.as_str());
        row.set("column_label", self.label.as_str());
        if let Some(length) = self.max_length {
            row.set("max_length", length.to_string());
        }
        row.set("reference", self.reference.as_str());
        row.set("default_value", self.default_value.as_str());
        row.set("mandatory", Value::bool(self.mandatory));
        row.set("read_only", Value::bool(self.read_only));
        row.set("read_only_option", self.read_only_option.as_str());
        row.set("unique", Value::bool(self.unique));
        row.set("display", Value::bool(self.display));
        row.set("choice", Value::int(self.choice));
        row.set("attributes", self.attributes.as_str());
        row.set("active", Value::bool(self.active));
        row.set("audit", Value::bool(self.audit));
        if self.position != i64::MAX {
            row.set("position", Value::int(self.position));
        }
        row.set("column_name", self.column_name.as_str());
        if let Some((choice_table, choice_field)) = &self.choice_source {
            row.set("choice_table", choice_table.as_str());
            row.set("choice_field", choice_field.as_str());
        }
        row
    }
}

impl OverrideRow {
    /// Reads a row. A default value counts even when its flag is not set: nobody writes one to no purpose.
    #[must_use]
    pub fn from_record(row: &Record) -> Self {
        let text = |name: &str| row.text(name).to_owned();
        let flagged = |flag: &str| row.get(flag).is_true();
        let default_counts =
            flagged("default_value_override") || !row.get("default_value").is_nil();
        Self {
            sys_id: text("sys_id"),
            table: text("name"),
            base_table: text("base_table"),
            element: text("element"),
            default_value: default_counts.then(|| text("default_value")),
            attributes: flagged("attributes_override").then(|| text("attributes")),
            mandatory: flagged("mandatory_override").then(|| flagged("mandatory")),
            read_only: flagged("read_only_override").then(|| flagged("read_only")),
            display: flagged("display_override").then(|| flagged("display")),
        }
    }

    /// The row for `table` (`sys_dictionary_override`).
    #[must_use]
    pub fn to_record(&self, table: &Arc<TableDef>) -> Record {
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", self.sys_id.as_str());
        row.set("name", self.table.as_str());
        row.set("base_table", self.base_table.as_str());
        row.set("element", self.element.as_str());
        row.set("default_value", self.default_value.as_deref().unwrap_or_default());
        row.set("default_value_override", Value::bool(self.default_value.is_some()));
        row.set("attributes", self.attributes.as_deref().unwrap_or_default());
        row.set("attributes_override", Value::bool(self.attributes.is_some()));
        row.set("mandatory", Value::bool(self.mandatory.unwrap_or_default()));
        row.set("mandatory_override", Value::bool(self.mandatory.is_some()));
        row.set("read_only", Value::bool(self.read_only.unwrap_or_default()));
        row.set("read_only_override", Value::bool(self.read_only.is_some()));
        row.set("display", Value::bool(self.display.unwrap_or_default()));
        row.set("display_override", Value::bool(self.display.is_some()));
        row
    }
}

impl ChoiceRow {
    /// Reads a row.
    #[must_use]
    pub fn from_record(row: &Record) -> Self {
        let text = |name: &str| row.text(name).to_owned();
        Self {
            sys_id: text("sys_id"),
            table: text("name"),
            element: text("element"),
            value: text("value"),
            label: text("label"),
            sequence: row.get("sequence").as_i64().unwrap_or(0),
            dependent_value: text("dependent_value"),
            language: text("language"),
            inactive: row.get("inactive").is_true(),
        }
    }

    /// The row for `table` (`sys_choice`).
    #[must_use]
    pub fn to_record(&self, table: &Arc<TableDef>) -> Record {
        let mut row = Record::empty(Arc::clone(table));
        row.set("sys_id", self.sys_id.as_str());
        row.set("name", self.table.as_str());
        row.set("element", self.element.as_str());
        row.set("value", self.value.as_str());
        row.set("label", self.label.as_str());
        row.set("sequence", Value::int(self.sequence));
        row.set("dependent_value", self.dependent_value.as_str());
        row.set("language", if self.language.is_empty() { "en" } else { &self.language });
        row.set("inactive", Value::bool(self.inactive));
        row
    }
}
