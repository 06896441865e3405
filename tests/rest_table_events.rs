//! The Table API on `sysevent`: a row fires, its state reprocesses it, its queue moves it (rest-api RA-37, RA-38).

use serde_json::{Value, json};

use crate::harness::Answer;
use crate::people::{House, refusal, text};

#[test]
fn ra_37_a_row_of_sysevent_fires() {
    let house = House::new();
    house.handler("t.row", "Witness", "gs.log('handled ' + event.parm1, 'witness');");
    let refused = house.admin.post(
        "/api/now/table/sys_script",
        &json!({
            "name": "On events", "collection": "sysevent", "when": "before", "active": "true",
            "advanced": "true", "action_insert": "true", "script": "current.parm1 = 'changed by a rule';",
        }),
    );
    assert!(matches!(refused.status, 201 | 403), "{refused:?}");
    let body = json!({"name": "t.row", "parm1": "one", "parm2": 2, "state": "processed",
                      "queue": "default", "sys_created_by": "nobody", "attempts": "9"});
    let answer = house.admin.post("/api/now/table/sysevent", &body);
    assert_eq!(answer.status, 201, "{}", answer.text);
    let row = answer.result();
    assert_eq!((text(&row, "state").as_str(), text(&row, "parm1").as_str()), ("ready", "one"));
    let id = text(&row, "sys_id");
    assert!(answer.header("location").unwrap().ends_with(&format!("/api/now/table/sysevent/{id}")));
    house.admin.wait_until_drained();
    let row = house.row("sysevent", &id, "state,parm1,parm2,user_name,source,attempts");
    assert_eq!(
        row,
        json!({"state": "processed", "parm1": "one", "parm2": "2", "user_name": "admin",
               "source": row["source"], "attempts": "1"})
    );
    assert_eq!(house.admin.count("syslog", "source=witness^message=handled one"), 1);
    assert_eq!(house.admin.count("sysevent_handler_run", &format!("event={id}")), 1);
    // For later, and about nothing that exists.
    let later = json!({"name": "t.row", "process_on": "2099-01-01 00:00:00"});
    let row = house.admin.post("/api/now/table/sysevent", &later).result();
    assert_eq!(text(&row, "process_on"), "2099-01-01 00:00:00");
    for (body, code) in [
        (json!({}), "name_invalid"),
        (json!({"name": "t.row", "table": "no_such"}), "table_unknown"),
        (json!({"name": "t.row", "queue": "Not A Queue"}), "queue_invalid"),
        (json!({"name": "t.row", "parm1": "x".repeat(65_537)}), "value_too_long"),
        (json!({"name": "t.row", "process_on": "soon"}), "bad_parameter"),
    ] {
        let found = refusal(&house.admin.post("/api/now/table/sysevent", &body));
        assert_eq!(found.1, code, "{found:?}");
    }
    assert_eq!(house.admin.count("sysevent", "nameSTARTSWITHt."), 2);
}

