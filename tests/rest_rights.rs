//! Who may what: every role against every table, from every door.

use serde_json::{Value, json};

use crate::harness::{Answer, Client};
use crate::people::{House, refusal, text};

/// What a person of these tests has.
struct Person {
    name: &'static str,
    roles: &'static [&'static str],
}

const PEOPLE: [Person; 7] = [
    Person { name: "joe", roles: &[] },
    Person { name: "pub", roles: &["event_publisher"] },
    Person { name: "meg", roles: &["metrics_reader"] },
    Person { name: "eve", roles: &["events_admin"] },
    Person { name: "sam", roles: &["sysevent_script_action_admin"] },
    Person { name: "beth", roles: &["itil"] },
    Person { name: "ann", roles: &["admin"] },
];

/// A table, the role that opens it besides `admin`, and values for a new row.
struct Table {
    name: &'static str,
    role: Option<&'static str>,
    writable: bool,
    values: Value,
    change: Value,
}

fn tables() -> Vec<Table> {
    let of = |name, role, values, change| Table { name, role, writable: true, values, change };
    let closed = |name, values, change| of(name, None, values, change);
    let note = json!({"description": "changed"});
    let events = Some("events_admin");
    vec![
        of("incident", Some("itil"), json!({"short_description": "x"}), note.clone()),
        of("problem", Some("itil"), json!({"short_description": "x"}), note.clone()),
        of("change_request", Some("itil"), json!({"short_description": "x"}), note.clone()),
        of("task", Some("itil"), json!({"short_description": "x"}), note.clone()),
        of("cmn_location", Some("itil"), json!({"name": "x"}), json!({"city": "changed"})),
        of("core_company", Some("itil"), json!({"name": "x"}), json!({"name": "changed"})),
        of(
            "sysevent",
            events,
            json!({"name": "t.right", "process_on": "2099-01-01 00:00:00"}),
            json!({"process_on": "2099-02-01 00:00:00"}),
        ),
        of("sysevent_register", events, json!({"event_name": "t.UNIQUE"}), note.clone()),
        of("sysevent_queue", events, json!({"queue": "q_UNIQUE"}), note.clone()),
        of(
            "sysevent_script_action",
            Some("sysevent_script_action_admin"),
            json!({"name": "x UNIQUE", "event_name": "t.none", "script": "gs.log('x');"}),
            note.clone(),
        ),
        Table {
            name: "sysevent_handler_run",
            role: events,
            writable: false,
            values: json!({}),
            change: json!({"log": "x"}),
        },
        Table {
            name: "sysevent_action_log",
            role: events,
            writable: false,
            values: json!({}),
            change: json!({"reason": "x"}),
        },
        closed(
            "sys_script",
            json!({"name": "x", "collection": "task", "when": "before", "script": "var x = 1;"}),
            note.clone(),
        ),
        closed("sys_properties", json!({"name": "t.UNIQUE", "value": "x"}), json!({"value": "y"})),
        closed(
            "sys_dictionary",
            json!({"name": "incident", "element": "u_UNIQUE", "internal_type": "string", "max_length": "40"}),
            json!({"column_label": "changed"}),
        ),
        closed(
            "sys_choice",
            json!({"name": "incident", "element": "category", "value": "UNIQUE", "label": "x"}),
            json!({"label": "y"}),
        ),
        closed("sys_user_role", json!({"name": "role_UNIQUE"}), note.clone()),
        closed("sys_user_group", json!({"name": "group UNIQUE"}), note),
        closed(
            "sys_number",
            json!({"category": "u_t_UNIQUE", "prefix": "LOC"}),
            json!({"prefix": "LC"}),
        ),
        closed("syslog", json!({"message": "x"}), json!({"message": "y"})),
    ]
}

fn may(person: &Person, table: &Table) -> bool {
    person.roles.contains(&"admin") || table.role.is_some_and(|role| person.roles.contains(&role))
}

/// `values` with `UNIQUE` replaced by something that no other row has.
fn unique(values: &Value, mark: &str) -> Value {
    serde_json::from_str(&values.to_string().replace("UNIQUE", mark)).unwrap()
}

