//! Stores behind the real PgBouncer in transaction mode, which gives each transaction another connection.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use campanile_model::NewEvent;
use campanile_store::testing::{PgBouncer, TestDatabase};
use campanile_store::{
    Connections, EventStore, NextState, PostgresOptions, PostgresStore, Store, StoreError, WriteTx,
};

use crate::events_at_hand::{MODE, completion, event, request};

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What makes one know no statements by their names, and what makes it know them where it can, with whether it does.
fn kinds() -> [(&'static str, bool); 2] {
    match PgBouncer::knows_names() {
        true => [("max_prepared_statements = 0", false), ("max_prepared_statements = 100", true)],
        false => [("", false), ("", false)],
    }
}

fn open(url: &str, direct_url: Option<&str>) -> Arc<PostgresStore> {
    let connections =
        Connections { direct_url: direct_url.map(Into::into), ..Connections::default() };
    PostgresStore::open(&PostgresOptions { connections, ..PostgresOptions::new(url) }).unwrap()
}

fn write_a_meta_value(store: &Arc<PostgresStore>, value: &str) {
    let mut tx: Box<dyn WriteTx> = Arc::clone(store).write().unwrap();
    tx.meta_set("k", value).unwrap();
    tx.commit().unwrap();
}

fn meta_value(store: &Arc<PostgresStore>) -> Option<String> {
    Arc::clone(store).write().unwrap().meta_get("k").unwrap()
}

/// A number of the store, of those that are 0 or 1.
fn says(store: &PostgresStore, name: &str) -> bool {
    let numbers = store.gauges();
    let found = numbers.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no {name}")).1 > 0.5
}

#[test]
fn statements_of_many_connections_survive_a_pool_of_few_whether_it_knows_names_or_not() {
    let database = TestDatabase::create();
    for (settings, has_names) in kinds() {
        let settings = format!("default_pool_size = 3\n{settings}");
        let Some(pool) = PgBouncer::before(database.url(), &settings) else { return };
        let store = open(pool.url(), None);
        assert_eq!(says(&store, "named_statements"), has_names);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..20 {
                        write_a_meta_value(store, &format!("{thread} {round}"));
                        assert!(meta_value(store).is_some());
                    }
                });
            }
        });
        store.close().unwrap();
    }
}

#[test]
fn queues_with_new_events_are_found_within_five_seconds_where_nothing_is_heard() {
    let database = TestDatabase::create();
    let Some(pool) = PgBouncer::before(database.url(), "default_pool_size = 5") else { return };
    let (store, other) = (open(pool.url(), None), open(database.url(), None));
    let (tell, told) = channel();
    store.set_wake_listener(Arc::new(move |queue, _due| drop(tell.send(queue.to_owned()))));
    let elsewhere = NewEvent { queue: "elsewhere".into(), ..event("a") };
    let appended = Instant::now();
    other.append_blocking(vec![elsewhere], MODE).unwrap();
    let heard = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(heard, "elsewhere");
    assert!(appended.elapsed() < Duration::from_secs(5), "{:?}", appended.elapsed());
}

#[test]
fn a_direct_url_that_leads_to_another_database_is_refused() {
    let (database, other) = (TestDatabase::create(), TestDatabase::create());
    let connections =
        Connections { direct_url: Some(other.url().into()), ..Connections::default() };
    let options = PostgresOptions { connections, ..PostgresOptions::new(database.url()) };
    let refused = PostgresStore::open(&options).unwrap_err().to_string();
    assert!(refused.contains("postgres.direct_url has to lead to the same database"), "{refused}");
}

#[test]
fn claims_wait_for_a_locked_table_no_longer_than_operations_behind_a_pool_too() {
    let database = TestDatabase::create();
    for (settings, _) in kinds() {
        let settings = format!("default_pool_size = 5\n{settings}");
        let Some(pool) = PgBouncer::before(database.url(), &settings) else { return };
        let patience = Duration::from_millis(500);
        let options = PostgresOptions { patience, ..PostgresOptions::new(pool.url()) };
        let store = PostgresStore::open(&options).unwrap();
        assert_eq!(store.claim(&request(1)).unwrap().events, []);
        store.append_blocking(vec![event("a")], MODE).unwrap();
        let stranger = database.stranger();
        stranger.run("BEGIN; LOCK TABLE sysevent_live IN ACCESS EXCLUSIVE MODE");
        let error = store.claim(&request(1)).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::HeldUp { .. }), "{error}");
        assert!(error.to_string().contains("end whoever holds the lock"), "{error}");
        stranger.run("ROLLBACK");
        let claimed = store.claim(&request(1)).unwrap().events.remove(0);
        store.complete(completion(&claimed, NextState::Processed));
        store.flush().unwrap();
        store.close().unwrap();
    }
}

#[test]
fn what_others_changed_is_heard_of_through_a_direct_url_and_asked_for_without_one() {
    let database = TestDatabase::create();
    let Some(pool) = PgBouncer::before(database.url(), "default_pool_size = 5") else { return };
    let other = open(database.url(), None);
    assert!(says(&other, "named_statements") && says(&other, "hears_other_nodes"));
    for direct_url in [None, Some(database.url())] {
        let store = open(pool.url(), direct_url);
        assert_eq!(says(&store, "hears_other_nodes"), direct_url.is_some());
        let (tell, told) = channel();
        store.set_table_listener(Arc::new(move |table| {
            // Nobody listens any more once the name has come.
            drop(tell.send(table.map(str::to_owned)));
        }));
        other.tell_tables(&["sys_script"]);
        let heard = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok());
        assert!(heard.flatten().any(|table| table == "sys_script"), "{direct_url:?}");
        store.close().unwrap();
    }
}