#[test]
fn ra_38_a_failed_event_is_reprocessed_by_its_state_and_nothing_else_of_it_changes() {
    let house = House::new();
    let action = house.handler("t.fail", "Fails", "throw new Error('no luck');");
    let event = house.fired(&json!({"name": "t.fail", "parm1": "before"}));
    assert_eq!(event["state"], "error");
    let id = text(&event, "sys_id");
    let path = format!("/api/now/table/sysevent/{id}");
    let repaired = json!({"script": "gs.log('luck', 'witness');"});
    house
        .admin
        .patch(&format!("/api/now/table/sysevent_script_action/{action}"), &repaired)
        .result();

    for refused in [
        house.admin.patch(&path, &json!({"parm1": "x"})),
        house.admin.patch(&path, &json!({"state": "processed"})),
        house.admin.patch(&path, &json!({"state": "ready", "parm1": "x"})),
        house.admin.delete(&path),
    ] {
        let (status, code, message, _) = refusal(&refused);
        assert_eq!(
            (status, code.as_str(), message.as_str()),
            (403, "operation_denied", "Operation Failed")
        );
    }
    let answer = house.admin.patch(&path, &json!({"state": "ready"}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    house.admin.wait_until_drained();
    let row = house.row("sysevent", &id, "state,epoch,parm1");
    assert_eq!(row, json!({"state": "processed", "epoch": "1", "parm1": "before"}));

    // The wrong state for an action is a conflict that names the present one.
    for body in [
        json!({"queue": "adaptive"}),
        json!({"state": "cancelled"}),
        json!({"process_on": "2099-01-01 00:00:00"}),
    ] {
        let (status, code, _, detail) = refusal(&house.admin.patch(&path, &body));
        assert_eq!((status, code.as_str()), (409, "state_conflict"), "{body}");
        assert!(detail.contains("processed"), "{detail}");
    }
}

#[test]
fn a_waiting_event_moves_waits_longer_and_is_cancelled_as_a_row() {
    let house = House::new();
    let later = json!({"name": "t.later", "process_on": "2099-01-01 00:00:00"});
    let id = text(&house.admin.post("/api/now/table/sysevent", &later).result(), "sys_id");
    let path = format!("/api/now/table/sysevent/{id}");
    let change = |body: Value| house.admin.patch(&path, &body);
    assert_eq!(text(&change(json!({"queue": "adaptive"})).result(), "queue"), "adaptive");
    assert_eq!(refusal(&change(json!({"queue": "nowhere"}))).1, "queue_invalid");
    let moved = change(json!({"process_on": "2100-01-01 00:00:00"})).result();
    assert_eq!(text(&moved, "process_on"), "2100-01-01 00:00:00");
    assert_eq!(text(&change(json!({"state": "cancelled"})).result(), "state"), "cancelled");
    let (status, code, _, detail) = refusal(&change(json!({"queue": "default"})));
    assert_eq!((status, code.as_str()), (409, "state_conflict"));
    assert!(detail.contains("cancelled"), "{detail}");
    let actions =
        house.admin.rows("sysevent_action_log", &format!("sys_idsLIKE{id}"), "action,user");
    let mut words: Vec<String> = actions.iter().map(|row| text(row, "action")).collect();
    words.sort_unstable();
    assert_eq!(words, ["cancel", "move", "reschedule"]);
}

/// A waiting event, by its address in the Table API.
fn waiting(house: &House) -> String {
    let later = json!({"name": "t.later", "process_on": "2099-01-01 00:00:00"});
    let row = house.admin.post("/api/now/table/sysevent", &later).result();
    format!("/api/now/table/sysevent/{}", text(&row, "sys_id"))
}

#[test]
fn a_write_of_an_event_or_a_registration_answers_what_reading_it_gives() {
    let house = House::new();
    let same = |written: &Answer, path: &str, version: &str| {
        let read = house.admin.get(path);
        assert_eq!(written.result(), read.result(), "{path}");
        assert_eq!(written.header("etag"), Some(version), "{path}");
        assert_eq!(read.header("etag"), Some(version), "{path}");
    };
    let later = json!({"name": "t.later", "process_on": "2099-01-01 00:00:00", "parm1": "x"});
    for (table, body, change) in [
        ("sysevent", later, json!({"queue": "adaptive"})),
        ("sysevent_register", json!({"event_name": "t.told"}), json!({"priority": "5"})),
    ] {
        let path = format!("/api/now/table/{table}");
        let made = house.admin.post(&path, &body);
        assert_eq!(made.status, 201, "{}", made.text);
        let one = format!("{path}/{}", text(&made.result(), "sys_id"));
        same(&made, &one, "\"0\"");
        same(&house.admin.patch(&one, &change), &one, "\"1\"");
    }
}

#[test]
fn an_event_is_acted_on_only_in_a_version_that_the_caller_has_seen() {
    let house = House::new();
    let path = waiting(&house);
    let send = |method: &str, tag: &str, body: &Value| {
        house.admin.send(method, &path, &[("if-match", tag)], Some(&body.to_string()))
    };
    let to_queue = json!({"queue": "adaptive"});
    for (method, body) in [("PATCH", &to_queue), ("PUT", &to_queue), ("DELETE", &json!({}))] {
        let (status, code, _, detail) = refusal(&send(method, "\"7\"", body));
        assert_eq!((status, code.as_str()), (412, "version_conflict"), "{method}");
        assert!(detail.contains('7') && detail.contains('0'), "{detail}");
    }
    let row = house.admin.get(&path).result();
    assert_eq!((text(&row, "queue"), text(&row, "sys_mod_count")), (String::new(), "0".to_owned()));
    assert_eq!(refusal(&send("DELETE", "\"0\"", &json!({}))).0, 403);
    let moved = send("PATCH", "\"0\"", &to_queue);
    assert_eq!((moved.status, moved.header("etag")), (200, Some("\"1\"")), "{}", moved.text);

    // At the same moment: one of them wins, and the others leave no trace.
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (1..=6)
            .map(|day| {
                let send = &send;
                let body = json!({"process_on": format!("2100-01-0{day} 00:00:00")});
                scope.spawn(move || send("PATCH", "\"1\"", &body).status)
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412]);
    assert_eq!(house.admin.get(&path).header("etag"), Some("\"2\""));
    assert_eq!(house.admin.count("sysevent_action_log", "action=reschedule"), 1);
}

#[test]
fn a_change_of_an_event_that_changes_nothing_answers_with_the_event() {
    let house = House::new();
    let path = waiting(&house);
    let before = house.admin.get(&path);
    for body in [
        json!({}),
        json!({"sys_id": "x", "sys_class_name": "task", "no_such_field": 1}),
        json!({"name": "t.later", "registered": "0", "sys_mod_count": "0"}),
    ] {
        let answer = house.admin.patch(&path, &body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        assert_eq!(answer.result(), before.result(), "{body}");
        assert_eq!(answer.header("etag"), Some("\"0\""), "{body}");
    }
    assert_eq!(refusal(&house.admin.patch(&path, &json!({"name": "t.other"}))).0, 403);
    assert_eq!(house.admin.get(&path).result(), before.result());
    assert_eq!(house.admin.count("sysevent_action_log", ""), 0);
}
