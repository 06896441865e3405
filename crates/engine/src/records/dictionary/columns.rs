//! One column: from its dictionary row to its definition, and the columns that every table has by itself.

use std::sync::Arc;

use campanile_model::table_def::ReadOnlyOption;
use campanile_model::{ColumnStorage, FieldDef, FieldType};

use super::rows::{ColumnRow, OverrideRow};

/// Attribute of a table or column whose times are kept in milliseconds.
pub(super) const EPOCH_MILLIS: &str = "epoch_millis";
/// Attribute of a table whose rows never change: it has no update columns.
pub(super) const NO_UPDATE: &str = "no_update";

/// Longest login.
const USER_NAME_CHARS_MAX: usize = 100;

/// What a table has by itself (business-rules §13.1).
struct SystemColumn {
    name: &'static str,
    label: &'static str,
    internal_type: &'static str,
    length: usize,
    needs: Need,
}

#[derive(PartialEq)]
enum Need {
    Always,
    /// The table's rows have a class.
    Class,
    /// The table's rows change.
    Update,
}

const SYSTEM_COLUMNS: [SystemColumn; 9] = [
    system("sys_class_name", "Class", "sys_class_name", 80, Need::Class),
    system("sys_id", "Sys ID", "GUID", 32, Need::Always),
    system("sys_created_on", "Created", "glide_date_time", 40, Need::Always),
    system("sys_created_by", "Created by", "string", USER_NAME_CHARS_MAX, Need::Always),
    system("sys_updated_on", "Updated", "glide_date_time", 40, Need::Update),
    system("sys_updated_by", "Updated by", "string", USER_NAME_CHARS_MAX, Need::Update),
    system("sys_mod_count", "Updates", "integer", 40, Need::Update),
    system("sys_domain", "Domain", "domain_id", 32, Need::Class),
    system("sys_domain_path", "Domain Path", "domain_path", 255, Need::Class),
];

const fn system(
    name: &'static str,
    label: &'static str,
    internal_type: &'static str,
    length: usize,
    needs: Need,
) -> SystemColumn {
    SystemColumn { name, label, internal_type, length, needs }
}

/// The rows of the columns that the root table `table` has by itself.
#[must_use]
pub fn system_columns(table: &str, has_class: bool, attributes: &str) -> Vec<ColumnRow> {
    let changes = !has_attribute(attributes, NO_UPDATE);
    let wanted = |column: &&SystemColumn| match column.needs {
        Need::Always => true,
        Need::Class => has_class,
        Need::Update => changes,
    };
    let row = |column: &SystemColumn| ColumnRow {
        table: table.to_owned(),
        element: column.name.to_owned(),
        internal_type: column.internal_type.to_owned(),
        label: column.label.to_owned(),
        max_length: Some(column.length),
        default_value: match column.name {
            "sys_domain" => "global".to_owned(),
            "sys_domain_path" => "/".to_owned(),
            _ => String::new(),
        },
        active: true,
        ..ColumnRow::default()
    };
    SYSTEM_COLUMNS.iter().filter(wanted).map(row).collect()
}

/// Whether tables have a column of this name by themselves.
#[must_use]
pub fn is_system_column(name: &str) -> bool {
    SYSTEM_COLUMNS.iter().any(|column| column.name.eq_ignore_ascii_case(name))
}

/// Whether `attributes` hold `name`, with whatever value.
#[must_use]
pub fn has_attribute(attributes: &str, name: &str) -> bool {
    attributes.split(',').any(|item| item.split('=').next().is_some_and(|key| key.trim() == name))
}

/// The definition of one column.
#[must_use]
pub(super) fn field_of_row(row: &ColumnRow, table_attributes: &str) -> FieldDef {
    let field_type = FieldType::from_internal_type(&row.internal_type);
    let column = if row.column_name.is_empty() { &row.element } else { &row.column_name };
    let mut field = FieldDef {
        name: Arc::from(row.element.as_str()),
        label: Arc::from(if row.label.is_empty() {
            label_of(&row.element)
        } else {
            row.label.clone()
        }),
        field_type,
        internal_type: Arc::from(row.internal_type.as_str()),
        storage: storage(row, table_attributes),
        column: Arc::from(column.as_str()),
        max_length: row
            .max_length
            .unwrap_or_else(|| default_max_length(&row.internal_type, field_type)),
        reference: Arc::from(row.reference.as_str()),
        default_value: Arc::from(row.default_value.as_str()),
        mandatory: row.mandatory,
        read_only: row.read_only,
        read_only_option: ReadOnlyOption::of_name(&row.read_only_option),
        unique: row.unique,
        display: row.display,
        has_choices: (1..=3).contains(&row.choice),
        attributes: Arc::from(row.attributes.as_str()),
        scale: 0,
        active: row.active,
        defined_on: Arc::from(row.table.as_str()),
    };
    field.scale = scale(&field);
    field
}