fn denied(answer: &Answer, operation: &str, what: &str) {
    let (status, code, message, detail) = refusal(answer);
    assert_eq!((status, code.as_str()), (403, "operation_denied"), "{what}: {}", answer.text);
    assert_eq!(message, "Operation Failed", "{what}");
    assert_eq!(
        detail,
        format!("ACL Exception {operation} Failed due to security constraints"),
        "{what}"
    );
}

fn unknown(answer: &Answer, what: &str) {
    let (status, code, _, _) = refusal(answer);
    assert_eq!((status, code.as_str()), (404, "record_unknown"), "{what}: {}", answer.text);
}

#[test]
fn every_role_meets_every_table_as_the_gate_says() {
    let house = House::new();
    house.fired(&json!({"name": "incident.assigned", "parm2": "x"}));
    let event = house.admin.post("/api/events", &json!({"name": "t.x", "process_on": "P1D"}));
    let event = text(&event.result(), "sys_id");
    house.admin.post(&format!("/api/events/{event}/cancel"), &json!({"reason": "x"})).result();
    house.handler("t.run", "Runs", "gs.log('x');");
    house.fired(&json!({"name": "t.run"}));
    let people: Vec<(&Person, Client)> =
        PEOPLE.iter().map(|person| (person, house.person(person.name, person.roles))).collect();
    // Each of them numbers a table of its own.
    for name in PEOPLE.iter().map(|person| person.name).chain(["base"]) {
        house.insert("sys_db_object", &json!({"name": format!("u_t_{name}"), "label": name}));
    }
    for table in tables() {
        let path = format!("/api/now/table/{}", table.name);
        let row = if table.writable {
            house.insert(table.name, &unique(&table.values, "base"))
        } else {
            text(&house.admin.get(&format!("{path}?sysparm_limit=1")).result()[0], "sys_id")
        };
        let one = format!("{path}/{row}");
        for (person, client) in &people {
            let what = format!("{} on {}", person.name, table.name);
            let list = client.get(&format!("{path}?sysparm_limit=1"));
            if may(person, &table) {
                assert_eq!(list.status, 200, "{what}: {}", list.text);
                assert_eq!(list.result().as_array().unwrap().len(), 1, "{what}");
                assert_eq!(client.get(&one).status, 200, "{what}");
            } else {
                let (status, code, message, detail) = refusal(&list);
                assert_eq!((status, code.as_str()), (403, "not_allowed"), "{what}");
                assert_eq!(message, "User Not Authorized");
                assert_eq!(detail, "Failed API level ACL Validation", "{what}");
                let missing = &list.json()["error"]["messages"][0];
                assert!(missing.as_str().unwrap().contains(" needs "), "{missing}");
                unknown(&client.get(&one), &what);
                unknown(&client.patch(&one, &table.change), &what);
                unknown(&client.delete(&one), &what);
                denied(&client.post(&path, &unique(&table.values, person.name)), "Insert", &what);
                continue;
            }
            if table.writable {
                let values = unique(&table.values, person.name);
                let made = client.post(&path, &values);
                assert_eq!(made.status, 201, "{what}: {}", made.text);
                let changed = client.patch(&one, &table.change);
                assert_eq!(changed.status, 200, "{what}: {}", changed.text);
                let mine = format!("{path}/{}", text(&made.result(), "sys_id"));
                if table.name == "sysevent" {
                    denied(&client.delete(&mine), "Delete", &what);
                } else if table.name != "syslog" {
                    let gone = client.delete(&mine);
                    assert_eq!(gone.status, 204, "{what}: {}", gone.text);
                }
            } else {
                denied(&client.post(&path, &table.values), "Insert", &what);
                denied(&client.patch(&one, &table.change), "Update", &what);
                denied(&client.delete(&one), "Delete", &what);
            }
        }
    }
}

