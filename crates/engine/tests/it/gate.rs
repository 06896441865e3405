//! Who may do what with which table, from every role.

use std::sync::Arc;

use campanile_engine::records::gate::{
    Operation, check, check_row, field_hidden, may_see_row, sees_own_row_only,
};
use campanile_engine::{Channel, EngineError, Session, User};

use crate::house::House;

fn session(user_id: &str, roles: &[&str]) -> Session {
    let user = User {
        sys_id: Arc::from(user_id),
        user_name: Arc::from("joe"),
        roles: roles.iter().map(|role| Arc::from(*role)).collect(),
        ..User::system()
    };
    Session { user: Arc::new(user), channel: Channel::Http, ..Session::system() }
}

/// The operations that are let through, as letters: read, create, write, delete.
fn allowed(house: &House, session: &Session, table: &str) -> String {
    let dictionary = house.engine.dictionary().unwrap();
    let table = dictionary.table(table).unwrap();
    let letters = [
        (Operation::Read, 'r'),
        (Operation::Create, 'c'),
        (Operation::Write, 'w'),
        (Operation::Delete, 'd'),
    ];
    letters.iter().filter(|(op, _)| check(session, table, *op).is_ok()).map(|(_, l)| l).collect()
}

#[test]
fn every_role_opens_its_tables_and_no_others() {
    let house = House::new();
    house.define("[{name: u_box, fields: [{name: u_name}]}]");
    let tables = [
        "u_box",
        "cmn_location",
        "sysevent",
        "sysevent_register",
        "sysevent_queue",
        "sysevent_handler_run",
        "sysevent_action_log",
        "sysevent_script_action",
        "sys_script",
        "sys_user",
        "sys_user_has_role",
        "sys_properties",
        "sys_dictionary",
        "syslog",
        "sys_audit",
        "sys_journal_field",
    ];
    // What the engine alone writes, an administrator reads only.
    let mut all = ["rcwd"; 16];
    all[5..7].fill("r");
    let nothing = ["", "", "", "", "", "", "", "", "", "r", "", "", "", "", "", ""];
    let mut itil = nothing;
    itil[..2].fill("rcwd");
    let mut events = nothing;
    events[2..5].fill("rcwd");
    events[5..7].fill("r");
    let mut script_actions = nothing;
    script_actions[7] = "rcwd";
    for (roles, expected) in [
        (&["admin"][..], all),
        (&[], nothing),
        (&["itil"], itil),
        (&["events_admin"], events),
        (&["sysevent_script_action_admin"], script_actions),
        (&["event_publisher"], nothing),
        (&["metrics_reader"], nothing),
        (&["business_rule_admin", "user_admin", "personalize_dictionary"], nothing),
    ] {
        let session = session("0123456789abcdef0123456789abcdef", roles);
        let got: Vec<String> =
            tables.iter().map(|table| allowed(&house, &session, table)).collect();
        assert_eq!(got, expected, "{roles:?}");
    }
}

#[test]
fn a_refused_read_names_the_roles_and_a_refused_write_the_operation() {
    let house = House::new();
    let dictionary = house.engine.dictionary().unwrap();
    let joe = session("0123456789abcdef0123456789abcdef", &[]);
    let events = dictionary.table("sysevent").unwrap();
    let read = check(&joe, events, Operation::Read).unwrap_err();
    assert!(matches!(&read, EngineError::NotAllowed { .. }));
    assert!(read.to_string().contains("events_admin or admin"), "{read}");
    let write = check(&joe, events, Operation::Create).unwrap_err();
    assert!(matches!(write, EngineError::OperationDenied { operation: "Insert", .. }));
}

#[test]
fn everybody_sees_the_own_user_row_and_only_that() {
    let house = House::new();
    let joe_id = house.add("sys_user", &[("user_name", "joe")]);
    let row = |name: &str| house.rows("sys_user", &[("user_name", name)]).remove(0);
    let joe = session(&joe_id.to_uppercase(), &["itil"]);
    assert!(may_see_row(&joe, &row("joe")));
    assert!(!may_see_row(&joe, &row("admin")));
    let dictionary = house.engine.dictionary().unwrap();
    assert!(sees_own_row_only(&joe, dictionary.table("sys_user").unwrap()));
    assert!(!sees_own_row_only(&joe, dictionary.table("cmn_location").unwrap()));

    let hidden = check_row(&joe, &row("admin"), Operation::Write).unwrap_err();
    assert!(matches!(hidden, EngineError::RecordUnknown { .. }), "keys cannot be probed");
    let own = check_row(&joe, &row("joe"), Operation::Write).unwrap_err();
    assert!(matches!(own, EngineError::OperationDenied { operation: "Update", .. }));
    assert!(check_row(&joe, &row("joe"), Operation::Read).is_ok());

    let guest_without_row = session("", &[]);
    assert!(!may_see_row(&guest_without_row, &row("joe")));
}

#[test]
fn ra_21_a_row_that_may_not_be_read_does_not_exist() {
    let house = House::new();
    house.define("[{name: u_box, fields: [{name: u_name}]}]");
    house.add("u_box", &[("u_name", "a")]);
    let joe = session("0123456789abcdef0123456789abcdef", &[]);
    let row = house.rows("u_box", &[]).remove(0);
    for operation in [Operation::Read, Operation::Write, Operation::Delete] {
        let refused = check_row(&joe, &row, operation).unwrap_err();
        assert!(matches!(refused, EngineError::RecordUnknown { .. }), "{refused:?}");
    }
}

#[test]
fn password_hashes_are_hidden_from_everybody() {
    let house = House::new();
    let dictionary = house.engine.dictionary().unwrap();
    let users = dictionary.table("sys_user").unwrap();
    assert!(field_hidden(users.field("user_password").unwrap()));
    assert!(!field_hidden(users.field("user_name").unwrap()));
}
