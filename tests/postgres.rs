//! The real binary on PostgreSQL: many servers on one database, and what keeps one from starting.

use std::time::{Duration, Instant};

use campanile_store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Server, binary, campanile, wait_until};

/// What is changed at one server takes effect at all within this time.
const LEARNS_WITHIN: Duration = Duration::from_secs(5);

fn fire(server: &Server, number: usize) -> String {
    let body = json!({"name": "t.shared", "parm1": number.to_string()});
    let fired = server.admin().post("/api/events", &body).result();
    fired["sys_id"].as_str().unwrap().to_owned()
}

fn key(row: &Value) -> String {
    row["sys_id"].as_str().unwrap().to_owned()
}

/// Has `second` read its definitions, changes one at `first`, and sees that `second` goes by it within five seconds.
pub(crate) fn the_other_learns_of_a_change(first: &Server, second: &Server, name: &str) {
    let property = json!({"name": name, "value": "before"});
    let made = first.admin().post("/api/now/table/sys_properties", &property).result();
    let value = |server: &Server| {
        let script = json!({"script": format!("gs.getProperty('{name}')")});
        let answer = server.admin().post("/api/scripts/evaluate", &script).result();
        answer.to_string()
    };
    wait_until("the other server knows the property", || value(second).contains("before"));
    let path = format!("/api/now/table/sys_properties/{}", key(&made));
    first.admin().patch(&path, &json!({"value": "after"})).result();
    let changed = Instant::now();
    wait_until("the other server knows its new value", || value(second).contains("after"));
    assert!(changed.elapsed() < LEARNS_WITHIN, "it took {:?}", changed.elapsed());
}

#[test]
fn what_one_server_was_given_another_finishes_after_a_kill() {
    let database = TestDatabase::create_empty();
    let first = Server::start_on_database(database.url());
    let action = json!({
        "name": "works", "event_name": "t.shared", "active": "true", "script": "gs.log(event.parm1, 't');",
    });
    first.admin().post("/api/now/table/sysevent_script_action", &action).result();
    let second = Server::start_on_database(database.url());
    the_other_learns_of_a_change(&first, &second, "t.shared");
    let mut fired: Vec<String> = (0..20).map(|number| fire(&first, number)).collect();
    first.kill();
    // Whoever is dead holds its claims until its lease is over.
    database.run(
        "UPDATE campanile_node SET beat_at = beat_at - interval '1 day' \
         WHERE token = (SELECT min(token) FROM campanile_node)",
    );
    fired.extend((20..40).map(|number| fire(&second, number)));
    let admin = second.admin();
    wait_until("the other server has handled all", || {
        admin.count("sysevent", "name=t.shared^state=processed") == 40
    });
    let mut found: Vec<String> =
        admin.rows("sysevent", "name=t.shared", "sys_id").iter().map(key).collect();
    found.sort();
    fired.sort();
    assert_eq!(found, fired);
    let runs = admin.count("sysevent_handler_run", "handler_name=works^outcome=succeeded");
    assert_eq!(runs, 40, "each was handled once");
    assert!(second.stop(), "the server stops in order");
}

