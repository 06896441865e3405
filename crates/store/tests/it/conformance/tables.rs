//! Tables after the dictionary.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::testing::TableSpec;
use campanile_model::{Dictionary, FieldType, Record, TableDef};
use campanile_store::{Store, StoreError};

use super::engine::{Bench, Engine, key};

fn ensure(store: &Arc<dyn Store>, dictionary: &Dictionary, table: &str) -> Result<(), StoreError> {
    let mut tx = Arc::clone(store).write().unwrap();
    tx.ensure_tables(dictionary, &[Arc::clone(dictionary.table(table).unwrap())])?;
    tx.commit().unwrap();
    Ok(())
}

fn row(dictionary: &Dictionary, table: &str, fields: &[(&str, &str)]) -> Record {
    let mut record = Record::empty(Arc::clone(dictionary.table(table).unwrap()));
    record.set("sys_class_name", table);
    for (name, value) in fields {
        assert!(record.set(name, *value), "{name}");
    }
    record
}

fn insert(store: &Arc<dyn Store>, row: &Record) {
    let mut tx = Arc::clone(store).write().unwrap();
    tx.insert(row).unwrap();
    tx.commit().unwrap();
}

const ANIMAL: TableSpec =
    TableSpec { name: "animal", parent: "", display: "name", columns: &[("name", "string", "")] };

pub(crate) fn ensuring_twice_changes_nothing(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("incident", &[("sys_id", &key(1)), ("number", "INC1")])]);
    let tables: Vec<_> = bench.dictionary.tables().cloned().collect();
    bench.in_tx(|tx| tx.ensure_tables(&bench.dictionary, &tables));
    assert_eq!(bench.found("incident", "", "number"), ["INC1"]);
}

pub(crate) fn a_new_field_is_nil_in_old_rows(engine: &dyn Engine) {
    let store = engine.open();
    let old = TableSpec::dictionary(&[ANIMAL]);
    ensure(&store, &old, "animal").unwrap();
    insert(&store, &row(&old, "animal", &[("sys_id", &key(1)), ("name", "cat")]));
    let columns = &[("name", "string", ""), ("legs", "integer", "")];
    let new = TableSpec::dictionary(&[TableSpec { columns, ..ANIMAL }]);
    ensure(&store, &new, "animal").unwrap();
    insert(&store, &row(&new, "animal", &[("sys_id", &key(2)), ("legs", "4")]));
    let reader = Arc::clone(&store).read().unwrap();
    let get = |n| reader.get(new.table("animal").unwrap(), &key(n)).unwrap().unwrap();
    assert_eq!((get(1).text("name"), get(1).text("legs")), ("cat", ""));
    assert_eq!(get(2).text("legs"), "4");
}

pub(crate) fn a_new_class_gets_its_columns_and_old_rows_stay(engine: &dyn Engine) {
    let store = engine.open();
    let cat = TableSpec {
        name: "cat",
        parent: "animal",
        display: "name",
        columns: &[("lives", "integer", "")],
    };
    let dog = TableSpec { name: "dog", columns: &[("tricks", "string", "")], ..cat };
    let old = TableSpec::dictionary(&[ANIMAL, cat]);
    ensure(&store, &old, "cat").unwrap();
    insert(&store, &row(&old, "cat", &[("sys_id", &key(1)), ("lives", "9")]));
    let new = TableSpec::dictionary(&[ANIMAL, cat, dog]);
    ensure(&store, &new, "dog").unwrap();
    insert(&store, &row(&new, "dog", &[("sys_id", &key(2)), ("tricks", "sit")]));
    let reader = Arc::clone(&store).read().unwrap();
    let get = |table, n| reader.get(new.table(table).unwrap(), &key(n)).unwrap();
    assert_eq!(get("cat", 1).unwrap().text("lives"), "9");
    assert_eq!(get("dog", 2).unwrap().text("tricks"), "sit");
    assert!(get("dog", 1).is_none());
    assert_eq!(get("animal", 2).unwrap().class_name(), "dog");
}

