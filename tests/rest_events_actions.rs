//! The events API, reading and acting: the list and its cursor, one event, reprocess, move, run now, cancel, explain (rest-api §17.6, §17.7, RA-66).

use serde_json::{Value, json};

use crate::harness::{encode, wait_until};
use crate::people::{House, refusal, text};

const EVENTS: &str = "/api/events";

#[test]
fn ra_66_explain_names_who_did_not_run_and_why() {
    let house = House::new();
    house.handler("t.explained", "Runs", "gs.log('ran', 'ra66');");
    house.insert(
        "sysevent_script_action",
        &json!({
            "name": "Only for three", "event_name": "t.explained", "active": "true",
            "condition_script": "event.parm1 == 3", "script": "gs.log('never', 'ra66');",
        }),
    );
    house.handler("T.Explained", "Other case", "gs.log('never', 'ra66');");
    let event = house.fired(&json!({"name": "t.explained", "parm1": "4"}));
    assert_eq!(event["state"], "processed");
    assert_eq!(event["handlers"], json!({"succeeded": 1, "failed": 0, "skipped": 1}));
    let path = format!("{EVENTS}/{}/explain", text(&event, "sys_id"));
    let explained = house.admin.get(&path).result();
    assert_eq!(explained["event"], event["sys_id"]);
    assert!(text(&explained, "verdict").starts_with("processed"), "{explained}");
    let handlers = explained["handlers"].as_array().unwrap();
    let skipped = handlers.iter().find(|handler| handler["name"] == "Only for three").unwrap();
    assert_eq!(
        (&skipped["outcome"], &skipped["reason"]),
        (&json!("skipped"), &json!("condition_false"))
    );
    assert!(text(skipped, "sentence").contains("event.parm1 is '4'"), "{skipped}");
    let ran = handlers.iter().find(|handler| handler["name"] == "Runs").unwrap();
    assert_eq!(ran["outcome"], "succeeded");
    let near = explained["near_misses"].as_array().unwrap();
    let other = near.iter().find(|miss| miss["name"] == "Other case").unwrap();
    assert_eq!(
        (&other["kind"], &other["reason"]),
        (&json!("script_action"), &json!("name_differs"))
    );
    let sentence = text(other, "sentence");
    assert!(sentence.contains("T.Explained") && sentence.contains("t.explained"), "{sentence}");
    assert!(explained["resolution"]["queue"].is_object(), "{explained}");
    assert_eq!(explained["resolution"]["priority"]["value"].to_string(), "100");
    assert!(!explained["timeline"].as_array().unwrap().is_empty(), "{explained}");
    assert_eq!(house.admin.count("syslog", "source=ra66"), 1);
}

#[test]
fn from_is_the_first_moment_and_to_the_first_one_after() {
    let house = House::new();
    let id = text(&house.fired(&json!({"name": "t.moment"})), "sys_id");
    let created = text(&house.admin.get(&format!("{EVENTS}/{id}")).result(), "created");
    let (second, millis) = created.trim_end_matches('Z').rsplit_once('.').unwrap();
    let millis: i64 = millis.parse().unwrap();
    let found = |bounds: &str| {
        let path = format!("{EVENTS}?query={}&fields=sys_id&{bounds}", encode("name=t.moment"));
        house.admin.get(&path).result().as_array().unwrap().len()
    };
    assert_eq!(found(&format!("from={created}")), 1, "{created} is inside its own from");
    assert_eq!(found(&format!("to={created}")), 0, "{created} is outside its own to");
    // One millisecond further, as far as the second goes.
    if millis < 999 {
        let next = format!("{second}.{:03}Z", millis + 1);
        assert_eq!(found(&format!("from={next}")), 0, "{created} came before {next}");
        assert_eq!(found(&format!("to={next}")), 1, "{created} came before {next}");
        assert_eq!(found(&format!("from={created}&to={next}")), 1);
    }
    if millis > 0 {
        let before = format!("{second}.{:03}Z", millis - 1);
        assert_eq!(found(&format!("from={before}")), 1, "{created} came after {before}");
        assert_eq!(found(&format!("to={before}")), 0, "{created} came after {before}");
    }
}