#[test]
fn scripts_do_not_write_the_logs_of_the_engine_either() {
    let house = House::new();
    house.handler("t.run", "Runs", "gs.log('x');");
    let event = house.fired(&json!({"name": "t.run"}));
    let path = format!("/api/events/{}/reprocess", text(&event, "sys_id"));
    house.admin.post(&path, &json!({"reason": "kept"})).result();
    house.admin.wait_until_drained();
    for (table, field) in [("sysevent_handler_run", "log"), ("sysevent_action_log", "reason")] {
        let row = text(&house.admin.rows(table, "", "sys_id")[0], "sys_id");
        // Each run of a script is a row of the action log too.
        let kept = || house.admin.rows(table, &format!("sys_id={row}"), "");
        let before = kept();
        house.script(&format!(
            "function told(done, g) {{ gs.log(done + ' ' + g.getLastErrorMessage(), '{table}'); }}
             var g = new GlideRecord('{table}'); g.{field} = 'x'; told(g.insert(), g);
             g = new GlideRecord('{table}'); g.get('{row}'); g.{field} = 'x'; told(g.update(), g);
             g = new GlideRecord('{table}'); g.get('{row}'); told(g.deleteRecord(), g);
             g = new GlideRecord('{table}'); g.setValue('{field}', 'x'); g.updateMultiple();
             g = new GlideRecord('{table}'); g.deleteMultiple();
             g = new GlideRecord('{table}'); gs.log(g.canWrite() + ' ' + g.canRead(), '{table}');"
        ));
        let lines = house.admin.rows("syslog", &format!("source={table}"), "message");
        let mut lines: Vec<String> = lines.iter().map(|line| text(line, "message")).collect();
        lines.sort_unstable();
        let failed = |done: &str, operation: &str| {
            format!("{done} {operation} on {table} failed due to security constraints")
        };
        assert_eq!(
            lines,
            [
                failed("false", "Delete"),
                "false true".to_owned(),
                failed("null", "Insert"),
                failed("null", "Update"),
            ]
        );
        assert_eq!(kept(), before, "{table}");
    }
}

#[test]
fn a_role_by_group_counts_as_a_direct_one_and_ends_with_the_membership() {
    let house = House::new();
    let gus = house.person("gus", &[]);
    assert_eq!(gus.get("/api/now/table/incident").status, 403);
    let user = house.id_of("sys_user", "user_name=gus");
    let group = house.insert("sys_user_group", &json!({"name": "Readers"}));
    let role = house.id_of("sys_user_role", "name=itil");
    house.insert("sys_group_has_role", &json!({"group": group, "role": role}));
    let member = house.insert("sys_user_grmember", &json!({"user": user, "group": group}));
    assert_eq!(gus.get("/api/now/table/incident").status, 200);
    house.admin.delete(&format!("/api/now/table/sys_user_grmember/{member}"));
    assert_eq!(gus.get("/api/now/table/incident").status, 403);
    // Whoever is made inactive is nobody, whatever was remembered of the password.
    let path = format!("/api/now/table/sys_user/{user}");
    house.admin.patch(&path, &json!({"active": "false"})).result();
    assert_eq!(gus.get("/api/now/table/sys_user").status, 401);
}

#[test]
fn of_users_only_the_own_row_is_seen_and_nothing_tells_of_the_others() {
    let house = House::new();
    let joe = house.person("joe", &[]);
    let own = house.id_of("sys_user", "user_name=joe");
    let admin = house.id_of("sys_user", "user_name=admin");
    house
        .admin
        .patch(&format!("/api/now/table/sys_user/{own}"), &json!({"manager": admin}))
        .result();
    let list = joe.get("/api/now/table/sys_user");
    assert_eq!(list.header("x-total-count"), Some("1"));
    assert_eq!(list.result().as_array().unwrap().len(), 1);
    assert_eq!(list.result()[0]["user_name"], "joe");
    let probe =
        joe.get("/api/now/table/sys_user?sysparm_query=user_name=admin%5EORname=x%5ENQactive=true");
    assert_eq!(probe.header("x-total-count"), Some("1"), "{}", probe.text);
    assert_eq!(probe.result()[0]["user_name"], "joe");
    unknown(&joe.get(&format!("/api/now/table/sys_user/{admin}")), "joe on admin's row");
    unknown(&joe.patch(&format!("/api/now/table/sys_user/{admin}"), &json!({"name": "x"})), "joe");
    // A walk shows what the reference shows anyway, and no more.
    let walk = "/api/now/table/sys_user?sysparm_fields=manager.name,manager.user_name,manager.user_password";
    let row = joe.get(walk).result()[0].clone();
    assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), ["manager.name"], "{row}");
    let count = |query: &str| {
        let path = format!("/api/now/table/sys_user?sysparm_query={query}");
        joe.get(&path).header("x-total-count").unwrap().to_owned()
    };
    assert_eq!(count("manager.user_nameSTARTSWITHzzz"), "1", "the term is left out");
    house.property("glide.invalid_query.returns_no_rows", "true");
    assert_eq!(count("manager.user_nameSTARTSWITHadm"), "0");
    assert_eq!(count("active=true"), "1");
}

