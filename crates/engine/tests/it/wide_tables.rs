//! Tables of many columns: up to the limit everything works, beyond it the definition is refused by name.

use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};
use campanile_engine::packs::source::PackSource;
use campanile_engine::records::service;
use campanile_engine::{Channel, EngineError};
use campanile_model::limits::TABLE_COLUMNS_MAX;

use crate::fixture::Fixture;

/// Columns that a table with classes has by itself.
const OWN: usize = 9;

/// The fields `u_c0` to `u_c<count>` in the form of packs.
fn fields(prefix: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|at| format!("{{name: u_{prefix}{at}}}")).collect();
    names.join(", ")
}

fn column<'a>(table: &'a str, element: &'a str, kind: &'a str) -> [(&'static str, &'a str); 3] {
    [("name", table), ("element", element), ("internal_type", kind)]
}

/// What is told about a column that is one too many.
fn refused(fixture: &Fixture, table: &str) -> String {
    let rows = fixture.house.rows("sys_dictionary", &[("name", table)]).len();
    let told =
        match fixture.insert("admin", "sys_dictionary", &column(table, "u_one_more", "string")) {
            Err(EngineError::Integrity { code: "too_many_columns", detail, .. }) => detail,
            other => panic!("{table}: {other:?}"),
        };
    assert_eq!(fixture.house.rows("sys_dictionary", &[("name", table)]).len(), rows);
    told
}

#[test]
fn a_table_as_wide_as_may_be_works_and_one_more_column_is_refused_by_name() {
    let fixture = Fixture::new();
    let parent = fields("a", 500);
    let child = fields("b", TABLE_COLUMNS_MAX - 500 - OWN - 1);
    fixture.house.define(&format!(
        "[{{name: u_wide, extendable: true, fields: [{parent}]}}, {{name: u_wide_class, extends: u_wide, fields: [{child}]}}, \
         {{name: u_wide_other, extends: u_wide}}]"
    ));
    fixture.insert("admin", "sys_dictionary", &column("u_wide_class", "u_last", "string")).unwrap();

    let told = refused(&fixture, "u_wide_other");
    let words = ["'u_wide'", "'u_wide_other' is one", "1001 columns", "the limit is 1000"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    // A journal has no column of its own, and a name that another class uses is one column with it.
    fixture
        .insert("admin", "sys_dictionary", &column("u_wide", "u_notes", "journal_input"))
        .unwrap();
    fixture.insert("admin", "sys_dictionary", &column("u_wide_other", "u_last", "string")).unwrap();
    let dictionary = fixture.house.engine.dictionary().unwrap();
    let class = dictionary.table("u_wide_class").unwrap();
    assert!(class.field("u_last").is_some() && class.field("u_notes").is_some());

    let values = [("u_a0", "first"), ("u_last", "last")];
    let row = fixture.insert("admin", "u_wide_class", &values).unwrap().record;
    let changes: Vec<(&str, &str)> = class
        .fields
        .iter()
        .filter(|f| f.name.starts_with("u_") && &*f.name != "u_notes")
        .map(|f| (&*f.name, "x"))
        .collect();
    fixture.update("admin", "u_wide_class", row.text("sys_id"), &changes).unwrap();
    let stored = fixture.row("u_wide", row.text("sys_id")).unwrap();
    assert_eq!((stored.text("u_a0"), stored.text("u_a499")), ("x", "x"));
    // Its definitions can still be changed, and a column that goes makes room.
    let last = fixture.house.rows("sys_dictionary", &[("name", "u_wide"), ("element", "u_a0")]);
    let key = last[0].text("sys_id").to_owned();
    fixture.update("admin", "sys_dictionary", &key, &[("column_label", "First")]).unwrap();
    let admin = Fixture::session("admin", Channel::Http);
    fixture.run(admin, |execution| service::delete(execution, "sys_dictionary", &key)).unwrap();
    fixture.insert("admin", "sys_dictionary", &column("u_wide", "u_new", "string")).unwrap();
    assert!(refused(&fixture, "u_wide").contains("'u_wide'"));
}

#[test]
fn a_pack_with_a_table_that_is_too_wide_is_refused_with_the_place() {
    let fixture = Fixture::new();
    let apply = |name: &str, tables: &str| {
        let text =
            format!("campanile: pack/v1\nname: {name}\nversion: 1.0.0\ntables: [{tables}]\n");
        let source = PackSource { name_or_path: format!("{name}.yaml"), text };
        apply_blocking(&fixture.house.engine, &source, ApplyOptions::default())
    };
    let narrow = "{name: u_narrow}, ";
    let told = apply("wide", &format!("{narrow}{{name: u_wide, fields: [{}]}}", fields("c", 1001)));
    let told = told.unwrap_err().to_string();
    assert_eq!(
        told,
        "wide.yaml: tables[1].fields: 1001 columns, the limit is 1000: keep some in a table of their own"
    );
    assert!(fixture.house.rows("sys_db_object", &[("name", "u_narrow")]).is_empty());
    // Two packs that are too much together.
    apply("one", &format!("{narrow}{{name: u_wide, fields: [{}]}}", fields("c", 600))).unwrap();
    let told = apply("two", &format!("{narrow}{{name: u_wide, fields: [{}]}}", fields("d", 400)));
    let told = told.unwrap_err().to_string();
    let words =
        ["two.yaml: tables[1]: table 'u_wide' would have 1006 columns", "the limit is 1000"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    let dictionary = fixture.house.engine.dictionary().unwrap();
    assert!(dictionary.table("u_wide").unwrap().field("u_d0").is_none());
}
