//! Moving house: the real binary copies a house from one engine to the other and back, and lives in it.

use std::path::Path;
use std::process::{Command, Stdio};

use campanile_store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::harness::{CliRun, Client, Server, binary, campanile, skip, wait_until};
use crate::small_disk::SmallDisk;

fn copy(from: &str, to: &str) -> CliRun {
    campanile(&["copy", "--from", from, "--to", to])
}

fn copied(from: &str, to: &str) -> Value {
    let run = campanile(&["copy", "--json", "--from", from, "--to", to]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn folder(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn refused(run: &CliRun, words: &[&str]) {
    assert_eq!(run.code, 2, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "'{word}' is missing in: {}", run.stderr);
    }
}

fn made(data: &Path) {
    assert_eq!(campanile(&["init", "--data", data.to_str().unwrap()]).code, 0);
}

fn fire(admin: &Client, number: usize, more: &Value) -> String {
    let mut body = json!({"name": "t.moved", "parm1": number.to_string()});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let fired = admin.post("/api/events", &body).result();
    fired["sys_id"].as_str().unwrap().to_owned()
}

fn new_incident(admin: &Client) -> String {
    let body = json!({"short_description": "it drips", "comments": "a word\nand ünïcode"});
    let row = admin.post("/api/now/table/incident", &body).result();
    row["number"].as_str().unwrap().to_owned()
}

fn first_incident(admin: &Client) -> String {
    field(&admin.rows("incident", "ORDERBYnumber", "sys_id")[0], "sys_id")
}

/// A house with an inhabitant's table, handled events, one for later, and incidents. Returns the event for later.
fn furnish(admin: &Client) -> String {
    let action = json!({
        "name": "follows", "event_name": "t.moved", "active": "true",
        "script": "gs.eventQueue('t.follow', null, event.parm1, event.sys_id);",
    });
    admin.post("/api/now/table/sysevent_script_action", &action).result();
    (0..3).for_each(|_| drop(new_incident(admin)));
    let about = json!({"table": "incident", "instance": first_incident(admin)});
    (0..30).for_each(|number| drop(fire(admin, number, &about)));
    let later = fire(admin, 99, &json!({"process_on": "PT1H"}));
    admin.wait_until_drained();
    later
}

struct Seen {
    numbers: Vec<String>,
    sequence: i64,
    events: Vec<String>,
}

fn field(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap().to_owned()
}

fn look(admin: &Client) -> Seen {
    let events = admin.rows("sysevent", "ORDERBYsequence", "sys_id,sequence,state");
    let sequence = events.iter().map(|row| field(row, "sequence").parse().unwrap()).max().unwrap();
    let mut numbers: Vec<String> =
        admin.rows("incident", "", "number").iter().map(|row| field(row, "number")).collect();
    numbers.sort();
    Seen { numbers, sequence, events: events.iter().map(ToString::to_string).collect() }
}

/// The house in its new place is the old one, and life goes on in it.
fn live_in(admin: &Client, before: &Seen, later: &str) {
    let now = look(admin);
    assert_eq!(now.events[..before.events.len()], before.events, "no event is lost or done again");
    assert_eq!(now.numbers, before.numbers);
    let about = format!("name=t.moved^instance={}", first_incident(admin));
    assert_eq!(admin.count("sysevent", &about), 30, "the events of a record are found");
    let number = new_incident(admin);
    assert!(!before.numbers.contains(&number), "{number} is given twice");
    assert!(number.starts_with("INC") && Some(&number) > before.numbers.last(), "{number}");
    let event = fire(admin, 100, &json!({}));
    let row = &admin.rows("sysevent", &format!("sys_id={event}"), "sequence")[0];
    assert!(field(row, "sequence").parse::<i64>().unwrap() > before.sequence, "{row}");
    admin.wait_until_drained();
    assert_eq!(admin.count("sysevent", &format!("sys_id={later}^state=ready")), 1);
    let runs = |query: &str| admin.count("sysevent_handler_run", query);
    assert_eq!(runs(&format!("event={event}^handler_name=follows^outcome=succeeded")), 1);
    let moved = admin.count("sysevent", "name=t.moved^state=processed");
    assert_eq!(runs("handler_name=follows^outcome=succeeded"), moved, "each was handled once");
    assert_eq!(admin.count("sysevent", "name=t.follow"), moved);
}

#[test]
fn a_house_moves_to_postgres_and_back_and_life_goes_on_in_it() {
    let parent = tempfile::tempdir().unwrap();
    let database = TestDatabase::create_empty();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    let server = Server::start_on(&first, &[]);
    let later = furnish(&server.admin());
    let before = look(&server.admin());
    refused(&copy(&folder(&first), database.url()), &["first", "in use by another campanile"]);
    assert!(server.stop());

    let told = copied(&folder(&first), database.url());
    assert_eq!((&told["compared"], &told["rows_before"]), (&json!(true), &json!(0)));
    assert!(told["tables"]["sysevent_log"].as_u64().unwrap() >= 60, "{told}");
    assert!(told["tables"]["task"].as_u64().unwrap() >= 3, "{told}");
    let server = Server::start_on_database(database.url());
    live_in(&server.admin(), &before, &later);
    let before = look(&server.admin());
    refused(&copy(database.url(), &folder(&second)), &["works on it", "stop every server"]);
    assert!(!second.join("campanile.db").exists());
    assert!(server.stop());

    let run = copy(database.url(), &folder(&second));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("both sides are equal"), "{}", run.stdout);
    let server = Server::start_on(&second, &[]);
    let admin = server.admin();
    live_in(&admin, &before, &later);
    admin.post(&format!("/api/events/{later}/run-now"), &json!({})).result();
    wait_until("the event that waited through both moves is handled", || {
        admin.count("sysevent", &format!("sys_id={later}^state=processed")) == 1
    });
    assert!(server.stop());
    let examined = campanile(&["doctor", "--data", second.to_str().unwrap()]);
    assert_eq!(examined.code, 0, "{}", examined.stdout);
}

#[test]
fn a_copy_that_was_killed_goes_on_and_no_server_starts_before_its_end() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let server = Server::start_on(&data, &[]);
    let admin = server.admin();
    let batch: Vec<Value> =
        (0..5_000).map(|n| json!({"name": "t.many", "parm1": n.to_string()})).collect();
    for _ in 0..3 {
        admin.post("/api/events/batch", &json!({"events": batch})).result();
    }
    admin.wait_until_drained();
    assert!(server.stop());

    let database = TestDatabase::create();
    let mut copying = Command::new(binary())
        .args(["copy", "--from", &folder(&data), "--to", database.url()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_begun = "SELECT value FROM campanile_meta WHERE key = 'copy:at:sysevent_log'";
    wait_until("a part of the log is there", || !database.texts(is_begun).is_empty());
    copying.kill().unwrap();
    assert!(!copying.wait().unwrap().success(), "the kill came too late: the test shows nothing");

    let unfinished = ["unfinished copy", "campanile copy", "data"];
    refused(
        &campanile(&["serve", "--listen", "127.0.0.1:0", "--database", database.url()]),
        &unfinished,
    );
    refused(&campanile(&["init", "--database", database.url()]), &unfinished);
    refused(&campanile(&["doctor", "--database", database.url()]), &unfinished);
    let other = parent.path().join("other");
    made(&other);
    refused(&copy(&folder(&other), database.url()), &["unfinished copy of", "--to"]);
    refused(&copy(database.url(), &folder(&parent.path().join("back"))), &["unfinished copy"]);

    let told = copied(&folder(&data), database.url());
    assert!(told["rows_before"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(told["tables"]["sysevent_log"], json!(15_000));
    let server = Server::start_on_database(database.url());
    assert_eq!(server.admin().count("sysevent", "name=t.many^state=processed"), 15_000);
    assert!(server.stop());
}

#[test]
fn a_copy_that_finds_its_disk_full_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mounted(1 << 20) else {
        skip("a_copy_that_finds_its_disk_full_…", "this user may not mount a file system");
        return;
    };
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    made(&data);
    let target = disk.path().join("data");
    let run = copy(&folder(&data), &folder(&target));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("full"), "{}", run.stderr);
    disk.grow(64 << 20);
    copied(&folder(&data), &folder(&target));
    let examined = campanile(&["doctor", "--data", target.to_str().unwrap()]);
    assert_eq!(examined.code, 0, "{}", examined.stdout);
}

#[test]
fn a_row_that_the_target_cannot_hold_is_named_and_mended_the_copy_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    made(&data);
    let tool = rusqlite::Connection::open(data.join("campanile.db")).unwrap();
    tool.execute("UPDATE sys_user SET active = 'maybe'", []).unwrap();
    let database = TestDatabase::create_empty();
    let run = copy(&folder(&data), database.url());
    refused(&run, &["campanile.db", "'active'", "'sys_user'", "type Text", "mend the value"]);
    tool.execute("UPDATE sys_user SET active = 1", []).unwrap();
    let database = TestDatabase::create_empty();
    // Longer than what an index of PostgreSQL takes.
    let insert = "INSERT INTO sys_properties (sys_id, name) VALUES (?1, hex(randomblob(6000)))";
    let key = "5".repeat(32);
    tool.execute(insert, [&key]).unwrap();
    let run = copy(&folder(&data), database.url());
    refused(&run, &["'sys_properties'", &format!("row {key}"), "refused it", "mend the row"]);
    tool.execute("DELETE FROM sys_properties WHERE sys_id = ?1", [&key]).unwrap();
    drop(tool);
    let told = copied(&folder(&data), database.url());
    assert!(told["rows_before"].as_u64().unwrap() > 0, "{told}");
    let examined = campanile(&["doctor", "--database", database.url()]);
    assert_eq!(examined.code, 0, "{}", examined.stdout);
}

#[test]
fn a_difference_is_found_and_the_copy_stays_unfinished() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    made(&data);
    let database = TestDatabase::create_empty();
    copied(&folder(&data), database.url());
    // As if it had been broken off at the very end, and somebody had written to it since.
    let place = std::fs::canonicalize(data.join("campanile.db")).unwrap();
    let sqlite = rusqlite::Connection::open(data.join("campanile.db")).unwrap();
    let made_at: String = sqlite
        .query_row("SELECT value FROM campanile_meta WHERE key = 'initialised'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(sqlite);
    for (table, key) in [("sys_user", "sys_id"), ("sys_properties", "sys_id")] {
        database.run(&format!(
            "INSERT INTO campanile_meta SELECT 'copy:at:{table}', jsonb_build_object('rows', count(*), 'key', \
             jsonb_build_array(max(lower({key}))))::text FROM {table}"
        ));
    }
    database.run(&format!(
        "UPDATE sys_user SET name = name || '!' WHERE user_name = 'admin'; \
         INSERT INTO campanile_meta VALUES ('copy:unfinished', '{} (made {made_at})')",
        place.display()
    ));
    // Every other table is copied anew into what is emptied first.
    let others = database.texts(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN \
         ('sys_user', 'sys_properties', 'campanile_meta') AND tablename NOT LIKE 'campanile%'",
    );
    let list: Vec<String> = others.iter().map(|name| format!("\"{name}\"")).collect();
    database.run(&format!("TRUNCATE {}", list.join(", ")));
    database.run("DELETE FROM campanile_meta WHERE key NOT LIKE 'copy:%'");
    let run = copy(&folder(&data), database.url());
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("'sys_user' is not the same")
            && run.stderr.contains("empty the target"),
        "{}",
        run.stderr
    );
    let served = campanile(&["serve", "--listen", "127.0.0.1:0", "--database", database.url()]);
    refused(&served, &["unfinished copy"]);
}

