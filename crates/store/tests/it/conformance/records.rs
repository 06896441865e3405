//! Rows: written, read, changed, refused.

use campanile_model::Value;
use campanile_store::{Select, StoreError};

use super::engine::{Bench, Engine, key};

pub(crate) fn a_row_reads_back_as_it_was_written(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let row = bench.row(
        "incident",
        &[
            ("sys_id", &key(1)),
            ("number", "INC0000001"),
            ("active", "1"),
            ("priority", "-3"),
            ("cost", "12.50"),
            ("opened_at", "2026-03-01 08:00:00"),
            ("approval_date", "2026-03-01"),
            ("assigned_to", &key(7)),
            ("description", "two\nlines"),
        ],
    );
    bench.insert(std::slice::from_ref(&row));
    assert_eq!(bench.get("incident", &key(1)).unwrap().values(), row.values());

    let thing = bench.row(
        "thing",
        &[
            ("sys_id", &key(2)),
            ("at", "2026-03-01 08:00:00"),
            ("ratio", "0.3333333"),
            ("big", "9007199254740993"),
        ],
    );
    bench.insert(std::slice::from_ref(&thing));
    assert_eq!(bench.get("thing", &key(2)).unwrap().text("ratio"), "0.3333333");
    assert_eq!(bench.get("thing", &key(2)).unwrap().text("big"), "9007199254740993");
    assert_eq!(bench.get("thing", &key(2)).unwrap().text("at"), "2026-03-01 08:00:00");
}

pub(crate) fn a_row_of_a_class_is_a_row_of_its_ancestors(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[
        bench.row("incident", &[("sys_id", &key(1)), ("number", "INC1"), ("category", "network")]),
        bench.row("problem", &[("sys_id", &key(2)), ("number", "PRB1")]),
    ]);
    let as_task = bench.get("task", &key(1)).unwrap();
    assert_eq!(as_task.text("number"), "INC1");
    assert_eq!(as_task.class_name(), "incident");
    assert_eq!(as_task.table().name.as_ref(), "task");
    assert!(bench.get("problem", &key(1)).is_none(), "an incident is no problem");
    assert_eq!(bench.found("task", "ORDERBYnumber", "number"), ["INC1", "PRB1"]);
    assert_eq!(bench.found("incident", "", "number"), ["INC1"]);
    assert_eq!(bench.count("problem", ""), 1);
    bench.in_tx(|tx| {
        assert!(!tx.delete(bench.table("problem"), &key(1))?, "deleted an incident as a problem");
        assert!(tx.delete(bench.table("task"), &key(1))?);
        Ok(())
    });
    assert!(bench.get("incident", &key(1)).is_none());
}

pub(crate) fn keys_are_kept_as_spelled_and_found_ignoring_case(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let spelled = "AbCdEfAbCdEfAbCdEfAbCdEfAbCdEfKs";
    bench.insert(&[bench.row("thing", &[("sys_id", spelled), ("label", "x")])]);
    for key in [spelled, &spelled.to_lowercase(), &spelled.to_uppercase()] {
        assert_eq!(bench.get("thing", key).unwrap().text("sys_id"), spelled);
        assert_eq!(bench.count("thing", &format!("sys_id={key}")), 1);
    }
    let mut tx = bench.write();
    let again = bench.row("thing", &[("sys_id", &spelled.to_lowercase())]);
    assert!(matches!(tx.insert(&again), Err(StoreError::Duplicate { .. })));
    let mut renamed = bench.row("thing", &[("sys_id", &spelled.to_uppercase()), ("label", "y")]);
    let label = renamed.table().index("label").unwrap();
    assert!(tx.update(&renamed, &[label]).unwrap());
    renamed.set("sys_id", "");
    tx.commit().unwrap();
    assert_eq!(bench.get("thing", spelled).unwrap().text("label"), "y");
}

pub(crate) fn an_update_writes_the_named_fields_and_no_other(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "old"), ("code", "c1")])]);
    let changed = bench.row("thing", &[("sys_id", &key(1)), ("label", "new"), ("code", "c2")]);
    let label = changed.table().index("label").unwrap();
    bench.in_tx(|tx| tx.update(&changed, &[label]).map(|found| assert!(found)));
    let row = bench.get("thing", &key(1)).unwrap();
    assert_eq!((row.text("label"), row.text("code")), ("new", "c1"));
    let emptied = bench.row("thing", &[("sys_id", &key(1))]);
    bench.in_tx(|tx| tx.update(&emptied, &[label]).map(|found| assert!(found)));
    assert!(bench.get("thing", &key(1)).unwrap().get("label").is_nil());
}

