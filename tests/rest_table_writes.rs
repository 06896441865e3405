//! The Table API, writing: inserts, updates, versions, refusals of rules (rest-api RA-23–RA-36).

use serde_json::{Value, json};

use crate::people::{House, refusal, text};

const INCIDENTS: &str = "/api/now/table/incident";

#[test]
fn ra_23_an_insert_answers_with_what_the_rules_made_of_it() {
    let house = House::new();
    let admin = house.id_of("sys_user", "user_name=admin");
    let body = json!({"short_description": "x", "bunk": 1, "active": true, "impact": 2,
                      "sys_created_by": "somebody", "sys_mod_count": 77});
    let answer = house.admin.post(INCIDENTS, &body);
    assert_eq!(answer.status, 201);
    let row = answer.result();
    let key = text(&row, "sys_id");
    let location = format!("{}{INCIDENTS}/{key}", house.server.url());
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!((text(&row, "active"), text(&row, "impact")), ("true".into(), "2".into()));
    assert!(text(&row, "number").starts_with("INC"), "{row}");
    assert_eq!(row["opened_by"]["value"], admin);
    assert_eq!(text(&row, "sys_created_by"), "admin");
    assert_eq!(text(&row, "sys_mod_count"), "0");
    assert!(!answer.text.contains("bunk"));
    assert!(!house.admin.get(&format!("{INCIDENTS}/{key}")).text.contains("bunk"));
}

#[test]
fn ra_24_an_empty_record_is_a_record() {
    let house = House::new();
    assert_eq!(house.admin.post("/api/now/table/problem", &json!({})).status, 201);
    assert_eq!(house.admin.send("POST", "/api/now/table/problem", &[], Some("")).status, 201);
    assert_eq!(house.admin.send("POST", "/api/now/table/problem", &[], None).status, 201);
    assert_eq!(house.admin.count("problem", ""), 3);
}

#[test]
fn ra_25_a_key_of_the_callers_is_kept_as_spelled_and_taken_once() {
    let house = House::new();
    let key = "AAAABBBBCCCCDDDDEEEEFFFF00001111";
    let body = json!({"sys_id": key, "short_description": "mine"});
    let made = house.admin.post(INCIDENTS, &body);
    assert_eq!((made.status, text(&made.result(), "sys_id").as_str()), (201, key));
    let found = house.admin.get(&format!("{INCIDENTS}/{}", key.to_lowercase())).result();
    assert_eq!(text(&found, "sys_id"), key);
    let (status, code, message, detail) = refusal(&house.admin.post(INCIDENTS, &body));
    assert_eq!((status, code.as_str(), message.as_str()), (403, "duplicate", "Operation Failed"));
    assert!(detail.starts_with("Error during insert of incident ("), "{detail}");
    let other = json!({"sys_id": key.to_lowercase()});
    assert_eq!(refusal(&house.admin.post(INCIDENTS, &other)).0, 403);
    assert_eq!(house.admin.count("incident", ""), 1);
    let (status, _, message, detail) =
        refusal(&house.admin.post(INCIDENTS, &json!({"sys_id": "short"})));
    assert_eq!((status, message.as_str()), (400, "Invalid parameter"));
    assert!(detail.contains("sys_id") && detail.contains("short"), "{detail}");
}

