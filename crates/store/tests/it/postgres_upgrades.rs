//! Servers of two versions on one PostgreSQL database, while they are replaced one by one.

use std::sync::Arc;

use campanile_model::QueueOrder;
use campanile_store::testing::TestDatabase;
use campanile_store::{
    EventStore, PostgresLoader, PostgresStore, QueueRule, Store, StoreError, WriteTx,
};

use crate::events_at_hand::{MODE, distributed, event, request, wait_until};
use crate::postgres_at_hand::{still, waits, works};

fn open(database: &TestDatabase, name: &str) -> Result<Arc<PostgresStore>, StoreError> {
    PostgresStore::open(&still(database.url(), name))
}

/// What a newer version does that only adds.
fn expand(database: &TestDatabase) {
    database.run(
        "ALTER TABLE sysevent_live ADD COLUMN later TEXT; ALTER TABLE sysevent_log ADD COLUMN later TEXT; \
         ALTER TABLE campanile_node ADD COLUMN later BIGINT NOT NULL DEFAULT 0; \
         CREATE TABLE later (id BIGINT); CREATE INDEX later_name ON sysevent_live (name); \
         INSERT INTO campanile_migration (number, name, stops_older) VALUES (999, 'later', false)",
    );
}

#[test]
fn an_older_program_goes_on_and_can_be_started_where_a_newer_one_has_only_added() {
    let database = TestDatabase::create();
    let running = open(&database, "running").unwrap();
    works(&running);
    expand(&database);
    works(&running);
    let started = open(&database, "started").unwrap();
    works(&started);
    works(&running);
    assert!(started.gauges().contains(&("schema_version", 999.0)), "{:?}", started.gauges());
}

#[test]
fn a_program_copies_nothing_from_or_to_a_database_of_which_it_does_not_know_everything() {
    let database = TestDatabase::create();
    expand(&database);
    let started = open(&database, "started").unwrap();
    let error = Arc::clone(&started).dump().map(drop).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
    started.close().unwrap();
    // A table that it does not know would make the database somebody's.
    database.run("DROP TABLE later");
    let error = PostgresLoader::open(database.url()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
}

#[test]
fn a_database_from_before_migrations_said_what_older_programs_do_is_migrated_on() {
    let database = TestDatabase::create_empty();
    database.run(include_str!("../../migrations/postgres/0001_base.sql"));
    database.run("INSERT INTO campanile_migration (number, name) VALUES (1, 'base')");
    works(&open(&database, "n").unwrap());
    let stops =
        "SELECT stops_older::text FROM campanile_migration WHERE number <= 4 ORDER BY number";
    assert_eq!(database.texts(stops), ["true"; 4]);
}

#[test]
fn an_order_is_refused_while_programs_work_that_know_none_and_those_get_nothing_of_one() {
    let database = TestDatabase::create();
    let store = open(&database, "n").unwrap();
    let set = || {
        let mut tx = Arc::clone(&store).write().unwrap();
        let rule = QueueRule { order: QueueOrder::Sequential, halts: false };
        tx.set_queue_order("", Some(rule)).and_then(|()| tx.commit().map(drop))
    };
    // As a program of an older version does it.
    database.run("INSERT INTO campanile_node (name, lease_ms) VALUES ('elder', 3600000)");
    assert_eq!(store.nodes().serving.len(), 1, "nothing was looked for yet");
    store.serve(true).unwrap();
    assert_eq!(store.nodes().serving.len(), 2, "it counts");
    let error = set().unwrap_err();
    assert!(matches!(error, StoreError::OlderAtWork { number: 6, .. }), "{error}");
    assert!(error.to_string().contains("'elder'"), "{error}");
    database.run("UPDATE campanile_node SET gone_at = clock_timestamp() WHERE name = 'elder'");
    store.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = || {
        let claim = "SELECT got.name FROM campanile_node, LATERAL campanile_claim('', 9, 'p', token, 9223372036854775807, false) AS got \
             WHERE campanile_node.name = 'n'";
        database.texts(claim)
    };
    set().unwrap();
    assert_eq!(claimed(), [] as [&str; 0]);
    assert_eq!(store.claim(&request(9)).unwrap().events.len(), 1);
}

/// As a program of an older version registers.
const ELDER: &str = "INSERT INTO campanile_node (name, lease_ms) VALUES ('elder', 3600000)";

/// Sets an order, and does not commit yet.
fn set_order(store: &Arc<PostgresStore>) -> Result<Box<dyn WriteTx>, StoreError> {
    let mut tx = Arc::clone(store).write().unwrap();
    let rule = QueueRule { order: QueueOrder::Sequential, halts: false };
    tx.set_queue_order("", Some(rule)).map(|()| tx)
}

#[test]
fn an_older_program_that_registers_while_an_order_is_set_waits_and_is_refused() {
    let database = TestDatabase::create();
    let store = open(&database, "n").unwrap();
    for is_kept in [false, true] {
        let tx = set_order(&store).unwrap();
        std::thread::scope(|scope| {
            let registers = scope.spawn(|| database.stranger().try_run(ELDER));
            wait_until("it waits", || waits(&database, "INSERT INTO campanile_node"));
            if is_kept {
                tx.commit().unwrap();
                let told = registers.join().unwrap().unwrap_err();
                assert!(matches!(told, StoreError::Unavailable { .. }), "{told}");
                assert!(told.to_string().contains("use the newer version"), "{told}");
            } else {
                drop(tx);
                registers.join().unwrap().unwrap();
                database.run("DELETE FROM campanile_node WHERE name = 'elder'");
            }
        });
    }
}

#[test]
fn an_order_that_is_set_while_an_older_program_registers_waits_and_sees_it() {
    let database = TestDatabase::create();
    let store = open(&database, "n").unwrap();
    let elder = database.stranger();
    elder.run(&format!("BEGIN; {ELDER}"));
    std::thread::scope(|scope| {
        let setting = scope.spawn(|| set_order(&store).map(drop));
        wait_until("it waits", || waits(&database, "pg_advisory_xact_lock"));
        elder.run("COMMIT");
        let error = setting.join().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::OlderAtWork { .. }), "{error}");
    });
}

