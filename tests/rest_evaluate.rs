//! `POST /api/scripts/evaluate` (rest-api §21.3).

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::people::{House, refusal, text};

const EVALUATE: &str = "/api/scripts/evaluate";

fn evaluated(house: &House, body: &Value) -> Value {
    house.admin.post(EVALUATE, body).result()
}

#[test]
fn a_background_script_answers_with_its_value_its_output_and_what_it_did() {
    let house = House::new();
    let script = "gs.print('hello'); gs.info('noted {0}', 1); gs.addInfoMessage('done');\n\
        var gr = new GlideRecord('incident'); gr.initialize(); gr.short_description = 'made';\n\
        var id = gr.insert(); gs.eventQueue('t.made', gr, 'one', 'two'); 6 * 7";
    let answer = evaluated(&house, &json!({"script": script}));
    assert_eq!((&answer["ok"], &answer["error"]), (&json!(true), &Value::Null));
    assert_eq!(answer["result"], "42");
    assert!(text(&answer, "printed").contains("hello"), "{answer}");
    assert!(answer["logs"].to_string().contains("noted 1"), "{answer}");
    assert!(answer["messages"].to_string().contains("done"), "{answer}");
    let events = answer["events"].as_array().unwrap();
    let fired = events.iter().find(|event| event["name"] == "t.made").unwrap();
    assert_eq!(
        (&fired["table"], &fired["parm1"], &fired["parm2"]),
        (&json!("incident"), &json!("one"), &json!("two"))
    );
    assert_eq!(text(fired, "instance").len(), 32);
    let writes = answer["writes"].as_array().unwrap();
    assert!(
        writes.iter().any(|write| write["table"] == "incident" && write["operation"] == "insert"),
        "{answer}"
    );
    assert!(answer["usage"]["ms"].is_u64() && answer["usage"]["memory"].is_u64(), "{answer}");
    // By default nothing remains.
    assert_eq!(house.admin.count("incident", ""), 0);
    assert_eq!(house.admin.count("sysevent", "name=t.made"), 0);
    assert_eq!(house.admin.count("syslog", "messageLIKEnoted"), 0);
    let kept = evaluated(&house, &json!({"script": script, "rollback": false}));
    assert_eq!(kept["ok"], true);
    house.admin.wait_until_drained();
    assert_eq!(house.admin.count("incident", "short_description=made"), 1);
    assert_eq!(house.admin.count("sysevent", "name=t.made^parm1=one^parm2=two"), 1);
}

#[test]
fn a_number_that_was_used_in_a_trial_is_not_lost_for_the_row_that_comes() {
    let house = House::new();
    let script = "var gr = new GlideRecord('incident'); gr.initialize(); gr.insert(); throw new Error('no');";
    for rollback in [true, false] {
        let answer = evaluated(&house, &json!({"script": script, "rollback": rollback}));
        assert_eq!((&answer["ok"], &answer["error"]["kind"]), (&json!(false), &json!("runtime")));
        assert!(text(&answer["error"], "message").contains("no"), "{answer}");
    }
}

#[test]
fn a_script_that_does_not_parse_or_fails_is_told_with_line_and_column() {
    let house = House::new();
    for check_only in [true, false] {
        let body = json!({"script": "var a = 1;\nvar b = ;\n", "name": "broken", "check_only": check_only});
        let error = evaluated(&house, &body)["error"].clone();
        assert_eq!((&error["kind"], &error["line"]), (&json!("syntax"), &json!(2)), "{error}");
        assert_eq!(error["column"], 9, "{error}");
    }
    let fine = evaluated(
        &house,
        &json!({"script": "gs.log('x', 'checked');", "check_only": true, "rollback": false}),
    );
    assert_eq!(fine["ok"], true);
    assert_eq!(house.admin.count("syslog", "source=checked"), 0, "checked only");
    let failed =
        evaluated(&house, &json!({"script": "var a = 1;\n\nnope();", "name": "my script"}));
    let error = &failed["error"];
    assert_eq!((&error["kind"], &error["line"]), (&json!("runtime"), &json!(3)), "{error}");
    assert!(text(error, "message").contains("nope"), "{error}");
}

#[test]
fn limits_end_a_script_and_are_named() {
    let house = House::new();
    let body = json!({"script": "for (;;) {}", "limits": {"max_ms": 200}});
    let answer = evaluated(&house, &body);
    assert_eq!(
        (&answer["ok"], &answer["error"]["kind"]),
        (&json!(false), &json!("limit")),
        "{answer}"
    );
    assert!(text(&answer["error"], "message").starts_with("ScriptTimeout"), "{answer}");
    assert_eq!(
        answer["error"]["limit"],
        json!({"kind": "time", "name": "ScriptTimeout", "property": "campanile.script.max_ms"})
    );
    let bomb =
        json!({"script": "var a = []; for (;;) a.push(new Array(10000).join('x') + a.length);"});
    let answer = evaluated(&house, &bomb);
    assert_eq!(answer["error"]["kind"], "limit", "{answer}");
    let answer = evaluated(&house, &json!({"script": "throw new Error('no')"}));
    assert_eq!(answer["error"]["limit"], Value::Null, "{answer}");
    let (status, code, _, detail) =
        refusal(&house.admin.post(EVALUATE, &json!({"script": "1", "limits": {"max_sm": 1}})));
    assert_eq!((status, code.as_str()), (422, "unknown_member"));
    assert!(detail.contains("max_sm") && detail.contains("max_ms"), "{detail}");
}

