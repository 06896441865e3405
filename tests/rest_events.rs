//! The events API: fire, wait, batch, read, act, explain (rest-api RA-53–RA-57, RA-66, §17).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Server;
use crate::people::{House, refusal, text};

const EVENTS: &str = "/api/events";

#[test]
fn ra_53_an_accepted_event_survives_the_kill_that_follows_the_202() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let house = House::on(Server::start_on(&data, &[]));
    let publisher = house.person("pub", &["event_publisher"]);
    house.handler("incident.commented", "Log comment", "gs.log('handled ' + event.parm1, 'ra53');");
    let accepted = publisher.post(EVENTS, &json!({"name": "incident.commented", "parm1": "one"}));
    house.server.kill();
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = text(&accepted.result(), "sys_id");
    assert_eq!(accepted.header("location"), Some(format!("{EVENTS}/{id}").as_str()));

    let house = House::on(Server::start_on(&data, &[]));
    house.admin.wait_until_drained();
    assert_eq!(house.row("sysevent", &id, "state")["state"], "processed");
    let runs = format!("event={id}^handler_name=Log comment^outcome=succeeded");
    assert_eq!(house.admin.count("sysevent_handler_run", &runs), 1);
    assert_eq!(house.admin.count("syslog", "source=ra53"), 1);
}

#[test]
fn ra_54_a_publisher_fires_and_others_do_not() {
    let house = House::new();
    let publisher = house.person("pub", &["event_publisher"]);
    let joe = house.person("joe", &[]);
    let body = json!({"name": "incident.commented"});
    let fired = publisher.post(EVENTS, &body);
    assert_eq!(fired.status, 202);
    let result = fired.result();
    assert_eq!(
        result,
        json!({"sys_id": result["sys_id"], "name": "incident.commented", "state": "ready", "queue": "",
               "duplicate": false, "registered": true})
    );
    let (status, code, message, _) = refusal(&joe.post(EVENTS, &body));
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (403, "not_allowed", "User Not Authorized")
    );
    assert_eq!(house.admin.count("sysevent", "name=incident.commented"), 1);
    // A registration may let others fire its event, and nothing else.
    let registration = house.id_of("sysevent_register", "event_name=incident.commented");
    let path = format!("/api/now/table/sysevent_register/{registration}");
    house.admin.patch(&path, &json!({"publish_roles": "itil"})).result();
    let beth = house.person("beth", &["itil"]);
    assert_eq!(beth.post(&format!("{EVENTS}?wait=60s"), &body).status, 200);
    assert_eq!(joe.post(EVENTS, &body).status, 403);
    assert_eq!(beth.post(EVENTS, &json!({"name": "incident.assigned"})).status, 403);
    assert_eq!(beth.get(EVENTS).status, 403);
    let mixed = json!({"events": [{"name": "incident.commented"}, {"name": "incident.assigned"}]});
    assert_eq!(beth.post("/api/events/batch", &mixed).status, 403);
}

