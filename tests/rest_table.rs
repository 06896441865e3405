//! The Table API, reading: who calls, lists and pages, the shapes of a field, filters (rest-api RA-01–RA-22).

use serde_json::{Value, json};

use crate::harness::encode;
use crate::people::{House, PASSWORD, refusal, text};
use crate::rest_table_pages::links;

const UNKNOWN_ID: &str = "00000000000000000000000000000000";

#[test]
fn ra_01_without_credentials_the_answer_is_the_401_that_clients_match() {
    let house = House::new();
    let answer = house.server.anonymous().get("/api/now/table/incident");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("BASIC realm=\"Campanile\""));
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    assert_eq!(answer.header("x-is-logged-in"), Some("false"));
    let body = answer.json();
    assert_eq!(body["error"]["message"], "User Not Authenticated");
    assert_eq!(body["error"]["detail"], "Required to provide Auth information");
    assert_eq!(body["status"], "failure");
    let answer = house.admin.get("/api/now/table/incident");
    assert_eq!(answer.header("x-is-logged-in"), Some("true"));
    assert_eq!(
        answer.header("cache-control"),
        Some("no-cache,no-store,must-revalidate,max-age=-1")
    );
    assert_eq!(answer.header("expires"), Some("0"));
}

#[test]
fn ra_02_a_wrong_password_is_told_before_an_unknown_table() {
    let house = House::new();
    let client = house.server.client("admin", "wrong");
    for path in ["/api/now/table/no_such_table", "/api/nowhere", "/api/now/v9/table/incident"] {
        assert_eq!(refusal(&client.get(path)).0, 401, "{path}");
    }
    assert_eq!(refusal(&client.send("DELETE", "/api/now/table/incident", &[], None)).0, 401);
}

#[test]
fn ra_03_an_unknown_table_is_named() {
    let house = House::new();
    let list = "/api/now/table/sys_user_list";
    let one = format!("{list}/{UNKNOWN_ID}");
    let body = json!({"a": "b"});
    for answer in [
        house.admin.get(list),
        house.admin.get(&one),
        house.admin.post(list, &body),
        house.admin.patch(&one, &body),
        house.admin.delete(&one),
    ] {
        assert_eq!(answer.status, 400, "{}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!(error["message"], "Invalid table sys_user_list");
        assert_eq!(error["detail"], Value::Null);
        assert_eq!(error["code"], "table_invalid");
    }
}

#[test]
fn ra_04_an_address_that_is_none_is_400() {
    let house = House::new();
    for path in [
        "/api/now/nothing",
        "/api/now/v9/table/incident",
        "/api/now/v0/table/incident",
        "/api/now/table/incident/1/2",
        "/api/now",
    ] {
        let (status, code, message, detail) = refusal(&house.admin.get(path));
        assert_eq!((status, code.as_str(), detail.as_str()), (400, "no_resource", ""), "{path}");
        assert_eq!(message, "Requested URI does not represent any resource");
    }
}

#[test]
fn ra_10_the_eight_cells_of_the_shapes_are_exact() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let incident = house
        .insert("incident", &json!({"short_description": "x", "caller_id": abel, "state": "2"}));
    let link = format!("{}/api/now/table/sys_user/{abel}", house.server.url());
    let read = |mode: &str, exclude: &str| {
        let path = format!(
            "/api/now/table/incident/{incident}?sysparm_fields=caller_id,assigned_to,state\
             &sysparm_display_value={mode}&sysparm_exclude_reference_link={exclude}"
        );
        house.admin.get(&path).result()
    };
    let both = |display: &str, value: &str| json!({"display_value": display, "value": value});
    let cases = [
        ("false", "false", json!({"link": link, "value": abel}), json!(""), json!("2")),
        ("false", "true", json!(abel), json!(""), json!("2")),
        (
            "true",
            "false",
            json!({"display_value": "Abel Tuter", "link": link}),
            json!(""),
            json!("In Progress"),
        ),
        ("true", "true", json!("Abel Tuter"), json!(""), json!("In Progress")),
        (
            "all",
            "False",
            json!({"display_value": "Abel Tuter", "link": link, "value": abel}),
            both("", ""),
            both("In Progress", "2"),
        ),
        ("ALL", "TRUE", both("Abel Tuter", &abel), both("", ""), both("In Progress", "2")),
    ];
    for (mode, exclude, caller, assignee, state) in cases {
        let row = read(mode, exclude);
        assert_eq!(row["caller_id"], caller, "{mode} {exclude}");
        assert_eq!(row["assigned_to"], assignee, "{mode} {exclude}");
        assert_eq!(row["state"], state, "{mode} {exclude}");
    }
    // A link can be followed with the same credentials.
    let path = link.strip_prefix(house.server.url()).unwrap();
    assert_eq!(text(&house.admin.get(path).result(), "user_name"), "abel.tuter");
}

