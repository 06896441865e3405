//! Packs: everything or nothing, once and again.

use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};
use campanile_engine::packs::source as sources;
use campanile_engine::records::users;

use crate::house::House;
use crate::packs_bed::{SHOP, actions, applied, apply, pack, source};

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
    let itsm = sources::find("itsm").unwrap();
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
fn a_mark_of_the_encoding_in_front_of_a_pack_changes_nothing() {
    let house = House::new();
    let yaml = pack("roles: [{name: keeper}]");
    let json = r#"{"campanile": "pack/v1", "name": "mine", "version": "1.0.0", "roles": [{"name": "keeper"}]}"#;
    let marked = |text: &str| source(&format!("\u{feff}{text}"));
    let report = apply(&house, &marked(&yaml.text)).unwrap();
    assert_eq!(actions(&report), ["insert sys_package mine", "insert sys_user_role keeper"]);
    assert_eq!(apply(&house, &marked(json)).unwrap().changes, []);
}
