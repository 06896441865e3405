//! Dictionary rows made into tables, and physical tables that follow.

use std::sync::Arc;

use campanile_engine::EngineError;
use campanile_engine::records::dictionary::{Change, after_write};
use campanile_engine::records::lookup;
use campanile_engine::records::seed::stamp_new;
use campanile_model::{Clock, ColumnStorage, Record};

use crate::house::House;

const HIERARCHY: &str = "
- name: u_work
  extendable: true
  fields:
    - {name: number, display: true}
    - {name: u_rank, type: integer, default: 4}
    - name: u_state
      type: integer
      default: 1
      choices: [{value: 1, label: Open}, {value: 3, label: Done}]
    - {name: sys_note}
- name: u_repair
  extends: u_work
  fields:
    - {name: u_part}
    - {name: u_cost, type: decimal}
- name: u_visit
  extends: u_work
  fields: [{name: u_cost, length: 100}]
- name: u_home_visit
  extends: u_visit
  fields: [{name: u_street, mandatory: true}]
- name: u_plain
  fields: [{name: u_name}, {name: u_code, unique: true}]
- name: u_bare
  fields: [{name: u_text}]
";

/// Writes one row through the hook that the record operation calls.
fn write(
    house: &House,
    change: &str,
    table: &str,
    values: &[(&str, &str)],
) -> Result<(), EngineError> {
    let dictionary = house.engine.dictionary().unwrap();
    let table = lookup::table(&dictionary, table).unwrap();
    let mut tx = Arc::clone(house.engine.store()).write().unwrap();
    let found = tx.select(&lookup::equal(table, &values[..if change == "insert" { 0 } else { 1 }]));
    let before = found.unwrap().into_iter().next();
    let mut row = match (change, &before) {
        ("insert", _) => Record::empty(Arc::clone(table)),
        (_, Some(row)) => row.clone(),
        _ => panic!("no such row: {values:?}"),
    };
    for (name, value) in values {
        assert!(row.set(name, *value), "{name}");
    }
    match change {
        "insert" => {
            stamp_new(&mut row, house.clock.now(), "admin");
            tx.insert(&row).unwrap();
            after_write(&mut *tx, Change::Inserted, &row)?;
        }
        "update" => {
            let all: Vec<usize> = (0..table.fields.len()).collect();
            tx.update(&row, &all).unwrap();
            after_write(&mut *tx, Change::Updated(&before.unwrap()), &row)?;
        }
        _ => {
            tx.delete(table, row.text("sys_id")).unwrap();
            after_write(&mut *tx, Change::Deleted, &row)?;
        }
    }
    tx.commit().unwrap();
    house.engine.tables_changed([&*table.name]);
    Ok(())
}

fn refusal(result: Result<(), EngineError>) -> String {
    match result {
        Err(EngineError::Integrity { code: "definition_invalid", detail, .. }) => detail,
        other => panic!("expected a refused definition, got {other:?}"),
    }
}

#[test]
fn inherited_columns_come_first_and_system_columns_last() {
    let house = House::new();
    house.define(HIERARCHY);
    let dictionary = house.engine.dictionary().unwrap();
    let visit = dictionary.table("u_home_visit").unwrap();
    let names: Vec<&str> = visit.fields.iter().map(|f| &*f.name).collect();
    assert_eq!(names[..5], ["number", "u_rank", "u_state", "u_cost", "u_street"]);
    assert!(names[5..].iter().all(|name| name.starts_with("sys_")));
    assert!(names.contains(&"sys_note") && names.contains(&"sys_class_name"));
    for (i, field) in visit.fields.iter().enumerate() {
        assert_eq!(visit.index(&field.name), Some(i));
    }
    let lineage: Vec<&str> = visit.lineage.iter().map(|n| &**n).collect();
    assert_eq!(lineage, ["u_home_visit", "u_visit", "u_work"]);
    assert_eq!((&*visit.root, &*visit.parent), ("u_work", "u_visit"));
    let below = |name: &str| -> Vec<String> {
        dictionary.table(name).unwrap().subtree.iter().map(ToString::to_string).collect()
    };
    assert_eq!(below("u_visit"), ["u_home_visit", "u_visit"]);
    assert_eq!(below("u_work"), ["u_home_visit", "u_repair", "u_visit", "u_work"]);
    assert!(!dictionary.table("u_plain").unwrap().has_class);
    assert!(visit.field("u_street").unwrap().mandatory);
}

