//! Dictionary rows made into tables: inherited columns first, the class's overrides applied.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{Choice, FieldDef, TableDef};

use super::columns::{apply_override, field_of_row, label_of, system_columns};
use super::rows::{ChoiceRow, ColumnRow, DictionaryRows, OverrideRow, TableRow};

/// Every table that `rows` describe, in no order. A row that makes no sense (a table whose parent is missing or
/// its own descendant, a column given twice) is left out and logged: such rows are refused when they are written,
/// but other tools can write too.
///
/// `display_default` is the column of `glide.record.display_value_default`.
#[must_use]
pub fn flatten(rows: &DictionaryRows, display_default: &str) -> Vec<Arc<TableDef>> {
    let sorted = Sorted::of(rows);
    let mut done: HashMap<&str, Flat> = HashMap::new();
    let mut open: Vec<&TableRow> = sorted.children("");
    while let Some(table) = open.pop() {
        let parent = done.get(table.parent.as_str());
        let flat = flat_table(table, parent, &sorted, display_default);
        open.extend(sorted.children(&table.name));
        done.insert(&table.name, flat);
    }
    for table in rows.tables.iter().filter(|table| !done.contains_key(table.name.as_str())) {
        tracing::warn!(table = table.name, parent = table.parent, "table left out: no such parent");
    }
    let lineages: Vec<Vec<Arc<str>>> = done.values().map(|flat| flat.def.lineage.clone()).collect();
    for Flat { def, .. } in done.values_mut() {
        let below = lineages.iter().filter(|lineage| lineage.contains(&def.name));
        def.subtree = below.map(|lineage| Arc::clone(&lineage[0])).collect();
        def.subtree.sort_unstable();
    }
    done.into_values().map(|flat| Arc::new(flat.def)).collect()
}

/// The choice lists by table and column, in their order; `language` only, with rows of no language.
#[must_use]
pub fn choice_lists(
    rows: &[ChoiceRow],
    columns: &[ColumnRow],
    language: &str,
) -> HashMap<(Arc<str>, Arc<str>), Vec<Choice>> {
    let mut lists: HashMap<(Arc<str>, Arc<str>), Vec<Choice>> = HashMap::new();
    for row in rows.iter().filter(|r| r.language.is_empty() || r.language == language) {
        let key = (Arc::from(row.table.as_str()), Arc::from(row.element.as_str()));
        lists.entry(key).or_default().push(Choice {
            value: Arc::from(row.value.as_str()),
            label: Arc::from(row.label.as_str()),
            sequence: row.sequence,
            inactive: row.inactive,
        });
    }
    for list in lists.values_mut() {
        list.sort_by_key(|choice| choice.sequence);
    }
    for column in columns {
        let Some((table, field)) = &column.choice_source else { continue };
        let source = (Arc::from(table.as_str()), Arc::from(field.as_str()));
        if let Some(list) = lists.get(&source).cloned() {
            lists.insert(
                (Arc::from(column.table.as_str()), Arc::from(column.element.as_str())),
                list,
            );
        }
    }
    lists
}

/// The rows by what they belong to.
struct Sorted<'a> {
    children: HashMap<&'a str, Vec<&'a TableRow>>,
    columns: HashMap<&'a str, Vec<&'a ColumnRow>>,
    collections: HashMap<&'a str, &'a ColumnRow>,
    overrides: HashMap<&'a str, Vec<&'a OverrideRow>>,
}

impl<'a> Sorted<'a> {
    fn of(rows: &'a DictionaryRows) -> Self {
        let mut sorted = Self {
            children: HashMap::new(),
            columns: HashMap::new(),
            collections: HashMap::new(),
            overrides: HashMap::new(),
        };
        for table in &rows.tables {
            sorted.children.entry(&table.parent).or_default().push(table);
        }
        for column in &rows.columns {
            if column.element.is_empty() {
                sorted.collections.insert(&column.table, column);
            } else {
                sorted.columns.entry(&column.table).or_default().push(column);
            }
        }
        // Columns without a place of their own stand behind those that have one, in the order they came.
        for columns in sorted.columns.values_mut() {
            columns.sort_by_key(|column| column.position);
        }
        for change in &rows.overrides {
            sorted.overrides.entry(&change.table).or_default().push(change);
        }
        sorted
    }

    fn children(&self, parent: &str) -> Vec<&'a TableRow> {
        self.children.get(parent).cloned().unwrap_or_default()
    }

    fn own<T: Copy>(map: &HashMap<&'a str, Vec<T>>, table: &str) -> Vec<T> {
        map.get(table).cloned().unwrap_or_default()
    }
}

