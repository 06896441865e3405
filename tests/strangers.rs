//! Others on the PostgreSQL server under load: a table that somebody locks, and a limit that an administrator sets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use campanile_store::testing::TestDatabase;
use serde_json::json;

use crate::harness::{Server, campanile, itsm_database, wait_until};
use crate::nodes::{Nodes, STUCK, none};
use crate::nothing_lost::{Load, add_handler, install_handlers};
use crate::people::text;

/// Programs whose lease goes on.
fn living(database: &TestDatabase) -> Vec<String> {
    database.texts("SELECT token::text FROM campanile_node WHERE gone_at IS NULL ORDER BY token")
}

#[test]
fn a_table_of_events_that_a_stranger_locks_under_load_costs_no_lease_and_loses_nothing() {
    let database = itsm_database();
    let nodes = Nodes::start(database.url(), 2);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        load.wait_for(20);
        let before = living(&database);
        let stranger = database.stranger();
        stranger.run("BEGIN; LOCK TABLE sysevent_live IN ACCESS EXCLUSIVE MODE");
        // After ten seconds, much longer than the lease.
        let refused = load.refused();
        wait_until("appends are refused", || load.refused() > refused);
        assert_eq!(living(&database), before, "a beat needs no table of events");
        stranger.run("ROLLBACK");
        load.wait_for(50);
        assert_eq!(living(&database), before);
        assert!(none(&database, STUCK));
    });
    nodes.end(&load);
}

#[test]
fn handlers_whose_writes_a_statement_timeout_ends_run_again_and_nothing_is_doubled() {
    let database = itsm_database();
    // Long enough for what the test itself asks.
    database.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 2000', current_database()); END $$",
    );
    let nodes = Nodes::start(database.url(), 2);
    let load = Load::default();
    let clients = Arc::clone(&nodes.clients);
    load.during(4, &clients, || {
        for _ in 0..3 {
            load.wait_for(10);
            let stranger = database.stranger();
            stranger.run("BEGIN; LOCK TABLE cmn_location IN ACCESS EXCLUSIVE MODE");
            wait_until("a handler was ended and its event waits for another attempt", || {
                let waiting =
                    "SELECT sys_id FROM sysevent_live WHERE name = 't.crash' AND attempts > 0";
                !none(&database, waiting)
            });
        }
    });
    nodes.end(&load);
}

#[test]
fn doctor_and_metrics_tell_what_makes_every_queue_slower() {
    let database = itsm_database();
    let server = Server::start_on_database(database.url());
    let stranger = database.stranger();
    stranger.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sysevent_live");
    let metrics = server.anonymous().get("/metrics").text;
    let number = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in {metrics}")).parse().unwrap()
    };
    assert!(number("campanile_storage_oldest_snapshot_seconds") > 0.0);
    assert!(number("campanile_storage_oldest_transaction_seconds") > 0.0);
    for name in [
        "hidden_snapshots",
        "oldest_prepared_seconds",
        "oldest_replica_transactions",
        "dead_events",
    ] {
        assert!(number(&format!("campanile_storage_{name}")) >= 0.0);
    }
    database.run("ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
    let examined = campanile(&["doctor", "--database", database.url()]);
    assert_eq!(examined.code, 1, "{} {}", examined.stdout, examined.stderr);
    for part in ["problem: autovacuum is off for sysevent_live", "fix: turn it on"] {
        assert!(examined.stdout.contains(part), "{}", examined.stdout);
    }
}

#[test]
fn a_lock_that_keeps_a_program_from_starting_is_told_in_one_line_with_the_fix() {
    let database = itsm_database();
    // The database's limit goes until the program has begun to work.
    database.run(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 100', current_database()); END $$",
    );
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE campanile_node IN ACCESS EXCLUSIVE MODE");
    let refused = campanile(&["doctor", "--database", database.url()]);
    assert_eq!(refused.code, 2, "{} {}", refused.stdout, refused.stderr);
    let lines: Vec<&str> = refused.stderr.lines().collect();
    let [line] = lines[..] else { panic!("expected one line, got {}", refused.stderr) };
    assert!(line.contains("lock timeout") && line.contains("end whoever holds the lock"), "{line}");
    stranger.run("ROLLBACK");
    assert_eq!(campanile(&["doctor", "--database", database.url()]).code, 0);
}

#[test]
fn a_handler_that_never_gets_through_to_a_database_that_is_there_fails_in_the_end() {
    let database = itsm_database();
    let server = Server::start_on_database(database.url());
    let admin = server.admin();
    let script = "var p = new GlideRecord('cmn_location'); p.name = 'held'; p.insert();";
    add_handler(&admin, "t.held", "saves", 100, script);
    database.run(
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'somebody holds it' USING ERRCODE = '55P03'; END $$; \
         CREATE TRIGGER held BEFORE INSERT ON cmn_location FOR EACH ROW EXECUTE FUNCTION held()",
    );
    admin.post("/api/events", &json!({"name": "t.held"})).result();
    // Without a retry policy: what did not reach the database is run again.
    let waits = |attempts: u32| {
        let waiting = format!(
            "SELECT sys_id FROM sysevent_live WHERE name = 't.held' AND state = 'ready' AND attempts = {attempts}"
        );
        !none(&database, &waiting)
    };
    wait_until("two attempts have not got through", || waits(2));
    database
        .run("UPDATE sysevent_live SET attempts = 15 WHERE name = 't.held' AND state = 'ready'");
    wait_until("the sixteenth was the last", || {
        admin.count("sysevent", "name=t.held^state=error") == 1
    });
    let event = admin.rows("sysevent", "name=t.held", "error_code,error_message").remove(0);
    assert_eq!(text(&event, "error_code"), "handler_failed");
    let message = text(&event, "error_message");
    for part in ["'saves' failed", "16 attempts", "somebody holds it", "reprocess"] {
        assert!(message.contains(part), "{message}");
    }
    let failed = admin.count("sysevent_handler_run", "handler_name=saves^outcome=failed");
    assert_eq!(failed, 1, "the last run is recorded");
}

#[test]
fn when_all_connections_that_write_are_taken_callers_are_told_and_fires_and_beats_go_on() {
    let database = itsm_database();
    let few = [("CAMPANILE_POSTGRES_WRITERS", "2")];
    let node = Server::start_node_with(database.url(), "node-1", &few);
    let admin = node.admin();
    install_handlers(&admin);
    let before = living(&database);
    let load = Load::default();
    let clients = Mutex::new(vec![node.admin()]);
    load.during(2, &clients, || load.wait_for(20));
    // Whoever saves a location waits for it with a connection in hand; there are more of them than connections.
    let stranger = database.stranger();
    stranger.run("BEGIN; LOCK TABLE cmn_location IN ACCESS EXCLUSIVE MODE");
    let (is_told, is_enough) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_enough.load(Ordering::Relaxed) {
                    let answer = admin.post("/api/now/table/cmn_location", &json!({"name": "a"}));
                    assert_eq!(answer.status, 503, "{}", answer.text);
                    let error = answer.json()["error"].clone();
                    assert_eq!(text(&error, "code"), "overloaded", "{}", answer.text);
                    if text(&error, "detail").contains("for a free connection") {
                        is_told.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        wait_until("a caller is told", || is_told.load(Ordering::Relaxed));
        load.during(2, &clients, || load.wait_for(50));
        assert_eq!(living(&database), before, "beats have a connection of their own");
        is_enough.store(true, Ordering::Relaxed);
    });
    drop(stranger);
    admin.wait_until_drained();
    load.check(&admin);
    assert!(node.stop(), "the node stops in order");
}
