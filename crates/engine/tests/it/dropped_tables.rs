//! A table or column that is deleted takes with it what it held and what spoke of it.

use campanile_engine::records::service;
use campanile_engine::{Channel, EngineError};

use crate::fixture::Fixture;

const NUMBERED: [(&str, &str); 3] =
    [("category", "u_thing"), ("prefix", "T"), ("maximum_digits", "3")];

fn make(fixture: &Fixture, name: &str, parent: &str, columns: &[(&str, &str)]) {
    let parent_key = match parent {
        "" => String::new(),
        parent => key(fixture, "sys_db_object", &[("name", parent)]),
    };
    let values = [("name", name), ("super_class", parent_key.as_str()), ("is_extendable", "true")];
    fixture.insert("admin", "sys_db_object", &values).unwrap();
    for (element, of_type) in columns {
        add_column(fixture, name, element, of_type);
    }
}

fn add_column(fixture: &Fixture, table: &str, element: &str, of_type: &str) {
    let values = [("name", table), ("element", element), ("internal_type", of_type)];
    fixture.insert("admin", "sys_dictionary", &values).unwrap();
}

fn key(fixture: &Fixture, table: &str, values: &[(&str, &str)]) -> String {
    fixture.house.rows(table, values).remove(0).text("sys_id").to_owned()
}

fn delete(fixture: &Fixture, table: &str, key: &str) -> Result<(), EngineError> {
    let (table, key) = (table.to_owned(), key.to_owned());
    fixture.run(Fixture::session("admin", Channel::Http), move |execution| {
        service::delete(execution, &table, &key).map(|_mark| ())
    })
}

fn drop_table(fixture: &Fixture, name: &str) -> Result<(), EngineError> {
    delete(fixture, "sys_db_object", &key(fixture, "sys_db_object", &[("name", name)]))
}