#[test]
fn siblings_may_use_one_name_for_different_types() {
    let house = House::new();
    house.define(HIERARCHY);
    let dictionary = house.engine.dictionary().unwrap();
    let cost = |table: &str| dictionary.table(table).unwrap().field("u_cost").unwrap().clone();
    let (decimal, text) = (cost("u_repair"), cost("u_visit"));
    assert_eq!((decimal.storage, text.storage), (ColumnStorage::Real, ColumnStorage::Text));
    assert_ne!(decimal.column, text.column);
    assert_eq!(cost("u_home_visit").column, text.column);

    house.add("u_repair", &[("number", "R1"), ("u_cost", "12.50")]);
    house.add("u_home_visit", &[("number", "V1"), ("u_cost", "a lot")]);
    assert_eq!(house.rows("u_repair", &[])[0].text("u_cost"), "12.50");
    assert_eq!(house.rows("u_visit", &[("u_cost", "a lot")])[0].text("number"), "V1");
    assert_eq!(house.rows("u_work", &[]).len(), 2);
    // The names stay when the dictionary is read anew.
    let house = house.restart();
    assert_eq!(house.rows("u_visit", &[])[0].text("u_cost"), "a lot");
}

#[test]
fn br_48_an_override_wins_for_its_class_and_those_below() {
    let house = House::new();
    house.define(HIERARCHY);
    write(
        &house,
        "insert",
        "sys_dictionary_override",
        &[
            ("name", "u_visit"),
            ("base_table", "u_work"),
            ("element", "u_rank"),
            ("default_value", "5"),
        ],
    )
    .unwrap();
    let dictionary = house.engine.dictionary().unwrap();
    let rank = |table: &str| {
        dictionary.table(table).unwrap().field("u_rank").unwrap().default_value.to_string()
    };
    assert_eq!(rank("u_work"), "4");
    assert_eq!(rank("u_repair"), "4");
    assert_eq!(rank("u_visit"), "5");
    assert_eq!(rank("u_home_visit"), "5");
}

#[test]
fn an_override_may_take_a_default_away() {
    let house = House::new();
    house.define(HIERARCHY);
    let values = [
        ("name", "u_visit"),
        ("base_table", "u_work"),
        ("element", "u_rank"),
        ("default_value_override", "1"),
        ("mandatory", "1"),
        ("mandatory_override", "1"),
    ];
    write(&house, "insert", "sys_dictionary_override", &values).unwrap();
    let dictionary = house.engine.dictionary().unwrap();
    let rank = dictionary.table("u_visit").unwrap().field("u_rank").unwrap();
    assert_eq!(&*rank.default_value, "");
    assert!(rank.mandatory);
}

#[test]
fn br_59_a_table_without_a_display_column_shows_its_name() {
    let house = House::new();
    house.define(HIERARCHY);
    let dictionary = house.engine.dictionary().unwrap();
    let display = |name: &str| {
        let table = dictionary.table(name).unwrap();
        table.fields[table.display_field].name.to_string()
    };
    assert_eq!(display("u_plain"), "u_name");
    assert_eq!(display("u_bare"), "sys_created_on");
    assert_eq!(display("u_home_visit"), "number", "the nearest ancestor's display column");
    assert_eq!(display("sys_user"), "name");
}

#[test]
fn a_table_and_a_column_that_are_added_one_by_one_can_be_used_at_once() {
    let house = House::new();
    let table = [("name", "u_asset"), ("label", "Asset"), ("is_extendable", "1")];
    write(&house, "insert", "sys_db_object", &table).unwrap();
    let column = [("name", "u_asset"), ("element", "u_serial"), ("internal_type", "string")];
    write(&house, "insert", "sys_dictionary", &column).unwrap();
    let parent = house.rows("sys_db_object", &[("name", "u_asset")])[0].text("sys_id").to_owned();
    let child = [("name", "u_laptop"), ("super_class", parent.as_str())];
    write(&house, "insert", "sys_db_object", &child).unwrap();
    let column = [("name", "u_laptop"), ("element", "u_screen"), ("internal_type", "integer")];
    write(&house, "insert", "sys_dictionary", &column).unwrap();

    house.add("u_laptop", &[("u_serial", "S1"), ("u_screen", "14")]);
    let row = &house.rows("u_asset", &[("u_serial", "s1")])[0];
    assert_eq!(row.class_name(), "u_laptop");
}

#[test]
fn a_definition_that_cannot_be_is_refused_and_leaves_nothing() {
    let house = House::new();
    house.define(HIERARCHY);
    let before = house.rows("sys_dictionary", &[]).len();
    let column = |table, element, kind| {
        let values = [("name", table), ("element", element), ("internal_type", kind)];
        refusal(write(&house, "insert", "sys_dictionary", &values))
    };
    let long = "x".repeat(81);
    for bad in ["Upper", "with space", "1st", "a__b", "end_", "ümlaut", "drop\";--", &long] {
        assert!(column("u_plain", bad, "string").contains("is no column name"), "{bad}");
    }
    assert!(column("u_nowhere", "u_a", "string").contains("does not exist"));
    assert!(column("u_plain", "u_name", "string").contains("already"));
    assert!(column("u_home_visit", "u_rank", "string").contains("inherits"));
    assert!(column("u_home_visit", "sys_id", "string").contains("by itself"));
    assert!(column("u_work", "u_street", "string").contains("u_home_visit"));
    assert!(column("u_plain", "u_ref", "reference").contains("without a target"));
    assert!(column("u_plain", "u_typeless", "").contains("has no type"));

    let table = |name, parent: &str| {
        let parent = house.rows("sys_db_object", &[("name", parent)]);
        let parent = parent.first().map_or("missing", |row| row.text("sys_id")).to_owned();
        let values = [("name", name), ("super_class", parent.as_str())];
        refusal(write(&house, "insert", "sys_db_object", &values))
    };
    assert!(table("Bad Name", "u_work").contains("is no table name"));
    assert!(table("campanile_meta", "u_work").contains("the database's own"));
    assert!(table("u_orphan", "u_nowhere").contains("there is no such table"));
    assert!(table("u_child", "u_plain").contains("not extendable"));
    assert_eq!(house.rows("sys_dictionary", &[]).len(), before);
    assert!(house.rows("sys_db_object", &[("name", "u_child")]).is_empty());
}

