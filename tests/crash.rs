//! Nothing lost: the real binary, killed again and again while it appends and handles.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Server};

const ROUNDS: u64 = 22;
const CONNECTIONS: usize = 8;

/// A handler that fires a follow-up, one behind it, and one on the follow-up.
fn install_handlers(admin: &Client) {
    for (event, name, order, script) in [
        ("t.crash", "first", 100, "gs.eventQueue('t.follow', null, event.parm1, event.sys_id);"),
        ("t.crash", "second", 200, "gs.log('second ' + event.parm1, 'crash');"),
        ("t.follow", "follow", 100, "var seen = event.parm1 + '';"),
    ] {
        admin
            .post(
                "/api/now/table/sysevent_script_action",
                &json!({
                    "name": name, "event_name": event, "active": "true",
                    "order": order.to_string(), "script": script,
                }),
            )
            .result();
    }
}

#[test]
fn no_acknowledged_event_is_lost_and_no_success_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Server::start_on(&data, &[]);
    install_handlers(&first.admin());
    let mut next = Some(first);
    let acknowledged: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
    let number = AtomicU64::new(0);

    for round in 0..ROUNDS {
        let running = next.take().unwrap_or_else(|| Server::start_on(&data, &[]));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                let client = running.admin();
                let (stop, number, acknowledged) = (&stop, &number, &acknowledged);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let parm1 = number.fetch_add(1, Ordering::Relaxed).to_string();
                        let body = json!({"name": "t.crash", "parm1": parm1}).to_string();
                        // Whatever breaks off when the server dies was never acknowledged.
                        if let Ok(answer) = client.try_send("POST", "/api/events", &[], Some(&body))
                            && answer.status == 202
                        {
                            let sys_id =
                                answer.json()["result"]["sys_id"].as_str().unwrap().to_owned();
                            acknowledged.lock().unwrap().push((sys_id, parm1));
                        }
                    }
                });
            }
            // Another moment each round: from a few milliseconds to a third of a second.
            let moment = 5 + (round * 7919 + u64::from(std::process::id())) % 320;
            std::thread::park_timeout(Duration::from_millis(moment));
            running.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }

    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    admin.wait_until_drained();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 100, "only {} events were acknowledged", acknowledged.len());
    every_acknowledged_event_is_processed_once(&admin, &acknowledged);
    no_success_and_no_follow_up_is_doubled(&admin, &acknowledged);
    assert!(server.stop(), "the server stops in order");
    let checked = std::process::Command::new("sqlite3")
        .arg(data.join("campanile.db"))
        .arg("PRAGMA integrity_check")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&checked.stdout).trim(), "ok", "{checked:?}");
}

fn every_acknowledged_event_is_processed_once(admin: &Client, acknowledged: &[(String, String)]) {
    let mut states: HashMap<String, String> = HashMap::new();
    for row in admin.rows("sysevent", "name=t.crash", "sys_id,state,parm1") {
        let key = row["sys_id"].as_str().unwrap().to_owned();
        let state = row["state"].as_str().unwrap().to_owned();
        assert!(states.insert(key, state).is_none(), "an event stands in the log twice: {row}");
    }
    for (sys_id, parm1) in acknowledged {
        let state = states
            .get(sys_id)
            .unwrap_or_else(|| panic!("event {sys_id} ({parm1}) was acknowledged and is gone"));
        assert_eq!(state, "processed", "event {sys_id} ({parm1})");
    }
}

fn no_success_and_no_follow_up_is_doubled(admin: &Client, acknowledged: &[(String, String)]) {
    let mut succeeded = BTreeSet::new();
    for run in admin.rows("sysevent_handler_run", "outcome=succeeded", "event,epoch,handler") {
        let key = format!("{} {} {}", run["event"], run["epoch"], run["handler"]);
        assert!(succeeded.insert(key.clone()), "a success was repeated: {key}");
    }
    let mut followed = BTreeSet::new();
    for row in admin.rows("sysevent", "name=t.follow", "sys_id,parm2") {
        let cause = row["parm2"].as_str().unwrap().to_owned();
        assert!(followed.insert(cause.clone()), "event {cause} fired its follow-up twice");
    }
    for (sys_id, _) in acknowledged {
        assert!(followed.contains(sys_id), "the follow-up of {sys_id} is missing");
    }
}
