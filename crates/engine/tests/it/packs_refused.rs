//! Packs that are refused: what is told, and that nothing is left of them.

use campanile_engine::packs::apply::{self, ApplyOptions};
use campanile_engine::records::users;
use campanile_engine::{EngineError, Session};

use crate::house::House;
use crate::packs_bed::{SHOP, applied, pack, refusal};

#[test]
fn a_broken_pack_leaves_nothing() {
    let house = House::new();
    let before = house.rows("sys_dictionary", &[]).len();
    let last = "records:\n  - {table: u_order, values: {number: X, u_size: many}}\n";
    let told = refusal(&house, &SHOP.replace("records:\n", last));
    assert_eq!(told, "mine.yaml: records[0].values.u_size: 'many' is no number");
    let broken = SHOP.replace("script: gs.info('late')", "script: \"gs.info(\"");
    let told = refusal(&house, &broken);
    assert!(
        told.starts_with("mine.yaml: script_actions[0]: ") && told.contains("does not parse"),
        "{told}"
    );
    assert_eq!(house.rows("sys_dictionary", &[]).len(), before);
    assert!(house.engine.dictionary().unwrap().table("u_order").is_none());
    assert_eq!(house.rows("sys_package", &[("source", "mine")]).len(), 0);
    assert!(applied(&house, SHOP).changes.len() > 30, "and the mended one applies");
}

#[test]
fn what_a_pack_names_and_nobody_knows_is_told_with_its_path() {
    let house = House::new();
    for (text, told) in [
        (
            "business_rules: [{name: a, tabel: task}]",
            "mine.yaml: business_rules[0].tabel: unknown key; did you mean 'table'?",
        ),
        (
            "business_rules: [{name: a, table: sys_usr}]",
            "mine.yaml: business_rules[0].table: there is no table 'sys_usr'; did you mean 'sys_user'?",
        ),
        ("business_rules: [{table: sys_user}]", "mine.yaml: business_rules[0].name: is missing"),
        (
            "business_rules: [{name: a, table: sys_user, role_conditions: itl}]",
            "mine.yaml: business_rules[0].role_conditions: nothing in sys_user_role is called 'itl'",
        ),
        (
            "users: [{user_name: eve, manager: nobody.here}]",
            "mine.yaml: users[0].manager: nothing in sys_user is called 'nobody.here'",
        ),
        (
            "users: [{user_name: eve, groups: [Shopp]}]\ngroups: [{name: Shop}]",
            "mine.yaml: users[0].groups[0]: nothing in sys_user_group is called 'Shopp'; did you mean 'Shop'?",
        ),
        (
            "users: [{user_name: eve, roles: [itil, no_role]}]",
            "mine.yaml: users[0].roles[1]: nothing in sys_user_role",
        ),
        (
            "users: [{user_name: eve, vip: maybe}]",
            "mine.yaml: users[0].vip: expected true or false, got 'maybe'",
        ),
        (
            "script_actions: [{name: a, event_name: no.such}]",
            "mine.yaml: script_actions[0].event_name: 'no.such' is not known: add it to 'events'",
        ),
        (
            "events: [{event_name: a.b, queue: nowhere}]",
            "mine.yaml: events[0].queue: 'nowhere' is not known: add it to 'queues'",
        ),
        (
            "events: [{event_name: a.b}, {event_name: a.b}]",
            "mine.yaml: events[1]: 'a.b' stands in the pack twice: see events[0]",
        ),
        (
            "requires: [itsm]",
            "mine.yaml: requires[0]: pack 'itsm' is not installed: apply it first",
        ),
        (
            "tables: [{name: u_a, extends: u_b}]",
            "mine.yaml: tables[0].extends: there is no table 'u_b'",
        ),
        (
            "tables: [{name: u_a, fields: [{name: u_x, type: strng}]}]",
            "mine.yaml: tables[0].fields[0].type: 'strng' is no column type; did you mean 'string'?",
        ),
        (
            "tables: [{name: u_a, fields: [{name: u_x, type: reference, reference: sys_usr}]}]",
            "mine.yaml: tables[0].fields[0].reference: there is no table 'sys_usr'",
        ),
        (
            "tables: [{name: u_a, fields: [{name: u_x}, {name: U-y}]}]",
            "mine.yaml: tables[0].fields[1]: ",
        ),
        (
            "choices: [{table: sys_user, element: vipp, values: [a]}]",
            "mine.yaml: choices[0].element: table 'sys_user' has no column 'vipp'; did you mean 'vip'?",
        ),
        (
            "overrides: [{table: sys_user, base_table: sys_user, element: vip, default: 1}]",
            "mine.yaml: overrides[0]: ",
        ),
        (
            "records: [{table: u_none, values: {}}]",
            "mine.yaml: records[0].table: there is no table 'u_none'",
        ),
        (
            "records: [{table: sys_user, values: {nam: x}}]",
            "mine.yaml: records[0].values.nam: table 'sys_user' has no such column: unknown key; did you mean 'name'?",
        ),
        (
            "records: [{table: sys_user, values: {name: x, manager: nope}}]",
            "mine.yaml: records[0].values.manager: nothing in sys_user is called 'nope'",
        ),
        (
            "records: [{table: sysevent, values: {name: x}}]",
            "mine.yaml: records[0].table: rows of sysevent come by what happens",
        ),
        (
            "records: [{table: core_company, as: a, values: {name: x}}, {table: sys_user, values: {name: y, manager: a}}]",
            "mine.yaml: records[1].values.manager: 'a' is a row of core_company, expected one of sys_user",
        ),
        (
            "numbers: [{table: u_none, prefix: X}]",
            "mine.yaml: numbers[0].table: there is no table 'u_none'",
        ),
        (
            "queues: [{queue: q, poll_interval: soon}]",
            "mine.yaml: queues[0].poll_interval: 'soon' is no duration",
        ),
        (
            "queues: [{queue: q, processing_order: sequential, job_config_value: 2}]",
            "mine.yaml: queues[0]: 'job_config_value' is 2: a sequential queue has exactly one processor",
        ),
    ] {
        let error = refusal(&house, text);
        assert!(error.starts_with(told), "{text}\n  said {error}\n  not  {told}");
    }
    assert_eq!(house.rows("sys_package", &[("source", "mine")]).len(), 0);
}