#[test]
fn what_holds_rows_is_not_renamed_retyped_or_taken_from_its_children() {
    let house = House::new();
    house.define(HIERARCHY);
    let rename =
        write(&house, "update", "sys_db_object", &[("name", "u_plain"), ("label", "Simple")]);
    assert!(rename.is_ok(), "a label may change");
    let key = house.rows("sys_db_object", &[("name", "u_work")])[0].text("sys_id").to_owned();
    let renamed =
        write(&house, "update", "sys_db_object", &[("sys_id", &key), ("name", "u_other")]);
    assert!(refusal(renamed).contains("cannot be renamed"));
    let deleted = write(&house, "delete", "sys_db_object", &[("sys_id", &key)]);
    assert!(refusal(deleted).contains("extends it"));
    let column = house.rows("sys_dictionary", &[("name", "u_work"), ("element", "u_rank")])[0]
        .text("sys_id")
        .to_owned();
    let retyped = write(
        &house,
        "update",
        "sys_dictionary",
        &[("sys_id", &column), ("internal_type", "string")],
    );
    assert!(refusal(retyped).contains("cannot change its type"));
    let longer =
        write(&house, "update", "sys_dictionary", &[("sys_id", &column), ("max_length", "10")]);
    assert!(longer.is_ok(), "a length may change");
}

#[test]
fn br_57_choices_of_the_class_replace_those_of_its_ancestors() {
    let house = House::new();
    house.define(HIERARCHY);
    house.add(
        "sys_choice",
        &[("name", "u_repair"), ("element", "u_state"), ("value", "1"), ("label", "New")],
    );
    let dictionary = house.engine.dictionary().unwrap();
    let label = |class: &str, value: &str| {
        let field = dictionary.table(class).unwrap().field("u_state").unwrap();
        campanile_engine::records::choices::label(&dictionary, class, field, value)
    };
    assert_eq!(label("u_repair", "1"), "New");
    assert_eq!(label("u_visit", "1"), "Open");
    assert_eq!(label("u_repair", "3"), "3", "the ancestor's list is replaced as a whole");
    assert_eq!(label("u_visit", "99"), "99");
}

#[test]
fn a_new_choice_leaves_the_tables_as_they_are() {
    let house = House::new();
    house.define(HIERARCHY);
    let before = house.engine.dictionary().unwrap();
    house.add(
        "sys_choice",
        &[("name", "u_work"), ("element", "u_state"), ("value", "2"), ("label", "Half")],
    );
    let after = house.engine.dictionary().unwrap();
    assert!(after.choice_label("u_work", "u_state", "2").is_some());
    assert!(before.choice_label("u_work", "u_state", "2").is_none(), "a snapshot does not change");
    assert!(Arc::ptr_eq(before.table("u_work").unwrap(), after.table("u_work").unwrap()));
}

#[test]
fn a_class_that_comes_later_does_not_move_a_column_that_has_values() {
    let house = House::new();
    house.define(HIERARCHY);
    house.add("u_visit", &[("number", "V1"), ("u_cost", "a lot")]);
    // Both are looked at again, the older one too, with a clock that stands still.
    house.define("[{name: u_audit, extends: u_work, fields: [{name: u_cost, type: boolean}]}]");
    house.add("u_audit", &[("number", "A1"), ("u_cost", "1")]);
    let mut tx = Arc::clone(house.engine.store()).write().unwrap();
    let every = ["u_audit", "u_home_visit", "u_repair", "u_visit", "u_work"];
    campanile_engine::records::dictionary::after_many(&mut *tx, every).unwrap();
    tx.commit().unwrap();
    house.engine.tables_changed(["sys_dictionary"]);
    assert_eq!(house.rows("u_visit", &[])[0].text("u_cost"), "a lot");
    assert_eq!(house.rows("u_audit", &[])[0].text("u_cost"), "1");
    let dictionary = house.engine.dictionary().unwrap();
    let column =
        |table: &str| dictionary.table(table).unwrap().field("u_cost").unwrap().column.to_string();
    let columns = std::collections::HashSet::from(["u_audit", "u_repair", "u_visit"].map(column));
    assert_eq!(columns.len(), 3);
}
