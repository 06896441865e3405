//! Servers of two versions on one PostgreSQL database, while they are replaced one by one.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::EventState;
use campanile_store::testing::TestDatabase;
use campanile_store::{
    EventStore, Lease, NextState, PostgresLoader, PostgresOptions, PostgresStore, Store, StoreError,
};

use crate::events_at_hand::{BY, MODE, completion, event, request};

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
