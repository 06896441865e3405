//! Old snapshots, which make every queue slower: who holds them, and what may be seen of them.

use std::sync::Arc;
use std::time::Duration;

use campanile_store::testing::TestServer;
use campanile_store::{Concern, PostgresOptions, PostgresStore, Store};

use crate::events_at_hand::wait_until;

/// A server on which `anna` has the database `c`, and may not see what others do.
fn server() -> TestServer {
    let server = TestServer::start();
    server.run("postgres", "ALTER SYSTEM SET max_prepared_transactions = 5");
    server.run("postgres", "ALTER SYSTEM SET hot_standby_feedback = on");
    server.run("postgres", "ALTER SYSTEM SET wal_receiver_status_interval = 1");
    server.run("postgres", "ALTER SYSTEM SET primary_slot_name = 'the_replica'");
    server.crash();
    server.start_again();
    server.run("postgres", "CREATE USER anna");
    server.run("postgres", "CREATE DATABASE c OWNER anna");
    server
}

fn store(server: &TestServer) -> Arc<PostgresStore> {
    PostgresStore::open(&PostgresOptions::new(server.url("anna", "c"))).unwrap()
}

/// What is told of everything that is open, however young.
fn told(store: &PostgresStore) -> Vec<Concern> {
    store.concerns_about(Duration::ZERO).unwrap()
}

/// The one that contains `part`.
fn one(concerns: &[Concern], part: &str) -> Concern {
    let found: Vec<&Concern> = concerns.iter().filter(|one| one.what.contains(part)).collect();
    let [one] = found[..] else { panic!("{part}: {concerns:?}") };
    one.clone()
}

fn gauge(store: &PostgresStore, name: &str) -> f64 {
    let gauges = store.gauges();
    let found = gauges.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {gauges:?}")).1
}

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sysevent_live";

#[test]
fn who_holds_an_old_snapshot_is_told_with_the_fix_and_so_is_what_may_not_be_seen() {
    let server = server();
    let store = store(&server);
    assert_eq!(store.concerns().unwrap(), []);
    let own = server.stranger("anna", "c");
    own.run(SNAPSHOT);
    let other = server.stranger("postgres", "c");
    other.run(SNAPSHOT);
    assert_eq!(
        store.concerns().unwrap().len(),
        1,
        "young ones are not told, hidden ones may be old"
    );

    let concerns = told(&store);
    let seen = one(&concerns, "of 'anna' (stranger, this machine)");
    assert!(seen.is_serious && seen.what.contains("it is idle in transaction"), "{seen:?}");
    assert!(seen.what.contains("all queues become slower"), "{seen:?}");
    let pid = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'stranger' AND usename = 'anna'";
    let pid = server.texts("c", pid).remove(0);
    assert!(seen.fix.contains(&format!("pg_terminate_backend({pid})")), "{seen:?}");
    let hidden = one(&concerns, "may not see since when");
    assert!(hidden.what.starts_with("1 of") && hidden.what.contains("'anna'"), "{hidden:?}");
    assert_eq!(hidden.fix, "let it see them: GRANT pg_monitor TO \"anna\"");
    assert!(gauge(&store, "oldest_snapshot_seconds") > 0.0);
    assert!(gauge(&store, "oldest_transaction_seconds") > 0.0);
    assert!((gauge(&store, "hidden_snapshots") - 1.0).abs() < 0.1);

    server.run("c", "GRANT pg_monitor TO anna");
    let concerns = told(&store);
    one(&concerns, "of 'postgres' (stranger, this machine)");
    assert!(!concerns.iter().any(|one| one.what.contains("may not see")), "{concerns:?}");
    drop((own, other));
    wait_until("they have gone", || told(&store).is_empty());
}

#[test]
fn a_forgotten_prepared_transaction_is_told_with_the_fix() {
    let server = server();
    let store = store(&server);
    let stranger = server.stranger("anna", "c");
    stranger.run("BEGIN; CREATE TABLE t (x int); PREPARE TRANSACTION 'it''s forgotten'");
    let prepared = one(&told(&store), "'it's forgotten' of 'anna' is prepared since");
    assert!(prepared.is_serious, "{prepared:?}");
    assert!(prepared.fix.contains("ROLLBACK PREPARED 'it''s forgotten'"), "{prepared:?}");
    assert!(gauge(&store, "oldest_prepared_seconds") > 0.0);
    stranger.run("ROLLBACK PREPARED 'it''s forgotten'");
    assert_eq!(told(&store), []);
}

#[test]
fn a_slot_that_nobody_reads_from_any_more_is_told_with_the_fix() {
    let server = server();
    let store = store(&server);
    server.run("postgres", "SELECT pg_create_physical_replication_slot('the_replica')");
    assert_eq!(store.concerns().unwrap(), [], "it holds nothing back yet");
    let replica = server.replica();
    wait_until("the replica has told what it reads", || {
        let slot = "SELECT xmin::text FROM pg_replication_slots WHERE xmin IS NOT NULL";
        !server.texts("postgres", slot).is_empty()
    });
    drop(replica);
    wait_until("nobody reads from it", || !store.concerns().unwrap().is_empty());
    let slot = one(&store.concerns().unwrap(), "replication slot 'the_replica' holds back");
    assert!(slot.is_serious && slot.what.contains("nobody reads from it"), "{slot:?}");
    assert!(slot.fix.contains("pg_drop_replication_slot('the_replica')"), "{slot:?}");
    assert!(gauge(&store, "oldest_replica_transactions") >= 0.0);
}

#[test]
fn dead_events_that_are_not_cleared_away_are_told() {
    let server = server();
    let store = store(&server);
    server.run("c", "ALTER TABLE sysevent_live SET (autovacuum_enabled = off)");
    one(&store.concerns().unwrap(), "autovacuum is off for sysevent_live");
    server.run(
        "c",
        "INSERT INTO sysevent_live (sys_id, queue, derived_priority, process_on, sys_created_on, name, \"partition\", \
         depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
         SELECT lpad(n::text, 32, '0'), '', 100, 1, 1, 'n', 0, 0, 'api', false, true, false, 0, 0 \
         FROM generate_series(1, 100001) AS n; DELETE FROM sysevent_live",
    );
    wait_until("the server has counted them", || gauge(&store, "dead_events") > 100_000.0);
    let dead = one(&store.concerns().unwrap(), "dead rows");
    assert!(dead.what.contains("100001 dead rows beside 0 events"), "{dead:?}");
    assert!(dead.fix.contains("VACUUM sysevent_live"), "{dead:?}");
}