#[test]
fn ra_11_fields_come_in_the_order_of_the_list_each_once() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let incident = house.insert("incident", &json!({"caller_id": abel}));
    let fields =
        "?sysparm_fields=state,number,caller_id.email,nope,%20state,caller_id.nope,number.x";
    for path in [
        format!("/api/now/table/incident/{incident}{fields}"),
        format!("/api/now/table/incident{fields}"),
    ] {
        let result = house.admin.get(&path).result();
        let row = if result.is_array() { &result[0] } else { &result };
        let names: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(names, ["state", "number", "caller_id.email"]);
        assert_eq!(row["caller_id.email"], "abel.tuter@example.com");
    }
    // Without a list: the table's own order, system fields last.
    let row = house.admin.get(&format!("/api/now/table/incident/{incident}")).result();
    let names: Vec<&String> = row.as_object().unwrap().keys().collect();
    let first_system = names.iter().position(|name| name.starts_with("sys_")).unwrap();
    assert!(names[first_system..].iter().all(|name| name.starts_with("sys_")), "{names:?}");
    assert!(row.as_object().unwrap().values().all(|value| value.is_string() || value.is_object()));
}

#[test]
fn ra_12_a_nil_step_gives_empty_members() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let incident = house.insert("incident", &json!({"caller_id": abel}));
    for (mode, expected) in [
        ("all", json!({"display_value": "", "value": ""})),
        ("true", json!("")),
        ("false", json!("")),
    ] {
        let path = format!(
            "/api/now/table/incident/{incident}?sysparm_display_value={mode}\
             &sysparm_fields=caller_id.manager.name"
        );
        let row = house.admin.get(&path).result();
        assert_eq!(row, json!({"caller_id.manager.name": expected}), "{mode}");
    }
}

#[test]
fn ra_13_times_are_utc_as_values_and_local_for_people() {
    let house = House::new();
    let admin = house.id_of("sys_user", "user_name=admin");
    let zone = json!({"time_zone": "America/Los_Angeles"});
    house.admin.patch(&format!("/api/now/table/sys_user/{admin}"), &zone).result();
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    house.script(&format!(
        "var gr = new GlideRecord('incident'); gr.get('{incident}'); gr.autoSysFields(false); \
         gr.setWorkflow(false); gr.sys_updated_on = '2026-03-01 08:00:00'; gr.update();"
    ));
    let read = |mode: &str| {
        let path = format!(
            "/api/now/table/incident/{incident}?sysparm_fields=sys_updated_on&sysparm_display_value={mode}"
        );
        house.admin.get(&path).result()["sys_updated_on"].clone()
    };
    assert_eq!(read("false"), "2026-03-01 08:00:00");
    assert_eq!(read("true"), "2026-03-01 00:00:00");
    assert_eq!(
        read("all"),
        json!({"display_value": "2026-03-01 00:00:00", "value": "2026-03-01 08:00:00"})
    );
}