#[test]
fn a_script_runs_as_another_when_it_is_told_to() {
    let house = House::new();
    house.add_user("joe", &["itil"]);
    let script = "gs.getUserName() + ' ' + gs.hasRole('itil') + ' ' + gs.hasRole('admin')";
    let answer = evaluated(&house, &json!({"script": script, "as": "joe"}));
    assert_eq!(answer["result"], "joe true false");
    assert_eq!(evaluated(&house, &json!({"script": "gs.getUserName()"}))["result"], "admin");
    let (status, code, _, detail) =
        refusal(&house.admin.post(EVALUATE, &json!({"script": "1", "as": "nobody"})));
    assert_eq!((status, code.as_str()), (400, "bad_parameter"));
    assert!(detail.contains("as") && detail.contains("nobody"), "{detail}");
}

#[test]
fn a_rule_is_tried_on_a_row_a_change_and_a_new_row() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "old", "impact": "3"}));
    let script = "(function executeRule(current, previous) {\n\
        current.description = current.operation() + ' ' + previous.short_description + ' ' + current.short_description.changes();\n\
        g_scratchpad.seen = true;\n\
        if (current.impact == 1) current.setAbortAction(true);\n})(current, previous);";
    let change = json!({"kind": "business_rule", "script": script, "context": {"current": {
        "table": "incident", "sys_id": incident, "set": {"short_description": "new"}}}});
    let answer = evaluated(&house, &change);
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(answer["current"]["description"], "update old true");
    assert_eq!(
        (&answer["aborted"], &answer["scratchpad"]),
        (&json!(false), &json!({"seen": true}))
    );
    let new = json!({"kind": "business_rule", "script": script, "context": {"current": {
        "table": "incident", "new": {"short_description": "new", "impact": "1"}}}});
    let answer = evaluated(&house, &new);
    assert_eq!(answer["aborted"], true, "{answer}");
    assert!(text(&answer["current"], "description").starts_with("insert "), "{answer}");
    assert_eq!(house.row("incident", &incident, "short_description")["short_description"], "old");

    let condition = |text: &str| {
        let body = json!({"kind": "condition", "script": text, "context": {"current": {
            "table": "incident", "query": "short_description=old"}}});
        evaluated(&house, &body)["result"].clone()
    };
    assert_eq!(condition("current.impact == 3"), true);
    assert_eq!(condition("current.impact == 1"), false);
}

#[test]
fn a_script_action_is_tried_on_an_event_of_ones_own() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "about"}));
    let body = json!({"kind": "script_action",
        "script": "gs.print(event.name + ' ' + event.parm1 + ' ' + current.short_description);",
        "context": {"event": {"name": "t.tried", "parm1": 7},
                    "current": {"table": "incident", "sys_id": incident}}});
    let answer = evaluated(&house, &body);
    assert!(text(&answer, "printed").contains("t.tried 7 about"), "{answer}");
    assert_eq!(house.admin.count("sysevent", "name=t.tried"), 0);
    let unknown =
        json!({"kind": "script_action", "script": "1", "context": {"event": {"nam": "x"}}});
    let (status, _, _, detail) = refusal(&house.admin.post(EVALUATE, &unknown));
    assert_eq!(status, 400);
    assert!(detail.contains("nam"), "{detail}");
}

