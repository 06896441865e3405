//! Random rows of the fixture, made so that queries often meet them: few values, many of them nearly equal.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use crate::dictionary::Dictionary;
use crate::query::References;
use crate::record::Record;
use crate::table_def::{FieldDef, FieldType, TableDef};
use crate::value::Value;

/// Users, groups, incidents and problems with references among them; some lead nowhere.
#[derive(Debug, Clone)]
pub struct World {
    /// What the rows are rows of.
    pub dictionary: Arc<Dictionary>,
    /// Every row, each of its own class, all keys different.
    pub rows: Vec<Record>,
}

impl World {
    /// The table called `name`.
    ///
    /// # Panics
    /// When the fixture has no such table.
    #[must_use]
    pub fn table(&self, name: &str) -> &Arc<TableDef> {
        self.dictionary.table(name).expect("the fixture has the table")
    }

    /// The rows of `table` and of the classes below it, each with the fields of `table`.
    #[must_use]
    pub fn rows_of(&self, table: &Arc<TableDef>) -> Vec<Record> {
        let rows = self.rows.iter().filter(|row| row.table().extends(&table.name));
        rows.map(|row| row.as_table(table)).collect()
    }
}

impl References for World {
    fn load(&self, table: &Arc<TableDef>, sys_id: &str) -> Option<Record> {
        let wanted = |row: &&Record| {
            row.table().extends(&table.name) && row.text("sys_id").eq_ignore_ascii_case(sys_id)
        };
        self.rows.iter().find(wanted).map(|row| row.as_table(table))
    }
}

const CLASSES: [&str; 4] = ["sys_user", "sys_user_group", "incident", "problem"];
const ROWS_OF_A_CLASS_MAX: usize = 5;

/// The key of row `number` of `class`. Some have capital letters: keys are compared ignoring case.
#[must_use]
pub fn key(class: &str, number: usize) -> String {
    let class = CLASSES.iter().position(|name| *name == class).unwrap_or(CLASSES.len());
    let letter = if number.is_multiple_of(2) { 'a' } else { 'F' };
    format!("{letter}{class:015x}{number:016x}")
}

/// A random world of the fixture.
pub fn world() -> impl Strategy<Value = World> {
    let dictionary = Arc::new(super::dictionary());
    let classes = CLASSES.map(|class| {
        let table = Arc::clone(dictionary.table(class).expect("the fixture has the class"));
        prop::collection::vec(record(table), 1..=ROWS_OF_A_CLASS_MAX)
    });
    classes.prop_map(move |classes| {
        let numbered = |rows: Vec<Record>| {
            rows.into_iter().enumerate().map(|(number, mut row)| {
                let class = Arc::clone(&row.table().name);
                row.set("sys_id", key(&class, number));
                row
            })
        };
        let rows = classes.into_iter().flat_map(numbered).collect();
        World { dictionary: Arc::clone(&dictionary), rows }
    })
}

/// A random row of `table`; the caller gives it a key.
fn record(table: Arc<TableDef>) -> impl Strategy<Value = Record> {
    let values: Vec<_> = table.fields.iter().map(|field| value(&table, field)).collect();
    values.prop_map(move |values| Record::from_values(Arc::clone(&table), values))
}

fn value(table: &TableDef, field: &FieldDef) -> BoxedStrategy<Value> {
    if &*field.name == "sys_class_name" {
        return Just(Value::text(&table.name)).boxed();
    }
    match texts(field) {
        texts if texts.is_empty() => Just(Value::Nil).boxed(),
        texts => prop_oneof![
            1 => Just(Value::Nil),
            4 => select(texts).prop_map(|text| Value::text(&text)),
        ]
        .boxed(),
    }
}

/// The stored texts that random rows have in a field, and that random queries ask for.
pub(super) fn texts(field: &FieldDef) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match field.field_type {
        FieldType::Integer => owned(&["-1", "0", "1", "2", "3", "10", "9007199254740993"]),
        FieldType::Decimal | FieldType::Float => owned(&["-3.00", "0.00", "2.50", "10.00"]),
        FieldType::Boolean => owned(&["0", "1"]),
        FieldType::Reference => keys(&field.reference),
        FieldType::GlideList => {
            let all = keys(&field.reference);
            all.iter().cloned().chain(all.windows(2).map(|pair| pair.join(","))).collect()
        }
        FieldType::DateTime => owned(&[
            "2024-03-12 23:59:59",
            "2024-03-13 00:00:00",
            "2024-03-13 12:00:00",
            "2024-03-13 23:59:59",
            "2024-03-14 00:00:00",
        ]),
        FieldType::Date => owned(&["2024-03-12", "2024-03-13", "2024-03-14"]),
        FieldType::Time => owned(&["1970-01-01 00:00:00", "1970-01-01 09:30:00"]),
        FieldType::Duration => {
            owned(&["1970-01-01 00:00:00", "1970-01-01 09:30:00", "1970-01-11 00:00:01"])
        }
        FieldType::TableName => owned(&["task", "incident", "problem"]),
        FieldType::Journal | FieldType::JournalList | FieldType::Guid => Vec::new(),
        _ => owned(&[
            "Email down",
            "email DOWN",
            "Email",
            "network",
            "Netz",
            "x",
            "a^b",
            "a,b",
            "50%",
            "50_",
            "ÄRGER",
            "ärger",
            "Straße",
            "STRASSE",
            "\u{212A}",
            "k",
            "10",
            "9",
            "NULL ",
            "it's \"so\"",
        ]),
    }
}

/// Keys of rows of `table`, in both letter cases, and one that leads nowhere.
fn keys(table: &str) -> Vec<String> {
    let classes: &[&str] = if table == "task" { &["incident", "problem"] } else { &[table] };
    let rows = classes.iter().flat_map(|class| (0..3).map(|number| key(class, number)));
    let mut keys: Vec<_> = rows.collect();
    keys.push(key(classes[0], 0).to_ascii_uppercase());
    keys.push(key("nowhere", 9));
    keys
}