/// What a class changes of a column that it inherits.
pub(super) fn apply_override(field: &mut FieldDef, change: &OverrideRow) {
    if let Some(default_value) = &change.default_value {
        field.default_value = Arc::from(default_value.as_str());
    }
    if let Some(attributes) = &change.attributes {
        field.attributes = Arc::from(attributes.as_str());
    }
    field.mandatory = change.mandatory.unwrap_or(field.mandatory);
    field.read_only = change.read_only.unwrap_or(field.read_only);
}

/// How the database keeps a column.
#[must_use]
pub(super) fn storage(row: &ColumnRow, table_attributes: &str) -> ColumnStorage {
    let in_millis = || {
        has_attribute(&row.attributes, EPOCH_MILLIS)
            || has_attribute(table_attributes, EPOCH_MILLIS)
    };
    match FieldType::from_internal_type(&row.internal_type) {
        FieldType::Integer => ColumnStorage::Integer,
        FieldType::Decimal | FieldType::Float => ColumnStorage::Real,
        FieldType::Boolean => ColumnStorage::Boolean,
        FieldType::Journal | FieldType::JournalList => ColumnStorage::None,
        FieldType::DateTime if in_millis() => ColumnStorage::EpochMillis,
        _ => ColumnStorage::Text,
    }
}

/// `close_code` → `Close code`, `u_ready_on` → `Ready on`.
#[must_use]
pub fn label_of(name: &str) -> String {
    let words = name.strip_prefix("u_").unwrap_or(name).replace('_', " ");
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + chars.as_str()
}

fn scale(field: &FieldDef) -> u8 {
    let default = match field.field_type {
        FieldType::Decimal => 2,
        FieldType::Float => 7,
        _ => return 0,
    };
    field.attribute("scale").and_then(|scale| scale.parse().ok()).unwrap_or(default)
}

/// Text types share one behaviour but not one length (§12.3).
fn default_max_length(internal_type: &str, field_type: FieldType) -> usize {
    match internal_type {
        "multi_two_lines" | "multi_small" | "wide_text" | "translated_text" => 4_000,
        "json" | "xml" | "css" | "compressed" | "simple_name_values" | "name_values"
        | "template_value" | "variables" | "workflow" => 65_536,
        "url" => 1_024,
        "email" => 100,
        "user_roles" | "domain_path" => 255,
        "field_name" => 80,
        "document_id" | "domain_id" => 32,
        _ => field_type.default_max_length(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(internal_type: &str, attributes: &str) -> ColumnRow {
        ColumnRow {
            table: "u_a".to_owned(),
            element: "u_due_at".to_owned(),
            internal_type: internal_type.to_owned(),
            attributes: attributes.to_owned(),
            ..ColumnRow::default()
        }
    }

    #[test]
    fn storage_follows_the_type_and_milliseconds_are_asked_for() {
        assert_eq!(storage(&row("order_index", ""), ""), ColumnStorage::Integer);
        assert_eq!(storage(&row("journal_input", ""), ""), ColumnStorage::None);
        assert_eq!(storage(&row("glide_date_time", ""), ""), ColumnStorage::Text);
        assert_eq!(
            storage(&row("glide_date_time", "epoch_millis"), ""),
            ColumnStorage::EpochMillis
        );
        assert_eq!(
            storage(&row("glide_date_time", ""), "a,epoch_millis"),
            ColumnStorage::EpochMillis
        );
        assert_eq!(storage(&row("string", "epoch_millis"), ""), ColumnStorage::Text);
    }

    #[test]
    fn scale_comes_from_the_attribute_or_the_type() {
        assert_eq!(field_of_row(&row("decimal", ""), "").scale, 2);
        assert_eq!(field_of_row(&row("float", ""), "").scale, 7);
        assert_eq!(field_of_row(&row("decimal", "x=1,scale=4"), "").scale, 4);
        assert_eq!(field_of_row(&row("integer", "scale=4"), "").scale, 0);
    }

    #[test]
    fn a_column_without_a_label_is_called_by_its_name() {
        assert_eq!(&*field_of_row(&row("string", ""), "").label, "Due at");
    }

    #[test]
    fn a_table_that_never_changes_has_no_update_columns() {
        let names = |attributes: &str, has_class| -> Vec<String> {
            system_columns("u_a", has_class, attributes).into_iter().map(|r| r.element).collect()
        };
        assert_eq!(names("no_update", false), ["sys_id", "sys_created_on", "sys_created_by"]);
        assert!(names("", true).contains(&"sys_class_name".to_owned()));
        assert!(!names("", false).contains(&"sys_domain".to_owned()));
    }
}