#[test]
fn who_may_read_incidents_reads_no_user_behind_them() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    house.insert("incident", &json!({"caller_id": abel, "short_description": "x"}));
    let beth = house.person("beth", &["itil"]);
    let path = "/api/now/table/incident?sysparm_fields=caller_id,caller_id.name,caller_id.email,caller_id.manager.name&sysparm_display_value=true&sysparm_exclude_reference_link=true";
    let row = beth.get(path).result()[0].clone();
    assert_eq!(row, json!({"caller_id": "Abel Tuter", "caller_id.name": "Abel Tuter"}));
    assert_eq!(beth.count("incident", "caller_id.name=Abel Tuter"), 1);
    assert_eq!(beth.count("incident", "caller_id.nameSTARTSWITHBeth"), 0);
    assert_eq!(beth.count("incident", "caller_id.emailSTARTSWITHzzz"), 1, "the term is left out");
    let filter = "/api/now/table/incident?caller_id=Abel+Tuter";
    assert_eq!(beth.get(filter).header("x-total-count"), Some("1"));
    let row = house.admin.get(path).result()[0].clone();
    assert_eq!(row["caller_id.email"], "abel.tuter@example.com");
}

#[test]
fn the_events_api_has_two_roles_and_each_sees_its_own() {
    let house = House::new();
    let people: Vec<(&Person, Client)> =
        PEOPLE.iter().map(|person| (person, house.person(person.name, person.roles))).collect();
    let body = json!({"name": "t.right", "parm1": "secret", "process_on": "P1D"});
    let foreign = text(&house.admin.post("/api/events", &body).result(), "sys_id");
    for (person, client) in &people {
        let name = person.name;
        let administers = person.roles.iter().any(|role| matches!(*role, "admin" | "events_admin"));
        let fires = administers || person.roles.contains(&"event_publisher");
        let fired = client.post("/api/events", &body);
        let batch = client.post("/api/events/batch", &json!({"events": [body]}));
        if !fires {
            for answer in [&fired, &batch] {
                let (status, code, message, _) = refusal(answer);
                assert_eq!((status, code.as_str()), (403, "not_allowed"), "{name}");
                assert_eq!(message, "User Not Authorized");
            }
        } else {
            assert_eq!((fired.status, batch.status), (202, 202), "{name}");
            let own = text(&fired.result(), "sys_id");
            let read = client.get(&format!("/api/events/{own}")).result();
            assert_eq!(read["parm1"], "secret", "{name}");
            let waited = client.post("/api/events?wait=60s", &json!({"name": "t.now"}));
            assert_eq!(waited.status, 200, "{name}: {}", waited.text);
        }
        let seen = client.get(&format!("/api/events/{foreign}"));
        let explained = client.get(&format!("/api/events/{foreign}/explain"));
        let listed = client.get("/api/events?limit=1");
        if administers {
            assert_eq!((seen.status, explained.status, listed.status), (200, 200, 200), "{name}");
        } else {
            let expected = if fires { 404 } else { 403 };
            assert_eq!(seen.status, expected, "{name}: {}", seen.text);
            assert!(matches!(explained.status, 403 | 404), "{name}: {}", explained.text);
            assert_eq!(listed.status, 403, "{name}");
            assert!(!seen.text.contains("secret") && !explained.text.contains("secret"));
        }
        for (action, body) in [
            ("reschedule", json!({"process_on": "2099-01-01T00:00:00Z"})),
            ("move", json!({"queue": "default"})),
            ("reprocess", json!({})),
            ("cancel", json!({"reason": "x"})),
            ("run-now", json!({})),
        ] {
            if administers {
                continue;
            }
            let answer = client.post(&format!("/api/events/{foreign}/{action}"), &body);
            assert_eq!(answer.status, 403, "{name} {action}: {}", answer.text);
        }
        let kind = client.post(
            "/api/registrations/incident.commented/move",
            &json!({"queue": if administers { "x" } else { "adaptive" }}),
        );
        assert_eq!(kind.status, if administers { 400 } else { 403 }, "{name}: {}", kind.text);
        let resumed = client.post("/api/queues/default/resume", &json!({}));
        assert_eq!(resumed.status, if administers { 400 } else { 403 }, "{name}: {}", resumed.text);
        let seen = client.get("/api/queues");
        assert_eq!(seen.status, if administers { 200 } else { 403 }, "{name}: {}", seen.text);
        let urgent = client
            .post("/api/events", &json!({"name": "t.right", "priority": 1, "process_on": "P1D"}));
        assert_eq!(urgent.status, if administers { 202 } else { 403 }, "{name}");
    }
    assert_eq!(house.row("sysevent", &foreign, "state")["state"], "ready");
}

