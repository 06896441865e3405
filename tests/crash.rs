//! Nothing lost: the real binary, killed again and again while it appends and handles.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Server, wait_until};
use crate::nothing_lost::{add_handler, install_handlers, nothing_is_lost_and_nothing_doubled};
use crate::people::text;

const ROUNDS: u64 = 22;
const CONNECTIONS: usize = 8;

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
        // A third lapse would rightly end an event; this test is about those that have fewer.
        let admin = running.admin();
        wait_until("no event is one lapse from its end", || {
            admin.count("sysevent", "lapses>=2^stateINready,queued") == 0
        });
        fire_and_kill(running, moment_of(round), &number, &acknowledged);
    }

    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    admin.wait_until_drained();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 200, "only {} events were acknowledged", acknowledged.len());
    let lapsed = admin.count("sysevent", "lapses>0");
    assert!(lapsed > 0, "no kill met an event that was being handled: the test shows nothing");
    nothing_is_lost_and_nothing_doubled(&admin, &acknowledged);
    assert!(server.stop(), "the server stops in order");
    assert_eq!(integrity(&data), "ok");
}

/// When a round ends: after so many acknowledgements, and then some more milliseconds.
fn moment_of(round: u64) -> (usize, Duration) {
    let dice = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id());
    let acknowledgements = usize::try_from(dice % 41).unwrap();
    (acknowledgements, Duration::from_millis((dice >> 20) % 30))
}

fn fire_and_kill(
    running: Server,
    (target, then): (usize, Duration),
    number: &AtomicU64,
    acknowledged: &Mutex<Vec<(String, String)>>,
) {
    let stop = AtomicBool::new(false);
    let before = acknowledged.lock().unwrap().len();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            let client = running.admin();
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let parm1 = number.fetch_add(1, Ordering::Relaxed).to_string();
                    let body = json!({"name": "t.crash", "parm1": parm1}).to_string();
                    // Whatever breaks off when the server dies was never acknowledged.
                    let answer = client.try_send("POST", "/api/events", &[], Some(&body));
                    if let Ok(answer) = answer {
                        assert_eq!(answer.status, 202, "{}", answer.text);
                        let sys_id = answer.json()["result"]["sys_id"].as_str().unwrap().to_owned();
                        acknowledged.lock().unwrap().push((sys_id, parm1));
                    }
                }
            });
        }
        wait_until("enough events are acknowledged", || {
            acknowledged.lock().unwrap().len() >= before + target
        });
        std::thread::park_timeout(then);
        running.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

/// A handler that works until the property `t.patience` is no longer `long`.
const WORKS_LONG: &str =
    "while (gs.getProperty('t.patience') == 'long') gs.sleep(20); gs.log('at last', 't');";

fn set_patience(admin: &Client, value: &str) {
    match admin.rows("sys_properties", "name=t.patience", "sys_id").first() {
        None => {
            admin
                .post(
                    "/api/now/table/sys_properties",
                    &json!({"name": "t.patience", "value": value}),
                )
                .result();
        }
        Some(row) => {
            let path = format!("/api/now/table/sys_properties/{}", text(row, "sys_id"));
            admin.patch(&path, &json!({"value": value})).result();
        }
    }
}

fn fire(admin: &Client, name: &str) -> String {
    let fired = admin.post("/api/events", &json!({"name": name})).result();
    text(&fired, "sys_id")
}

/// Waits until the data folder says that a processor has begun the event.
fn wait_until_begun(data: &Path, event: &str) {
    wait_until("a processor has begun the event", || {
        let begun = std::fs::read(data.join("handling")).unwrap_or_default();
        begun.windows(event.len()).any(|window| window == event.as_bytes())
    });
}

#[test]
fn ev_049_a_kill_between_two_handlers_repeats_neither_the_first_nor_what_it_fired() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    set_patience(&admin, "long");
    add_handler(&admin, "t.two", "first", 100, "gs.eventQueue('t.next', null, event.sys_id);");
    add_handler(&admin, "t.two", "second", 200, WORKS_LONG);
    let event = fire(&admin, "t.two");
    let runs = |admin: &Client, name: &str| {
        admin.rows(
            "sysevent_handler_run",
            &format!("event={event}^handler_name={name}^outcome=succeeded"),
            "sys_id,outcome,attempt",
        )
    };
    wait_until("the first handler's run is recorded", || runs(&admin, "first").len() == 1);
    server.kill();

    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    set_patience(&admin, "short");
    wait_until("the event is finished", || {
        admin.count("sysevent", &format!("sys_id={event}^state=processed")) == 1
    });
    assert_eq!(runs(&admin, "first").len(), 1, "the first handler did not run twice");
    assert_eq!(runs(&admin, "second").len(), 1);
    assert_eq!(admin.count("sysevent", &format!("name=t.next^parm1={event}")), 1);
    let row = &admin.rows("sysevent", &format!("sys_id={event}"), "lapses,epoch")[0];
    assert_eq!((text(row, "lapses"), text(row, "epoch")), ("1".to_owned(), "0".to_owned()));
}

#[test]
fn ev_050_an_event_that_kills_its_process_three_times_ends_and_the_queue_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    set_patience(&admin, "long");
    add_handler(&admin, "t.poison", "kills", 100, WORKS_LONG);
    add_handler(&admin, "t.harmless", "works", 100, "gs.log('fine', 't');");
    let poison = fire(&admin, "t.poison");
    wait_until_begun(&data, &poison);
    server.kill();

    let server = Server::start_on(&data, &[]);
    wait_until_begun(&data, &poison);
    server.kill();

    let server = Server::start_on(&data, &[]);
    let behind = fire(&server.admin(), "t.harmless");
    wait_until_begun(&data, &poison);
    server.kill();

    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    let row = &admin.rows("sysevent", &format!("sys_id={poison}"), "state,error_code,lapses")[0];
    assert_eq!((text(row, "state"), text(row, "error_code")), words("error", "processor_lost"));
    wait_until("what stood behind it is handled", || {
        admin.count("sysevent", &format!("sys_id={behind}^state=processed")) == 1
    });
    let metrics = admin.get("/metrics").text;
    let lapses = metrics.lines().find_map(|line| line.strip_prefix("campanile_lapses_total "));
    assert!(lapses.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
    let later = fire(&admin, "t.harmless");
    wait_until("the queue goes on", || {
        admin.count("sysevent", &format!("sys_id={later}^state=processed")) == 1
    });
    assert!(server.stop());
    assert_eq!(integrity(&data), "ok");
}

fn words(left: &str, right: &str) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

/// What the database's own check says, asked with another program than ours.
fn integrity(data: &Path) -> String {
    let checked = std::process::Command::new("sqlite3")
        .arg(data.join("campanile.db"))
        .arg("PRAGMA integrity_check")
        .output()
        .expect("sqlite3 is installed by scripts/setup");
    String::from_utf8_lossy(&checked.stdout).trim().to_owned()
}
