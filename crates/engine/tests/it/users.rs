//! Accounts, roles and passwords.

use campanile_engine::records::users::{
    account, authenticate, hash_password, session_user, session_user_by_id, set_password,
};
use campanile_engine::{Engine, EngineError};

use crate::house::House;

fn role(house: &House, name: &str) -> String {
    match house.rows("sys_user_role", &[("name", name)]).first() {
        Some(row) => row.text("sys_id").to_owned(),
        None => house.add("sys_user_role", &[("name", name)]),
    }
}

fn roles(engine: &Engine, user: &str) -> Vec<String> {
    let user = session_user(engine, user).unwrap().unwrap();
    user.roles.iter().map(ToString::to_string).collect()
}

fn refused(engine: &Engine, user: &str, password: &str) -> bool {
    match authenticate(engine, user, password) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error, EngineError::Unauthenticated, "{user}");
            true
        }
    }
}

#[test]
fn roles_come_directly_by_group_and_by_containment() {
    let house = House::new();
    let joe = house.add("sys_user", &[("user_name", "joe"), ("name", "Joe Employee")]);
    let group = house.add("sys_user_group", &[("name", "G")]);
    let (r1, r2, r3, r4) =
        (role(&house, "r1"), role(&house, "r2"), role(&house, "r3"), role(&house, "r4"));
    house.add("sys_user_role_contains", &[("role", &r1), ("contains", &r2)]);
    house.add("sys_user_role_contains", &[("role", &r2), ("contains", &r3)]);
    house.add("sys_group_has_role", &[("group", &group), ("role", &r1)]);
    house.add("sys_user_has_role", &[("user", &joe), ("role", &r4)]);
    assert_eq!(roles(&house.engine, "joe"), ["r4"]);

    let member = house.add("sys_user_grmember", &[("user", &joe), ("group", &group)]);
    assert_eq!(roles(&house.engine, "joe"), ["r1", "r2", "r3", "r4"]);
    house.change("sys_user_group", &group, &[("active", "0")]);
    assert_eq!(roles(&house.engine, "joe"), ["r4"], "an inactive group gives nothing");
    house.change("sys_user_group", &group, &[("active", "1")]);
    house.remove("sys_user_grmember", &member);
    assert_eq!(roles(&house.engine, "joe"), ["r4"]);
}

#[test]
fn a_role_that_a_group_does_not_pass_on_is_not_inherited() {
    let house = House::new();
    let joe = house.add("sys_user", &[("user_name", "joe")]);
    let group = house.add("sys_user_group", &[("name", "G")]);
    house.add("sys_user_grmember", &[("user", &joe), ("group", &group)]);
    let itil = role(&house, "itil");
    house.add("sys_group_has_role", &[("group", &group), ("role", &itil), ("inherits", "0")]);
    assert!(roles(&house.engine, "joe").is_empty());
}

#[test]
fn elevated_roles_do_not_count_by_themselves() {
    let house = House::new();
    let joe = house.add("sys_user", &[("user_name", "joe")]);
    let elevated = role(&house, "security_admin");
    house.add("sys_user_has_role", &[("user", &joe), ("role", &elevated)]);
    assert!(roles(&house.engine, "joe").is_empty());
}

#[test]
fn the_right_password_signs_in_and_login_ignores_case() {
    let house = House::new();
    let admin = authenticate(&house.engine, "ADMIN", "correct horse").unwrap();
    assert_eq!(&*admin.user_name, "admin", "as it is stored");
    assert!(admin.is_admin());
    assert_eq!(&*admin.display_name, "System Administrator");
}

#[test]
fn whatever_is_wrong_the_answer_is_the_same() {
    let house = House::new();
    let hash = hash_password("pw").unwrap();
    for (name, field) in [("gone", ("active", "0")), ("locked", ("locked_out", "1"))] {
        house.add("sys_user", &[("user_name", name), ("user_password", &hash), field]);
    }
    house.add("sys_user", &[("user_name", "unset")]);
    house.add("sys_user", &[("user_name", "plain"), ("user_password", "pw")]);
    for (name, password) in [
        ("nobody", "pw"),
        ("admin", "Correct horse"),
        ("admin", ""),
        ("", "pw"),
        ("gone", "pw"),
        ("locked", "pw"),
        ("unset", ""),
        ("plain", "pw"),
        ("system", ""),
        ("guest", ""),
    ] {
        assert!(refused(&house.engine, name, password), "{name}");
    }
    assert_eq!(session_user(&house.engine, "gone").unwrap(), None);
    assert_eq!(session_user(&house.engine, "locked").unwrap(), None);
    assert!(session_user(&house.engine, "system").unwrap().unwrap().is_admin());
}

#[test]
fn a_new_password_counts_at_once_and_the_old_one_no_more() {
    let house = House::new();
    assert!(authenticate(&house.engine, "admin", "correct horse").is_ok(), "now it is remembered");
    set_password(&house.engine, "admin", "battery staple").unwrap();
    assert!(refused(&house.engine, "admin", "correct horse"));
    assert!(authenticate(&house.engine, "admin", "battery staple").is_ok());
    let row = &house.rows("sys_user", &[("user_name", "admin")])[0];
    assert!(row.text("user_password").starts_with("$argon2id$"));
    assert_eq!(row.text("sys_mod_count"), "2", "once at init, once now");
}

#[test]
fn a_remembered_credential_ends_when_the_user_is_locked() {
    let house = House::new();
    let hash = hash_password("pw").unwrap();
    let joe = house.add("sys_user", &[("user_name", "joe"), ("user_password", &hash)]);
    assert!(authenticate(&house.engine, "joe", "pw").is_ok());
    assert!(authenticate(&house.engine, "joe", "pw").is_ok());
    house.change("sys_user", &joe, &[("locked_out", "1")]);
    assert!(refused(&house.engine, "joe", "pw"));
    house.change("sys_user", &joe, &[("locked_out", "0")]);
    assert!(authenticate(&house.engine, "joe", "pw").is_ok());
    house.remove("sys_user", &joe);
    assert!(refused(&house.engine, "joe", "pw"));
}

#[test]
fn a_password_for_nobody_or_an_empty_one_is_refused() {
    let house = House::new();
    for (name, password, word) in [("nobody", "x", "nobody"), ("admin", "", "empty")] {
        let refused = set_password(&house.engine, name, password).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert!(authenticate(&house.engine, "admin", "correct horse").is_ok());
}

#[test]
fn users_are_found_by_key_too() {
    let house = House::new();
    let joe = house.add("sys_user", &[("user_name", "joe"), ("time_zone", "Europe/Berlin")]);
    let user = session_user_by_id(&house.engine, &joe.to_uppercase()).unwrap().unwrap();
    assert_eq!((&*user.user_name, &*user.time_zone), ("joe", "Europe/Berlin"));
    assert_eq!(session_user_by_id(&house.engine, "nothing").unwrap(), None);
    assert!(account(&house.engine, "nobody").unwrap().is_none());
}