#[test]
fn an_older_program_whose_lease_had_lapsed_when_an_order_was_set_has_to_register_anew() {
    let database = TestDatabase::create();
    let store = open(&database, "n").unwrap();
    database.run(ELDER);
    database
        .run("UPDATE campanile_node SET beat_at = beat_at - interval '1 day' WHERE name = 'elder'");
    set_order(&store).unwrap().commit().unwrap();
    let beat = "UPDATE campanile_node SET beat_at = clock_timestamp() WHERE name = 'elder' AND gone_at IS NULL \
         RETURNING name";
    assert_eq!(database.texts(beat), [] as [&str; 0]);
    assert!(database.stranger().try_run(ELDER).is_err());
}

#[test]
fn a_program_that_knows_orders_and_none_in_partitions_is_kept_from_those_alone() {
    for (database, is_admitted) in [(TestDatabase::create(), true), (distributed(), false)] {
        let store = open(&database, "n").unwrap();
        set_order(&store).unwrap().commit().unwrap();
        let registers = "INSERT INTO campanile_node (name, lease_ms, serves) VALUES ('between', 3600000, false)";
        assert_eq!(database.stranger().try_run(registers).is_ok(), is_admitted);
    }
}

#[test]
fn a_migration_that_waits_for_a_table_lets_those_behind_it_go_on() {
    let database = TestDatabase::create_empty();
    for (number, name, sql) in [
        (1, "base", include_str!("../../migrations/postgres/0001_base.sql")),
        (2, "events", include_str!("../../migrations/postgres/0002_events.sql")),
        (3, "kept_answers", include_str!("../../migrations/postgres/0003_kept_answers.sql")),
        (4, "log_instance", include_str!("../../migrations/postgres/0004_log_instance.sql")),
        (5, "distributed", include_str!("../../migrations/postgres/0005_distributed.sql")),
    ] {
        database.run(sql);
        database.run(&format!(
            "INSERT INTO campanile_migration (number, name) VALUES ({number}, '{name}')"
        ));
    }
    let stranger = database.stranger();
    stranger.run("BEGIN; SELECT FROM campanile_node");
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(&database, "newer"));
        wait_until("the migration waits", || waits(&database, "ALTER TABLE campanile_node"));
        // Comes behind it, and not behind the stranger.
        database.run("INSERT INTO campanile_node (name, lease_ms) VALUES ('elder', 1)");
        assert!(!opening.is_finished());
        stranger.run("ROLLBACK");
        works(&opening.join().unwrap().unwrap());
    });
}