/// A table, and the display column that it or an ancestor names (the fallbacks are looked up for each class anew).
struct Flat {
    def: TableDef,
    named_display: Option<Arc<str>>,
}

fn flat_table(
    row: &TableRow,
    above: Option<&Flat>,
    sorted: &Sorted<'_>,
    display_default: &str,
) -> Flat {
    let parent = above.map(|flat| &flat.def);
    let collection = sorted.collections.get(row.name.as_str());
    let own_attributes = collection.map_or("", |c| c.attributes.as_str());
    let has_class = match parent {
        Some(parent) => parent.has_class,
        None => row.extendable || sorted.children.contains_key(row.name.as_str()),
    };
    let mut fields = match parent {
        Some(parent) => parent.fields.clone(),
        None => system_columns(&row.name, has_class, own_attributes)
            .iter()
            .map(|column| field_of_row(column, own_attributes))
            .collect(),
    };
    add_own(&mut fields, &Sorted::own(&sorted.columns, &row.name), own_attributes);
    // Inherited first, in dictionary order, `sys_` columns last; the sort keeps the order of equals.
    fields.sort_by_key(|field| field.name.starts_with("sys_"));
    let changes = Sorted::own(&sorted.overrides, &row.name);
    for change in &changes {
        if let Some(field) = fields.iter_mut().find(|field| *field.name == *change.element) {
            apply_override(field, change);
        }
    }
    let name: Arc<str> = Arc::from(row.name.as_str());
    let mut lineage = vec![Arc::clone(&name)];
    lineage.extend(parent.into_iter().flat_map(|p| p.lineage.iter().cloned()));
    let label = if row.label.is_empty() { label_of(&row.name) } else { row.label.clone() };
    let plural = if row.plural.is_empty() { format!("{label}s") } else { row.plural.clone() };
    let by_name = fields.iter().enumerate().map(|(i, f)| (Arc::clone(&f.name), i)).collect();
    let mut def = TableDef {
        label: Arc::from(label),
        plural: Arc::from(plural),
        parent: parent.map_or_else(|| Arc::from(""), |p| Arc::clone(&p.name)),
        root: parent.map_or_else(|| Arc::clone(&name), |p| Arc::clone(&p.root)),
        name,
        lineage,
        subtree: Vec::new(),
        has_class,
        fields,
        by_name,
        display_field: 0,
        audit: collection.is_some_and(|c| c.audit),
        attributes: Arc::from(own_attributes),
    };
    let named_display = own_display(&def, &changes)
        .or_else(|| above.and_then(|flat| flat.named_display.clone()))
        .filter(|name| def.index(name).is_some());
    def.display_field = display_field(&def, named_display.as_deref(), display_default);
    Flat { def, named_display }
}

/// Adds the class's own columns. On a root, a row for a system column gives it another label or attributes;
/// elsewhere a name that is already there is left out.
fn add_own(fields: &mut Vec<FieldDef>, own: &[&ColumnRow], table_attributes: &str) {
    for column in own {
        let field = field_of_row(column, table_attributes);
        match fields.iter_mut().find(|known| known.name == field.name) {
            None => fields.push(field),
            Some(known)
                if known.defined_on == field.defined_on && known.storage == field.storage =>
            {
                *known = field;
            }
            Some(known) => {
                let (table, element) = (&column.table, &column.element);
                tracing::warn!(table, element, inherited_from = %known.defined_on, "column left out: it is inherited");
            }
        }
    }
}

/// The display column that the class itself names: by an override, else by a column of its own.
fn own_display(def: &TableDef, changes: &[&OverrideRow]) -> Option<Arc<str>> {
    let overridden = changes.iter().find(|change| change.display == Some(true));
    let own = || def.fields.iter().find(|f| f.display && f.defined_on == def.name);
    match overridden {
        Some(change) => Some(Arc::from(change.element.as_str())),
        None => own().map(|field| Arc::clone(&field.name)),
    }
}

/// Business-rules §12.4: the column that is named, else `name`, `u_name`, `number`, `u_number`, the property's
/// column, `sys_created_on`.
fn display_field(def: &TableDef, named: Option<&str>, display_default: &str) -> usize {
    let fallbacks = ["name", "u_name", "number", "u_number", display_default, "sys_created_on"];
    named.into_iter().chain(fallbacks).find_map(|name| def.index(name)).unwrap_or(0)
}
