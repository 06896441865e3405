//! Packs: everything or nothing, once and again.

use campanile_engine::packs::apply::{self, ApplyOptions, apply_blocking};
use campanile_engine::packs::report::PackReport;
use campanile_engine::packs::source::{self, PackSource};
use campanile_engine::records::users;
use campanile_engine::{EngineError, Session};

use crate::house::House;

fn source(text: &str) -> PackSource {
    PackSource { name_or_path: "mine.yaml".to_owned(), text: text.to_owned() }
}

fn pack(text: &str) -> PackSource {
    source(&format!("campanile: pack/v1\nname: mine\nversion: 1.0.0\n{text}"))
}

fn apply(house: &House, pack: &PackSource) -> Result<PackReport, EngineError> {
    apply_blocking(&house.engine, pack, ApplyOptions::default())
}

fn applied(house: &House, text: &str) -> PackReport {
    apply(house, &pack(text)).unwrap()
}

fn refusal(house: &House, text: &str) -> String {
    apply(house, &pack(text)).unwrap_err().to_string()
}

fn actions(report: &PackReport) -> Vec<String> {
    let line = |c: &campanile_engine::packs::report::Change| {
        format!("{} {} {} {}", c.action, c.table, c.key, c.fields.join(",")).trim_end().to_owned()
    };
    report.changes.iter().map(line).collect()
}

const SHOP: &str = "
events:
  - {event_name: order.late, table: u_order, queue: shop, priority: 50}
queues:
  - {queue: shop, poll_interval: PT1S}
script_actions:
  - {name: Tell the shop, event_name: order.late, active: true, script: gs.info('late'), run_as: eve}
  - {name: Not yet, event_name: order.late, script: gs.info('never')}
business_rules:
  - {name: Order rule, table: u_order, when: after, insert: true, script: \"gs.eventQueue('order.late', current)\",
     role_conditions: [shop_keeper]}
users:
  - {user_name: eve, name: Eve Adams, manager: bob, roles: [itil, shop_keeper], groups: [Shop]}
  - {user_name: bob, name: Bob}
groups:
  - {name: Shop, manager: eve, roles: [shop_keeper]}
roles:
  - {name: shop_keeper, contains: [itil]}
numbers:
  - {table: u_order, prefix: ORD, digits: 5, base: 100}