#[test]
fn what_cannot_be_copied_from_or_to_is_told_in_one_line() {
    let parent = tempfile::tempdir().unwrap();
    let (data, full) = (parent.path().join("data"), parent.path().join("full"));
    made(&data);
    made(&full);
    let empty = TestDatabase::create_empty();
    let database = TestDatabase::create();
    database.run("INSERT INTO campanile_meta VALUES ('initialised', 'long ago')");
    let from = folder(&data);
    refused(&copy(&from, database.url()), &["is not empty", "campanile_meta", "--to"]);
    refused(&copy(&from, &folder(&full)), &["full", "is not empty", "--to"]);
    let same = "source and target are the same";
    refused(&copy(&from, &from), &["data", same, "--to"]);
    refused(&copy(&from, &format!("{from}/../data")), &["data", same, "--to"]);
    refused(&copy(empty.url(), empty.url()), &[same, "--to"]);
    refused(&copy(&folder(&parent.path().join("none")), database.url()), &["none", "--from"]);
    let strangers = parent.path().join("strangers");
    std::fs::create_dir(&strangers).unwrap();
    std::fs::write(strangers.join("letter.txt"), "x").unwrap();
    refused(&copy(&from, &folder(&strangers)), &["letter.txt"]);
    refused(&copy("mysql://u:geheim@h/c", &from), &["--from", "expected sqlite:DIR"]);
    refused(&copy(&from, "sqlite:"), &["--to", "expected sqlite:DIR"]);
    refused(&copy(&from, "postgres"), &["--to", "CAMPANILE_DATABASE"]);
    refused(
        &copy(&from, "postgres://u:geheim@127.0.0.1:1/c"),
        &["127.0.0.1:1", "check host and port"],
    );
    refused(&copy(empty.url(), &folder(&parent.path().join("new"))), &["no complete database"]);
    let named = Command::new(binary())
        .args(["copy", "--from", &from, "--to", "postgres"])
        .env("CAMPANILE_DATABASE", empty.url())
        .output()
        .unwrap();
    assert!(named.status.success(), "{}", String::from_utf8_lossy(&named.stderr));
    assert_eq!(empty.texts("SELECT user_name FROM sys_user WHERE user_name = 'admin'"), ["admin"]);
}