#[test]
fn a_context_that_does_not_exist_is_refused() {
    let house = House::new();
    for (context, status, words) in [
        (json!({"current": {"table": "no_such"}}), 400, "no_such"),
        (json!({"current": {}}), 400, "context.current.table"),
        (
            json!({"current": {"table": "incident", "sys_id": "00000000000000000000000000000000"}}),
            404,
            "No Record",
        ),
        (json!({"current": {"table": "incident", "new": {"nofield": "x"}}}), 400, "nofield"),
        (
            json!({"current": {"table": "incident", "query": format!("number={}", "9".repeat(70_000))}}),
            400,
            "context.current.query",
        ),
        (json!({"curent": {}}), 422, "current"),
        (json!("x"), 400, "context"),
    ] {
        let body = json!({"kind": "business_rule", "script": "1", "context": context});
        let answer = house.admin.post(EVALUATE, &body);
        assert_eq!(answer.status, status, "{context}: {}", answer.text);
        assert!(answer.text.contains(words), "{context}: {}", answer.text);
    }
    for (body, words) in [
        (json!({}), "script"),
        (json!({"script": 7}), "script"),
        (json!({"script": "1", "kind": "mail_scirpt"}), "mail_scirpt"),
    ] {
        let (status, code, _, detail) = refusal(&house.admin.post(EVALUATE, &body));
        assert_eq!((status, code.as_str()), (400, "bad_parameter"));
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn each_use_is_in_the_action_log() {
    let house = House::new();
    house.add_user("joe", &[]);
    evaluated(&house, &json!({"script": "1", "name": "first", "as": "joe"}));
    evaluated(&house, &json!({"script": "2", "name": "second", "rollback": false}));
    evaluated(&house, &json!({"script": "var", "name": "broken"}));
    let rows = house.admin.rows("sysevent_action_log", "action=evaluate^ORDERBYat", "user,reason");
    let reasons: Vec<String> = rows.iter().map(|row| text(row, "reason")).collect();
    assert!(
        reasons
            .iter()
            .any(|r| r.contains("first") && r.contains("joe") && r.contains("rolled back")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|r| r.contains("second") && !r.contains("rolled back")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|r| r.contains("broken")),
        "what does not parse was tried too: {reasons:?}"
    );
    assert!(rows.iter().all(|row| row["user"] == "admin"));
}

#[test]
fn many_long_scripts_of_administrators_stop_neither_writes_nor_events() {
    let house = House::new();
    house.property("campanile.script.max_writer_ms", "500");
    house.handler("t.meanwhile", "Counts", "gs.log('handled', 'meanwhile');");
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    let path = format!("/api/now/table/incident/{incident}");
    // Each takes the writer and never gives it back by itself.
    let hog = json!({
        "script": "var gr = new GlideRecord('incident'); gr.initialize(); gr.insert(); for (;;) {}",
        "limits": {"max_ms": 60_000},
    });
    let ended = AtomicUsize::new(0);
    const HOGS: usize = 40;
    std::thread::scope(|scope| {
        let hogs: Vec<_> = (0..HOGS)
            .map(|_| {
                let (client, hog, ended) = (house.admin.clone(), &hog, &ended);
                scope.spawn(move || {
                    let answer = client.post(EVALUATE, hog);
                    ended.fetch_add(1, Ordering::SeqCst);
                    answer
                })
            })
            .collect();
        let mut writes = 0;
        while ended.load(Ordering::SeqCst) < HOGS {
            let body = json!({"short_description": format!("write {writes}")});
            let answer = house.admin.patch(&path, &body);
            assert_eq!(answer.status, 200, "{}", answer.text);
            house.fired(&json!({"name": "t.meanwhile"}));
            writes += 1;
        }
        assert!(writes >= 4, "only {writes} writes got through");
        let answers: Vec<_> = hogs.into_iter().map(|hog| hog.join().unwrap()).collect();
        let (ran, told): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
        for answer in ran {
            let limit = &answer.result()["error"]["limit"];
            assert_eq!(limit["kind"], "writer_time", "{}", answer.text);
        }
        assert!(!told.is_empty(), "nobody was told to come again");
        for answer in told {
            assert_eq!(answer.header("retry-after"), Some("1"));
            let (status, code, _, detail) = refusal(answer);
            assert_eq!((status, code.as_str()), (503, "overloaded"));
            assert!(detail.contains("evaluate calls"), "{detail}");
        }
    });
    assert_eq!(house.admin.count("incident", ""), 1, "all of it was rolled back");
}

#[test]
fn a_rule_that_reaches_a_limit_is_named_with_the_limit_and_its_line() {
    let house = House::new();
    house.property("campanile.script.business_rule.memory_mb", "4");
    for (max_ms, script, status_code, kind, name, property) in [
        (
            "300",
            "var a = 1;\nfor (;;) {}",
            "time_limit",
            "time",
            "ScriptTimeout",
            "campanile.script.business_rule.max_ms",
        ),
        (
            "60000",
            "var a = [];\nfor (;;) { a.push(new Array(100000).join('x')); }",
            "script_limit",
            "memory",
            "ScriptMemoryExceeded",
            "campanile.script.memory_mb",
        ),
    ] {
        house.property("campanile.script.business_rule.max_ms", max_ms);
        let rule = house.insert(
            "sys_script",
            &json!({
                "name": "Hostile", "collection": "incident", "when": "before", "active": "true",
                "advanced": "true", "action_insert": "true", "script": script,
            }),
        );
        let answer = house.admin.post("/api/now/table/incident", &json!({}));
        let (status, code, message, detail) = refusal(&answer);
        assert_eq!((status, code.as_str()), (504, status_code), "{detail}");
        assert!(message.starts_with("Transaction cancelled"), "{message}");
        assert!(detail.contains(name) && detail.contains(property), "{detail}");
        let limit = &answer.json()["error"]["limit"];
        assert_eq!(
            (&limit["kind"], &limit["name"], &limit["property"]),
            (&json!(kind), &json!(name), &json!(property)),
            "{limit}"
        );
        let place = &limit["script"];
        assert_eq!(
            (&place["table"], &place["sys_id"], &place["name"], &place["line"]),
            (&json!("sys_script"), &json!(rule), &json!("Hostile"), &json!(2)),
            "{limit}"
        );
        assert_eq!(house.admin.delete(&format!("/api/now/table/sys_script/{rule}")).status, 204);
    }
    assert_eq!(house.admin.count("incident", ""), 0);
}
