//! Passwords: nobody reads, compares, copies or plants what is stored of them.

use campanile_engine::EngineError;
use campanile_engine::records::users::{authenticate, hash_password};

use crate::fixture::{ABEL, Fixture, JOE};

/// A fixture whose user abel has a password.
fn with_password() -> (Fixture, String) {
    let fixture = Fixture::new();
    fixture.update("admin", "sys_user", ABEL, &[("user_password", "secret")]).unwrap();
    let stored = hash_of(&fixture, ABEL);
    assert!(stored.starts_with("$argon2id$"), "{stored}");
    (fixture, stored)
}

fn hash_of(fixture: &Fixture, user: &str) -> String {
    fixture.row("sys_user", user).unwrap().text("user_password").to_owned()
}

#[test]
fn a_script_reads_a_password_as_empty_on_every_way() {
    let (fixture, stored) = with_password();
    let on = |what: &str| {
        format!("var u = new GlideRecord('sys_user'); u.get('{ABEL}'); String({what})")
    };
    for what in [
        "u.user_password",
        "u.user_password + ''",
        "u.getValue('user_password')",
        "u.getElement('user_password')",
        "u.getDisplayValue('user_password')",
        "u.user_password.getDisplayValue()",
        "u.user_password.toString()",
        "u.user_password.length",
        "JSON.stringify({p: u.user_password, v: u.getValue('user_password')})",
        "(function() { for (var k in u) if (String(u[k]).indexOf('argon2') >= 0) return k; return '' })()",
    ] {
        let text = fixture.script_as("admin", &on(what)).text;
        assert!(!text.contains('$') && !text.contains("argon2"), "{what}: {text}");
    }
    let (walked, nil) = (
        "var i = new GlideRecord('incident'); i.get('number', 'INC0000001'); i.assigned_to.user_password + '|' + i.getValue('assigned_to.user_password') + '|' + i.assigned_to.getRefRecord().user_password",
        "u.user_password.nil() && !u.user_password && u.user_password == ''",
    );
    assert!(!fixture.script_as("admin", walked).text.contains('$'));
    assert_eq!(fixture.script_as("admin", &on(nil)).text, "true");
    assert_eq!(hash_of(&fixture, ABEL), stored, "reading changes nothing");
}

#[test]
fn a_rule_on_users_sees_no_password_and_sends_none_on() {
    let (fixture, _) = with_password();
    let watch = "gs.print('[' + current.user_password + '|' + previous.user_password + '|' + current.user_password.changes() + ']');
        gs.eventQueue('t.leak', current, current.user_password, previous.getValue('user_password'));";
    for when in ["before", "after"] {
        fixture.rule(when, &[("collection", "sys_user"), ("when", when), ("script", watch)]);
    }
    fixture
        .rule("copy", &[("collection", "sys_user"), ("template", "titleSAMEASuser_password^EQ")]);
    let set = format!(
        "var u = new GlideRecord('sys_user'); u.get('{ABEL}'); u.user_password = 'plain text'; u.update()"
    );
    let ran = fixture.script_as("admin", &set);
    assert_eq!(ran.trace(), ["[||true]", "[||true]"]);
    let sent = fixture.house.rows("sysevent", &[("name", "t.leak")]);
    assert_eq!(sent.len(), 2);
    for event in sent {
        assert_eq!((event.text("parm1"), event.text("parm2")), ("", ""));
    }
    assert_eq!(fixture.row("sys_user", ABEL).unwrap().text("title"), "");
    assert!(authenticate(&fixture.house.engine, "abel", "plain text").is_ok());
}

