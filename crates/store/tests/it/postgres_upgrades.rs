//! Servers of two versions on one PostgreSQL database, while they are replaced one by one.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::{EventState, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    EventStore, Lease, NextState, PostgresLoader, PostgresOptions, PostgresStore, QueueRule, Store,
    StoreError,
};

use crate::events_at_hand::{BY, MODE, completion, event, request, wait_until};

fn open(database: &TestDatabase, name: &str) -> Result<Arc<PostgresStore>, StoreError> {
    let options = PostgresOptions {
        node: name.to_owned(),
        lease: Lease { beat: Duration::from_secs(3_600), ..Lease::default() },
        watch: Duration::from_secs(3_600),
        ..PostgresOptions::new(database.url())
    };
    PostgresStore::open(&options)
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

/// An event goes all the way.
fn works(store: &PostgresStore) {
    store.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = store.claim(&request(1)).unwrap().events.remove(0);
    assert!(store.begin(&claimed.fired.sys_id, BY, 0));
    store.complete(completion(&claimed, NextState::Processed));
    store.flush().unwrap();
    let found = store.event(&claimed.fired.sys_id).unwrap().unwrap();
    assert_eq!(found.state, EventState::Processed);
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
    let waits = || {
        let waiting = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock'";
        !database.texts(waiting).is_empty()
    };
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(&database, "newer"));
        wait_until("the migration waits", waits);
        // Comes behind it, and not behind the stranger.
        database.run("INSERT INTO campanile_node (name, lease_ms) VALUES ('elder', 1)");
        assert!(!opening.is_finished());
        stranger.run("ROLLBACK");
        works(&opening.join().unwrap().unwrap());
    });
}
