//! Labels of a file and the values that they stand for: those of the map, those of the class's choice list, and new
//! ones. Two labels never share a value, so every label reads back as it stands in the file.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::fold::fold;
use campanile_model::{Dictionary, FieldDef, FieldType, Record, TableDef, Value};

use super::columns::{Column, Columns};
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;
use crate::records::operation::{self, Change, Door, Kind, Options, Outcome};

const TABLE: &str = "sys_choice";

/// The labels of one column.
#[derive(Debug)]
struct Labels {
    value_of: HashMap<String, Value>,
    /// Values that are taken, in folded case: the database compares so.
    taken: HashSet<String>,
    highest: i64,
    /// Last place in the list.
    sequence: i64,
}

/// The labels of all columns, while a batch is replayed.
#[derive(Debug, Default)]
pub(super) struct Choices {
    by_column: HashMap<String, Labels>,
    /// New choices by `table.element`.
    pub(super) created: HashMap<String, u64>,
}

impl Choices {
    /// The value of a label that was prepared.
    pub(super) fn value(&self, column: &Column, label: &str) -> Option<Value> {
        self.by_column.get(&column.name)?.value_of.get(label).cloned()
    }

    /// Has values for all these labels of the column; makes choices of those that nobody knows. Returns the labels
    /// that cannot be choices, with the reason.
    ///
    /// # Errors
    /// What the store answers; the refusal of a new choice.
    pub(super) fn prepare(
        &mut self,
        execution: &Rc<Execution>,
        dictionary: &Dictionary,
        columns: &Columns,
        column: &Column,
        labels: &[&str],
    ) -> Result<(), EngineError> {
        let class = &columns.table;
        let field = columns.field(column);
        if !self.by_column.contains_key(&column.name) {
            self.by_column
                .insert(column.name.clone(), known_labels(dictionary, class, field, column));
        }
        let Some(known) = self.by_column.get_mut(&column.name) else { return Ok(()) };
        let mut new: Vec<&str> = Vec::new();
        for label in labels {
            if !known.value_of.contains_key(*label) && !new.contains(label) {
                new.push(label);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        if !field.has_choices {
            // Only the map gives this column labels: any other text is its own value.
            for label in new {
                known.value_of.insert(label.to_owned(), Value::text(label));
            }
            return Ok(());
        }
        keep_inherited(execution, dictionary, class, &field.name)?;
        for label in new {
            let value = known.free_value(execution, class, field, label)?;
            known.sequence += 10;
            insert(execution, dictionary, class, field, &value, label, known.sequence)?;
            known.take(&value);
            known.value_of.insert(label.to_owned(), value);
            *self.created.entry(format!("{}.{}", class.name, field.name)).or_default() += 1;
        }
        Ok(())
    }
}

impl Labels {
    fn take(&mut self, value: &Value) {
        self.taken.insert(fold(value.as_str()).to_string());
        self.highest = self.highest.max(value.as_i64().unwrap_or(i64::MIN));
    }

    /// A value that no label and no row has.
    fn free_value(
        &self,
        execution: &Rc<Execution>,
        class: &Arc<TableDef>,
        field: &FieldDef,
        label: &str,
    ) -> Result<Value, EngineError> {
        let is_free = |value: &Value| -> Result<bool, EngineError> {
            // A row that holds the label itself reads as the label already.
            if value.as_str() == label {
                return Ok(!self.taken.contains(&*fold(value.as_str())));
            }
            if self.taken.contains(&*fold(value.as_str())) {
                return Ok(false);
            }
            let select = lookup::equal(class, &[(&field.name, value.as_str())]).limit(1);
            Ok(execution.with_read(|tx| tx.select(&select))?.is_empty())
        };
        if field.field_type.is_numeric() {
            let mut number = self.highest.max(0);
            loop {
                number += 1;
                let value = Value::int(number);
                if is_free(&value)? {
                    return Ok(value);
                }
            }
        }
        let mut number = 1;
        loop {
            let suffix = if number == 1 { String::new() } else { format!("_{number}") };
            let room = field.max_length.saturating_sub(suffix.chars().count());
            let stem: String = label.chars().take(room).collect();
            let value = Value::from(format!("{stem}{suffix}"));
            if is_free(&value)? {
                return Ok(value);
            }
            number += 1;
        }
    }
}

fn known_labels(
    dictionary: &Dictionary,
    class: &TableDef,
    field: &FieldDef,
    column: &Column,
) -> Labels {
    let mut labels =
        Labels { value_of: HashMap::new(), taken: HashSet::new(), highest: 0, sequence: 0 };
    for (label, value) in &column.spec.labels {
        labels.value_of.insert(label.clone(), Value::text(value));
        labels.take(&Value::text(value));
    }
    for choice in dictionary.choices(&class.name, &field.name) {
        let value = Value::text(&choice.value);
        labels.sequence = labels.sequence.max(choice.sequence);
        // A value that the map gives to another label cannot stand for this one too.
        let claimed = column.spec.labels.values().any(|claimed| **claimed == *choice.value);
        if !claimed && !value.is_nil() {
            labels.value_of.entry(choice.label.to_string()).or_insert_with(|| value.clone());
        }
        labels.take(&value);
    }
    labels
}

/// Gives the class the choices that it inherits, if it has none of its own: a first own one would replace them.
fn keep_inherited(
    execution: &Rc<Execution>,
    dictionary: &Dictionary,
    class: &TableDef,
    element: &str,
) -> Result<(), EngineError> {
    let table = lookup::table(dictionary, TABLE)?;
    for name in &class.lineage {
        let select = lookup::equal(table, &[("name", name), ("element", element)]);
        let rows = execution.with_read(|tx| tx.select(&select))?;
        if rows.is_empty() {
            continue;
        }
        if *name == class.name {
            return Ok(());
        }
        for row in rows {
            copy(execution, table, &row, &class.name)?;
        }
        return Ok(());
    }
    Ok(())
}

fn copy(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    row: &Record,
    class: &str,
) -> Result<(), EngineError> {
    let own = |field: &FieldDef| !field.name.starts_with("sys_");
    let values = table
        .fields
        .iter()
        .zip(row.values())
        .filter(|(field, value)| own(field) && !value.is_nil())
        .map(|(field, value)| match &*field.name {
            "name" => (Arc::clone(&field.name), Value::text(class)),
            _ => (Arc::clone(&field.name), value.clone()),
        })
        .collect();
    write(execution, table, values)
}

fn insert(
    execution: &Rc<Execution>,
    dictionary: &Dictionary,
    class: &TableDef,
    field: &FieldDef,
    value: &Value,
    label: &str,
    sequence: i64,
) -> Result<(), EngineError> {
    let table = lookup::table(dictionary, TABLE)?;
    let sequence = sequence.to_string();
    let values = [
        ("name", &*class.name),
        ("element", &field.name),
        ("value", value.as_str()),
        ("label", label),
        ("language", "en"),
        ("sequence", &sequence),
    ];
    let values = values.map(|(name, text)| (Arc::from(name), Value::text(text)));
    write(execution, table, values.to_vec())
}

fn write(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    values: Vec<(Arc<str>, Value)>,
) -> Result<(), EngineError> {
    let change = Change {
        kind: Kind::Insert,
        table: Arc::clone(table),
        sys_id: None,
        values,
        journals: Vec::new(),
        fresh: None,
        reason: Arc::from("replay"),
        options: Options::plain(Door::System),
    };
    match operation::run(execution, &change).map_err(operation::Failure::into_error)? {
        Outcome::Done { .. } => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

/// Longest label of a choice.
pub(super) fn label_chars_max(dictionary: &Dictionary) -> usize {
    let field = dictionary.table(TABLE).and_then(|table| table.field("label"));
    field.filter(|field| field.field_type == FieldType::String).map_or(usize::MAX, |f| f.max_length)
}