#[test]
fn clocks_that_are_ten_minutes_off_change_no_due_time_and_no_time_of_arrival() {
    let database = TestDatabase::create_empty();
    let ahead = ["--test-clock-ahead-ms", "600000"];
    let first = Server::start_on_database_with(database.url(), &ahead);
    let behind = ["--test-clock-ahead-ms", "-600000"];
    let second = Server::start_on_database_with(database.url(), &behind);
    let began: i64 = seconds(&database);

    for (number, server) in [&first, &second].into_iter().cycle().take(10).enumerate() {
        fire(server, number);
    }
    for server in [&first, &second] {
        let later = json!({"name": "t.later", "process_on": "PT2S"});
        server.admin().post("/api/events", &later).result();
    }
    let admin = second.admin();
    wait_until("all are handled", || {
        admin.count("sysevent", "state=processed^nameSTARTSWITHt.") == 12
    });

    let times = database.texts(
        "SELECT concat_ws(' ', name, parm1, sys_created_on / 1000, process_on / 1000, processed / 1000) \
         FROM sysevent_log WHERE name LIKE 't.%' ORDER BY sequence",
    );
    let now = seconds(&database);
    for line in times.iter().filter(|line| line.starts_with("t.shared")) {
        let times: Vec<i64> = line.split(' ').skip(2).map(|text| text.parse().unwrap()).collect();
        let [created, due, processed] = times[..] else { panic!("{line}") };
        assert!((began - 1..=now + 1).contains(&created), "{line}: between {began} and {now}");
        assert_eq!(due, created);
        assert!(processed >= due - 1, "{line}");
    }
    for line in times.iter().filter(|line| line.starts_with("t.later")) {
        let times: Vec<i64> = line.split(' ').skip(1).map(|text| text.parse().unwrap()).collect();
        let [created, due, processed] = times[..] else { panic!("{line}") };
        assert!((2..=3).contains(&(due - created)) && processed >= due - 1, "{line}");
        assert!(processed <= now + 1, "{line}");
    }
    let correction = first.anonymous().get("/metrics").text;
    assert!(
        correction
            .lines()
            .any(|line| line.starts_with("campanile_storage_clock_correction_ms -59")
                || line.starts_with("campanile_storage_clock_correction_ms -60")),
        "{correction}"
    );
}

/// The database's time.
fn seconds(database: &TestDatabase) -> i64 {
    database.texts("SELECT extract(epoch FROM clock_timestamp())::bigint::text")[0].parse().unwrap()
}

