//! A disk that is full: refused with 503, nothing damaged, and work goes on by itself when there is room.

use std::process::Command;

use serde_json::json;

use crate::harness::{Client, Server, campanile, skip, wait_until};
use crate::small_disk::SmallDisk;

/// Small enough to be filled quickly, large enough for a fresh database.
const SMALL_BYTES: u64 = 48 << 20;

fn action(admin: &Client, event: &str, script: &str) {
    let row = json!({
        "name": event, "event_name": event, "active": "true", "script": script,
    });
    admin.post("/api/now/table/sysevent_script_action", &row).result();
}

fn is_processed(admin: &Client, sys_id: &str) -> bool {
    admin.count("sysevent", &format!("sys_id={sys_id}^state=processed")) == 1
}

#[test]
fn a_full_disk_refuses_writing_damages_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mounted(SMALL_BYTES) else {
        skip("a_full_disk_…", "this user may not mount a file system");
        return;
    };
    let data = disk.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    let save = "var p = new GlideRecord('cmn_location'); p.initialize(); p.name = 'disk ' + event.parm2; \
                p.description = event.parm1; p.insert(); gs.log('saved', 'disk');";
    action(&admin, "t.saves", save);
    action(&admin, "t.logs", "gs.info(event.parm1);");
    let long = "x".repeat(30_000);
    let mut accepted = Vec::new();
    let fire = |n: usize| {
        let name = if n.is_multiple_of(2) { "t.saves" } else { "t.logs" };
        let body = json!({"name": name, "parm1": long, "parm2": n.to_string()});
        admin.post("/api/events", &body)
    };
    // Handlers write while the disk fills: appends, records, runs, completions and checkpoints all meet its end.
    let refused = (0..20_000)
        .find_map(|n| {
            let answer = fire(n);
            if answer.status != 202 {
                return Some(answer);
            }
            accepted.push(answer.json()["result"]["sys_id"].as_str().unwrap().to_owned());
            None
        })
        .expect("the disk fills up");
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("disk_full"), "{}", refused.text);
    let other = disk.fill();

    // A checkpoint may have left the log room for some rows yet; soon it has none.
    let place = json!({"name": "no room", "street": "x".repeat(200)});
    let mut saved = 0;
    let refused = loop {
        let answer = admin.post("/api/now/table/cmn_location", &place);
        if answer.status != 201 {
            break answer;
        }
        saved += 1;
        assert!(saved < 20_000, "the disk stays full");
    };
    assert_eq!(refused.status, 503, "a record operation: {}", refused.text);
    assert_eq!(admin.count("cmn_location", "name=no room"), saved, "nothing is kept by halves");
    for sys_id in accepted.iter().take(20) {
        assert_eq!(admin.count("sysevent", &format!("sys_id={sys_id}")), 1, "reading goes on");
    }

    std::fs::remove_file(other).unwrap();
    disk.grow(8 * SMALL_BYTES);
    wait_until("writing works again", || fire(1).status == 202);
    wait_until("every accepted event has ended", || {
        admin.count("sysevent", "stateINready,queued") == 0
    });
    // A handler that met the full disk has failed, and says so; everything else was done.
    for sys_id in &accepted {
        let rows = admin.rows("sysevent", &format!("sys_id={sys_id}"), "state,error_message");
        let state = rows[0]["state"].as_str().unwrap();
        let says_why = rows[0]["error_message"].as_str().unwrap_or("").contains("full");
        assert!(state == "processed" || (state == "error" && says_why), "{}", rows[0]);
    }
    let after = fire(2).json()["result"]["sys_id"].as_str().unwrap().to_owned();
    wait_until("a new event is handled", || is_processed(&admin, &after));
    assert!(server.stop(), "the server stops in order");
    let checked = Command::new("sqlite3")
        .arg(data.join("campanile.db"))
        .arg("PRAGMA integrity_check")
        .output()
        .expect("sqlite3 is installed by scripts/setup");
    assert_eq!(String::from_utf8_lossy(&checked.stdout).trim(), "ok");
}

#[test]
fn a_server_that_starts_on_a_full_disk_names_the_folder_and_the_fix() {
    let Some(disk) = SmallDisk::mounted(SMALL_BYTES) else {
        skip("a_server_that_starts_on_a_full_disk_…", "this user may not mount a file system");
        return;
    };
    let data = disk.path().join("data");
    let data = data.to_str().unwrap();
    let made = campanile(&["init", "--data", data]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let other = disk.fill();
    for command in ["serve", "doctor"] {
        let mut args = vec![command, "--data", data];
        if command == "serve" {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        let told = campanile(&args);
        assert_eq!(told.code, 1, "{command}: {}", told.stderr);
        let last = told.stderr.lines().last().unwrap();
        for words in ["the disk that holds", data, "is full", "--data"] {
            assert!(last.contains(words), "{command}: '{words}' is missing in: {last}");
        }
    }
    std::fs::remove_file(other).unwrap();
    let checked = campanile(&["doctor", "--data", data]);
    assert_eq!(checked.code, 0, "{} {}", checked.stdout, checked.stderr);
}