#[test]
fn a_query_cannot_probe_a_password() {
    let (fixture, stored) = with_password();
    let all = fixture.house.rows("sys_user", &[]).len().to_string();
    for condition in [
        format!("u.addQuery('user_password', '{stored}')"),
        "u.addQuery('user_password', 'STARTSWITH', '$argon2id')".to_owned(),
        "u.addQuery('user_password', '>', '$')".to_owned(),
        "u.addEncodedQuery('user_passwordLIKE$')".to_owned(),
        "u.addEncodedQuery('user_passwordSAMEASname')".to_owned(),
        "u.addEncodedQuery('manager.user_passwordSTARTSWITH$')".to_owned(),
    ] {
        let count =
            format!("var u = new GlideRecord('sys_user'); {condition}; u.query(); u.getRowCount()");
        assert_eq!(fixture.script_as("admin", &count).text, all, "{condition} told something");
    }
    let by = format!("var u = new GlideRecord('sys_user'); u.get('user_password', '{stored}')");
    let ran = fixture.script_as("admin", &by);
    let warned = ran.lines(campanile_script::LogLevel::Warn);
    assert!(warned.iter().any(|line| line.contains("is a password")), "{warned:?}");
}

#[test]
fn what_looks_like_a_hash_is_a_password_like_any_other() {
    let fixture = Fixture::new();
    let planted = hash_password("known to the attacker").unwrap();
    fixture.update("admin", "sys_user", ABEL, &[("user_password", &planted)]).unwrap();
    assert_ne!(hash_of(&fixture, ABEL), planted);
    let engine = &fixture.house.engine;
    assert_eq!(
        authenticate(engine, "abel", "known to the attacker"),
        Err(EngineError::Unauthenticated)
    );
    assert!(authenticate(engine, "abel", &planted).is_ok(), "the text itself is the password");
    let script = format!(
        "var u = new GlideRecord('sys_user'); u.get('{JOE}'); u.user_password = '{planted}'; u.update();
         var n = new GlideRecord('sys_user'); n.user_name = 'eve'; n.active = true; n.user_password = '{planted}'; n.insert()"
    );
    fixture.script_as("admin", &script);
    for user in ["joe", "eve"] {
        assert_eq!(
            authenticate(engine, user, "known to the attacker"),
            Err(EngineError::Unauthenticated),
            "{user}"
        );
    }
}

#[test]
fn a_password_is_hashed_once_however_often_rules_write_the_row() {
    let (fixture, _) = with_password();
    fixture.rule(
        "again",
        &[
            ("collection", "sys_user"),
            ("script", "current.setWorkflow(false); current.title = 'x'; current.update();"),
        ],
    );
    fixture.update("admin", "sys_user", ABEL, &[("user_password", "new one")]).unwrap();
    assert!(authenticate(&fixture.house.engine, "abel", "new one").is_ok());
    assert_eq!(fixture.row("sys_user", ABEL).unwrap().text("title"), "x");
}

#[test]
fn a_copied_user_has_no_password_unless_one_is_set() {
    let (fixture, stored) = with_password();
    let copy = |name: &str, more: &str| {
        format!(
            "var u = new GlideRecord('sys_user'); u.get('{ABEL}'); u.user_name = '{name}'; {more}; u.insert()"
        )
    };
    let key = fixture.script_as("admin", &copy("twin", "")).text;
    assert_eq!(hash_of(&fixture, &key), "");
    fixture.script_as("admin", &copy("other", "u.user_password = 'mine'"));
    assert!(authenticate(&fixture.house.engine, "other", "mine").is_ok());
    assert_eq!(hash_of(&fixture, ABEL), stored);
}

#[test]
fn a_snapshot_and_the_audit_hold_no_password() {
    let (fixture, _) = with_password();
    let collection = fixture.house.rows("sys_dictionary", &[("name", "sys_user"), ("element", "")]);
    fixture.house.change("sys_dictionary", collection[0].text("sys_id"), &[("audit", "1")]);
    fixture
        .insert(
            "admin",
            "sysevent_register",
            &[("event_name", "t.s"), ("capture_snapshot", "true")],
        )
        .unwrap();
    let fire = format!(
        "var u = new GlideRecord('sys_user'); u.get('{ABEL}'); gs.eventQueue('t.s', u, '', ''); u.user_password = 'another'; u.title = 'T'; u.update()"
    );
    fixture.script_as("admin", &fire);
    let event = fixture.house.rows("sysevent", &[("name", "t.s")]).remove(0);
    assert!(event.text("snapshot").contains("user_name"), "{}", event.text("snapshot"));
    assert!(!event.text("snapshot").contains("argon2"));
    let audited = fixture.house.rows("sys_audit", &[("tablename", "sys_user")]);
    let fields: Vec<&str> = audited.iter().map(|row| row.text("fieldname")).collect();
    assert_eq!(fields, ["title"]);
}