#[test]
fn the_list_pages_by_cursor_counts_and_refuses_what_it_cannot_read() {
    let house = House::new();
    let events: Vec<Value> = (0..25).map(|at| json!({"name": "t.list", "parm1": at})).collect();
    house.admin.post("/api/events/batch", &json!({"events": events})).result();
    house.admin.wait_until_drained();
    let query = encode("name=t.list");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path =
            format!("{EVENTS}?query={query}&limit=10&count=true&fields=parm1,name&cursor={cursor}");
        let body = house.admin.get(&path).json();
        assert_eq!((&body["page"]["limit"], &body["page"]["total"]), (&json!(10), &json!(25)));
        assert_eq!(body["page"]["order"], "created desc");
        for event in body["result"].as_array().unwrap() {
            let names: Vec<&String> = event.as_object().unwrap().keys().collect();
            assert_eq!(names, ["parm1", "name"]);
            seen.push(text(event, "parm1").parse::<i64>().unwrap());
        }
        // What is fired meanwhile moves no page.
        house.admin.post(EVENTS, &json!({"name": "t.other"})).result();
        match body["page"]["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, (0..25).rev().collect::<Vec<i64>>());
    let own_order = format!(
        "{EVENTS}?sysparm_query={query}%5EORDERBYsequence&sysparm_limit=2&sysparm_offset=1"
    );
    let body = house.admin.get(&own_order).json();
    assert_eq!(body["page"]["order"], "query");
    assert_eq!(
        (&body["result"][0]["parm1"], &body["result"][1]["parm1"]),
        (&json!("1"), &json!("2"))
    );
    let none = house.admin.get(&format!("{EVENTS}?query={query}&to=2001-01-01T00:00:00Z")).json();
    assert_eq!(none["result"], json!([]));
    let all = house.admin.get(&format!("{EVENTS}?query={query}&from=2001-01-01T00:00:00Z")).json();
    assert_eq!(all["result"].as_array().unwrap().len(), 25);

    for (parameters, code, words) in [
        ("query=nofield=1", "bad_query", "nofield"),
        ("query=stateWHATEVER", "bad_query", "stateWHATEVER"),
        ("limit=ten", "bad_parameter", "ten"),
        ("from=yesterday", "bad_parameter", "yesterday"),
        ("cursor=zzz", "bad_parameter", "zzz"),
        ("offset=10001", "bad_parameter", "10000"),
    ] {
        let (status, found, _, detail) =
            refusal(&house.admin.get(&format!("{EVENTS}?{parameters}")));
        assert_eq!((status, found.as_str()), (400, code), "{parameters}");
        assert!(detail.contains(words), "{parameters}: {detail}");
    }
}

#[test]
fn an_event_is_read_with_its_runs_and_its_snapshot() {
    let house = House::new();
    let registration = house.id_of("sysevent_register", "event_name=incident.commented");
    let path = format!("/api/now/table/sysevent_register/{registration}");
    house.admin.patch(&path, &json!({"capture_snapshot": "true"})).result();
    let incident =
        house.insert("incident", &json!({"short_description": "kept", "number": "INC7"}));
    let body = json!({"name": "incident.commented", "table": "incident", "instance": incident});
    let id = text(&house.fired(&body), "sys_id");
    let event = house.admin.get(&format!("{EVENTS}/{id}?include=runs,snapshot")).result();
    assert_eq!(event["snapshot"]["short_description"], "kept");
    assert_eq!(event["descriptive_name"], "INC7");
    assert_eq!(event["user"]["user_name"], "admin");
    assert_eq!(event["source"], "api");
    assert_eq!(event["links"]["record"], format!("/api/now/table/incident/{incident}"));
    assert!(event["runs"].is_array(), "{event}");
    let plain = house.admin.get(&format!("/api/v1/events/{id}")).result();
    assert!(plain.get("runs").is_none() && plain.get("snapshot").is_none(), "{plain}");
    for unknown in ["00000000000000000000000000000000", "nonsense"] {
        let (status, code, _, _) = refusal(&house.admin.get(&format!("{EVENTS}/{unknown}")));
        assert_eq!((status, code.as_str()), (404, "event_unknown"));
    }
}

#[test]
fn events_are_reprocessed_moved_run_now_cancelled_and_each_leaves_a_row() {
    let house = House::new();
    house.handler("t.act", "Counts", "gs.log('ran', 'act');");
    let done = text(&house.fired(&json!({"name": "t.act"})), "sys_id");
    let act = |id: &str, action: &str, body: Value| {
        house.admin.post(&format!("{EVENTS}/{id}/{action}"), &body)
    };
    let again = act(&done, "reprocess", json!({"reason": "once more"}));
    assert_eq!((again.status, &again.result()["epoch"]), (200, &json!(1)));
    house.admin.wait_until_drained();
    assert_eq!(house.admin.count("syslog", "source=act"), 2);
    let (status, code, _, detail) = refusal(&act(&done, "move", json!({"queue": "adaptive"})));
    assert_eq!((status, code.as_str()), (409, "state_conflict"));
    assert!(detail.contains("processed"), "{detail}");

    let later = json!({"name": "t.act", "process_on": "P1D"});
    let id = text(&house.admin.post(EVENTS, &later).result(), "sys_id");
    assert_eq!(act(&id, "move", json!({"queue": "adaptive"})).result()["queue"], "adaptive");
    assert_eq!(refusal(&act(&id, "move", json!({"queue": "no_such"}))).1, "queue_invalid");
    assert_eq!(refusal(&act(&id, "move", json!({}))).1, "bad_parameter");
    assert_eq!(refusal(&act(&id, "reprocess", json!({}))).0, 409);
    let rescheduled = act(&id, "reschedule", json!({"process_on": "2099-01-01T00:00:00Z"}));
    assert_eq!(rescheduled.result()["process_on"], "2099-01-01T00:00:00.000Z");
    assert_eq!(act(&id, "run-now", json!({})).status, 200);
    wait_until("the event that runs now has run", || {
        house.admin.get(&format!("{EVENTS}/{id}")).result()["state"] == "processed"
    });
    let id = text(&house.admin.post(EVENTS, &later).result(), "sys_id");
    assert_eq!(refusal(&act(&id, "cancel", json!({}))).1, "bad_parameter", "a reason is required");
    let cancelled = act(&id, "cancel", json!({"reason": "a mistake"})).result();
    assert_eq!(cancelled["state"], "cancelled");
    let (_, code, _, detail) = refusal(&act(&id, "cancel", json!({"resaon": "x"})));
    assert_eq!(code, "unknown_member");
    assert!(detail.contains("'resaon'") && detail.contains("'reason'"), "{detail}");

    let log = house.admin.rows("sysevent_action_log", "ORDERBYat", "action,user,reason,sys_ids");
    let words: Vec<String> = log.iter().map(|row| text(row, "action")).collect();
    for word in ["reprocess", "move", "reschedule", "run_now", "cancel"] {
        assert_eq!(words.iter().filter(|found| *found == word).count(), 1, "{word}: {words:?}");
    }
    assert!(log.iter().all(|row| row["user"] == "admin"), "{log:?}");
    assert!(
        log.iter()
            .any(|row| text(row, "reason").contains("once more") && row["sys_ids"] == json!(done))
    );
}

#[test]
fn a_kind_of_event_moves_to_the_adaptive_queue_and_back() {
    let house = House::new();
    let later = json!({"name": "incident.commented", "process_on": "P1D"});
    let id = text(&house.admin.post(EVENTS, &later).result(), "sys_id");
    let path = "/api/registrations/incident.commented/move";
    let moved = house.admin.post(path, &json!({"queue": "adaptive"})).result();
    assert_eq!((&moved["moved"], &moved["queue"]), (&json!(1), &json!("adaptive")));
    assert_eq!(house.row("sysevent", &id, "queue")["queue"], "adaptive");
    let back = house.admin.post(path, &json!({"queue": "default"})).result();
    assert_eq!((&back["moved"], &back["queue"]), (&json!(1), &json!("")));
    let (status, _, _, detail) = refusal(&house.admin.post(path, &json!({"queue": "other"})));
    assert_eq!(status, 400);
    assert!(detail.contains("other") && detail.contains("adaptive"), "{detail}");
    let unknown = house.admin.post("/api/registrations/no.such/move", &json!({"queue": "default"}));
    assert_eq!(refusal(&unknown).0, 404);
}
