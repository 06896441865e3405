//! Making a database, and opening it again.

use std::fs;
use std::sync::Arc;

use campanile_engine::records::lookup;
use campanile_engine::{Engine, EngineError, InitOptions};

use crate::house::House;

/// Every row of every shipped table as text, without what differs by design.
fn everything(house: &House) -> String {
    let dictionary = house.engine.dictionary().unwrap();
    let mut names: Vec<_> = dictionary.tables().map(|table| table.name.to_string()).collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        for row in house.rows(&name, &[]) {
            text += &format!("{name}: {:?}\n", row.values());
        }
    }
    text
}

#[test]
fn a_new_database_has_the_shipped_tables_and_rows() {
    let house = House::new();
    for (table, values, count) in [
        ("sys_user", &[("user_name", "admin")][..], 1),
        ("sys_user", &[], 3),
        ("sys_user_role", &[("name", "event_publisher")], 1),
        ("sys_user_role", &[("name", "metrics_reader")], 1),
        ("sysevent_queue", &[], 3),
        ("sys_properties", &[("name", "campanile.events.max_depth"), ("value", "50")], 1),
        ("sys_db_object", &[("name", "sys_user")], 1),
        ("sys_dictionary", &[("name", "sys_user"), ("element", "")], 1),
        ("sys_dictionary", &[("name", "sys_user"), ("element", "sys_created_on")], 1),
        ("sys_choice", &[("name", "sysevent"), ("element", "state")], 6),
        ("sysevent", &[], 0),
        ("sysevent_handler_run", &[], 0),
        ("sysevent_action_log", &[], 0),
    ] {
        assert_eq!(house.rows(table, values).len(), count, "{table} {values:?}");
    }
    let default = &house.rows("sysevent_queue", &[("queue", "default")])[0];
    assert_eq!(default.text("job_config_value"), "2");
    assert_eq!(default.text("poll_interval"), "1970-01-01 00:00:30", "defaults are applied");
    assert_eq!(default.text("active"), "1");
}

#[test]
fn a_second_start_adds_and_changes_nothing() {
    let house = House::new();
    let before = everything(&house);
    house.clock.advance_millis(86_400_000);
    let house = house.restart();
    assert_eq!(everything(&house), before);
}

#[test]
fn keys_of_shipped_rows_are_the_same_on_every_installation() {
    let keys = |house: &House| -> Vec<String> {
        house.rows("sys_dictionary", &[]).iter().map(|row| row.text("sys_id").to_owned()).collect()
    };
    assert_eq!(keys(&House::new()), keys(&House::new()));
}

#[test]
fn a_newer_seed_adds_what_is_missing_and_keeps_what_people_changed() {
    let house = House::new();
    let queue = house.rows("sysevent_queue", &[("queue", "adaptive")])[0].text("sys_id").to_owned();
    let role =
        house.rows("sys_user_role", &[("name", "metrics_reader")])[0].text("sys_id").to_owned();
    house.change("sysevent_queue", &queue, &[("job_config_value", "3")]);
    house.remove("sys_user_role", &role);
    // A person has made the role again under a key of its own.
    house.add("sys_user_role", &[("name", "metrics_reader"), ("description", "mine")]);
    let property =
        house.rows("sys_properties", &[("name", "instance_name")])[0].text("sys_id").to_owned();
    house.remove("sys_properties", &property);
    let mut tx = Arc::clone(house.engine.store()).write().unwrap();
    tx.meta_set("seed:system", "0:older").unwrap();
    tx.commit().unwrap();

    let house = house.restart();
    assert_eq!(
        house.rows("sysevent_queue", &[("sys_id", &queue)])[0].text("job_config_value"),
        "3"
    );
    let roles = house.rows("sys_user_role", &[("name", "metrics_reader")]);
    assert_eq!(roles.iter().map(|r| r.text("description")).collect::<Vec<_>>(), ["mine"]);
    assert_eq!(house.rows("sys_properties", &[("name", "instance_name")]).len(), 1);
}