#[test]
fn ra_26_lenient_bodies_are_read_and_broken_ones_refused_with_their_place() {
    let house = House::new();
    let send = |body: &str| house.admin.send("POST", INCIDENTS, &[], Some(body));
    let single = send("{'short_description':'single'}");
    assert_eq!(
        (single.status, text(&single.result(), "short_description").as_str()),
        (201, "single")
    );
    let first = send(r#"[{"short_description":"a"},{"short_description":"b"}]"#);
    assert_eq!((first.status, text(&first.result(), "short_description").as_str()), (201, "a"));
    assert_eq!(house.admin.count("incident", "short_description=b"), 0);
    let (status, code, message, detail) = refusal(&send(r#"{"a":"#));
    assert_eq!((status, code.as_str()), (400, "bad_json"));
    assert_eq!(message, "Exception while reading request");
    assert!(detail.starts_with("The payload is not valid JSON"), "{detail}");
    assert!(detail.contains("line 1, column 5"), "{detail}");
    // What was read can be sent back as it is.
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let back = json!({"caller_id": {"link": "http://x/", "value": abel}, "impact": {"display_value": "x", "value": "1"},
                      "description": {"a": [1, null]}, "urgency": null});
    let row = house.admin.post(INCIDENTS, &back).result();
    assert_eq!(row["caller_id"]["value"], abel);
    assert_eq!(text(&row, "impact"), "1");
    assert_eq!(text(&row, "description"), r#"{"a":[1,null]}"#);
}

#[test]
fn ra_27_types_that_are_not_spoken_here_are_refused() {
    let house = House::new();
    let sent =
        |kind: &str| house.admin.send("POST", INCIDENTS, &[("content-type", kind)], Some("{}"));
    let (status, code, message, detail) = refusal(&sent("text/plain"));
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (415, "media_type", "Unsupported media type")
    );
    assert!(detail.contains("text/plain") && detail.contains("application/json"), "{detail}");
    for kind in ["application/json; charset=utf-8", "application/vnd.api+json", "Application/JSON"]
    {
        assert_eq!(sent(kind).status, 201, "{kind}");
    }
    let accepting = |kind: &str| house.admin.send("GET", INCIDENTS, &[("accept", kind)], None);
    let (status, code, message, detail) = refusal(&accepting("image/png"));
    assert_eq!((status, code.as_str(), message.as_str()), (406, "media_type", "Not acceptable"));
    assert!(detail.contains("image/png") && detail.contains("application/json"), "{detail}");
    for kind in ["*/*", "application/json", "text/html, application/*;q=0.5", "image/png,*/*;q=0.1"]
    {
        assert_eq!(accepting(kind).status, 200, "{kind}");
    }
    assert_eq!(accepting("application/json;q=0").status, 406);
}

#[test]
fn ra_28_a_rule_that_aborts_names_itself_and_leaves_the_row_alone() {
    let house = House::new();
    let rule = house.insert(
        "sys_script",
        &json!({
            "name": "No test virus", "collection": "incident", "when": "before", "active": "true",
            "advanced": "true", "action_insert": "true", "action_update": "true",
            "filter_condition": "short_descriptionLIKEEICAR",
            "script": "gs.addErrorMessage('not this text'); current.setAbortAction(true);",
        }),
    );
    let incident = house.insert("incident", &json!({"short_description": "fine"}));
    let path = format!("{INCIDENTS}/{incident}");
    let answer = house.admin.patch(&path, &json!({"short_description": "an EICAR", "impact": "1"}));
    let (status, code, message, detail) = refusal(&answer);
    assert_eq!((status, code.as_str(), message.as_str()), (403, "aborted", "Operation Failed"));
    assert_eq!(
        detail,
        format!(
            "Operation against file 'incident' was aborted by Business Rule 'No test virus^{rule}'. \
             Business Rule Stack:No test virus"
        )
    );
    assert_eq!(answer.json()["error"]["messages"], json!(["not this text"]));
    let row = house.row("incident", &incident, "short_description,impact,sys_mod_count");
    assert_eq!(row, json!({"short_description": "fine", "impact": "3", "sys_mod_count": "0"}));
    let refused = house.admin.post(INCIDENTS, &json!({"short_description": "EICAR"}));
    assert_eq!(refusal(&refused).1, "aborted");
    assert_eq!(house.admin.count("incident", ""), 1);
}

#[test]
fn ra_29_what_changes_nothing_does_nothing() {
    let house = House::new();
    house.insert(
        "sys_script",
        &json!({
            "name": "Witness", "collection": "incident", "when": "after", "active": "true",
            "advanced": "true", "action_update": "true", "script": "gs.log('ran', 'witness');",
        }),
    );
    house.insert(
        "sys_script",
        &json!({
            "name": "Witness before", "collection": "incident", "when": "before", "active": "true",
            "advanced": "true", "action_update": "true",
            "script": "gs.log('ran', 'witness'); gs.eventQueue('t.witness', current);",
        }),
    );
    let values = json!({"short_description": "same", "impact": "2", "active": true});
    let incident = house.insert("incident", &values);
    house.admin.wait_until_drained();
    let events = house.admin.count("sysevent", "");
    for method in ["PATCH", "PUT"] {
        let body = values.to_string();
        let answer = house.admin.send(method, &format!("{INCIDENTS}/{incident}"), &[], Some(&body));
        assert_eq!(answer.status, 200);
        let row = answer.result();
        assert_eq!(text(&row, "sys_mod_count"), "0");
        assert_eq!(text(&row, "short_description"), "same");
    }
    assert_eq!(house.admin.count("sysevent", ""), events);
    assert_eq!(house.admin.count("syslog", "source=witness"), 0);
    let changed = json!({"short_description": "other"});
    house.admin.patch(&format!("{INCIDENTS}/{incident}"), &changed).result();
    assert_eq!(house.admin.count("syslog", "source=witness"), 2);
    assert_eq!(house.admin.count("sysevent", "name=t.witness"), 1);
}

#[test]
fn ra_30_a_comment_is_an_entry_that_only_the_display_value_shows() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    let path = format!("{INCIDENTS}/{incident}");
    house.admin.patch(&path, &json!({"comments": "hello"})).result();
    house.admin.patch(&path, &json!({"comments": "again"})).result();
    let read = |mode: &str| {
        let query = format!("{path}?sysparm_fields=comments&sysparm_display_value={mode}");
        text(&house.admin.get(&query).result(), "comments")
    };
    assert_eq!(read("false"), "");
    let shown = read("true");
    let name =
        text(&house.row("sys_user", &house.id_of("sys_user", "user_name=admin"), "name"), "name");
    let first = shown.lines().next().unwrap();
    let time = first.strip_suffix(&format!(" - {name} (Additional comments)")).unwrap_or(first);
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 00:00:00", "{shown}");
    assert!(shown.ends_with("hello\n\n"), "{shown:?}");
    assert!(shown.find("again").unwrap() < shown.find("hello").unwrap(), "newest first: {shown}");
}

#[test]
fn ra_31_text_that_is_no_date_empties_the_field() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"resolved_at": "2026-03-01 08:00:00"}));
    assert_eq!(
        house.row("incident", &incident, "resolved_at")["resolved_at"],
        "2026-03-01 08:00:00"
    );
    let answer =
        house.admin.patch(&format!("{INCIDENTS}/{incident}"), &json!({"resolved_at": "now"}));
    assert_eq!((answer.status, text(&answer.result(), "resolved_at").as_str()), (200, ""));
}

