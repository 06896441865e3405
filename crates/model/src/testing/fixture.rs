//! A dictionary small enough to read: users, groups, tasks with two kinds of tasks below them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dictionary::Dictionary;
use crate::table_def::{ColumnStorage, FieldDef, FieldNames, FieldType, ReadOnlyOption, TableDef};

/// What a test says about a table; the rest follows from the types.
#[derive(Debug, Clone, Copy)]
pub struct TableSpec {
    /// Table name.
    pub name: &'static str,
    /// Direct parent, which stands earlier in the list; empty for a root.
    pub parent: &'static str,
    /// Own columns as (name, dictionary type, target of a reference or list). System columns are added.
    pub columns: &'static [(&'static str, &'static str, &'static str)],
    /// The display field.
    pub display: &'static str,
}

impl TableSpec {
    /// The dictionary of `specs`, parents first. A root that others extend gets `sys_class_name`.
    ///
    /// # Panics
    /// When a parent or display field is missing: a programmer's error.
    #[must_use]
    pub fn dictionary(specs: &[Self]) -> Dictionary {
        let mut tables: Vec<TableDef> = Vec::new();
        for spec in specs {
            let parent = tables.iter().find(|table| &*table.name == spec.parent).cloned();
            let has_class = specs.iter().any(|other| other.parent == spec.name);
            tables.push(spec.table(parent, has_class));
        }
        let lineages: Vec<_> =
            tables.iter().map(|t| (Arc::clone(&t.name), t.lineage.clone())).collect();
        for table in &mut tables {
            let below = lineages.iter().filter(|(_, lineage)| lineage.contains(&table.name));
            table.subtree = below.map(|(name, _)| Arc::clone(name)).collect();
        }
        Dictionary::new(tables.into_iter().map(Arc::new), HashMap::new())
    }

    fn table(&self, parent: Option<TableDef>, has_class: bool) -> TableDef {
        let name: Arc<str> = Arc::from(self.name);
        let is_root = parent.is_none();
        let mut fields = parent.as_ref().map_or_else(Vec::new, |parent| parent.fields.clone());
        let system = if is_root { SYSTEM_COLUMNS } else { &[] };
        let class: &[_] =
            if is_root && has_class { &[("sys_class_name", "sys_class_name", "")] } else { &[] };
        for (column, kind, reference) in system.iter().chain(class).chain(self.columns) {
            fields.push(field(self.name, column, kind, reference));
        }
        for field in &mut fields {
            field.display = &*field.name == self.display;
        }
        let by_name: FieldNames =
            fields.iter().enumerate().map(|(at, field)| (Arc::clone(&field.name), at)).collect();
        let mut lineage = vec![Arc::clone(&name)];
        lineage.extend(parent.iter().flat_map(|parent| parent.lineage.iter().cloned()));
        TableDef {
            label: Arc::clone(&name),
            plural: Arc::clone(&name),
            parent: Arc::from(self.parent),
            root: parent
                .as_ref()
                .map_or_else(|| Arc::clone(&name), |parent| Arc::clone(&parent.root)),
            subtree: Vec::new(),
            has_class: has_class || parent.is_some(),
            display_field: by_name[self.display],
            audit: false,
            attributes: Arc::from(""),
            name,
            lineage,
            fields,
            by_name,
        }
    }
}

const SYSTEM_COLUMNS: &[(&str, &str, &str)] = &[
    ("sys_id", "GUID", ""),
    ("sys_created_on", "glide_date_time", ""),
    ("sys_created_by", "string", ""),
    ("sys_updated_on", "glide_date_time", ""),
    ("sys_updated_by", "string", ""),
    ("sys_mod_count", "integer", ""),
];

const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "sys_user",
        parent: "",
        display: "name",
        columns: &[
            ("user_name", "string", ""),
            ("name", "string", ""),
            ("email", "email", ""),
            ("active", "boolean", ""),
            ("manager", "reference", "sys_user"),
            ("user_password", "password", ""),
        ],
    },
    TableSpec {
        name: "sys_user_group",
        parent: "",
        display: "name",
        columns: &[("name", "string", ""), ("manager", "reference", "sys_user")],
    },
    TableSpec {
        name: "task",
        parent: "",
        display: "number",
        columns: &[
            ("number", "string", ""),
            ("short_description", "string", ""),
            ("description", "multi_two_lines", ""),
            ("active", "boolean", ""),
            ("priority", "integer", ""),
            ("state", "integer", ""),
            ("reassignment_count", "integer", ""),
            ("assigned_to", "reference", "sys_user"),
            ("assignment_group", "reference", "sys_user_group"),
            ("parent", "reference", "task"),
            ("watch_list", "glide_list", "sys_user"),
            ("opened_at", "glide_date_time", ""),
            ("due_date", "due_date", ""),
            ("approval_date", "glide_date", ""),
            ("time_worked", "glide_duration", ""),
            ("cost", "decimal", ""),
            ("comments", "journal_input", ""),
            ("work_notes", "journal_input", ""),
        ],
    },
    TableSpec {
        name: "incident",
        parent: "task",
        display: "number",
        columns: &[
            ("caller_id", "reference", "sys_user"),
            ("category", "string", ""),
            ("reopen_count", "integer", ""),
            ("problem_id", "reference", "problem"),
        ],
    },
    TableSpec {
        name: "problem",
        parent: "task",
        display: "number",
        columns: &[("known_error", "boolean", ""), ("first_reported_by", "reference", "incident")],
    },
];

/// `sys_user`, `sys_user_group`, and `task` with `incident` and `problem` below it.
#[must_use]
pub fn dictionary() -> Dictionary {
    TableSpec::dictionary(TABLES)
}

fn field(table: &str, name: &str, kind: &str, reference: &str) -> FieldDef {
    let field_type = FieldType::from_internal_type(kind);
    let storage = match field_type {
        FieldType::Integer => ColumnStorage::Integer,
        FieldType::Decimal | FieldType::Float => ColumnStorage::Real,
        FieldType::Boolean => ColumnStorage::Boolean,
        FieldType::Journal | FieldType::JournalList => ColumnStorage::None,
        _ => ColumnStorage::Text,
    };
    FieldDef {
        name: Arc::from(name),
        label: Arc::from(name),
        field_type,
        internal_type: Arc::from(kind),
        storage,
        column: Arc::from(name),
        max_length: 255.max(field_type.default_max_length()),
        reference: Arc::from(reference),
        default_value: Arc::from(""),
        mandatory: false,
        read_only: false,
        read_only_option: ReadOnlyOption::Unset,
        unique: name == "sys_id",
        display: false,
        has_choices: false,
        attributes: Arc::from(""),
        scale: if field_type == FieldType::Decimal { 2 } else { 0 },
        active: true,
        defined_on: Arc::from(table),
    }
}
