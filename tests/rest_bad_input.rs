//! Bad input over HTTP: the right status, a message that names thing, place and fix, and nothing half done.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Answer, Client};
use crate::people::{House, refusal, text};

/// What an answer says to the caller; what differs from one request to the next is left out.
fn told(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let changing = ["date", "x-transaction-id", "server-timing"];
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !changing.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    (answer.status, headers, answer.text.clone())
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let house = House::new();
    let inactive = house.add_user("gone", &["itil"]);
    let path = format!("/api/now/table/sys_user/{inactive}");
    house.admin.patch(&path, &json!({"active": "false"})).result();
    let ask = |client: Client| told(&client.get("/api/now/table/incident"));
    let wrong = ask(house.server.client("admin", "wrong"));
    assert_eq!(wrong.0, 401);
    for (user, password) in [
        ("nobody.at.all", "wrong"),
        ("gone", crate::people::PASSWORD),
        ("abel.tuter", ""),
        ("", ""),
        ("admin", ""),
        ("ad\u{fc}min", "p\u{e4}ss"),
    ] {
        assert_eq!(ask(house.server.client(user, password)), wrong, "{user}");
    }
    let anonymous = house.server.anonymous();
    for authorization in ["Basic", "Basic %%%", "Basic YWRtaW4=", "Bearer abc", "Nonsense"] {
        let answer = anonymous.send(
            "GET",
            "/api/now/table/incident",
            &[("authorization", authorization)],
            None,
        );
        let (status, code, _, _) = refusal(&answer);
        assert_eq!((status, code.as_str()), (401, "unauthenticated"), "{authorization}");
    }
}

#[test]
fn malformed_json_is_told_with_line_and_column_at_every_door() {
    let house = House::new();
    let event = house.admin.post("/api/events", &json!({"name": "t.x", "process_on": "P1D"}));
    let id = text(&event.result(), "sys_id");
    let broken = "{\n  \"name\": \"t.bad\",\n  \"parm1\" \"x\"\n}";
    for path in [
        "/api/now/table/incident".to_owned(),
        "/api/now/table/sysevent".to_owned(),
        "/api/events".to_owned(),
        "/api/events/batch".to_owned(),
        format!("/api/events/{id}/move"),
        "/api/scripts/evaluate".to_owned(),
        "/api/registrations/incident.commented/move".to_owned(),
        "/api/queues/default/resume".to_owned(),
    ] {
        let (status, code, message, detail) =
            refusal(&house.admin.send("POST", &path, &[], Some(broken)));
        assert_eq!((status, code.as_str()), (400, "bad_json"), "{path}");
        assert_eq!(message, "Exception while reading request", "{path}");
        assert!(detail.contains("line 3, column 11"), "{path}: {detail}");
    }
    let lines = "{\"name\":\"t.bad\"}\n{\"name\":\n";
    let kind = [("content-type", "application/x-ndjson")];
    let (_, code, _, detail) =
        refusal(&house.admin.send("POST", "/api/events/batch", &kind, Some(lines)));
    assert_eq!(code, "bad_json");
    assert!(detail.contains("line 2"), "{detail}");
    for body in ["[]", "7", "\"x\"", "null"] {
        let (status, code, _, detail) =
            refusal(&house.admin.send("POST", "/api/events", &[], Some(body)));
        assert_eq!((status, code.as_str()), (400, "bad_json"), "{body}");
        assert!(detail.contains("object"), "{detail}");
    }
    assert_eq!(house.admin.count("sysevent", "name=t.bad"), 0);
    assert_eq!(house.admin.count("incident", ""), 0);
}

#[test]
fn json_that_nests_too_deep_is_refused_at_every_door_with_place_and_limit() {
    let house = House::new();
    let nested = |levels: usize| {
        let open = format!("{{\"name\":\"t.deep\",\"parm1\":{}", "[".repeat(levels));
        format!("{open}{}}}", "]".repeat(levels))
    };
    for path in [
        "/api/now/table/incident",
        "/api/now/table/sysevent",
        "/api/events",
        "/api/events/batch",
        "/api/scripts/evaluate",
    ] {
        for body in [nested(127), nested(100_000), "[".repeat(100_000)] {
            let answer = house.admin.send("POST", path, &[], Some(&body));
            let (status, code, message, detail) = refusal(&answer);
            assert_eq!((status, code.as_str()), (400, "bad_json"), "{path}");
            assert_eq!(message, "Exception while reading request", "{path}");
            let expected = "objects and arrays nest deeper than 127 levels (line 1, column ";
            assert!(detail.contains(expected), "{path}: {detail}");
        }
    }
    let lines = format!("{{\"name\":\"t.a\"}}\n{}\n", nested(127));
    let kind = [("content-type", "application/x-ndjson")];
    let (_, code, _, detail) =
        refusal(&house.admin.send("POST", "/api/events/batch", &kind, Some(&lines)));
    assert_eq!(code, "bad_json");
    assert!(detail.contains("deeper than 127 levels") && detail.contains("line 2"), "{detail}");
    assert_eq!(house.admin.send("POST", "/api/events", &[], Some(&nested(126))).status, 202);
}

