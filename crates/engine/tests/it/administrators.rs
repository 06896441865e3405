//! The last active administrator cannot be lost, from whatever side.

use campanile_engine::packs::apply::{ApplyOptions, apply_blocking};
use campanile_engine::packs::source::PackSource;
use campanile_engine::records::service;
use campanile_engine::records::users::{self, session_user};
use campanile_engine::{Channel, EngineError, Session};

use crate::fixture::{ABEL, Fixture};

fn key(fixture: &Fixture, table: &str, values: &[(&str, &str)]) -> String {
    fixture.house.rows(table, values).remove(0).text("sys_id").to_owned()
}

fn admin(fixture: &Fixture) -> String {
    key(fixture, "sys_user", &[("user_name", "admin")])
}

fn admin_role(fixture: &Fixture) -> String {
    key(fixture, "sys_user_role", &[("name", "admin")])
}

/// The administrator's own grant.
fn grant(fixture: &Fixture) -> String {
    let (user, role) = (admin(fixture), admin_role(fixture));
    key(fixture, "sys_user_has_role", &[("user", &user), ("role", &role)])
}

fn delete(fixture: &Fixture, table: &str, key: &str) -> Result<(), EngineError> {
    let (table, key) = (table.to_owned(), key.to_owned());
    fixture.run(Fixture::session("admin", Channel::Http), move |execution| {
        service::delete(execution, &table, &key).map(|_mark| ())
    })
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(fixture: &Fixture, result: Result<T, EngineError>) {
    let Err(EngineError::Integrity { code, detail, .. }) = result else { panic!("{result:?}") };
    assert_eq!(code, "last_administrator");
    assert!(detail.contains("no active administrator would be left"), "{detail}");
    assert!(detail.contains("'admin' is the last one; give another active user"), "{detail}");
    let admin = session_user(&fixture.house.engine, "admin").unwrap();
    assert!(admin.is_some_and(|admin| admin.is_admin()), "nothing half done");
}

#[test]
fn the_last_administrator_cannot_be_switched_off_locked_out_renamed_away_or_deleted() {
    let fixture = Fixture::new();
    let admin = admin(&fixture);
    for values in [[("active", "false")], [("locked_out", "true")], [("user_name", "")]] {
        is_refused(&fixture, fixture.update("admin", "sys_user", &admin, &values));
    }
    is_refused(&fixture, delete(&fixture, "sys_user", &admin));
    assert_eq!(fixture.house.rows("sys_user_has_role", &[("user", &admin)]).len(), 1, "kept");
    fixture.update("admin", "sys_user", &admin, &[("title", "Boss"), ("active", "true")]).unwrap();
}

#[test]
fn the_role_of_the_last_administrator_cannot_be_taken_away() {
    let fixture = Fixture::new();
    let (grant, role) = (grant(&fixture), admin_role(&fixture));
    is_refused(&fixture, delete(&fixture, "sys_user_has_role", &grant));
    is_refused(&fixture, delete(&fixture, "sys_user_role", &role));
    let other = key(&fixture, "sys_user_role", &[("name", "itil")]);
    let regrant = fixture.update("admin", "sys_user_has_role", &grant, &[("role", &other)]);
    is_refused(&fixture, regrant);
    for values in [[("name", "boss")], [("elevated_privilege", "true")]] {
        is_refused(&fixture, fixture.update("admin", "sys_user_role", &role, &values));
    }
    let revoked = users::revoke(&fixture.house.engine, "admin", "admin");
    is_refused(&fixture, revoked);
}

#[test]
fn a_script_cannot_lose_the_last_administrator_either() {
    let fixture = Fixture::new();
    let (admin, grant) = (admin(&fixture), grant(&fixture));
    let script = format!(
        "var u = new GlideRecord('sys_user'); u.get('{admin}'); u.active = false; u.setWorkflow(false); gs.print(u.update());
         var g = new GlideRecord('sys_user_has_role'); g.get('{grant}'); gs.print(g.deleteRecord());
         var all = new GlideRecord('sys_user_has_role'); all.query(); all.deleteMultiple();"
    );
    let ran = fixture.script_as("admin", &script);
    assert_eq!(ran.trace(), ["null", "false"]);
    assert!(session_user(&fixture.house.engine, "admin").unwrap().unwrap().is_admin());
}

#[test]
fn an_administrator_by_group_is_the_last_one_too() {
    let fixture = Fixture::new();
    let house = &fixture.house;
    let (admin, role, direct) = (admin(&fixture), admin_role(&fixture), grant(&fixture));
    let group = house.add("sys_user_group", &[("name", "Admins")]);
    let passed_on = house.add("sys_group_has_role", &[("group", &group), ("role", &role)]);
    let member = house.add("sys_user_grmember", &[("user", &admin), ("group", &group)]);
    delete(&fixture, "sys_user_has_role", &direct).unwrap();
    is_refused(&fixture, delete(&fixture, "sys_user_grmember", &member));
    is_refused(&fixture, delete(&fixture, "sys_group_has_role", &passed_on));
    is_refused(&fixture, delete(&fixture, "sys_user_group", &group));
    is_refused(&fixture, fixture.update("admin", "sys_user_group", &group, &[("active", "false")]));
    is_refused(
        &fixture,
        fixture.update("admin", "sys_group_has_role", &passed_on, &[("inherits", "false")]),
    );
}

#[test]
fn an_administrator_by_a_role_that_contains_admin_is_the_last_one_too() {
    let fixture = Fixture::new();
    let house = &fixture.house;
    let (admin, role, direct) = (admin(&fixture), admin_role(&fixture), grant(&fixture));
    let above = house.add("sys_user_role", &[("name", "owner")]);
    let contains = house.add("sys_user_role_contains", &[("role", &above), ("contains", &role)]);
    house.add("sys_user_has_role", &[("user", &admin), ("role", &above)]);
    delete(&fixture, "sys_user_has_role", &direct).unwrap();
    is_refused(&fixture, delete(&fixture, "sys_user_role_contains", &contains));
    is_refused(&fixture, delete(&fixture, "sys_user_role", &above));
}

#[test]
fn one_of_two_administrators_may_go_whoever_works_in_the_background_counts_for_nobody() {
    let fixture = Fixture::new();
    let admin = admin(&fixture);
    let system = session_user(&fixture.house.engine, "system").unwrap().unwrap();
    assert!(system.is_admin(), "and is not enough");
    users::grant(&fixture.house.engine, "abel", "admin").unwrap();
    let switch_off = || fixture.update("admin", "sys_user", &admin, &[("active", "false")]);
    is_refused(&fixture, switch_off());
    users::set_password(&fixture.house.engine, "abel", "battery").unwrap();
    switch_off().unwrap();
    let as_system = fixture.run(Session::system(), |execution| {
        service::update(
            execution,
            &Fixture::request("sys_user", Some(ABEL), &[("active", "false")]),
        )
    });
    let Err(EngineError::Integrity { code: "last_administrator", .. }) = as_system else {
        panic!("{as_system:?}");
    };
    fixture.update("admin", "sys_user", &admin, &[("active", "true")]).unwrap();
    delete(&fixture, "sys_user", ABEL).unwrap();
}

#[test]
fn a_refusal_names_all_who_would_be_lost_as_far_as_there_is_room() {
    let fixture = Fixture::new();
    let role = admin_role(&fixture);
    let told = || match delete(&fixture, "sys_user_role", &role) {
        Err(EngineError::Integrity { code: "last_administrator", detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    let join = |login: &str| {
        users::grant(&fixture.house.engine, login, "admin").unwrap();
        users::set_password(&fixture.house.engine, login, "battery").unwrap();
    };
    join("abel");
    assert!(told().contains(": 'abel' and 'admin' are the last ones; give"), "{}", told());
    join("beth");
    assert!(told().contains(": 'abel', 'admin' and 'beth' are the last ones; give"), "{}", told());
    join("joe");
    assert!(told().contains("' and others are the last ones; give"), "{}", told());
}

#[test]
fn a_pack_cannot_switch_the_last_administrator_off() {
    let fixture = Fixture::new();
    let pack = PackSource {
        name_or_path: "mine.yaml".to_owned(),
        text: "campanile: pack/v1\nname: mine\nversion: 1.0.0\nusers:\n  - {user_name: admin, name: N, active: false}\n"
            .to_owned(),
    };
    let options = ApplyOptions { force: true, ..ApplyOptions::default() };
    let told = apply_blocking(&fixture.house.engine, &pack, options).unwrap_err().to_string();
    assert!(told.contains("no active administrator would be left"), "{told}");
    assert!(told.contains("'admin' is the last one"), "{told}");
    assert!(session_user(&fixture.house.engine, "admin").unwrap().unwrap().is_admin());
}

#[test]
fn the_last_administrator_keeps_a_password() {
    let fixture = Fixture::new();
    let admin = admin(&fixture);
    is_refused(&fixture, fixture.update("admin", "sys_user", &admin, &[("user_password", "")]));
    users::authenticate(&fixture.house.engine, "admin", "correct horse").unwrap();
    let ran = fixture.script_as(
        "admin",
        &format!("var u = new GlideRecord('sys_user'); u.get('{admin}'); u.user_password = 'NULL'; u.update() + ''"),
    );
    assert_eq!(ran.text, "null");
    fixture.update("admin", "sys_user", &admin, &[("user_password", "another horse")]).unwrap();
}

#[test]
fn the_last_administrator_cannot_be_made_read_only_in_any_way() {
    let fixture = Fixture::new();
    let house = &fixture.house;
    let (admin, admin_role) = (admin(&fixture), admin_role(&fixture));
    let read_only = key(&fixture, "sys_user_role", &[("name", "snc_read_only")]);
    let grant = |table: &str, values: &[(&str, &str)]| fixture.insert("admin", table, values);
    is_refused(&fixture, grant("sys_user_has_role", &[("user", &admin), ("role", &read_only)]));
    let contains = [("role", admin_role.as_str()), ("contains", &read_only)];
    is_refused(&fixture, grant("sys_user_role_contains", &contains));
    let group = house.add("sys_user_group", &[("name", "readers")]);
    grant("sys_group_has_role", &[("group", &group), ("role", &read_only)]).unwrap();
    is_refused(&fixture, grant("sys_user_grmember", &[("group", &group), ("user", &admin)]));
    let writers = house.add("sys_user_group", &[("name", "writers")]);
    grant("sys_user_grmember", &[("group", &writers), ("user", &admin)]).unwrap();
    is_refused(&fixture, grant("sys_group_has_role", &[("group", &writers), ("role", &read_only)]));
    assert!(house.rows("sys_user_has_role", &[("role", &read_only)]).is_empty(), "kept nothing");

    // With another administrator who may write, all of it goes.
    grant("sys_user_has_role", &[("user", ABEL), ("role", &admin_role)]).unwrap();
    is_refused(&fixture, grant("sys_user_has_role", &[("user", &admin), ("role", &read_only)]));
    fixture.update("admin", "sys_user", ABEL, &[("user_password", "battery")]).unwrap();
    grant("sys_user_has_role", &[("user", &admin), ("role", &read_only)]).unwrap();
}