#[test]
fn ra_55_waiting_ends_with_the_event_or_with_patience() {
    let house = House::new();
    let publisher = house.person("pub", &["event_publisher"]);
    house.handler("t.quick", "Quick", "gs.sleep(50); gs.log('done', 'ra55');");
    house.handler("t.slow", "Slow", "gs.sleep(2500); gs.log('done', 'ra55');");
    let began = Instant::now();
    let quick = publisher.post(&format!("{EVENTS}?wait=30s"), &json!({"name": "t.quick"}));
    assert_eq!(quick.status, 200, "{}", quick.text);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let event = quick.result();
    assert_eq!(event["state"], "processed");
    let runs = event["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{event}");
    let run = &runs[0];
    assert_eq!(
        (&run["kind"], &run["name"], &run["outcome"]),
        (&json!("script_action"), &json!("Quick"), &json!("succeeded"))
    );
    assert!(run["duration_ms"].as_i64().unwrap() >= 50, "{run}");
    assert_eq!(run["error"], Value::Null);
    assert!(run["log"].to_string().contains("done"), "{run}");

    let began = Instant::now();
    let slow =
        publisher.send("POST", EVENTS, &[("prefer", "wait=1")], Some(r#"{"name":"t.slow"}"#));
    assert_eq!(slow.status, 202, "{}", slow.text);
    assert!(began.elapsed() >= Duration::from_secs(1));
    let event = slow.result();
    assert_eq!(event["waited"], true);
    assert!(event.get("runs").is_none(), "{event}");
    house.admin.wait_until_drained();
    let id = text(&event, "sys_id");
    assert_eq!(house.row("sysevent", &id, "state")["state"], "processed");

    // For later: at once. Ended in error: still 200, unless that is to fail.
    let later = publisher
        .post(&format!("{EVENTS}?wait=30s"), &json!({"name": "t.quick", "process_on": "PT1H"}));
    assert_eq!((later.status, &later.result()["state"]), (202, &json!("ready")));
    house.handler("t.fail", "Fails", "throw new Error('no luck');");
    let failed = publisher.post(&format!("{EVENTS}?wait=30s"), &json!({"name": "t.fail"}));
    assert_eq!((failed.status, &failed.result()["state"]), (200, &json!("error")));
    let path = format!("{EVENTS}?wait=30s&fail_on_error=true");
    let (status, code, _, detail) = refusal(&publisher.post(&path, &json!({"name": "t.fail"})));
    assert_eq!((status, code.as_str()), (424, "event_failed"));
    assert!(detail.contains("handler_failed") || detail.contains("Fails"), "{detail}");
    let (status, _, _, detail) =
        refusal(&publisher.post(&format!("{EVENTS}?wait=long"), &json!({"name": "t.quick"})));
    assert_eq!(status, 400);
    assert!(detail.contains("wait") && detail.contains("long"), "{detail}");
}

#[test]
fn ra_56_a_batch_is_stored_whole_or_as_far_as_it_is_good() {
    let house = House::new();
    let publisher = house.person("pub", &["event_publisher"]);
    let mut events: Vec<Value> =
        (0..500).map(|at| json!({"name": "t.batch", "parm1": at})).collect();
    events[123]["name"] = json!("x".repeat(101));
    let atomic = publisher.post("/api/events/batch", &json!({"events": events}));
    let (status, code, _, _) = refusal(&atomic);
    assert_eq!((status, code.as_str()), (422, "batch_refused"));
    assert!(atomic.text.contains("1 of the events was refused"), "{}", atomic.text);
    let items = atomic.json()["error"]["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 1);
    assert_eq!((&items[0]["index"], &items[0]["code"]), (&json!(123), &json!("name_invalid")));
    assert!(text(&items[0], "detail").contains("100"), "{items}");
    assert_eq!(house.admin.count("sysevent", "name=t.batch"), 0);

    let loose = publisher.post("/api/events/batch", &json!({"events": events, "atomic": false}));
    assert_eq!(loose.status, 202, "{}", loose.text);
    let result = loose.result();
    assert_eq!(
        (&result["accepted"], &result["rejected"], &result["duplicates"]),
        (&json!(499), &json!(1), &json!(0))
    );
    let stored = result["events"].as_array().unwrap();
    assert_eq!(stored.len(), 499);
    assert!(stored.iter().all(|event| event["index"] != 123));
    assert_eq!(result["errors"][0]["index"], 123);
    assert_eq!(house.admin.count("sysevent", "name=t.batch"), 499);
    // Order of arrival is the order of the members.
    let parms: Vec<i64> = house
        .admin
        .rows("sysevent", "name=t.batch^ORDERBYsequence", "parm1")
        .iter()
        .map(|row| text(row, "parm1").parse().unwrap())
        .collect();
    let expected: Vec<i64> = (0..500).filter(|at| *at != 123).collect();
    assert_eq!(parms, expected);

    // As lines, with minimal answers; and when nothing is good.
    let lines = "{\"name\":\"t.line\"}\n\n{\"name\":\"\"}\n{\"name\":\"t.line\"}\n";
    let headers = [("content-type", "application/x-ndjson"), ("prefer", "return=minimal")];
    let path = "/api/events/batch?atomic=false";
    let answer = publisher.send("POST", path, &headers, Some(lines));
    assert_eq!(answer.result(), json!({"accepted": 2, "duplicates": 0, "rejected": 1}));
    let none = json!({"events": [{"name": ""}, {"nam": "x"}, 7], "atomic": false});
    let answer = publisher.post("/api/events/batch", &none);
    assert_eq!(refusal(&answer).0, 422);
    let codes: Vec<String> = answer.json()["error"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(item, "code"))
        .collect();
    assert_eq!(codes, ["name_invalid", "unknown_member", "bad_json"]);
    let many = vec![json!({"name": "t.many"}); 10_001];
    let (status, code, _, detail) =
        refusal(&publisher.post("/api/events/batch", &json!({"events": many})));
    assert_eq!((status, code.as_str()), (413, "batch_too_large"));
    assert!(detail.contains("10000"), "{detail}");
    let heavy = json!({"events": [{"name": "t.many", "parm1": "x".repeat(17 << 20)}]});
    assert_eq!(refusal(&publisher.post("/api/events/batch", &heavy)).1, "batch_too_large");
    assert_eq!(house.admin.count("sysevent", "name=t.many"), 0);
}

#[test]
fn ra_57_a_key_stands_for_one_event() {
    let house = House::new();
    let publisher = house.person("pub", &["event_publisher"]);
    let key = [("idempotency-key", "order 17")];
    let body = json!({"name": "t.once", "parm1": "a"}).to_string();
    let statuses: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (client, body) = (publisher.clone(), &body);
                scope.spawn(move || {
                    let answer = client.send("POST", EVENTS, &key, Some(body));
                    (answer.status, answer.json())
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let first: Vec<_> = statuses.iter().filter(|(status, _)| *status == 202).collect();
    assert_eq!(first.len(), 1, "{statuses:?}");
    let id = &first[0].1["result"]["sys_id"];
    for (status, body) in &statuses {
        match status {
            202 => assert_eq!(body["result"]["duplicate"], false),
            200 => {
                assert_eq!(body["result"]["duplicate"], true);
                assert_eq!(&body["result"]["sys_id"], id);
            }
            409 => assert_eq!(body["error"]["code"], "key_in_use"),
            other => panic!("{other}: {body}"),
        }
    }
    let again = publisher.send("POST", EVENTS, &key, Some(&body));
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    let other = json!({"name": "t.once", "parm1": "b"}).to_string();
    let (status, code, _, detail) = refusal(&publisher.send("POST", EVENTS, &key, Some(&other)));
    assert_eq!((status, code.as_str()), (422, "key_reused"));
    assert!(detail.contains("order 17"), "{detail}");
    assert_eq!(house.admin.count("sysevent", "name=t.once"), 1);
    // The key in the body is the same key; another user's is another; both and different is refused.
    let in_body = json!({"name": "t.once", "parm1": "a", "dedupe_key": "order 17"});
    assert_eq!(publisher.post(EVENTS, &in_body).status, 200);
    assert_eq!(house.admin.post(EVENTS, &in_body).status, 202);
    let twice =
        publisher.send("POST", EVENTS, &[("idempotency-key", "x")], Some(&in_body.to_string()));
    assert_eq!(refusal(&twice).1, "key_reused");
    // A refused call leaves its key free.
    let fresh = [("idempotency-key", "fresh")];
    let bad = json!({"name": "", "parm1": "a"}).to_string();
    assert_eq!(publisher.send("POST", EVENTS, &fresh, Some(&bad)).status, 422);
    assert_eq!(publisher.send("POST", EVENTS, &fresh, Some(&body)).status, 202);
    let long = "k".repeat(101);
    let answer = publisher.send("POST", EVENTS, &[("idempotency-key", &long)], Some(&body));
    assert_eq!(refusal(&answer).0, 422);
    // In a batch a repeated key is a duplicate of the event before.
    let batch = json!({"events": [
        {"name": "t.twin", "dedupe_key": "twin"}, {"name": "t.twin", "dedupe_key": "twin"}]});
    let result = publisher.post("/api/events/batch", &batch).result();
    assert_eq!((&result["accepted"], &result["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(result["events"][0]["sys_id"], result["events"][1]["sys_id"]);
    assert_eq!(result["events"][1]["duplicate"], true);
}

#[test]
fn an_event_is_fired_by_form_and_by_every_type_of_value() {
    let house = House::new();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "name=t.form&parm1=a%20b+c&parm2=%7B%7D";
    let fired = house.admin.send("POST", "/api/v1/events?wait=60s", &form, Some(body));
    assert_eq!(fired.status, 200, "{}", fired.text);
    let event = fired.result();
    assert_eq!((&event["parm1"], &event["parm2"]), (&json!("a b c"), &json!("{}")));
    assert_eq!((&event["registered"], &event["priority"]), (&json!(false), &json!(100)));
    assert!(text(&event, "created").ends_with('Z'), "{event}");
    for (given, kept) in [
        (json!("x"), "x"),
        (json!(3), "3"),
        (json!(1.5), "1.5"),
        (json!(true), "true"),
        (json!(null), ""),
        (json!({"percent": 97, "of": ["/var"]}), r#"{"percent":97,"of":["/var"]}"#),
        (json!([1, null]), "[1,null]"),
    ] {
        let event = house.fired(&json!({"name": "t.types", "parm1": given}));
        assert_eq!(event["parm1"], kept, "{given}");
    }
    let minimal = [("prefer", "return=minimal")];
    let answer = house.admin.send("POST", EVENTS, &minimal, Some(r#"{"name":"t.types"}"#));
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert!(answer.header("location").unwrap().starts_with("/api/events/"));
    let whole = [("prefer", "return=representation")];
    let answer = house.admin.send("POST", EVENTS, &whole, Some(r#"{"name":"t.types"}"#));
    assert_eq!(answer.status, 202);
    assert!(answer.result()["links"]["explain"].is_string());
    // Its own priority and a time: the administrator of events may.
    let body = json!({"name": "t.later", "priority": 5, "process_on": "2099-01-01T00:00:00Z"});
    let id = text(&house.admin.post(EVENTS, &body).result(), "sys_id");
    let event = house.admin.get(&format!("{EVENTS}/{id}")).result();
    assert_eq!((&event["priority"], &event["scheduled"]), (&json!(5), &json!(true)));
    assert_eq!(event["process_on"], "2099-01-01T00:00:00.000Z");
}

#[test]
fn an_event_may_wait_for_the_end_of_the_year_9999_and_no_longer() {
    let house = House::new();
    let fire = |process_on: &str| {
        house.admin.post(EVENTS, &json!({"name": "t.never", "process_on": process_on}))
    };
    for last in ["9999-12-31T23:59:59Z", "9999-12-31 23:59:59"] {
        let id = text(&fire(last).result(), "sys_id");
        let event = house.admin.get(&format!("{EVENTS}/{id}")).result();
        assert_eq!(event["process_on"], "9999-12-31T23:59:59.000Z");
        assert_eq!((&event["state"], &event["scheduled"]), (&json!("ready"), &json!(true)));
        // A zone far from UTC has no text for that moment, and the list is shown all the same.
        let shown = house.admin.get(&format!(
            "/api/now/table/sysevent/{id}?sysparm_display_value=all&sysparm_fields=process_on"
        ));
        assert_eq!(shown.result()["process_on"]["value"], "9999-12-31 23:59:59");
        let path = format!("{EVENTS}/{id}/reschedule");
        house.admin.post(&path, &json!({"process_on": "9999-12-31T00:00:00Z"})).result();
        let (status, _, _, detail) =
            refusal(&house.admin.post(&path, &json!({"process_on": "P9999999D"})));
        assert_eq!(status, 400);
        assert!(detail.contains("after the year 9999"), "{detail}");
    }
    for (far, words) in [
        ("P9999999D", "after the year 9999"),
        ("PT99999999999999999999S", "after the year 9999"),
        ("10000-01-01T00:00:00Z", "expected a time"),
    ] {
        let (status, code, _, detail) = refusal(&fire(far));
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{far}");
        assert!(detail.contains(words), "{far}: {detail}");
        let batch = json!({"events": [{"name": "t.never", "process_on": far}]});
        let answer = house.admin.post("/api/events/batch", &batch);
        assert_eq!(refusal(&answer).0, 422, "{far}");
    }
    assert_eq!(house.admin.count("sysevent", "name=t.never"), 2);
}
