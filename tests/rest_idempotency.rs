//! `Idempotency-Key` on a POST of the Table API and of a batch of events (rest-api §23): one row for one key, whatever happens in between.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, wait_until};
use crate::people::{House, refusal, text};

const INCIDENTS: &str = "/api/now/table/incident";
const EVENT_ROWS: &str = "/api/now/table/sysevent";

fn post(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send("POST", path, &[("idempotency-key", key)], Some(&body.to_string()))
}

#[test]
fn a_repeated_insert_is_answered_as_the_first_byte_for_byte() {
    let house = House::new();
    let body = json!({"short_description": "once", "impact": "1"});
    let path = format!("{INCIDENTS}?sysparm_display_value=all");
    let first = post(&house.admin, &path, "order 17", &body);
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(first.header("idempotency-replayed"), None);
    let id = text(&first.result()["sys_id"], "value");
    let known = |answer: &Answer| {
        assert_eq!((answer.status, &answer.text), (201, &first.text));
        for name in ["location", "etag", "content-type"] {
            assert_eq!(answer.header(name), first.header(name), "{name}");
        }
        assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    };
    known(&post(&house.admin, &path, "order 17", &body));
    // Also when the row has changed since, or is gone.
    let row = format!("{INCIDENTS}/{id}");
    house.admin.patch(&row, &json!({"short_description": "changed"})).result();
    known(&post(&house.admin, &path, "order 17", &body));
    assert_eq!(house.admin.delete(&row).status, 204);
    known(&post(&house.admin, &path, "order 17", &body));
    assert_eq!(house.admin.count("incident", ""), 0);

    // The same key for something else: another body, another address, another table.
    let other = json!({"short_description": "twice"});
    for (path, body) in
        [(path.as_str(), &other), (INCIDENTS, &body), ("/api/now/table/problem", &body)]
    {
        let (status, code, _, detail) = refusal(&post(&house.admin, path, "order 17", body));
        assert_eq!((status, code.as_str()), (422, "key_reused"), "{path}");
        assert!(detail.contains("'order 17'") && !detail.contains("u:admin"), "{detail}");
    }
    // Keys belong to their user.
    let beth = house.person("beth", &["itil"]);
    let hers = post(&beth, &path, "order 17", &other);
    assert_eq!((hers.status, hers.header("idempotency-replayed")), (201, None));
    assert_eq!(house.admin.count("incident", "short_description=twice"), 1);
    // Without a body in the answer, twice.
    let quiet = [("idempotency-key", "quiet"), ("x-no-response-body", "true")];
    let send = || house.admin.send("POST", INCIDENTS, &quiet, Some(&body.to_string()));
    let (one, two) = (send(), send());
    assert_eq!((one.status, one.text.as_str()), (201, ""));
    assert_eq!((two.status, two.text.as_str()), (201, ""));
    assert_eq!(one.header("location"), two.header("location"));
    assert_eq!(house.admin.count("incident", "short_description=once"), 1);
}

#[test]
fn a_call_that_failed_leaves_its_key_free() {
    let house = House::new();
    house.insert(
        "sys_script",
        &json!({
            "name": "No test virus", "collection": "incident", "when": "before", "active": "true",
            "advanced": "true", "action_insert": "true",
            "filter_condition": "short_descriptionLIKEEICAR",
            "script": "current.setAbortAction(true);",
        }),
    );
    let good = json!({"short_description": "fine"});
    let joe = house.person("joe", &[]);
    assert_eq!(post(&joe, INCIDENTS, "k", &good).status, 403);
    for (path, bad, status) in [
        (INCIDENTS, json!({"short_description": "EICAR"}), 403),
        (INCIDENTS, json!({"sys_id": "short"}), 400),
        ("/api/now/table/no_such", good.clone(), 400),
    ] {
        assert_eq!(post(&house.admin, path, "k", &bad).status, status, "{path} {bad}");
    }
    let broken = house.admin.send("POST", INCIDENTS, &[("idempotency-key", "k")], Some("{"));
    assert_eq!(broken.status, 400);
    let made = post(&house.admin, INCIDENTS, "k", &good);
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, None));
    assert_eq!(house.admin.count("incident", ""), 1);
    for (key, expected) in [
        ("", (400, "bad_parameter")),
        (&"k".repeat(101), (422, "value_too_long")),
        ("t\tab", (400, "bad_parameter")),
    ] {
        let (status, code, _, detail) = refusal(&post(&house.admin, INCIDENTS, key, &good));
        assert_eq!((status, code.as_str()), expected, "{key}");
        assert!(detail.contains("Idempotency-Key") && detail.contains("100"), "{detail}");
    }
    assert_eq!(house.admin.count("incident", ""), 1);
}

