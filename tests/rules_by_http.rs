//! Cases of business rules that speak of others, of people or of the log (business-rules §19), by HTTP.

use campanile_model::{Clock, SystemClock};
use serde_json::json;

use crate::harness::{Answer, Client, encode, wait_until};
use crate::people::{House, text};

/// What the case gives to the reader. A rule may hold the writer for 5 s.
const RULE_MS: i64 = 2_000;

fn now_ms() -> i64 {
    SystemClock.now().as_millis()
}

/// Events named `br.24` that a caller sees through both doors.
fn visible(client: &Client) -> (u64, u64) {
    let by_api = client.get("/api/events?query=name%3Dbr.24").result();
    let by_api = by_api.as_array().map_or(0, Vec::len);
    (client.count("sysevent", "name=br.24"), u64::try_from(by_api).unwrap_or(u64::MAX))
}

#[test]
fn br_24_a_reader_that_polls_sees_an_event_of_a_rule_only_after_the_commit() {
    let house = House::new();
    let rule = |name: &str, order: &str, script: &str| {
        house.insert(
            "sys_script",
            &json!({"name": name, "collection": "incident", "when": "after", "order": order,
                "action_update": "true", "advanced": "true", "active": "true", "script": script}),
        );
    };
    rule("fires", "100", "gs.eventQueue('br.24', current, '', '');");
    let wait = format!(
        "var first = Date.now(); while (Date.now() < first + {RULE_MS}); gs.print(first + ' ' + Date.now() + ' ');"
    );
    rule("waits", "200", &wait);
    let incident = house.insert("incident", &json!({"short_description": "Email down"}));
    let reader = house.server.admin();
    let update = format!(
        "var g = new GlideRecord('incident'); g.get('{incident}'); g.state = 2; g.update();"
    );
    let (looks, printed) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| house.script(&update));
        let mut looks = Vec::new();
        while !writer.is_finished() {
            let began = now_ms();
            let seen = visible(&reader);
            looks.push((began, now_ms(), seen));
        }
        (looks, text(&writer.join().unwrap(), "printed"))
    });
    let times: Vec<i64> = printed.split_whitespace().map(|time| time.parse().unwrap()).collect();
    let [first, last] = times[..] else { panic!("{printed}") };
    assert!(last - first >= RULE_MS);
    // These began after the event was queued and ended before the commit.
    let inside: Vec<_> =
        looks.iter().filter(|(began, ended, _)| *began >= first && *ended <= last).collect();
    assert!(inside.len() >= 2, "{looks:?} in {first}..{last}");
    assert!(inside.iter().all(|(_, _, seen)| *seen == (0, 0)), "{inside:?}");
    assert_eq!(visible(&reader), (1, 1));
}

#[test]
fn br_50_system_fields_name_the_logins_of_the_requests() {
    let house = House::new();
    let (abel, beth) = (house.person("abel", &["itil"]), house.person("beth", &["itil"]));
    let row = abel.post("/api/now/table/incident", &json!({"short_description": "x"})).result();
    let created = text(&row, "sys_created_on");
    assert_eq!((text(&row, "sys_mod_count"), text(&row, "sys_updated_on")), ("0".into(), created));
    // The fields count in seconds.
    let second = now_ms() / 1000;
    wait_until("the next second", || now_ms() / 1000 > second);
    let path = format!("/api/now/table/incident/{}", text(&row, "sys_id"));
    beth.patch(&path, &json!({"state": "2"})).result();
    let read = beth.get(&path).result();
    let names = (text(&read, "sys_created_by"), text(&read, "sys_updated_by"));
    assert_eq!(names, ("abel".to_owned(), "beth".to_owned()));
    assert_eq!(text(&read, "sys_mod_count"), "1");
    assert_eq!(text(&read, "sys_created_on"), text(&row, "sys_created_on"));
    assert!(text(&read, "sys_updated_on") > text(&read, "sys_created_on"), "{read}");
}

#[test]
fn br_87_an_unknown_field_in_an_or_group_is_left_out_and_told() {
    let house = House::new();
    for (impact, urgency) in [("1", "1"), ("1", "1"), ("3", "3")] {
        house.insert("incident", &json!({"impact": impact, "urgency": urgency}));
    }
    let listed = |query: &str| -> Answer {
        let query = encode(query);
        let fields = "sysparm_fields=sys_id,priority";
        house.admin.get(&format!("/api/now/table/incident?sysparm_query={query}&{fields}"))
    };
    let plain = listed("priority=1");
    assert_eq!(plain.result().as_array().unwrap().len(), 2, "{}", plain.text);
    let with_unknown = listed("priority=1^ORnope=2");
    assert_eq!(with_unknown.result(), plain.result());
    assert_eq!(plain.header("warning"), None);
    let told = with_unknown.header("warning").unwrap_or_default().to_owned();
    assert!(told.contains("nope=2"), "{told}");
    // By a script, which is logged.
    let answer = house.script(
        "var g = new GlideRecord('incident'); g.addEncodedQuery('priority=1^ORnope=2'); g.query(); \
         gs.print(g.getRowCount());",
    );
    assert_eq!(text(&answer, "printed").trim(), "2");
    wait_until("the warning stands in the log", || {
        house.admin.count("syslog", "level=1^messageLIKEnope") > 0
    });
}