#[test]
fn a_column_that_tables_have_by_themselves_is_refused_with_the_fix() {
    let house = House::new();
    for (table, column) in
        [("u_a", "sys_id"), ("u_a", "sys_class_name"), ("sys_user", "sys_domain")]
    {
        let told = refusal(
            &house,
            &format!("tables: [{{name: {table}, fields: [{{name: u_x}}, {{name: {column}}}]}}]"),
        );
        assert_eq!(
            told,
            format!(
                "mine.yaml: tables[0].fields[1].name: table '{table}' has the column '{column}' by itself: \
                 leave it out of 'fields', or name yours 'u_{column}'"
            )
        );
    }
}

#[test]
fn a_pack_beyond_the_limits_is_refused_with_file_line_and_limit() {
    let house = House::new();
    let told = refusal(&house, &format!("events:\n  - {}", "{a: [".repeat(100_000)));
    assert_eq!(told, "mine.yaml: line 5: lists and maps nest deeper than 128 levels");
    let bomb = format!("roles: &a [{}]\ngroups: [{}]", "x, ".repeat(2_000), "*a, ".repeat(2_000));
    let told = refusal(&house, &bomb);
    assert!(told.contains("stands for more than 500000 keys and values"), "{told}");
}

#[test]
fn only_administrators_apply_packs() {
    let house = House::new();
    applied(&house, "users: [{user_name: eve, roles: [itil, events_admin, business_rule_admin]}]");
    let engine = std::sync::Arc::clone(&house.engine);
    let told = std::thread::Builder::new()
        .spawn(move || {
            let worker =
                campanile_engine::worker::Worker::new(std::sync::Arc::clone(&engine)).unwrap();
            let session = |name: &str| {
                let user = users::session_user(&engine, name).unwrap().unwrap();
                Session { user, ..Session::system() }
            };
            let text = "groups: [{name: Shop}]";
            let refused =
                apply::apply(&worker, &session("eve"), &pack(text), ApplyOptions::default());
            let done =
                apply::apply(&worker, &session("admin"), &pack(text), ApplyOptions::default())
                    .unwrap();
            (refused.unwrap_err(), done.changes.len())
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(matches!(told.0, EngineError::NotAllowed { .. }), "{:?}", told.0);
    assert_eq!(told.1, 1);
    let group = house.rows("sys_user_group", &[("name", "Shop")]).remove(0);
    assert_eq!(group.text("sys_created_by"), "admin");
}
