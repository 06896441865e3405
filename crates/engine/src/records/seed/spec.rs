//! Tables as packs write them (scenarios §0.1), and the dictionary rows that they stand for.

use campanile_model::SysId;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::records::dictionary::{
    ChoiceRow, ColumnRow, OverrideRow, TableRow, label_of, system_columns,
};

/// One entry of `tables`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableSpec {
    /// Table name.
    pub name: String,
    /// Label; made of the name when empty.
    pub label: String,
    /// Label of many.
    pub plural: String,
    /// Parent.
    pub extends: String,
    /// Other tables may extend it.
    pub extendable: bool,
    /// Changes go to `sys_audit`.
    pub audit: bool,
    /// Attributes of the table.
    pub attributes: String,
    /// Columns, in their order.
    pub fields: Vec<FieldSpec>,
}

/// One entry of a table's `fields`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldSpec {
    /// Column name.
    pub name: String,
    /// Dictionary type; `string` when empty.
    #[serde(rename = "type")]
    pub field_type: String,
    /// Target table of a reference or list.
    pub reference: String,
    /// Longest value.
    pub length: Option<usize>,
    /// Constant or `javascript:`.
    pub default: Option<Scalar>,
    /// Choice list.
    pub choices: Vec<ChoiceSpec>,
    /// Label; made of the name when empty.
    pub label: String,
    /// Required over REST.
    pub mandatory: bool,
    /// No two rows with the same value.
    pub unique: bool,
    /// Display column of the table.
    pub display: bool,
    /// `name[=value]`, comma-separated.
    pub attributes: String,
    /// Read-only for everybody but the system.
    pub read_only: bool,
}

/// One choice: `{value, label}`, or a text that is both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ChoiceSpec {
    /// Value and label, and what they depend on.
    Full {
        /// Stored value.
        value: Scalar,
        /// Label.
        label: String,
        /// Value of the column that it depends on.
        #[serde(default)]
        dependent: Option<Scalar>,
        /// Order in the list; its place when missing.
        #[serde(default)]
        sequence: Option<i64>,
        /// Only gives labels.
        #[serde(default)]
        inactive: bool,
    },
    /// Value and label in one.
    Bare(Scalar),
}

/// One entry of `choices`: a list for an inherited column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceListSpec {
    /// Class.
    pub table: String,
    /// Column.
    pub element: String,
    /// The list.
    pub values: Vec<ChoiceSpec>,
}

/// One entry of `overrides`: what a class changes of an inherited column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideSpec {
    /// Class.
    pub table: String,
    /// Table that defines the column.
    pub base_table: String,
    /// Column.
    pub element: String,
    /// Another default value.
    #[serde(default)]
    pub default: Option<Scalar>,
    /// Other attributes.
    #[serde(default)]
    pub attributes: Option<String>,
    /// Required, or no more.
    #[serde(default)]
    pub mandatory: Option<bool>,
    /// Read-only, or no more.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// Display column of the class, or no more.
    #[serde(default)]
    pub display: Option<bool>,
}

/// A text, number or boolean of YAML as the text that it was written as.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "serde_yaml_ng::Value")]
pub struct Scalar(pub String);

impl From<serde_yaml_ng::Value> for Scalar {
    fn from(value: serde_yaml_ng::Value) -> Self {
        Self(match value {
            serde_yaml_ng::Value::String(text) => text,
            serde_yaml_ng::Value::Bool(flag) => flag.to_string(),
            serde_yaml_ng::Value::Number(number) => number.to_string(),
            _ => String::new(),
        })
    }
}

/// The key of a row that comes from a pack: the same on every installation.
#[must_use]
pub fn stable_id(pack: &str, section: &str, key: &str) -> SysId {
    let digest = Sha256::digest(format!("{pack}/{section}/{key}"));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    match hex.parse() {
        Ok(sys_id) => sys_id,
        Err(_) => unreachable!("32 hex digits are a key"),
    }
}

/// The dictionary rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// `sys_db_object`
    pub table: TableRow,
    /// `sys_dictionary`: the collection row first, then the columns in their order, then the system columns.
    pub columns: Vec<ColumnRow>,
    /// `sys_choice`
    pub choices: Vec<ChoiceRow>,
}

impl TableSpec {
    /// The rows that `pack` brings for this table.
    #[must_use]
    pub fn rows(&self, pack: &str) -> TableRows {
        let id = |key: &str| stable_id(pack, "tables", key).to_string();
        let label = if self.label.is_empty() { label_of(&self.name) } else { self.label.clone() };
        let collection = ColumnRow {
            sys_id: id(&format!("{}.", self.name)),
            table: self.name.clone(),
            internal_type: "collection".to_owned(),
            label: label.clone(),
            attributes: self.attributes.clone(),
            audit: self.audit,
            active: true,
            ..ColumnRow::default()
        };
        let columns = self.fields.iter().zip(1_i64..).map(|(field, position)| {
            let id = id(&format!("{}.{}", self.name, field.name));
            field.row(&self.name, id, position * 10)
        });
        let system = self.system_columns(&id);
        let choices =
            self.fields.iter().flat_map(|f| choice_rows(pack, &self.name, &f.name, &f.choices));
        TableRows {
            table: TableRow {
                sys_id: id(&self.name),
                name: self.name.clone(),
                plural: if self.plural.is_empty() {
                    format!("{label}s")
                } else {
                    self.plural.clone()
                },
                label,
                parent: self.extends.clone(),
                extendable: self.extendable,
            },
            columns: std::iter::once(collection).chain(columns).chain(system).collect(),
            choices: choices.collect(),
        }
    }