#[test]
fn ra_32_references_and_choices_by_display_value_when_asked_for() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let post = |query: &str, body: &Value| {
        let fields = "sysparm_fields=caller_id,state&sysparm_display_value=all&sysparm_exclude_reference_link=true";
        let answer = house.admin.post(&format!("{INCIDENTS}?{fields}{query}"), body);
        assert_eq!(answer.status, 201);
        answer.result()
    };
    let body = json!({"caller_id": "Abel Tuter", "state": "In Progress"});
    let row = post("&sysparm_input_display_value=true", &body);
    assert_eq!(row["caller_id"], json!({"display_value": "Abel Tuter", "value": abel}));
    assert_eq!(row["state"], json!({"display_value": "In Progress", "value": "2"}));
    let row = post("", &json!({"caller_id": "Abel Tuter"}));
    assert_eq!(row["caller_id"], json!({"display_value": "", "value": "Abel Tuter"}));
    let row = post("&sysparm_input_display_value=true", &json!({"caller_id": "Nobody Atall"}));
    assert_eq!(row["caller_id"]["value"], "", "no match leaves the field unchanged");
}

#[test]
fn ra_34_a_write_can_go_without_a_body_in_the_answer() {
    let house = House::new();
    let quiet = [("x-no-response-body", "true")];
    let made = house.admin.send("POST", INCIDENTS, &quiet, Some("{}"));
    assert_eq!((made.status, made.text.as_str()), (201, ""));
    let location = made.header("location").unwrap();
    let path = location.strip_prefix(house.server.url()).unwrap();
    for method in ["PATCH", "PUT"] {
        let answer = house.admin.send(method, path, &quiet, Some(r#"{"impact":"1"}"#));
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    }
    assert_eq!(text(&house.admin.get(path).result(), "impact"), "1");
    let answer = house.admin.delete(path);
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(refusal(&house.admin.delete(path)).0, 404);
}

#[test]
fn ra_35_of_two_writers_with_one_version_the_second_is_told() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    let path = format!("{INCIDENTS}/{incident}");
    let seen = house.admin.get(&path);
    let etag = seen.header("etag").unwrap().to_owned();
    assert_eq!(etag, "\"0\"");
    let write =
        |tag: &str, body: &str| house.admin.send("PATCH", &path, &[("if-match", tag)], Some(body));
    let first = write(&etag, r#"{"short_description": "first"}"#);
    assert_eq!((first.status, first.header("etag")), (200, Some("\"1\"")));
    let (status, code, message, detail) =
        refusal(&write(&etag, r#"{"short_description": "second"}"#));
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (412, "version_conflict", "Precondition failed")
    );
    assert!(detail.contains('0') && detail.contains('1'), "{detail}");
    let row = house.row("incident", &incident, "short_description,sys_mod_count");
    assert_eq!(row, json!({"short_description": "first", "sys_mod_count": "1"}));
    assert_eq!(write("*", r#"{"short_description": "third"}"#).status, 200);
    let (status, _, _, detail) = refusal(&write("soon", "{}"));
    assert_eq!(status, 400);
    assert!(detail.contains("If-Match") && detail.contains("soon"), "{detail}");

    // A list matches when one of its tags does; a weak tag never does (RFC 9110 §13.1.1).
    for (tags, status) in
        [("\"999\", \"2\"", 200), ("W/\"2\", \"999\"", 412), ("W/\"2\"", 412), ("\"soon\"", 412)]
    {
        assert_eq!(write(tags, "{}").status, status, "{tags}");
    }

    // At the same moment: one of them wins, whoever it is.
    let etag = house.admin.get(&path).header("etag").unwrap().to_owned();
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|at| {
                let (client, path, etag) = (house.admin.clone(), &path, &etag);
                scope.spawn(move || {
                    let body = json!({"short_description": format!("racer {at}")}).to_string();
                    client.send("PATCH", path, &[("if-match", etag)], Some(&body)).status
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412]);
}

#[test]
fn ra_36_who_may_not_write_is_told_the_operation() {
    let house = House::new();
    let joe = house.person("joe", &[]);
    let (status, code, message, detail) = refusal(&joe.post(INCIDENTS, &json!({})));
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (403, "operation_denied", "Operation Failed")
    );
    assert_eq!(detail, "ACL Exception Insert Failed due to security constraints");
    // The own row is the one that joe may read and not write.
    let own = house.id_of("sys_user", "user_name=joe");
    let path = format!("/api/now/table/sys_user/{own}");
    assert_eq!(joe.get(&path).status, 200);
    let detail = |answer| refusal(&answer).3;
    assert_eq!(
        detail(joe.patch(&path, &json!({"name": "Boss"}))),
        "ACL Exception Update Failed due to security constraints"
    );
    assert_eq!(
        detail(joe.delete(&path)),
        "ACL Exception Delete Failed due to security constraints"
    );
    assert_eq!(house.row("sys_user", &own, "name")["name"], "joe");
}

#[test]
fn a_post_can_mean_another_method() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    let path = format!("{INCIDENTS}/{incident}");
    let meaning = |method: &str| [("x-http-method-override", method.to_owned())];
    let send = |sent: &str, meant: &str, body: Option<&str>| {
        let headers = meaning(meant);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        house.admin.send(sent, &path, &headers, body)
    };
    let patched = send("POST", "PATCH", Some(r#"{"impact":"1"}"#));
    assert_eq!((patched.status, text(&patched.result(), "impact").as_str()), (200, "1"));
    assert_eq!(send("POST", "get", Some("")).status, 200);
    assert_eq!(send("GET", "DELETE", None).status, 200, "only a POST is overridden");
    assert_eq!(send("POST", "DELETE", Some("")).status, 204);
    assert_eq!(house.admin.get(&path).status, 404);
}