properties: {shop.url: \"https://shop.example.com\"}
tables:
  - {name: u_big_order, extends: u_order, fields: [{name: u_rebate, type: integer}]}
  - name: u_order
    extendable: true
    fields:
      - {name: number, display: true, default: \"javascript:getNextObjNumberPadded()\"}
      - {name: u_customer, type: reference, reference: sys_user}
      - {name: u_parent, type: reference, reference: u_order}
      - {name: u_size, type: integer, default: 1, choices: [{value: 1, label: Small}, {value: 2, label: Large}]}
      - {name: work_notes, type: journal_input}
choices:
  - {table: u_big_order, element: u_size, values: [{value: 9, label: Huge}]}
overrides:
  - {table: u_big_order, base_table: u_order, element: u_size, default: 9}
records:
  - {table: u_order, values: {number: ORD00001, u_customer: eve, u_parent: second}}
  - {table: u_big_order, as: second, values: {u_customer: Bob, work_notes: by phone}}
demo:
  - {table: u_order, values: {number: ORD00009, u_parent: ORD00001}}
";

#[test]
fn a_pack_brings_everything_whatever_the_order_of_its_parts() {
    let house = House::new();
    let report = applied(&house, SHOP);
    assert_eq!(report.warnings, Vec::<String>::new());
    let one = |table: &str, values: &[(&str, &str)]| {
        let mut rows = house.rows(table, values);
        assert_eq!(rows.len(), 1, "{table} {values:?}");
        rows.remove(0)
    };
    let eve = one("sys_user", &[("user_name", "eve")]);
    let bob = one("sys_user", &[("user_name", "bob")]);
    let shop = one("sys_user_group", &[("name", "Shop")]);
    assert_eq!(eve.text("manager"), bob.text("sys_id"));
    assert_eq!(shop.text("manager"), eve.text("sys_id"));
    one("sys_user_grmember", &[("user", eve.text("sys_id")), ("group", shop.text("sys_id"))]);
    let user = users::session_user(&house.engine, "eve").unwrap().unwrap();
    assert!(
        user.has_role("itil") && user.has_role("shop_keeper") && user.has_role("template_editor")
    );

    let action = one("sysevent_script_action", &[("name", "Tell the shop")]);
    assert_eq!((action.text("active"), action.text("run_as")), ("1", eve.text("sys_id")));
    assert_eq!(one("sysevent_script_action", &[("name", "Not yet")]).text("active"), "0");
    let rule = one("sys_script", &[("name", "Order rule")]);
    assert_eq!(
        (rule.text("collection"), rule.text("action_insert"), rule.text("advanced")),
        ("u_order", "1", "1")
    );
    assert_eq!(
        one("sysevent_queue", &[("queue", "shop")]).text("poll_interval"),
        "1970-01-01 00:00:01"
    );
    assert_eq!(house.engine.property("shop.url").as_deref(), Some("https://shop.example.com"));

    let dictionary = house.engine.dictionary().unwrap();
    let big = dictionary.table("u_big_order").unwrap();
    assert_eq!(&*big.field("u_size").unwrap().default_value, "9");
    assert_eq!(dictionary.choice_label("u_big_order", "u_size", "9").map(|l| &**l), Some("Huge"));
    assert_eq!(dictionary.choice_label("u_order", "u_size", "2").map(|l| &**l), Some("Large"));
    let second = one("u_big_order", &[]);
    assert_eq!(second.text("number"), "ORD00100", "a number of the pack's own sequence");
    assert_eq!((second.text("u_size"), second.text("u_customer")), ("9", bob.text("sys_id")));
    assert_eq!(one("u_order", &[("number", "ORD00001")]).text("u_parent"), second.text("sys_id"));
    one("sys_journal_field", &[("element_id", second.text("sys_id")), ("value", "by phone")]);
    assert_eq!(house.rows("u_order", &[]).len(), 2, "no demo data");
    assert_eq!(house.rows("sysevent", &[]).len(), 0, "data of a pack runs no rules");
}

#[test]
fn keys_of_rows_follow_from_pack_section_and_key() {
    let house = House::new();
    applied(&house, SHOP);
    // printf mine/queues/shop | sha256sum | cut -c1-32
    assert_eq!(
        house.rows("sysevent_queue", &[("queue", "shop")])[0].text("sys_id"),
        "2a81d695514c4d28b835953ba304c360"
    );
}

#[test]
fn a_second_apply_changes_nothing() {
    let house = House::new();
    assert!(applied(&house, SHOP).changes.len() > 30);
    let report = applied(&house, SHOP);
    assert_eq!(actions(&report), Vec::<String>::new());
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(report.to_string(), "mine 1.0.0: 0 changes");
}

#[test]
fn the_itsm_pack_applies_twice_with_its_demo_data() {
    let house = House::new();
    let itsm = source::find("itsm").unwrap();
    let options = ApplyOptions { demo: true, ..ApplyOptions::default() };
    let first = apply_blocking(&house.engine, &itsm, options).unwrap();
    assert_eq!(first.warnings, Vec::<String>::new());
    assert_eq!(house.rows("incident", &[]).len(), 4);
    let email = &house.rows("incident", &[("number", "INC0000001")])[0];
    assert_eq!(
        (email.text("priority"), email.text("state"), email.text("active")),
        ("1", "1", "1")
    );
    let second = apply_blocking(&house.engine, &itsm, options).unwrap();
    assert_eq!((actions(&second), second.warnings), (Vec::new(), Vec::new()));
}

#[test]
fn demo_data_comes_only_when_asked_for_and_once() {
    let house = House::new();
    applied(&house, SHOP);
    let demo = ApplyOptions { demo: true, ..ApplyOptions::default() };
    let report = apply_blocking(&house.engine, &pack(SHOP), demo).unwrap();
    assert_eq!(actions(&report), ["insert u_order ORD00009"]);
    let parent = house.rows("u_order", &[("number", "ORD00001")])[0].text("sys_id").to_owned();
    let made = house.rows("u_order", &[("number", "ORD00009")]).remove(0);
    assert_eq!(made.text("u_parent"), parent);
    assert_eq!(apply_blocking(&house.engine, &pack(SHOP), demo).unwrap().changes, []);
}

#[test]
fn data_rows_are_written_only_when_absent() {
    let house = House::new();
    applied(&house, SHOP);
    let row = house.rows("u_order", &[("number", "ORD00001")]).remove(0);
    house.change("u_order", row.text("sys_id"), &[("u_customer", "")]);
    assert_eq!(applied(&house, SHOP).changes, []);
    assert_eq!(house.rows("u_order", &[("number", "ORD00001")])[0].text("u_customer"), "");
}

#[test]
fn a_dry_run_tells_everything_and_keeps_nothing() {
    let house = House::new();
    let dry = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let told = apply_blocking(&house.engine, &pack(SHOP), dry).unwrap();
    assert!(house.engine.dictionary().unwrap().table("u_order").is_none());
    assert_eq!(house.rows("sys_user", &[("user_name", "eve")]).len(), 0);
    let done = applied(&house, SHOP);
    assert_eq!(actions(&told), actions(&done));
}

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
            "queues: [{queue: q, processing_order: sequential}]",
            "mine.yaml: queues[0]: sequential queues are not available",
        ),
    ] {
        let error = refusal(&house, text);
        assert!(error.starts_with(told), "{text}\n  said {error}\n  not  {told}");
    }
    assert_eq!(house.rows("sys_package", &[("source", "mine")]).len(), 0);
}

const ONE_ACTION: &str = "
events: [{event_name: a.b}]
script_actions: [{name: Act, event_name: a.b, active: true, order: 100, script: gs.info('one')}]
";