#[test]
fn ra_14_a_password_is_kept_as_a_hash_and_never_told() {
    let house = House::new();
    let user = house.add_user("carol", &[]);
    assert_eq!(house.server.client("carol", PASSWORD).get("/api/now/table/sys_user").status, 200);
    for (mode, expected) in [
        ("all", json!({"display_value": "********", "value": ""})),
        ("true", json!("********")),
        ("false", json!("")),
    ] {
        let path = format!(
            "/api/now/table/sys_user/{user}?sysparm_fields=user_password&sysparm_display_value={mode}"
        );
        assert_eq!(house.admin.get(&path).result()["user_password"], expected, "{mode}");
    }
    // Neither by what a write answers, nor by a filter, nor by a walk.
    let path = format!("/api/now/table/sys_user/{user}");
    let changed = house.admin.patch(&path, &json!({"user_password": "another one"}));
    assert!(
        !changed.text.contains("argon2") && !changed.text.contains("another one"),
        "{changed:?}"
    );
    assert_eq!(house.admin.count("sys_user", "user_passwordSTARTSWITH$argon2^user_name=carol"), 1);
    let all = house.admin.count("sys_user", "");
    assert_eq!(house.admin.count("sys_user", "user_passwordSTARTSWITH$nothing"), all);
    let filtered = house.admin.get("/api/now/table/sys_user?user_password=x");
    assert_eq!(filtered.header("x-total-count"), Some(all.to_string().as_str()));
    let membership =
        "/api/now/table/sys_user_has_role?sysparm_fields=user.user_password&sysparm_limit=1";
    assert_eq!(house.admin.get(membership).result()[0]["user.user_password"], "");
    assert_eq!(house.admin.count("sys_audit", "tablename=sys_user^newvalueLIKEargon2"), 0);
    // The old password is worth nothing from this moment, the new one is good.
    assert_eq!(house.server.client("carol", PASSWORD).get("/api/now/table/sys_user").status, 401);
    let again = house.server.client("carol", "another one");
    assert_eq!(again.get("/api/now/table/sys_user").status, 200);
}

#[test]
fn ra_15_an_invalid_part_of_a_query_is_ignored_or_gives_nothing() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"number": "INC0010003"}));
    house.insert("incident", &json!({"short_description": "another"}));
    let query = "nofield=1^number=INC0010003";
    assert_eq!(house.id_of("incident", query), incident);
    assert_eq!(house.admin.count("incident", "numberWHATEVER"), 2);
    house.property("glide.invalid_query.returns_no_rows", "true");
    assert_eq!(house.admin.count("incident", query), 0);
    assert_eq!(house.admin.count("incident", "number=INC0010003"), 1);
}

#[test]
fn ra_17_an_address_that_is_too_long_gets_a_web_page() {
    let house = House::new();
    let path = format!("/api/now/table/incident?sysparm_query=number={}", "9".repeat(24_000));
    let answer = house.admin.get(&path);
    assert_eq!(answer.status, 414);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
    assert!(answer.text.lines().next().unwrap().starts_with("<html>"), "{}", answer.text);
}

#[test]
fn ra_20_fields_of_the_table_filter_unless_there_is_a_query() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let wanted = house.insert("incident", &json!({"caller_id": abel, "state": "2"}));
    house.insert("incident", &json!({"short_description": "of nobody"}));
    let closed = house.insert("incident", &json!({"caller_id": abel, "active": "false"}));
    let ids = |path: &str| -> Vec<String> {
        let rows = house.admin.get(&format!("/api/now/table/incident?{path}")).result();
        rows.as_array().unwrap().iter().map(|row| text(row, "sys_id")).collect()
    };
    assert_eq!(ids("active=true&caller_id=Abel%20Tuter&nofield=x"), std::slice::from_ref(&wanted));
    assert_eq!(ids(&format!("active=true&caller_id={abel}")), std::slice::from_ref(&wanted));
    assert_eq!(
        ids("caller_id.email=abel.tuter@example.com&active=true"),
        std::slice::from_ref(&wanted)
    );
    assert_eq!(ids("state=In+Progress"), [wanted]);
    assert_eq!(
        ids(&format!("active=true&caller_id=Abel+Tuter&sysparm_query=sys_id={closed}")),
        [closed]
    );
}

#[test]
fn ra_21_an_unknown_row_and_a_closed_one_are_not_told_apart() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "secret"}));
    let joe = house.person("joe", &[]);
    let beth = house.person("beth", &["itil"]);
    let answers = [
        joe.get(&format!("/api/now/table/incident/{incident}")),
        joe.get(&format!("/api/now/table/incident/{UNKNOWN_ID}")),
        beth.get(&format!("/api/now/table/incident/{UNKNOWN_ID}")),
        house.admin.get("/api/now/table/incident/not-a-key"),
    ];
    for answer in &answers {
        assert_eq!(answer.status, 404, "{}", answer.text);
        assert_eq!(answer.text, answers[0].text);
    }
    let (_, code, message, detail) = refusal(&answers[0]);
    assert_eq!(code, "record_unknown");
    assert_eq!(message, "No Record found");
    assert_eq!(detail, "Record doesn't exist or ACL restricts the record retrieval");
    assert_eq!(beth.get(&format!("/api/now/table/incident/{incident}")).status, 200);
}

