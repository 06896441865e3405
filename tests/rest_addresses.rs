//! Addresses and header lines that cannot be read as they are meant: refused in the shape of every error.

use serde_json::json;

use crate::people::{House, refusal};

#[test]
fn an_address_that_is_no_utf_8_is_refused_like_one_that_does_not_exist() {
    let house = House::new();
    for (method, path, part) in [
        ("GET", "/api/now/table/%ff", "`table`"),
        ("POST", "/api/now/table/%c3", "`table`"),
        ("GET", "/api/now/v2/table/incident/%ff", "`sys_id`"),
        ("PATCH", "/api/now/table/incident/%ff", "`sys_id`"),
        ("DELETE", "/api/now/table/incident/%ff", "`sys_id`"),
        ("GET", "/api/events/%ff", "`sys_id`"),
        ("GET", "/api/events/%ff/explain", "`sys_id`"),
        ("POST", "/api/v1/events/%ff/move", "`sys_id`"),
        ("POST", "/api/events/%ff/cancel", "`sys_id`"),
        ("POST", "/api/registrations/%ff/move", "`name`"),
        ("POST", "/api/queues/%ff/resume", "`name`"),
    ] {
        let body = (method == "POST" || method == "PATCH").then_some("{}");
        let answer = house.admin.send(method, path, &[], body);
        let (status, code, message, detail) = refusal(&answer);
        assert_eq!((status, code.as_str()), (400, "no_resource"), "{method} {path}");
        assert_eq!(message, "Requested URI does not represent any resource");
        assert!(detail.contains(part) && detail.contains("UTF-8"), "{path}: {detail}");
        assert_eq!(house.server.anonymous().send(method, path, &[], body).status, 401, "{path}");
    }
    for path in ["/%ff", "/api/%ff", "/api/now/table/incident/a/%ff"] {
        assert_eq!(refusal(&house.admin.get(path)).1, "no_resource", "{path}");
    }
    let long = format!("/api/now/table/{}", "x".repeat(8_000));
    assert_eq!(refusal(&house.admin.get(&long)).1, "table_invalid");
}

#[test]
fn a_parameter_that_is_no_utf_8_is_refused_by_name() {
    let house = House::new();
    house.insert("incident", &json!({"short_description": "caf\u{e9}"}));
    for path in [
        "/api/now/table/incident?sysparm_query=short_description!=caf%E9",
        "/api/now/table/incident?sysparm_limit=1&sysparm_query=%ff",
        "/api/events?sysparm_query=name=%ff",
    ] {
        let (status, code, _, detail) = refusal(&house.admin.get(path));
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{path}");
        assert!(detail.starts_with("`sysparm_query`: expected percent-encoded UTF-8"), "{detail}");
    }
    assert_eq!(house.server.anonymous().get("/api/now/table/incident?a=%ff").status, 401);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = house.admin.send("POST", "/api/events", &form, Some("name=t.bad&parm1=%ff"));
    assert_eq!(refusal(&answer).1, "bad_parameter");
    assert!(refusal(&answer).3.contains("`parm1`"), "{}", answer.text);
    assert_eq!(house.admin.count("sysevent", "name=t.bad"), 0);
    let found =
        house.admin.get("/api/now/table/incident?sysparm_query=short_description=caf%C3%A9");
    assert_eq!(found.header("x-total-count"), Some("1"));
}

#[test]
fn numbers_of_rows_have_a_range_and_none_is_too_large_to_be_one() {
    let house = House::new();
    house.insert("incident", &json!({}));
    let rows = |path: &str| house.admin.get(path).result().as_array().unwrap().len();
    let huge = "99999999999999999999999999";
    assert_eq!(rows(&format!("/api/now/table/incident?sysparm_limit={huge}")), 1);
    assert_eq!(rows(&format!("/api/now/table/incident?sysparm_offset={huge}")), 0);
    assert_eq!(rows(&format!("/api/now/table/incident?sysparm_offset=-{huge}")), 1);
    assert_eq!(rows("/api/now/table/incident?sysparm_limit=9223372036854775807"), 1);
    assert_eq!(rows(&format!("/api/events?limit={huge}&query=name=incident.inserted")), 1);
    for (path, words) in [
        (
            "now/table/incident?sysparm_limit=-1",
            "`sysparm_limit`: expected a number from 0 to 100000, got '-1'",
        ),
        ("events?limit=-1", "`limit`: expected a number from 0 to 1000, got '-1'"),
        ("events?sysparm_limit=-7", "`sysparm_limit`: expected a number from 0 to 1000, got '-7'"),
        ("events?offset=99999999999999999999", "`offset`: at most 10000"),
        ("events?limit=1e3", "`limit`: expected a number, got '1e3'"),
    ] {
        let (status, code, _, detail) = refusal(&house.admin.get(&format!("/api/{path}")));
        assert_eq!((status, code.as_str()), (400, "bad_parameter"), "{path}");
        assert!(detail.starts_with(words), "{detail}");
    }
}

#[test]
fn a_body_in_utf_16_is_refused_with_the_fix_at_every_door() {
    let house = House::new();
    let wide = [("content-type", "application/json; charset=UTF-16")];
    for path in
        ["/api/now/table/incident", "/api/events", "/api/events/batch", "/api/scripts/evaluate"]
    {
        let answer = house.admin.send("POST", path, &wide, Some("{}"));
        let (status, code, _, detail) = refusal(&answer);
        assert_eq!((status, code.as_str()), (415, "media_type"), "{path}");
        assert!(detail.contains("utf-16") && detail.contains("charset=utf-8"), "{detail}");
    }
    assert_eq!(house.admin.count("incident", ""), 0);
    for charset in ["utf-8", "\"UTF-8\"", "Utf8", "iso-8859-1"] {
        let kind = format!("application/json;charset={charset}");
        let kind = [("content-type", kind.as_str())];
        let answer = house.admin.send("POST", "/api/now/table/incident", &kind, Some("{}"));
        assert_eq!(answer.status, 201, "{charset}: {}", answer.text);
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_where_bodies_are_strict() {
    let house = House::new();
    let event = "{\"name\": \"t.bad\", \"name\": \"t.worse\"}";
    let deep = "{\"name\": \"t.bad\", \"parm1\": {\"x\": {\"name\": 1, \"name\": 2}}}";
    let batch = format!("{{\"events\": [{event}]}}");
    let eval = "{\"script\": \"1\", \"name\": \"a\", \"name\": \"b\"}";
    let lines = [("content-type", "application/x-ndjson")];
    for (path, headers, body) in [
        ("/api/events", &[][..], event),
        ("/api/events", &[], deep),
        ("/api/events/batch", &[], &batch),
        ("/api/events/batch", &lines, event),
        ("/api/scripts/evaluate", &[], eval),
    ] {
        let (status, code, _, detail) =
            refusal(&house.admin.send("POST", path, headers, Some(body)));
        assert_eq!((status, code.as_str()), (400, "bad_json"), "{path} {body}");
        assert!(detail.contains("'name' stands twice"), "{path}: {detail}");
    }
    assert_eq!(house.admin.count("sysevent", "nameSTARTSWITHt."), 0);
}