    /// A root has the system columns by itself; their rows are there so that people find them.
    fn system_columns(&self, id: &dyn Fn(&str) -> String) -> Vec<ColumnRow> {
        if !self.extends.is_empty() {
            return Vec::new();
        }
        let mut rows = system_columns(&self.name, self.extendable, &self.attributes);
        for row in &mut rows {
            row.sys_id = id(&format!("{}.{}", self.name, row.element));
            row.position = i64::MAX;
        }
        rows
    }
}

impl FieldSpec {
    fn row(&self, table: &str, sys_id: String, position: i64) -> ColumnRow {
        let default = self.default.as_ref().map(|d| d.0.clone()).unwrap_or_default();
        let choice = match (self.choices.is_empty(), default.is_empty()) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 3,
        };
        ColumnRow {
            sys_id,
            table: table.to_owned(),
            element: self.name.clone(),
            internal_type: dictionary_type(&self.field_type).to_owned(),
            label: if self.label.is_empty() { label_of(&self.name) } else { self.label.clone() },
            max_length: self.length,
            reference: self.reference.clone(),
            default_value: default,
            mandatory: self.mandatory,
            read_only: self.read_only,
            unique: self.unique,
            display: self.display,
            choice,
            attributes: self.attributes.clone(),
            active: true,
            position,
            ..ColumnRow::default()
        }
    }
}

impl ChoiceListSpec {
    /// The rows that `pack` brings for this list.
    #[must_use]
    pub fn rows(&self, pack: &str) -> Vec<ChoiceRow> {
        choice_rows(pack, &self.table, &self.element, &self.values)
    }
}

impl OverrideSpec {
    /// The row that `pack` brings for this override.
    #[must_use]
    pub fn row(&self, pack: &str) -> OverrideRow {
        let key = format!("{}.{}", self.table, self.element);
        OverrideRow {
            sys_id: stable_id(pack, "overrides", &key).to_string(),
            table: self.table.clone(),
            base_table: self.base_table.clone(),
            element: self.element.clone(),
            default_value: self.default.as_ref().map(|d| d.0.clone()),
            attributes: self.attributes.clone(),
            mandatory: self.mandatory,
            read_only: self.read_only,
            display: self.display,
        }
    }
}

fn choice_rows(pack: &str, table: &str, element: &str, specs: &[ChoiceSpec]) -> Vec<ChoiceRow> {
    let row = |(spec, place): (&ChoiceSpec, i64)| {
        let (value, label, dependent, sequence, inactive) = match spec {
            ChoiceSpec::Full { value, label, dependent, sequence, inactive } => {
                (value, label, dependent.as_ref(), *sequence, *inactive)
            }
            ChoiceSpec::Bare(text) => (text, &text.0, None, None, false),
        };
        let key = format!("{table}.{element}.{}", value.0);
        ChoiceRow {
            sys_id: stable_id(pack, "choices", &key).to_string(),
            table: table.to_owned(),
            element: element.to_owned(),
            value: value.0.clone(),
            label: label.clone(),
            sequence: sequence.unwrap_or(place * 10),
            dependent_value: dependent.map(|d| d.0.clone()).unwrap_or_default(),
            language: "en".to_owned(),
            inactive,
        }
    };
    specs.iter().zip(1_i64..).map(row).collect()
}

/// The dictionary's name of a type; packs may write a few shorter.
fn dictionary_type(written: &str) -> &str {
    match written {
        "" => "string",
        "datetime" => "glide_date_time",
        "date" => "glide_date",
        "time" => "glide_time",
        "duration" => "glide_duration",
        "list" => "glide_list",
        "journal" => "journal_input",
        "choice" => "string",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> TableSpec {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    #[test]
    fn a_table_becomes_its_rows_in_order() {
        let rows = spec(
            "{name: u_order, label: Order, extends: task, fields: [{name: u_size, type: integer, default: 3, \
             choices: [{value: 1, label: Small}, 3]}, {name: u_at, type: datetime}]}",
        )
        .rows("shop");
        assert_eq!(rows.table.parent, "task");
        assert_eq!(rows.table.plural, "Orders");
        let columns: Vec<_> =
            rows.columns.iter().map(|c| (&*c.element, &*c.internal_type, c.position)).collect();
        let expected =
            [("", "collection", 0), ("u_size", "integer", 10), ("u_at", "glide_date_time", 20)];
        assert_eq!(columns, expected);
        assert_eq!(rows.columns[1].default_value, "3");
        assert_eq!(rows.columns[1].choice, 3);
        let choices: Vec<_> = rows.choices.iter().map(|c| (&*c.value, &*c.label)).collect();
        assert_eq!(choices, [("1", "Small"), ("3", "3")]);
    }

    #[test]
    fn keys_are_the_same_everywhere_and_differ_by_what_they_name() {
        let known = stable_id("itsm", "tables", "incident");
        // printf itsm/tables/incident | sha256sum | cut -c1-32
        assert_eq!(known.as_str(), "f22a57f3430931ff5e9a3adb4b1baa9d");
        assert_ne!(known, stable_id("itsm", "choices", "incident"));
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let refused = serde_yaml_ng::from_str::<TableSpec>("{name: u_a, labell: A}").unwrap_err();
        assert!(refused.to_string().contains("labell"), "{refused}");
    }
}