fn detail(result: Result<(), EngineError>) -> String {
    match result {
        Err(EngineError::Integrity { code: "definition_invalid", detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_with_rows_is_not_deleted() {
    let fixture = Fixture::new();
    make(&fixture, "u_thing", "", &[("u_size", "integer")]);
    let row = fixture.insert("admin", "u_thing", &[("u_size", "4")]).unwrap().record;
    let told = detail(drop_table(&fixture, "u_thing"));
    assert!(told.contains("'u_thing' has one row") && told.contains("delete it first"), "{told}");
    assert_eq!(fixture.row("u_thing", row.text("sys_id")).unwrap().text("u_size"), "4");
    fixture.insert("admin", "u_thing", &[]).unwrap();
    assert!(detail(drop_table(&fixture, "u_thing")).contains("has 2 rows"));
}

#[test]
fn a_table_that_another_refers_to_is_not_deleted() {
    let fixture = Fixture::new();
    make(&fixture, "u_thing", "", &[]);
    let values = [
        ("name", "u_plain"),
        ("element", "u_thing"),
        ("internal_type", "reference"),
        ("reference", "u_thing"),
    ];
    let column = fixture.insert("admin", "sys_dictionary", &values).unwrap().record;
    let told = detail(drop_table(&fixture, "u_thing"));
    assert!(told.contains("'u_plain.u_thing' refers to it"), "{told}");
    delete(&fixture, "sys_dictionary", column.text("sys_id")).unwrap();
    drop_table(&fixture, "u_thing").unwrap();
}

#[test]
fn a_deleted_table_leaves_no_definition_behind_and_comes_back_empty_and_in_another_form() {
    let fixture = Fixture::new();
    let house = &fixture.house;
    make(&fixture, "u_thing", "", &[("u_size", "integer"), ("u_name", "string")]);
    let choice = [("name", "u_thing"), ("element", "u_size"), ("value", "1"), ("label", "One")];
    fixture.insert("admin", "sys_choice", &choice).unwrap();
    fixture.insert("admin", "sys_number", &NUMBERED).unwrap();
    let row = fixture.insert("admin", "u_thing", &[("u_size", "4")]).unwrap().record;
    delete(&fixture, "u_thing", row.text("sys_id")).unwrap();
    drop_table(&fixture, "u_thing").unwrap();
    for (table, column) in
        [("sys_dictionary", "name"), ("sys_choice", "name"), ("sys_number", "category")]
    {
        assert!(house.rows(table, &[(column, "u_thing")]).is_empty(), "{table}");
    }
    let gone = fixture.insert("admin", "u_thing", &[]).unwrap_err();
    assert!(matches!(gone, EngineError::TableUnknown(_)), "{gone:?}");

    make(&fixture, "u_thing", "", &[("u_size", "string")]);
    assert!(house.rows("u_thing", &[]).is_empty());
    let row = fixture.insert("admin", "u_thing", &[("u_size", "large")]).unwrap().record;
    assert_eq!(fixture.row("u_thing", row.text("sys_id")).unwrap().text("u_size"), "large");
    let dictionary = house.engine.dictionary().unwrap();
    assert!(dictionary.table("u_thing").unwrap().index("u_name").is_none());
}

#[test]
fn a_deleted_class_leaves_its_family_as_it_was() {
    let fixture = Fixture::new();
    make(&fixture, "u_task", "task", &[("u_size", "integer"), ("u_common", "string")]);
    make(&fixture, "u_other", "task", &[("u_common", "string")]);
    let other = fixture.insert("admin", "u_other", &[("u_common", "stays")]).unwrap().record;
    drop_table(&fixture, "u_task").unwrap();
    let key = other.text("sys_id");
    assert_eq!(fixture.row("u_other", key).unwrap().text("u_common"), "stays");
    assert_eq!(fixture.row("task", key).unwrap().class_name(), "u_other");
    assert_eq!(fixture.a("short_description"), "Email down");
    let count = "var t = new GlideRecord('task'); t.query(); t.getRowCount()";
    assert_eq!(fixture.script_as("admin", count).text, "4");

    make(&fixture, "u_task", "task", &[("u_size", "string")]);
    let row = fixture.insert("admin", "u_task", &[("u_size", "large")]).unwrap().record;
    assert_eq!(fixture.row("u_task", row.text("sys_id")).unwrap().text("u_size"), "large");
    let fixture = Fixture { house: fixture.house.restart() };
    assert_eq!(fixture.row("u_task", row.text("sys_id")).unwrap().text("u_size"), "large");
}

#[test]
fn a_deleted_column_takes_its_values_with_it() {
    let fixture = Fixture::new();
    make(&fixture, "u_thing", "", &[("u_size", "integer"), ("u_code", "string")]);
    make(&fixture, "u_big_thing", "u_thing", &[]);
    let row = fixture.insert("admin", "u_big_thing", &[("u_size", "4")]).unwrap().record;
    let choice = [("name", "u_big_thing"), ("element", "u_size"), ("value", "4"), ("label", "F")];
    fixture.insert("admin", "sys_choice", &choice).unwrap();
    let column = key(&fixture, "sys_dictionary", &[("name", "u_thing"), ("element", "u_size")]);
    fixture.update("admin", "sys_dictionary", &column, &[("unique", "true")]).unwrap();
    delete(&fixture, "sys_dictionary", &column).unwrap();
    assert!(fixture.house.rows("sys_choice", &[("name", "u_big_thing")]).is_empty());
    add_column(&fixture, "u_thing", "u_size", "string");
    let row = fixture.row("u_big_thing", row.text("sys_id")).unwrap();
    assert_eq!(row.text("u_size"), "", "the value does not come back");
    fixture.update("admin", "u_big_thing", row.text("sys_id"), &[("u_size", "large")]).unwrap();
}

#[test]
fn a_refused_deletion_leaves_the_definitions_alone() {
    let fixture = Fixture::new();
    fixture.rule(
        "keep",
        &[("collection", "sys_db_object"), ("action_delete", "true"), ("abort_action", "true")],
    );
    make(&fixture, "u_thing", "", &[("u_size", "integer")]);
    let refused = drop_table(&fixture, "u_thing").unwrap_err();
    assert!(matches!(refused, EngineError::Aborted { .. }), "{refused:?}");
    let row = fixture.insert("admin", "u_thing", &[("u_size", "4")]).unwrap().record;
    assert_eq!(fixture.row("u_thing", row.text("sys_id")).unwrap().text("u_size"), "4");
}
