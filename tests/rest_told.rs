//! What events tell of the records that they are about: to whoever may read those, and to nobody else (rest-api §17.2).

use serde_json::{Value, json};

use crate::harness::Client;
use crate::people::{House, text};

/// Stands in the record, and nowhere else.
const SECRET: &str = "Merger with Acme";

/// A house with an incident, an event that keeps snapshots, and handlers that speak of the record.
struct Scene {
    house: House,
    incident: String,
    number: String,
}

impl Scene {
    fn new() -> Self {
        let house = House::new();
        house.insert(
            "sysevent_register",
            &json!({"event_name": "t.look", "capture_snapshot": "true"}),
        );
        house.insert(
            "sysevent_script_action",
            &json!({"name": "Compares", "event_name": "t.look", "active": "true", "script": "gs.log('x');",
                    "condition_script": "current.short_description == 'never'"}),
        );
        house.handler("t.talk", "Logs", "gs.log(current.short_description);");
        house.handler("t.talk", "Throws", "throw new Error('of ' + current.short_description);");
        let incident = house.insert("incident", &json!({"short_description": SECRET}));
        let number = text(&house.row("incident", &incident, "number"), "number");
        Self { house, incident, number }
    }

    /// Whether the text has anything of the record.
    fn tells(&self, text: &str) -> bool {
        text.contains(SECRET) || text.contains(&self.number)
    }

    fn about(&self, name: &str) -> Value {
        json!({"name": name, "table": "incident", "instance": self.incident, "parm1": "mine"})
    }

    /// Fires as `client`, and waits.
    fn fire(&self, client: &Client, name: &str) -> Value {
        let answer = client.post("/api/events?wait=60s", &self.about(name));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.result()
    }
}

/// Everything that `client` is told of an event, as texts.
fn all_told(client: &Client, event: &str) -> Vec<String> {
    let path = format!("/api/events/{event}");
    let answers = [
        client.get(&path),
        client.get(&format!("{path}?include=runs,snapshot,copies")),
        client.get(&format!("{path}/explain")),
    ];
    answers
        .map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.text
        })
        .to_vec()
}

#[test]
fn a_publisher_is_told_nothing_of_a_record_that_it_may_not_read() {
    let scene = Scene::new();
    let publisher = scene.house.person("pub", &["event_publisher"]);
    for name in ["t.look", "t.talk"] {
        let fired = scene.fire(&publisher, name);
        assert!(!scene.tells(&fired.to_string()), "{fired}");
        assert_eq!((&fired["descriptive_name"], &fired["parm1"]), (&json!(""), &json!("mine")));
        let id = text(&fired, "sys_id");
        for told in all_told(&publisher, &id) {
            assert!(!scene.tells(&told), "{told}");
        }
        // The log has all of it.
        let kept = all_told(&scene.house.admin, &id).concat();
        assert!(kept.contains(SECRET) && kept.contains(&scene.number), "{kept}");
    }
    let look = scene.fire(&publisher, "t.look");
    assert_eq!(look["runs"][0]["reason"], "condition_false");
    assert_eq!(look["runs"][0]["sentence"], "");
    let talk = scene.fire(&publisher, "t.talk");
    assert_eq!(
        (&talk["state"], &talk["error"]["code"]),
        (&json!("error"), &json!("handler_failed"))
    );
    let full = [("prefer", "return=representation")];
    let body = scene.about("t.look").to_string();
    let whole = publisher.send("POST", "/api/events", &full, Some(&body));
    assert_eq!(whole.result()["name"], "t.look");
    let failed = publisher.post("/api/events?wait=60s&fail_on_error=true", &scene.about("t.talk"));
    assert_eq!(failed.status, 424, "{}", failed.text);
    for answer in [whole, failed] {
        assert!(!scene.tells(&answer.text), "{}", answer.text);
    }
}

#[test]
fn a_publisher_cannot_tell_by_an_event_whether_a_closed_record_exists() {
    let scene = Scene::new();
    scene.house.handler("t.quiet", "Quiet", "gs.log('x');");
    let publisher = scene.house.person("pub", &["event_publisher"]);
    let seen = |instance: &str| {
        let body = json!({"name": "t.quiet", "table": "incident", "instance": instance});
        let event = publisher.post("/api/events?wait=60s", &body).result();
        let run = &event["runs"][0];
        (event["descriptive_name"].clone(), run["reason"].clone(), run["sentence"].clone())
    };
    assert_eq!(seen(&scene.incident), seen(&"a1".repeat(16)));
    let own = scene
        .house
        .fired(&json!({"name": "t.quiet", "table": "incident", "instance": "a1".repeat(16)}));
    assert_eq!(own["runs"][0]["reason"], "target_missing");
}