#[test]
fn a_newer_version_changes_what_nobody_has_edited() {
    let house = House::new();
    applied(&house, ONE_ACTION);
    let report =
        applied(&house, &ONE_ACTION.replace("one", "two").replace("order: 100", "order: 200"));
    assert_eq!(actions(&report), ["update sysevent_script_action Act order,script"]);
    let newer = format!("campanile: pack/v1\nname: mine\nversion: 2.0.0\n{ONE_ACTION}");
    let report = apply(&house, &source(&newer)).unwrap();
    assert_eq!(
        actions(&report),
        ["update sys_package mine version", "update sysevent_script_action Act order,script"]
    );
}

#[test]
fn what_a_person_has_edited_is_kept_and_told_unless_forced() {
    let house = House::new();
    applied(&house, ONE_ACTION);
    let key = house.rows("sysevent_script_action", &[("name", "Act")])[0].text("sys_id").to_owned();
    house.change("sysevent_script_action", &key, &[("script", "gs.info('mine')")]);
    for text in [ONE_ACTION.to_owned(), ONE_ACTION.replace("order: 100", "order: 200")] {
        let report = applied(&house, &text);
        assert_eq!(report.changes, []);
        assert_eq!(report.warnings.len(), 1);
        assert!(
            report.warnings[0].contains("'Act' was edited since the pack wrote it"),
            "{}",
            report.warnings[0]
        );
        assert_eq!(
            house.rows("sysevent_script_action", &[("name", "Act")])[0].text("script"),
            "gs.info('mine')"
        );
    }
    let force = ApplyOptions { force: true, ..ApplyOptions::default() };
    let report = apply_blocking(&house.engine, &pack(ONE_ACTION), force).unwrap();
    assert_eq!(actions(&report), ["update sysevent_script_action Act script"]);
    assert_eq!(applied(&house, ONE_ACTION).warnings, Vec::<String>::new());
}

#[test]
fn a_definition_that_was_deleted_stays_away_unless_forced() {
    let house = House::new();
    applied(&house, ONE_ACTION);
    let key = house.rows("sysevent_script_action", &[("name", "Act")])[0].text("sys_id").to_owned();
    house.remove("sysevent_script_action", &key);
    let report = applied(&house, ONE_ACTION);
    assert_eq!(report.changes, []);
    assert!(
        report.warnings[0].contains("'Act' was deleted since the pack brought it"),
        "{report:?}"
    );
    let force = ApplyOptions { force: true, ..ApplyOptions::default() };
    let report = apply_blocking(&house.engine, &pack(ONE_ACTION), force).unwrap();
    assert_eq!(actions(&report), ["insert sysevent_script_action Act"]);
    assert_eq!(house.rows("sysevent_script_action", &[("name", "Act")])[0].text("sys_id"), key);
}

#[test]
fn a_row_that_a_newer_version_lacks_is_left_and_told() {
    let house = House::new();
    applied(&house, ONE_ACTION);
    let report = applied(&house, "events: [{event_name: a.b}]");
    assert_eq!(report.changes, []);
    assert!(
        report.warnings[0].contains("sysevent_script_action 'Act' came with an earlier version"),
        "{report:?}"
    );
    assert_eq!(house.rows("sysevent_script_action", &[("name", "Act")]).len(), 1);
}

#[test]
fn rows_of_others_are_used_and_not_changed() {
    let house = House::new();
    let bob = house.add("sys_user", &[("user_name", "bob"), ("name", "Robert")]);
    let group = house.add("sys_user_group", &[("name", "Shop")]);
    let report = applied(&house, SHOP);
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    assert!(
        report.warnings.iter().all(|w| w.contains("is not from this pack")),
        "{:?}",
        report.warnings
    );
    let eve = house.rows("sys_user", &[("user_name", "eve")]).remove(0);
    assert_eq!(eve.text("manager"), bob);
    assert_eq!(house.rows("sys_user", &[("user_name", "bob")])[0].text("name"), "Robert");
    assert_eq!(house.rows("sys_user_grmember", &[("group", &group)]).len(), 1);
}

#[test]
fn a_pack_adds_columns_to_a_table_that_is_there() {
    let house = House::new();
    let text = "tables: [{name: sys_user, fields: [{name: u_badge, length: 20, label: Badge}]}]";
    let report = applied(&house, text);
    assert_eq!(
        actions(&report),
        ["insert sys_package mine", "insert sys_dictionary sys_user.u_badge"]
    );
    assert_eq!(applied(&house, text).changes, []);
    let dictionary = house.engine.dictionary().unwrap();
    let user = dictionary.table("sys_user").unwrap();
    assert_eq!(user.field("u_badge").unwrap().max_length, 20);
    assert_eq!(&*user.label, "User");
    let admin = house.rows("sys_user", &[("user_name", "admin")]).remove(0);
    house.change("sys_user", admin.text("sys_id"), &[("u_badge", "7")]);
}

#[test]
fn a_property_that_nobody_has_touched_takes_the_value_of_the_pack() {
    let house = House::new();
    applied(&house, "properties: {glide.email.journal.lines: 5}");
    assert_eq!(house.engine.property("glide.email.journal.lines").as_deref(), Some("5"));
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