#[test]
fn a_secret_property_is_read_by_scripts_of_its_readers_only() {
    let fixture = Fixture::new();
    let secret = |name: &str, readers: &str| {
        let values =
            [("name", name), ("type", "password2"), ("value", "hush"), ("read_roles", readers)];
        fixture.insert("admin", "sys_properties", &values).unwrap();
    };
    secret("x.closed", "");
    secret("x.open", "user_admin, itil");
    let script = "var seen = [gs.getProperty('x.closed', 'no'), gs.getProperty('x.open', 'no')];
        var p = new GlideRecord('sys_properties'); p.addQuery('name', 'STARTSWITH', 'x.'); p.orderBy('name'); p.query();
        while (p.next()) seen.push(p.value + '/' + p.getValue('value') + '/' + p.getDisplayValue('value'));
        seen.join()";
    let (told, kept) = ("hush/hush/hush", "/null/");
    for (login, expected) in [
        ("admin", format!("hush,hush,{told},{told}")),
        ("abel", format!("no,hush,{kept},{told}")),
        ("joe", format!("no,no,{kept},{kept}")),
    ] {
        assert_eq!(fixture.script_as(login, script).text, expected, "{login}");
    }
    // Also while the transaction that writes properties is open.
    fixture.before("reads", "gs.setProperty('y.other', '1'); gs.print(gs.getProperty('x.closed', 'no') + gs.getProperty('x.open', 'no'))");
    let ran = fixture.script(&crate::fixture::update_a("gA.state = 2"));
    assert_eq!(ran.trace(), ["nohush"]);
}

#[test]
fn who_may_not_read_a_secret_property_cannot_make_it_readable() {
    let fixture = Fixture::new();
    let values = [("name", "x.closed"), ("type", "password2"), ("value", "hush")];
    fixture.insert("admin", "sys_properties", &values).unwrap();
    let on = |what: &str| {
        fixture
            .script_as(
                "abel",
                &format!(
                    "var p = new GlideRecord('sys_properties'); p.get('name', 'x.closed'); {what}"
                ),
            )
            .text
    };
    assert_eq!(on("p.type = 'string'; p.value + '#'"), "#");
    assert_eq!(on("p.type = 'string'; p.update() + ''"), "null");
    assert_eq!(on("p.read_roles = 'itil'; p.update() + ''"), "null");
    assert_eq!(
        on("p.name = 'x.copy'; p.type = 'string'; p.insert(); gs.getProperty('x.copy') + ''"),
        ""
    );
    assert_eq!(
        on("p.description = p.value; p.update(); gs.getProperty('x.closed') + p.description"),
        "null"
    );
    let row = fixture.house.rows("sys_properties", &[("name", "x.closed")]).remove(0);
    assert_eq!(
        (row.text("value"), row.text("type"), row.text("description")),
        ("hush", "password2", "")
    );
    // Its place may be taken by something new, and whoever may read it changes what he likes.
    assert_eq!(
        on("p.value = 'mine'; p.type = 'string'; p.update(); gs.getProperty('x.closed')"),
        "mine"
    );
    let row = row.text("sys_id").to_owned();
    let back = [("type", "password2"), ("read_roles", "itil")];
    fixture.update("admin", "sys_properties", &row, &back).unwrap();
    fixture.update("admin", "sys_properties", &row, &[("read_roles", "")]).unwrap();
}