#[test]
fn a_mark_of_the_encoding_in_front_of_a_body_is_skipped() {
    let house = House::new();
    let marked = |text: &str| format!("\u{feff}{text}");
    for (path, body, status) in [
        ("/api/now/table/incident", "{\"short_description\":\"marked\"}", 201),
        ("/api/events", "{\"name\":\"t.marked\"}", 202),
    ] {
        let answer = house.admin.send("POST", path, &[], Some(&marked(body)));
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
    let kind = [("content-type", "application/x-ndjson")];
    let lines = marked("{\"name\":\"t.marked\"}\n{\"name\":\"t.marked\"}\n");
    let answer = house.admin.send("POST", "/api/events/batch", &kind, Some(&lines));
    assert!(answer.status < 300, "{}", answer.text);
    assert_eq!(house.admin.count("sysevent", "name=t.marked"), 3);
    assert_eq!(house.admin.count("incident", "short_description=marked"), 1);
}

#[test]
fn a_value_that_is_too_long_names_field_and_limit_and_writes_nothing() {
    let house = House::new();
    let limit = text(
        &house.admin.rows("sys_dictionary", "name=task^element=short_description", "max_length")[0],
        "max_length",
    );
    let long = "ü".repeat(limit.parse::<usize>().unwrap() + 1);
    let incident = house.insert("incident", &json!({"short_description": "fine"}));
    let body = json!({"short_description": long, "impact": "1"});
    let path = format!("/api/now/table/incident/{incident}");
    for (operation, answer) in [
        ("insert", house.admin.post("/api/now/table/incident", &body)),
        ("update", house.admin.patch(&path, &body)),
    ] {
        let (status, code, message, detail) = refusal(&answer);
        assert_eq!(
            (status, code.as_str(), message.as_str()),
            (403, "too_long", "Operation Failed")
        );
        assert!(detail.starts_with(&format!("Error during {operation} of incident (")), "{detail}");
        let whole = answer.json()["error"].to_string();
        assert!(whole.contains("'short_description'"), "{whole}");
        assert!(
            whole.contains(&limit) && whole.contains(&long.chars().count().to_string()),
            "{whole}"
        );
    }
    assert_eq!(house.admin.count("incident", ""), 1);
    let row = house.row("incident", &incident, "short_description,impact,sys_mod_count");
    assert_eq!(row, json!({"short_description": "fine", "impact": "3", "sys_mod_count": "0"}));
    let exact = "ü".repeat(limit.parse().unwrap());
    assert_eq!(house.admin.patch(&path, &json!({"short_description": exact})).status, 200);
}

#[test]
fn parameters_that_are_malformed_are_named() {
    let house = House::new();
    for (parameters, words) in [
        ("sysparm_limit=ten", "`sysparm_limit`: expected a number, got 'ten'"),
        ("sysparm_limit=1.5", "`sysparm_limit`: expected a number, got '1.5'"),
        ("sysparm_offset=x", "`sysparm_offset`: expected a number, got 'x'"),
        (
            "sysparm_display_value=maybe",
            "`sysparm_display_value`: expected true, false or all, got 'maybe'",
        ),
    ] {
        let answer = house.admin.get(&format!("/api/now/table/incident?{parameters}"));
        let (status, code, message, detail) = refusal(&answer);
        assert_eq!(
            (status, code.as_str(), message.as_str()),
            (400, "bad_parameter", "Invalid parameter")
        );
        assert_eq!(detail, words);
    }
    // Unknown ones, and empty ones, are nothing.
    let answer =
        house.admin.get("/api/now/table/incident?sysparm_unknown=1&sysparm_limit=&sysparm_query=");
    assert_eq!(answer.status, 200);
}

#[test]
fn names_of_events_and_queues_are_checked_wherever_they_come_in() {
    let house = House::new();
    for (body, code, words) in [
        (json!({"name": ""}), "name_invalid", "empty"),
        (json!({}), "name_invalid", "`name` is missing"),
        (json!({"name": "x".repeat(101)}), "name_invalid", "the limit is 100"),
        (json!({"name": "a\u{7}b"}), "name_invalid", "control character"),
        (json!({"name": "t.bad", "table": "no_such"}), "table_unknown", "no_such"),
        (json!({"name": "t.bad", "queue": "My Queue"}), "queue_invalid", "my_queue"),
        (json!({"name": "t.bad", "queue": "9lives"}), "queue_invalid", "9lives"),
        (json!({"name": "t.bad", "queue": "q".repeat(101)}), "queue_invalid", "100"),
        (json!({"name": "t.bad", "parm1": "x".repeat(65_537)}), "value_too_long", "65536"),
        (json!({"name": "t.bad", "parm2": ["x".repeat(65_537)]}), "value_too_long", "parm2"),
        (json!({"name": "t.bad", "instance": "i".repeat(1000)}), "value_too_long", "instance"),
        (json!({"name": "t.bad", "dedupe_key": "k".repeat(101)}), "value_too_long", "100"),
        (json!({"name": "t.bad", "parm_1": "x"}), "unknown_member", "did you mean 'parm1'"),
        (json!({"nmae": "t.bad"}), "unknown_member", "did you mean 'name'"),
        (json!({"name": "t.bad", "proces_on": "x"}), "unknown_member", "did you mean 'process_on'"),
    ] {
        let answer = house.admin.post("/api/events", &body);
        let (status, found, _, detail) = refusal(&answer);
        assert_eq!((status, found.as_str()), (422, code), "{detail}");
        assert!(detail.contains(words), "{words}: {detail}");
        let batch =
            house.admin.post("/api/events/batch", &json!({"events": [{"name": "t.bad"}, body]}));
        assert_eq!(batch.status, 422);
        assert_eq!(batch.json()["error"]["items"][0]["index"], 1);
    }
    for (body, words) in [
        (json!({"name": 7}), "`name`"),
        (json!({"name": "t.bad", "table": 7}), "`table`"),
        (json!({"name": "t.bad", "process_on": "soon"}), "'soon'"),
        (json!({"name": "t.bad", "process_on": "P1Y"}), "'P1Y'"),
        (json!({"name": "t.bad", "priority": "high"}), "`priority`"),
        (json!({"name": "t.bad", "priority": -1}), "`priority`"),
        (json!({"name": "t.bad", "priority": 1_000_001}), "1000001"),
    ] {
        let (status, code, _, detail) = refusal(&house.admin.post("/api/events", &body));
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{body}: {detail}");
        assert!(detail.contains(words), "{words}: {detail}");
    }
    assert_eq!(house.admin.count("sysevent", "name=t.bad"), 0);

    for (table, body, words) in [
        ("sysevent_queue", json!({"queue": "My Queue"}), "my_queue"),
        ("sysevent_register", json!({"event_name": "t.reg", "queue": "My Queue"}), "my_queue"),
        ("sysevent_queue", json!({"queue": "seq", "processing_order": "in turn"}), "sequential"),
    ] {
        let answer = house.admin.post(&format!("/api/now/table/{table}"), &body);
        assert!(matches!(answer.status, 403 | 422), "{table}: {}", answer.text);
        assert!(answer.text.contains(words), "{table}: {}", answer.text);
    }
    assert_eq!(house.admin.count("sysevent_register", "event_name=t.reg"), 0);
}

#[test]
fn an_event_name_that_must_be_registered_is_refused_with_the_nearest_one() {
    let house = House::new();
    house.property("campanile.events.require_registration", "true");
    let (status, code, _, detail) =
        refusal(&house.admin.post("/api/events", &json!({"name": "Incident.Commented"})));
    assert_eq!((status, code.as_str()), (422, "name_unregistered"));
    assert!(detail.contains("did you mean 'incident.commented'"), "{detail}");
    let registration = house.id_of("sysevent_register", "event_name=incident.commented");
    let path = format!("/api/now/table/sysevent_register/{registration}");
    house.admin.patch(&path, &json!({"active": "false"})).result();
    let answer = house.admin.post("/api/events", &json!({"name": "incident.commented"}));
    assert_eq!(refusal(&answer).1, "registration_inactive");
    assert_eq!(house.admin.count("sysevent", "nameLIKEcommented"), 0);
}

#[test]
fn a_method_that_an_address_does_not_know_is_405_and_tells_which_it_knows() {
    let house = House::new();
    let id = "00000000000000000000000000000000";
    for (method, path, allowed) in [
        ("DELETE", "/api/now/table/incident".to_owned(), "GET, HEAD, POST"),
        ("PATCH", "/api/now/table/incident".to_owned(), "GET, HEAD, POST"),
        ("POST", format!("/api/now/table/incident/{id}"), "GET, HEAD, PUT, PATCH, DELETE"),
        ("DELETE", "/api/events".to_owned(), "GET, HEAD, POST"),
        ("GET", "/api/events/batch".to_owned(), "POST"),
        ("DELETE", format!("/api/events/{id}"), "GET, HEAD"),
        ("GET", format!("/api/events/{id}/move"), "POST"),
        ("GET", "/api/scripts/evaluate".to_owned(), "POST"),
        ("POST", "/api/version".to_owned(), "GET, HEAD"),
        ("POST", "/readyz".to_owned(), "GET, HEAD"),
    ] {
        let answer = house.admin.send(method, &path, &[], None);
        let (status, code, message, detail) = refusal(&answer);
        assert_eq!((status, code.as_str()), (405, "method"), "{method} {path}");
        assert_eq!(message, "Method not supported");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        assert!(detail.contains(allowed), "{detail}");
        assert_eq!(house.server.anonymous().send(method, &path, &[], None).status, 401);
    }
}

#[test]
fn types_that_are_not_spoken_are_refused_by_the_events_api_too() {
    let house = House::new();
    for path in ["/api/events", "/api/events/batch", "/api/scripts/evaluate"] {
        let plain = [("content-type", "text/plain")];
        let answer = house.admin.send("POST", path, &plain, Some("name=x"));
        assert_eq!(refusal(&answer).1, "media_type", "{path}");
        assert_eq!(answer.status, 415, "{path}");
    }
    for path in ["/api/events", "/api/now/table/incident"] {
        let answer = house.admin.send("GET", path, &[("accept", "text/csv")], None);
        assert_eq!(refusal(&answer).0, 406, "{path}");
    }
}

#[test]
fn a_script_that_does_not_parse_is_told_when_it_is_saved() {
    let house = House::new();
    let script = "var a = 1;\nif (a {\n}\n";
    for (table, body) in [
        (
            "sys_script",
            json!({"name": "broken", "collection": "incident", "when": "before", "script": script}),
        ),
        (
            "sysevent_script_action",
            json!({"name": "broken", "event_name": "t.x", "script": script}),
        ),
        (
            "sysevent_script_action",
            json!({"name": "broken", "event_name": "t.x", "script": "1;", "condition_script": script}),
        ),
    ] {
        let answer = house.admin.post(&format!("/api/now/table/{table}"), &body);
        let (status, code, message, _) = refusal(&answer);
        assert_eq!(
            (status, code.as_str(), message.as_str()),
            (403, "definition_invalid", "Operation Failed")
        );
        assert!(
            answer.text.contains("line 2") && answer.text.contains("column"),
            "{}",
            answer.text
        );
        assert_eq!(house.admin.count(table, "name=broken"), 0);
    }
    let action = house.handler("t.x", "fine", "gs.log('x');");
    let path = format!("/api/now/table/sysevent_script_action/{action}");
    assert_eq!(refusal(&house.admin.patch(&path, &json!({"script": script}))).0, 403);
    assert_eq!(house.row("sysevent_script_action", &action, "script")["script"], "gs.log('x');");
}

#[test]
fn every_refusal_points_to_a_page_that_exists() {
    let house = House::new();
    for answer in [
        house.admin.get("/api/now/table/no_such"),
        house.admin.get("/api/nothing"),
        house.admin.post("/api/events", &json!({"name": ""})),
        house.admin.send("POST", "/api/events", &[], Some("{")),
        house.server.anonymous().get("/api/events"),
    ] {
        let help = text(&answer.json()["error"], "help");
        assert!(crate::harness::root().join(&help).is_file(), "{help}");
    }
}

/// However many slow rules run, whoever only reads goes on.
#[test]
fn endless_rules_on_all_script_threads_do_not_stop_reads() {
    let server = crate::harness::Server::start();
    let admin = server.admin();
    let limit = json!({"name": "campanile.script.business_rule.max_ms", "value": "2000"});
    admin.post("/api/now/table/sys_properties", &limit).result();
    admin
        .post(
            "/api/now/table/sys_script",
            &json!({
                "name": "endless", "collection": "incident", "when": "before", "active": "true",
                "advanced": "true", "action_insert": "true",
                "filter_condition": "short_description=ENDLESS", "script": "for (;;) {}",
            }),
        )
        .result();
    let ended = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // More than there are script threads, each occupied for two seconds.
        for _ in 0..16 {
            let (client, ended) = (admin.clone(), &ended);
            scope.spawn(move || {
                let body = json!({"short_description": "ENDLESS"});
                let answer = client.post("/api/now/table/incident", &body);
                ended.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert!(answer.status >= 400, "{}", answer.text);
            });
        }
        let mut reads = 0;
        while ended.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            assert_eq!(admin.get("/api/now/table/incident?sysparm_limit=1").status, 200);
            reads += 1;
        }
        // Had they queued behind the rules, hardly one would have been answered before the first rule ended.
        assert!(reads >= 20, "only {reads} reads were answered while rules ran");
    });
}