#[test]
fn while_the_first_call_runs_the_second_is_told_to_come_again() {
    let house = House::new();
    house.insert(
        "sys_script",
        &json!({
            "name": "Slow", "collection": "incident", "when": "before", "active": "true",
            "advanced": "true", "action_insert": "true", "script": "gs.sleep(1500);",
        }),
    );
    let body = json!({"short_description": "once"});
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..2).map(|_| scope.spawn(|| post(&house.admin, INCIDENTS, "slow", &body))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let in_use = answers.iter().find(|answer| answer.status != 201).unwrap();
    let (status, code, _, detail) = refusal(in_use);
    assert_eq!((status, code.as_str()), (409, "key_in_use"));
    assert_eq!(in_use.header("retry-after"), Some("1"));
    assert!(detail.contains("'slow'"), "{detail}");
    let first = answers.iter().find(|answer| answer.status == 201).unwrap();
    let again = post(&house.admin, INCIDENTS, "slow", &body);
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(house.admin.count("incident", ""), 1);
}

#[test]
fn rows_of_events_and_the_events_api_share_the_keys_of_a_caller() {
    let house = House::new();
    house.handler("t.once", "Counts", "gs.log('handled', 'once');");
    let body = json!({"name": "t.once", "parm1": "a"});
    let first = post(&house.admin, EVENT_ROWS, "k", &body);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None), "{first:?}");
    let id = text(&first.result(), "sys_id");
    house.admin.wait_until_drained();
    let again = post(&house.admin, EVENT_ROWS, "k", &body);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(text(&again.result(), "sys_id"), id);
    assert_eq!(again.header("location"), first.header("location"));
    let by_event = post(&house.admin, "/api/events", "k", &body);
    assert_eq!(by_event.status, 200, "{}", by_event.text);
    assert_eq!(
        (&by_event.result()["duplicate"], text(&by_event.result(), "sys_id")),
        (&json!(true), id)
    );
    house.admin.wait_until_drained();
    assert_eq!(house.admin.count("sysevent", "name=t.once"), 1);
    assert_eq!(house.admin.count("syslog", "source=once"), 1);
    let other = json!({"name": "t.once", "parm1": "b"});
    for (path, body) in [
        (EVENT_ROWS, &other),
        ("/api/events", &other),
        (INCIDENTS, &json!({"short_description": "x"})),
    ] {
        let (status, code, _, detail) = refusal(&post(&house.admin, path, "k", body));
        assert_eq!((status, code.as_str()), (422, "key_reused"), "{path}");
        assert!(detail.contains("'k'"), "{detail}");
    }
    // The other way round: the key of a row is none for an event.
    assert_eq!(post(&house.admin, INCIDENTS, "row", &json!({})).status, 201);
    for path in [EVENT_ROWS, "/api/events"] {
        assert_eq!(refusal(&post(&house.admin, path, "row", &other)).1, "key_reused", "{path}");
    }
    assert_eq!(house.admin.count("sysevent", "name=t.once"), 1);
    assert_eq!(house.admin.count("incident", ""), 1);
}