#[test]
fn ra_22_only_version_one_answers_404_to_an_empty_list() {
    let house = House::new();
    let query = format!("table/incident?sysparm_query={}", encode("number=none"));
    assert_eq!(refusal(&house.admin.get(&format!("/api/now/v1/{query}"))).0, 404);
    for version in ["v2/", ""] {
        let answer = house.admin.get(&format!("/api/now/{version}{query}"));
        assert_eq!((answer.status, answer.result()), (200, json!([])), "{version}");
        assert_eq!(answer.header("x-total-count"), Some("0"));
    }
}

#[test]
fn links_and_locations_keep_the_version_and_take_the_configured_base() {
    let house = House::new();
    let abel = house.id_of("sys_user", "user_name=abel.tuter");
    let body = json!({"caller_id": abel}).to_string();
    for version in ["v1/", "v2/", ""] {
        let base = format!("{}/api/now/{version}table", house.server.url());
        let made = house.admin.send(
            "POST",
            &format!("/api/now/{version}table/incident"),
            &[],
            Some(&body),
        );
        assert_eq!(made.status, 201);
        let row = made.result();
        assert_eq!(
            made.header("location"),
            Some(format!("{base}/incident/{}", text(&row, "sys_id")).as_str())
        );
        assert_eq!(row["caller_id"]["link"], format!("{base}/sys_user/{abel}"));
        let list = house.admin.get(&format!("/api/now/{version}table/incident?sysparm_limit=1"));
        if let Some((_, link)) = links(&list).first() {
            assert!(link.starts_with(&format!("{base}/incident?")), "{link}");
        }
    }
    let link = |headers: &[(&str, &str)]| {
        let path = "/api/now/table/incident?sysparm_limit=1&sysparm_fields=caller_id";
        let rows = house.admin.send("GET", path, headers, None).result();
        text(&rows[0]["caller_id"], "link")
    };
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "proxy.example.com")];
    assert_eq!(
        link(&forwarded),
        format!("https://proxy.example.com/api/now/table/sys_user/{abel}")
    );
    // What is no scheme or no host counts as not sent.
    for (name, value) in
        [("x-forwarded-proto", "javascript"), ("x-forwarded-host", "a>;rel=\"next")]
    {
        let answer = house.admin.send(
            "GET",
            "/api/now/table/sys_user?sysparm_limit=1",
            &[(name, value)],
            None,
        );
        let all: Vec<_> = links(&answer);
        assert!(!all.is_empty());
        assert!(
            all.iter().all(|(_, link)| link.starts_with(house.server.url())),
            "{name}: {all:?}"
        );
        assert!(link(&[(name, value)]).starts_with(house.server.url()), "{name}");
    }
    house.property("glide.servlet.uri", "https://instance.example.com/");
    assert_eq!(
        link(&forwarded),
        format!("https://instance.example.com/api/now/table/sys_user/{abel}")
    );
    house.property("glide.rest.replace_request_host_with_property", "false");
    assert!(link(&[]).starts_with(house.server.url()));
}

#[test]
fn the_registry_of_queues_answers_to_its_other_name() {
    let house = House::new();
    let names = |table: &str| -> Vec<String> {
        let rows = house.admin.rows(table, "ORDERBYqueue", "queue");
        rows.iter().map(|row| text(row, "queue")).collect()
    };
    assert_eq!(names("queue_registry"), names("sysevent_queue"));
    assert!(names("queue_registry").contains(&"adaptive".to_owned()));
    let made = house.insert("queue_registry", &json!({"queue": "by_alias"}));
    assert_eq!(house.id_of("sysevent_queue", "queue=by_alias"), made);
    let joe = house.person("joe", &["itil"]);
    assert_eq!(joe.get("/api/now/table/queue_registry").status, 403);
}
