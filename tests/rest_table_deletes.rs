//! The Table API, deleting: versions, and definitions that others need (rest-api §7, events-and-jobs §1.3).

use serde_json::json;

use crate::people::{House, refusal};

const INCIDENTS: &str = "/api/now/table/incident";

#[test]
fn a_delete_with_another_version_deletes_nothing() {
    let house = House::new();
    let incident = house.insert("incident", &json!({"short_description": "x"}));
    let path = format!("{INCIDENTS}/{incident}");
    house.admin.patch(&path, &json!({"short_description": "y"})).result();
    let delete = |tag: &str| house.admin.send("DELETE", &path, &[("if-match", tag)], None);
    let (status, code, message, detail) = refusal(&delete("\"0\""));
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (412, "version_conflict", "Precondition failed")
    );
    assert!(detail.contains('0') && detail.contains('1'), "{detail}");
    assert_eq!(refusal(&delete("soon")).0, 400);
    assert_eq!(house.row("incident", &incident, "sys_mod_count")["sys_mod_count"], "1");
    assert_eq!(delete("\"1\"").status, 204);
    assert_eq!(refusal(&delete("\"1\"")).0, 404);
    let another = house.insert("incident", &json!({"short_description": "z"}));
    let path = format!("{INCIDENTS}/{another}");
    assert_eq!(house.admin.send("DELETE", &path, &[("if-match", "*")], None).status, 204);
}

#[test]
fn a_registration_that_is_listened_to_is_deleted_only_when_the_caller_insists() {
    let house = House::new();
    let table = "/api/now/table/sysevent_register";
    let listener =
        json!({"name": "Listens", "event_name": "t.heard", "active": true, "script": "1"});
    let registration = house.insert("sysevent_register", &json!({"event_name": "t.heard"}));
    house.insert("sysevent_script_action", &listener);
    let delete = |parameters: &str| {
        house.admin.send("DELETE", &format!("{table}/{registration}{parameters}"), &[], None)
    };
    for parameters in ["", "?sysparm_force=false", "?sysparm_force=1"] {
        let answer = delete(parameters);
        let (status, code, _, detail) = refusal(&answer);
        assert_eq!((status, code.as_str()), (403, "definition_invalid"), "{parameters}");
        assert_eq!(detail, "Error during delete of sysevent_register (t.heard)");
        assert_eq!(
            answer.json()["error"]["messages"],
            json!([
                "active script actions listen to 't.heard': Listens; switch them off or delete them first, or delete \
                 the registration all the same with 'sysparm_force=true'"
            ])
        );
    }
    assert_eq!(house.admin.count("sysevent_register", "event_name=t.heard"), 1);
    assert_eq!(delete("?sysparm_force=true").status, 204);
    assert_eq!(house.admin.count("sysevent_register", "event_name=t.heard"), 0);
    assert_eq!(house.admin.count("sysevent_script_action", "event_name=t.heard^active=true"), 1);
    assert_eq!(
        house
            .admin
            .count("syslog", "messageLIKEt.heard^messageLIKEwho insisted^messageLIKEListens"),
        1
    );
}

#[test]
fn to_insist_helps_nobody_past_other_checks() {
    let house = House::new();
    let queue = house.id_of("sysevent_queue", "queue=default");
    let path = format!("/api/now/table/sysevent_queue/{queue}?sysparm_force=true");
    assert_eq!(refusal(&house.admin.send("DELETE", &path, &[], None)).0, 403);
    let joe = house.person("joe", &["itil"]);
    let registration = house.insert("sysevent_register", &json!({"event_name": "t.kept"}));
    let path = format!("/api/now/table/sysevent_register/{registration}?sysparm_force=true");
    assert!([403, 404].contains(&refusal(&joe.send("DELETE", &path, &[], None)).0));
    assert_eq!(house.admin.count("sysevent_register", "event_name=t.kept"), 1);
}