pub(crate) fn updating_or_deleting_what_is_not_there_says_so(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let row = bench.row("thing", &[("sys_id", &key(1)), ("label", "x")]);
    let label = row.table().index("label").unwrap();
    let mut tx = bench.write();
    assert!(!tx.update(&row, &[label]).unwrap());
    assert!(!tx.update(&row, &[]).unwrap());
    assert!(!tx.delete(bench.table("thing"), &key(1)).unwrap());
    tx.insert(&row).unwrap();
    assert!(tx.update(&row, &[]).unwrap());
}

pub(crate) fn a_taken_key_is_refused_and_named(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("problem", &[("sys_id", &key(1))])]);
    let mut tx = bench.write();
    let error = tx.insert(&bench.row("incident", &[("sys_id", &key(1))])).unwrap_err();
    let expected = StoreError::Duplicate {
        table: "incident".to_owned(),
        field: "sys_id".to_owned(),
        value: key(1),
    };
    assert_eq!(error, expected);
    tx.insert(&bench.row("incident", &[("sys_id", &key(2))])).unwrap();
    tx.commit().unwrap();
    assert_eq!(bench.count("task", ""), 2);
}

pub(crate) fn a_taken_unique_value_is_refused_and_named(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[
        bench.row("thing", &[("sys_id", &key(1)), ("code", "a.b")]),
        bench.row("thing", &[("sys_id", &key(2)), ("code", "other")]),
    ]);
    let expected = StoreError::Duplicate {
        table: "thing".to_owned(),
        field: "code".to_owned(),
        value: "a.b".to_owned(),
    };
    let mut tx = bench.write();
    let same = bench.row("thing", &[("sys_id", &key(3)), ("code", "a.b")]);
    assert_eq!(tx.insert(&same).unwrap_err(), expected);
    let moved = bench.row("thing", &[("sys_id", &key(2)), ("code", "a.b")]);
    let code = moved.table().index("code").unwrap();
    assert_eq!(tx.update(&moved, &[code]).unwrap_err(), expected);
    tx.commit().unwrap();
    assert_eq!(bench.get("thing", &key(2)).unwrap().text("code"), "other");
}

pub(crate) fn nil_and_other_case_are_not_taken(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let codes = ["", "", "code", "CODE"];
    for (number, code) in codes.iter().enumerate() {
        bench.insert(&[bench.row("thing", &[("sys_id", &key(number)), ("code", code)])]);
    }
    assert_eq!(bench.count("thing", ""), 4);
}

pub(crate) fn text_of_any_kind_survives(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let texts = ["'; DROP TABLE task; --", "%_\\", "a\u{0}b", "𝕏 ẞ ſ \u{212A}", "\"quoted\"", " "];
    for (number, text) in texts.iter().enumerate() {
        bench.insert(&[bench.row("thing", &[("sys_id", &key(number)), ("label", text)])]);
        assert_eq!(bench.get("thing", &key(number)).unwrap().text("label"), *text);
        assert_eq!(bench.found("thing", &format!("label={text}"), "sys_id"), [key(number)]);
        let contains = format!("sys_id={}^labelLIKE{text}", key(number));
        assert_eq!(bench.count("thing", &contains), 1, "{text:?}");
    }
}

pub(crate) fn a_value_that_does_not_fit_its_column_is_refused(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let cases = [("priority", "high"), ("active", "maybe"), ("cost", "dear"), ("priority", "1.5")];
    let mut tx = bench.write();
    for (field, value) in cases {
        let row = bench.row("incident", &[("sys_id", &key(1)), (field, value)]);
        let error = tx.insert(&row).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains(value), "{error}");
    }
    tx.commit().unwrap();
    assert_eq!(bench.count("task", ""), 0);
}

pub(crate) fn fields_that_were_not_asked_for_are_nil(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "x"), ("code", "c")])]);
    let mut select = Select::new(bench.query("thing", "code=C"));
    select.fields = Some(vec![bench.table("thing").index("label").unwrap()]);
    let row = bench.select(&select).remove(0);
    assert_eq!(row.text("label"), "x");
    assert_eq!((row.get("code"), row.get("sys_id")), (&Value::Nil, &Value::Nil));
    select.fields = Some(Vec::new());
    assert_eq!(bench.select(&select).len(), 1, "a row without fields is still a row");
}