#[test]
fn who_may_read_the_record_is_told_all_of_it() {
    let scene = Scene::new();
    let beth = scene.house.person("beth", &["event_publisher", "itil"]);
    let look = scene.fire(&beth, "t.look");
    assert_eq!(look["descriptive_name"], json!(scene.number));
    assert!(text(&look["runs"][0], "sentence").contains(SECRET), "{look}");
    let told = all_told(&beth, &text(&look, "sys_id"));
    assert!(told[1].contains(SECRET) && told[2].contains("\"snapshot\":{"), "{told:?}");
    let talk = scene.fire(&beth, "t.talk").to_string();
    assert!(talk.contains(&format!("of {SECRET}")), "{talk}");
    // Everybody may read the own row of `sys_user`.
    let publisher = scene.house.person("pub", &["event_publisher"]);
    let of_user = |login: &str| {
        let id = scene.house.id_of("sys_user", &format!("user_name={login}"));
        let body =
            json!({"name": "t.look", "table": "sys_user", "instance": id, "process_on": "P1D"});
        text(&publisher.post("/api/events?wait=1s", &body).result(), "descriptive_name")
    };
    assert_eq!((of_user("pub").as_str(), of_user("beth").as_str()), ("pub", ""));
}

#[test]
fn a_role_that_a_registration_names_is_told_of_its_own_tables_only() {
    let scene = Scene::new();
    let open = json!({"event_name": "t.open", "capture_snapshot": "true", "publish_roles": "itil"});
    scene.house.insert("sysevent_register", &open);
    let beth = scene.house.person("beth", &["itil"]);
    let property = json!({"name": "t.closed", "value": "Codename Acme"});
    let property = scene.house.insert("sys_properties", &property);
    let body = json!({"name": "t.open", "table": "sys_properties", "instance": property});
    let fired = beth.post("/api/events?wait=60s", &body);
    assert_eq!((fired.status, &fired.result()["descriptive_name"]), (200, &json!("")));
    let id = text(&fired.result(), "sys_id");
    for told in all_told(&beth, &id) {
        assert!(!told.contains("t.closed") && !told.contains("Codename"), "{told}");
    }
    assert!(all_told(&scene.house.admin, &id).concat().contains("Codename"));
    let body = json!({"name": "t.open", "table": "incident", "instance": scene.incident});
    let fired = beth.post("/api/events?wait=60s", &body).result();
    assert_eq!(fired["descriptive_name"], json!(scene.number));
}

#[test]
fn the_log_holds_no_value_of_a_secret_property() {
    let house = House::new();
    house.insert(
        "sysevent_script_action",
        &json!({"name": "Compares", "event_name": "t.prop", "active": "true", "script": "gs.log('x');",
                "condition_script": "current.value == 'never' && current.name"}),
    );
    let sentence = |kind: &str| {
        let values = json!({"name": format!("t.{kind}"), "type": kind, "value": "hush"});
        let property = house.insert("sys_properties", &values);
        let event = json!({"name": "t.prop", "table": "sys_properties", "instance": property});
        text(&house.fired(&event)["runs"][0], "sentence")
    };
    assert!(sentence("string").contains("current.value is 'hush'"));
    let told = sentence("password2");
    assert!(told.contains("current.name is 't.password2'") && !told.contains("hush"), "{told}");
}

#[test]
fn values_that_a_rule_gave_an_event_are_shown_with_the_record() {
    let scene = Scene::new();
    scene.house.insert(
        "sys_script",
        &json!({"name": "Tells", "collection": "incident", "when": "after", "active": "true", "advanced": "true",
                "action_update": "true",
                "script": "var u = new GlideRecord('sys_user'); u.get('user_name', 'admin');
                           gs.eventQueue('t.rule', u, u.name, 'x'); gs.eventQueue('t.rule', current, 'open', 'x');"}),
    );
    let beth = scene.house.person("beth", &["event_publisher", "itil"]);
    let path = format!("/api/now/table/incident/{}", scene.incident);
    beth.patch(&path, &json!({"description": "changed"})).result();
    let parm1 = |table: &str| {
        let query = format!("name=t.rule^table={table}");
        let event = scene.house.id_of("sysevent", &query);
        beth.get(&format!("/api/events/{event}")).result().get("parm1").cloned()
    };
    assert_eq!((parm1("sys_user"), parm1("incident")), (None, Some(json!("open"))));
}

#[test]
fn an_administrator_of_events_is_told_everything_and_finds_it() {
    let scene = Scene::new();
    let eve = scene.house.person("eve", &["events_admin"]);
    let id = text(&scene.house.fired(&scene.about("t.look")), "sys_id");
    let [event, whole, explained] = &all_told(&eve, &id)[..] else { panic!("three answers") };
    assert!(event.contains(&scene.number), "{event}");
    assert!(whole.contains(SECRET) && explained.contains(SECRET), "{whole} {explained}");
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["result"]["parm1"], "mine");
    let talk = text(&scene.house.fired(&scene.about("t.talk")), "sys_id");
    let talk = eve.get(&format!("/api/events/{talk}?include=runs")).result();
    assert!(talk["runs"].to_string().contains(SECRET), "{talk}");
    let found = eve.count("sysevent", &format!("name=t.look^descriptive_name={}", scene.number));
    assert_eq!(found, 1);
    let rows = eve.rows("sysevent", &format!("sys_id={id}"), "descriptive_name,snapshot");
    assert!(scene.tells(&rows[0].to_string()), "{rows:?}");
    let rows = eve.rows("sysevent_handler_run", &format!("event={id}"), "sentence");
    assert!(rows.iter().any(|row| row.to_string().contains(SECRET)), "{rows:?}");
    // The record itself stays closed.
    let record = eve.get(&format!("/api/now/table/incident/{}", scene.incident));
    assert!(record.status == 403 || record.status == 404, "{}", record.text);
}