pub(crate) fn a_column_never_changes_its_type(engine: &dyn Engine) {
    let store = engine.open();
    ensure(&store, &TableSpec::dictionary(&[ANIMAL]), "animal").unwrap();
    let columns = &[("name", "integer", "")];
    let new = TableSpec::dictionary(&[TableSpec { columns, ..ANIMAL }]);
    let error = ensure(&store, &new, "animal").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Statement { .. }), "{text}");
    assert!(text.contains("animal") && text.contains("name"), "{text}");

    // Nor do two classes share a column of different types.
    let columns = &[("size", "string", "")];
    let cat = TableSpec { name: "cat", parent: "animal", display: "name", columns };
    let dog = TableSpec { name: "dog", ..cat };
    let tables = TableSpec::dictionary(&[ANIMAL, cat, dog]);
    let clashing = tables.tables().map(|table| {
        let mut table = TableDef::clone(table);
        if &*table.name == "dog" {
            let size = table.index("size").unwrap();
            table.fields[size].field_type = FieldType::Integer;
            table.fields[size].storage = campanile_model::ColumnStorage::Integer;
        }
        Arc::new(table)
    });
    let clashing = Dictionary::new(clashing, HashMap::new());
    let text = ensure(&store, &clashing, "dog").unwrap_err().to_string();
    assert!(text.contains("size") && text.contains("cat") && text.contains("dog"), "{text}");
}

pub(crate) fn tables_made_in_a_transaction_that_is_dropped_are_not_there(engine: &dyn Engine) {
    let store = engine.open();
    let dictionary = TableSpec::dictionary(&[ANIMAL]);
    let animal = dictionary.table("animal").unwrap();
    let mut tx = Arc::clone(&store).write().unwrap();
    tx.ensure_tables(&dictionary, &[Arc::clone(animal)]).unwrap();
    tx.insert(&row(&dictionary, "animal", &[("sys_id", &key(1))])).unwrap();
    drop(tx);
    let error = Arc::clone(&store).read().unwrap().get(animal, &key(1)).unwrap_err();
    assert!(matches!(error, StoreError::Statement { .. }), "{error}");
}

pub(crate) fn what_is_dropped_does_not_come_back(engine: &dyn Engine) {
    let store = engine.open();
    let drop_unused = |dictionary: &Dictionary, gone: &TableDef| {
        let mut tx = Arc::clone(&store).write().unwrap();
        let left: Vec<_> = dictionary.tables().cloned().collect();
        tx.ensure_tables(dictionary, &left).unwrap();
        tx.drop_unused(dictionary, gone).unwrap();
        tx.drop_unused(dictionary, gone).unwrap();
        tx.commit().unwrap();
    };
    let columns = &[("lives", "integer", ""), ("size", "string", "")];
    let cat = TableSpec { name: "cat", parent: "animal", display: "name", columns };
    let dog = TableSpec { name: "dog", columns: &[("size", "string", "")], ..cat };
    let all = TableSpec::dictionary(&[ANIMAL, cat, dog]);
    ensure(&store, &all, "cat").unwrap();
    insert(&store, &row(&all, "cat", &[("sys_id", &key(1)), ("lives", "9")]));
    insert(&store, &row(&all, "dog", &[("sys_id", &key(2)), ("size", "large")]));

    // A class: its own columns go, one that another class uses stays.
    let without_cat = TableSpec::dictionary(&[ANIMAL, dog]);
    drop_unused(&without_cat, all.table("cat").unwrap());
    let other_form =
        TableSpec { name: "cat", columns: &[("lives", "string", "")], display: "name", ..cat };
    let again = TableSpec::dictionary(&[ANIMAL, dog, other_form]);
    ensure(&store, &again, "cat").unwrap();
    {
        let reader = Arc::clone(&store).read().unwrap();
        let get = |table, n| reader.get(again.table(table).unwrap(), &key(n)).unwrap().unwrap();
        assert_eq!((get("cat", 1).text("lives"), get("dog", 2).text("size")), ("", "large"));
    }

    // A column with an index on it.
    let nameless = [TableSpec { columns: &[], ..ANIMAL }, dog, other_form]
        .map(|spec| TableSpec { display: "sys_id", ..spec });
    let nameless = TableSpec::dictionary(&nameless);
    drop_unused(&nameless, again.table("animal").unwrap());
    ensure(&store, &again, "animal").unwrap();
    let reader = Arc::clone(&store).read().unwrap();
    assert_eq!(
        reader.get(again.table("animal").unwrap(), &key(2)).unwrap().unwrap().text("name"),
        ""
    );
    drop(reader);

    // A root.
    drop_unused(&TableSpec::dictionary(&[]), again.table("animal").unwrap());
    let reader = Arc::clone(&store).read().unwrap();
    assert!(reader.get(again.table("animal").unwrap(), &key(1)).is_err(), "it is gone");
}