#[test]
fn an_older_program_leaves_the_shipped_rows_of_a_newer_one_alone() {
    let house = House::new();
    let property =
        house.rows("sys_properties", &[("name", "instance_name")])[0].text("sys_id").to_owned();
    house.remove("sys_properties", &property);
    let mut tx = Arc::clone(house.engine.store()).write().unwrap();
    tx.meta_set("seed:system", "4000000:newer").unwrap();
    tx.commit().unwrap();

    let house = house.restart();
    assert_eq!(house.rows("sys_properties", &[("name", "instance_name")]).len(), 0);
    let tx = Arc::clone(house.engine.store()).write().unwrap();
    assert_eq!(tx.meta_get("seed:system").unwrap().as_deref(), Some("4000000:newer"));
}

#[test]
fn a_column_that_people_added_to_a_shipped_table_outlives_a_newer_seed() {
    let house = House::new();
    house.add(
        "sys_dictionary",
        &[("name", "sys_user"), ("element", "u_badge"), ("internal_type", "string")],
    );
    let mut tx = Arc::clone(house.engine.store()).write().unwrap();
    tx.meta_set("seed:system", "0:older").unwrap();
    tx.commit().unwrap();
    let house = house.restart();
    house.add("sys_user", &[("user_name", "joe"), ("u_badge", "17")]);
    assert_eq!(house.rows("sys_user", &[("u_badge", "17")]).len(), 1);
}

#[test]
fn a_made_up_password_is_told_once_and_works() {
    let house = House::in_a_folder();
    let folder = tempfile::tempdir().unwrap();
    let mut config = house.config();
    config.data_dir = folder.path().join("data");
    let made = Engine::init(config.clone(), InitOptions::default()).unwrap();
    let password = made.admin_password.unwrap();
    let admin = campanile_engine::records::users::authenticate(&made.engine, "admin", &password);
    assert!(admin.unwrap().is_admin());
    made.engine.stop().unwrap();

    let again = Engine::init(config.clone(), InitOptions::default()).unwrap_err().to_string();
    assert!(again.contains("has a database already"), "{again}");
    let opened = Engine::open_or_init(config, InitOptions::default()).unwrap();
    assert!(!opened.is_new && opened.admin_password.is_none());
    opened.engine.stop().unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_the_fix() {
    let house = House::in_a_folder();
    let folder = tempfile::tempdir().unwrap();
    let mut config = house.config();
    config.data_dir = folder.path().to_path_buf();
    let none = Engine::open(config.clone()).unwrap_err().to_string();
    assert!(none.contains("campanile init"), "{none}");

    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    for refused in [
        Engine::open(config.clone()).unwrap_err(),
        Engine::init(config, InitOptions::default()).unwrap_err(),
    ] {
        assert!(matches!(&refused, EngineError::BadInput { .. }), "{refused:?}");
        assert!(refused.to_string().contains("thesis.tex"), "{refused}");
    }
}

#[test]
fn a_second_engine_on_the_same_folder_is_refused() {
    let house = House::in_a_folder();
    let refused = Engine::open(house.config()).unwrap_err().to_string();
    assert!(refused.contains("in use by another campanile"), "{refused}");
}

#[test]
fn a_database_whose_making_was_broken_off_can_be_made_again() {
    let house = House::in_a_folder();
    let folder = tempfile::tempdir().unwrap();
    let mut config = house.config();
    config.data_dir = folder.path().to_path_buf();
    // A store that was opened and no more is what a kill during init leaves.
    let options = campanile_store::SqliteOptions::new(folder.path());
    campanile_store::Store::close(&*campanile_store::SqliteStore::open(&options).unwrap()).unwrap();
    let refused = Engine::open(config.clone()).unwrap_err().to_string();
    assert!(refused.contains("broken off"), "{refused}");
    let made = Engine::open_or_init(config, InitOptions::default()).unwrap();
    assert!(made.is_new && made.admin_password.is_some());
    let dictionary = made.engine.dictionary().unwrap();
    assert!(lookup::table(&dictionary, "sys_user").is_ok());
    made.engine.stop().unwrap();
}
