//! Packs and what was there before: rows that somebody has edited or deleted, rows of others.

use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};

use crate::house::House;
use crate::packs_bed::{SHOP, actions, applied, apply, pack, source};

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