/// What `doctor` says in its one line, with exit code 2 and never the password.
fn refusal(url: &str) -> String {
    let run = campanile(&["doctor", "--database", url]);
    assert_eq!(run.code, 2, "{url}: {}", run.stderr);
    assert!(!run.stderr.contains("geheim"), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [line] = lines[..] else { panic!("expected one line, got {}", run.stderr) };
    line.to_owned()
}

#[test]
fn what_keeps_a_server_from_its_database_is_told_in_one_line_with_the_fix() {
    let database = TestDatabase::create_empty();
    let url = database.url();
    for (url, thing, fix) in [
        ("mysql://u:geheim@h/c", "mysql://h/c", "expected postgres://"),
        ("postgres://u:geheim@h/c?sslmod=disable", "sslmod", "postgres://h/c"),
        ("postgres://u:ge@geheim@h/c", "postgres://…", "%40 for '@'"),
        ("postgres://u:geheim/c", "postgres://…", "%2F for '/'"),
        ("postgres://u:geheim@h:many/c", "h:many", "`port`: expected postgres://"),
        (
            "postgres://u:geheim@no-such-host.invalid/c?sslmode=disable",
            "no-such-host",
            "check host",
        ),
        ("postgres://u:geheim@127.0.0.1:1/c", "127.0.0.1:1", "check host and port"),
        (&format!("{url}_missing"), "does not exist", "CREATE DATABASE"),
        (
            &url.replacen("postgres@", "nobody_known:geheim@", 1),
            "nobody_known",
            "check user and password",
        ),
    ] {
        let line = refusal(url);
        assert!(line.contains(thing) && line.contains(fix), "{line}");
    }
    let read_only = format!("{url}?options=-c%20default_transaction_read_only%3Don");
    let line = refusal(&read_only);
    assert!(line.contains("read-only") && line.contains("name the primary"), "{line}");

    let made = campanile(&["init", "--database", url]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    database.run("INSERT INTO campanile_migration (number, name) VALUES (9999, 'later')");
    let line = refusal(url);
    assert!(line.contains("schema 9999") && line.contains("use the newer version"), "{line}");
}

#[test]
fn a_database_is_made_once_and_its_users_are_kept_by_the_command_line() {
    let database = TestDatabase::create_empty();
    let on_it = |args: &[&str]| campanile(&[args, &["--database", database.url()]].concat());
    assert_eq!(on_it(&["init"]).code, 0);
    let again = on_it(&["init"]);
    assert_eq!(again.code, 1, "{}", again.stderr);
    assert!(again.stderr.contains("was made already"), "{}", again.stderr);
    let server = Server::start_on_database(database.url());
    let status = || server.client("beth", ADMIN_PASSWORD).get("/api/now/table/sys_user").status;
    assert_eq!(status(), 401);
    assert_eq!(on_it(&["user", "add", "beth", "--role", "admin"]).code, 0);
    wait_until("the server that runs knows the new user", || status() == 200);
    let listed = on_it(&["user", "list"]);
    assert!(listed.stdout.contains("beth"), "{}", listed.stdout);
    let examined = on_it(&["doctor"]);
    assert_eq!(examined.code, 0, "{} {}", examined.stdout, examined.stderr);
}

/// A server that was meant for a database would take events in elsewhere.
#[test]
fn a_database_that_is_named_by_nothing_is_refused_before_a_folder_is_made() {
    let here = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variable: (&str, &str)| {
        let run = std::process::Command::new(binary())
            .args(arguments)
            .env(variable.0, variable.1)
            .current_dir(here.path())
            .output()
            .unwrap();
        (run.status.code(), String::from_utf8(run.stderr).unwrap())
    };
    let (nothing, url) = (("CAMPANILE_DATABASE", ""), "postgres://u:geheim@h/c");
    for (arguments, variable, told) in [
        (&["serve"][..], nothing, "CAMPANILE_DATABASE is set and empty"),
        (&["doctor"], nothing, "CAMPANILE_DATABASE is set and empty"),
        (&["doctor", "--database", ""], nothing, "--database is empty"),
        (&["serve"], ("CAMPANILE_DATABSE", url), "did you mean 'CAMPANILE_DATABASE'"),
        (&["init", "--data", url], ("X", ""), "the data folder is a URL"),
        (&["backup", "--to", "x.db"], nothing, "CAMPANILE_DATABASE is set and empty"),
        (&["bench", "--only", "start"], nothing, "CAMPANILE_DATABASE is set and empty"),
        (&["backup", "--to", "x.db", "--data", url], ("X", ""), "the data folder is a URL"),
        (&["init"], ("CAMPANILE_SERVER_DATA", ""), "the data folder is empty"),
        (&["init"], ("CAMPANILE_SERVER_DATA", url), "the data folder is a URL"),
        (&["serve", "--listen", url], ("X", ""), "the address to listen on is a URL"),
    ] {
        let (code, said) = run(arguments, variable);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(told) && !said.contains("geheim"), "{arguments:?}: {said}");
        assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "{arguments:?}");
    }
    let (code, said) = run(&["init", "--data", "house"], nothing);
    assert_eq!(code, Some(0), "a flag says what is meant: {said}");
}

#[test]
fn what_is_wrong_with_the_second_way_is_told_of_that_one() {
    let database = TestDatabase::create();
    let run = std::process::Command::new(binary())
        .args(["doctor", "--database", database.url()])
        .env("CAMPANILE_POSTGRES_DIRECT_URL", "postgres://u:geheim@127.0.0.1:1/c")
        .output()
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(told.contains("postgres.direct_url: ") && !told.contains("geheim"), "{told}");
}

#[test]
fn a_start_on_a_database_that_has_all_shipped_rows_writes_none_anew() {
    let database = TestDatabase::create_empty();
    let empty = campanile(&["doctor", "--database", database.url()]);
    assert!(empty.stderr.contains("nothing has been made in it yet"), "{}", empty.stderr);
    let mark = || database.texts("SELECT value FROM campanile_meta WHERE key = 'seed:system'");
    assert_eq!(campanile(&["init", "--database", database.url()]).code, 0);
    let made = mark();
    assert_eq!(made.len(), 1);
    for _ in 0..3 {
        assert_eq!(campanile(&["user", "list", "--database", database.url()]).code, 0);
        assert_eq!(mark(), made, "each program knows what another one has written");
    }
}