#[test]
fn only_an_administrator_evaluates_scripts() {
    let house = House::new();
    for person in &PEOPLE {
        let client = house.person(person.name, person.roles);
        let body =
            json!({"script": "gs.log('by ' + gs.getUserName(), 'evaluated');", "rollback": false});
        let answer = client.post("/api/scripts/evaluate", &body);
        if person.roles.contains(&"admin") {
            assert_eq!(answer.result()["ok"], true, "{}", answer.text);
        } else {
            assert_eq!(refusal(&answer).1, "not_allowed", "{}", person.name);
            let check = json!({"script": "1", "check_only": true});
            assert_eq!(client.post("/api/scripts/evaluate", &check).status, 403, "{}", person.name);
        }
    }
    assert_eq!(house.admin.count("syslog", "source=evaluated"), 1);
}

#[test]
fn doors_of_administrators_tell_others_nothing_about_their_bodies() {
    let house = House::new();
    let joe = house.person("joe", &["itil", "events_admin"]);
    let text_plain = [("content-type", "text/plain")];
    for path in ["/api/replay", "/api/packs", "/api/scripts/evaluate"] {
        for body in ["{", "[]", "", &" ".repeat(10_000), r#"{"nope": 1}"#] {
            let answer = joe.send("POST", path, &[], Some(body));
            assert_eq!(refusal(&answer).1, "not_allowed", "{path} {answer:?}");
            let nobody = house.server.anonymous().send("POST", path, &[], Some(body));
            assert_eq!(refusal(&nobody).0, 401, "{path} {nobody:?}");
        }
        assert_eq!(refusal(&joe.send("POST", path, &text_plain, Some("x"))).0, 403, "{path}");
    }
    assert_eq!(refusal(&joe.get("/api/replay/summary?after=x")).0, 403);
    for path in ["/api/replay", "/api/scripts/evaluate"] {
        assert_eq!(refusal(&house.admin.send("POST", path, &[], Some("{"))).1, "bad_json");
        let large = format!("{{{}", " ".repeat(3 << 20));
        assert_eq!(refusal(&house.admin.send("POST", path, &[], Some(&large))).1, "bad_json");
    }
}

#[test]
fn nobody_makes_himself_an_administrator() {
    let house = House::new();
    let admin_role = house.id_of("sys_user_role", "name=admin");
    let granted = || house.admin.count("sys_user_has_role", &format!("role={admin_role}"));
    let before = granted();
    for person in PEOPLE.iter().filter(|person| !person.roles.contains(&"admin")) {
        let client = house.person(person.name, person.roles);
        let own = house.id_of("sys_user", &format!("user_name={}", person.name));
        let grant = json!({"user": own, "role": admin_role});
        denied(&client.post("/api/now/table/sys_user_has_role", &grant), "Insert", person.name);
        let path = format!("/api/now/table/sys_user/{own}");
        denied(&client.patch(&path, &json!({"user_password": "x"})), "Update", person.name);
        assert_eq!(client.get("/api/now/table/sys_script").status, 403, "{}", person.name);
    }
    assert_eq!(granted(), before);
}