#[test]
fn a_repeated_batch_stores_its_events_once_and_says_so() {
    let house = House::new();
    let batch = "/api/events/batch";
    let body = json!({"events": [{"name": "t.one"}, {"name": ""}, {"name": "t.two"}],
                      "atomic": false});
    let first = post(&house.admin, batch, "b", &body);
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None), "{first:?}");
    let told = first.result();
    assert_eq!(
        (&told["accepted"], &told["duplicates"], &told["rejected"]),
        (&json!(2), &json!(0), &json!(1))
    );
    house.admin.wait_until_drained();
    // The same events, each of them a duplicate now; what was refused is told as before.
    let mut expected = told.clone();
    (expected["accepted"], expected["duplicates"]) = (json!(0), json!(2));
    for event in expected["events"].as_array_mut().unwrap() {
        event["duplicate"] = json!(true);
    }
    let again = post(&house.admin, batch, "b", &body);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.result(), expected);
    let quiet = [("idempotency-key", "b"), ("prefer", "return=minimal")];
    let again = house.admin.send("POST", batch, &quiet, Some(&body.to_string()));
    assert_eq!(again.result(), json!({"accepted": 0, "duplicates": 2, "rejected": 1}));

    // For something else, of any kind; and the key of something else for a batch.
    let other = json!({"events": [{"name": "t.one"}]});
    let one = json!({"name": "t.one"});
    assert_eq!(post(&house.admin, "/api/events", "single", &one).status, 202);
    for (path, key, body) in [
        (batch, "b", &other),
        ("/api/events", "b", &one),
        (EVENT_ROWS, "b", &one),
        (batch, "single", &other),
        (batch, "own", &json!({"events": [{"name": "t.one", "dedupe_key": "own"}]})),
    ] {
        let (status, code, _, detail) = refusal(&post(&house.admin, path, key, body));
        assert_eq!((status, code.as_str()), (422, "key_reused"), "{path} {key}: {detail}");
        assert!(!detail.contains("u:admin"), "{detail}");
    }
    assert_eq!(house.admin.count("sysevent", "nameSTARTSWITHt."), 3);
    // Keys belong to their user.
    let pub_ = house.person("pub", &["event_publisher"]);
    assert_eq!(post(&pub_, batch, "b", &other).status, 202);
    assert_eq!(house.admin.count("sysevent", "nameSTARTSWITHt."), 4);
}

#[test]
fn a_batch_that_stored_nothing_leaves_its_key_free() {
    let house = House::new();
    let batch = "/api/events/batch";
    let joe = house.person("joe", &[]);
    let good = json!({"events": [{"name": "t.good"}]});
    assert_eq!(post(&joe, batch, "k", &good).status, 403);
    for atomic in [true, false] {
        // Refused as it is read, and as it is resolved.
        for wrong in [json!({"name": 1}), json!({"name": "t.x", "table": "no_such"})] {
            let body = json!({"events": [wrong], "atomic": atomic});
            let answer = post(&house.admin, batch, "k", &body);
            assert_eq!(refusal(&answer).0, 422, "{body}");
            assert_eq!(answer.json()["error"]["items"][0]["index"], 0, "{body}");
        }
    }
    assert_eq!(refusal(&post(&house.admin, batch, &"k".repeat(101), &good)).1, "value_too_long");
    let made = post(&house.admin, batch, "k", &good);
    assert_eq!((made.status, made.header("idempotency-replayed")), (202, None));
    assert_eq!(house.admin.count("sysevent", "nameSTARTSWITHt."), 1);
}

#[test]
fn a_kill_between_leaves_one_row_for_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let body = json!({"short_description": "survivor"});
    for round in 0..4 {
        let house = House::on(Server::start_on(&data, &[]));
        let admin = house.admin.clone();
        let before = house.admin.count("incident", "");
        // Somebody inserts under one key after another until the server is gone; each is tried again later.
        let caller = std::thread::Builder::new().name("caller".into()).spawn({
            let body = body.clone();
            move || {
                let mut answers: Vec<(String, Option<String>)> = Vec::new();
                for number in 0.. {
                    let key = format!("r{round}-{number}");
                    let sent = admin.try_send(
                        "POST",
                        INCIDENTS,
                        &[("idempotency-key", &key)],
                        Some(&body.to_string()),
                    );
                    let told = sent.ok().filter(|answer| answer.status == 201);
                    let ended = told.is_none();
                    answers.push((key, told.map(|answer| answer.text)));
                    if ended {
                        break;
                    }
                }
                answers
            }
        });
        let caller = caller.unwrap();
        let enough = before + 10 + 7 * round;
        wait_until("some rows are there", || house.admin.count("incident", "") >= enough);
        house.server.kill();
        let answers = caller.join().unwrap();

        let house = House::on(Server::start_on(&data, &[]));
        for (key, told) in &answers {
            let again = post(&house.admin, INCIDENTS, key, &body);
            assert_eq!(again.status, 201, "{key}: {}", again.text);
            if let Some(told) = told {
                assert_eq!(&again.text, told, "{key}");
                assert_eq!(again.header("idempotency-replayed"), Some("true"), "{key}");
            }
        }
        let expected = before + u64::try_from(answers.len()).unwrap();
        assert_eq!(house.admin.count("incident", ""), expected, "round {round}");
        assert!(house.server.stop());
    }
}
