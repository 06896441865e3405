//! Record operations of handlers: what comes under a lapsed lease is not kept, and what has begun is not overtaken.

use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Event, EventState};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    EventStore, Lease, NextState, PostgresOptions, PostgresStore, Store, StoreError,
};

use crate::conformance::engine::{Bench, key};
use crate::events_at_hand::{BY, MODE, completion, event, request, wait_until};
use crate::postgres_at_hand::still;

/// A program on the database whose beat never comes by itself.
fn node(database: &TestDatabase, name: &str) -> Arc<PostgresStore> {
    let options =
        PostgresOptions { patience: Duration::from_secs(2), ..still(database.url(), name) };
    PostgresStore::open(&options).unwrap()
}

/// Claims the one event that waits; in distributed mode a claim looks at one partition.
fn claim_one(store: &PostgresStore) -> Event {
    let mut claimed = Vec::new();
    wait_until("the event is claimed", || {
        claimed = store.claim(&request(1)).unwrap().events;
        !claimed.is_empty()
    });
    claimed.remove(0)
}

/// Alone on the database: nobody takes over, and its lease goes on with the next beat.
#[test]
fn who_stood_still_past_its_lease_gives_back_what_it_may_not_begin() {
    let database = TestDatabase::create();
    let options = still(database.url(), "alone");
    let lease = Lease { lasts: Duration::from_millis(1), ..options.lease };
    let alone = PostgresStore::open(&PostgresOptions { lease, ..options }).unwrap();
    alone.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = claim_one(&alone);
    assert!(!alone.begin(&claimed.fired.sys_id, BY, 0));
    assert_eq!(database.texts("SELECT state FROM sysevent_live"), ["ready"]);
    assert_eq!(claim_one(&alone).fired.sys_id, claimed.fired.sys_id, "nobody else would come");
}

#[test]
fn what_a_handler_writes_under_a_lapsed_lease_is_refused_and_not_kept() {
    writes_under_a_lapsed_lease_are_refused(&TestDatabase::create());
}

#[test]
fn so_it_is_in_distributed_mode() {
    let database = TestDatabase::create();
    database.run("SELECT campanile_distribute(4)");
    writes_under_a_lapsed_lease_are_refused(&database);
}

fn writes_under_a_lapsed_lease_are_refused(database: &TestDatabase) {
    let slow = node(database, "slow");
    let bench = Bench::on(Arc::clone(&slow) as Arc<dyn Store>);
    slow.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = claim_one(&slow);
    let id = claimed.fired.sys_id;
    assert!(slow.begin(&id, BY, 0));
    let writes = |number: usize| -> Result<(), StoreError> {
        let mut tx = Arc::clone(&slow).write_for(&id)?;
        tx.insert(&bench.row("thing", &[("sys_id", &key(number))]))?;
        tx.commit().map(drop)
    };
    writes(1).unwrap();
    database.lapse_all();
    let heir = node(database, "heir");
    let refused = |number: usize, when: &str| {
        let error = writes(number).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{when}: {error}");
        assert!(error.to_string().contains("taken for dead"), "{when}: {error}");
    };
    refused(2, "it does not know yet");
    drop(claim_one(&slow));
    refused(3, "it knows, and the old handling goes on");
    slow.complete(completion(&claimed, NextState::Processed));
    slow.flush().unwrap();
    assert_eq!(heir.event(&id).unwrap().unwrap().state, EventState::Ready);
    assert!(bench.get("thing", &key(1)).is_some());
    assert!(bench.get("thing", &key(2)).is_none() && bench.get("thing", &key(3)).is_none());

    let again = claim_one(&slow);
    assert!(slow.begin(&again.fired.sys_id, BY, 0));
    writes(4).unwrap();
    assert_eq!(
        slow.gauges().iter().find(|(name, _)| *name == "writer_connections_busy"),
        Some(&("writer_connections_busy", 0.0))
    );
}

#[test]
fn an_operation_that_has_begun_is_not_overtaken_and_its_event_goes_over_after_it() {
    let database = TestDatabase::create();
    let slow = node(&database, "slow");
    let bench = Bench::on(Arc::clone(&slow) as Arc<dyn Store>);
    slow.append_blocking(vec![event("a")], MODE).unwrap();
    let claimed = slow.claim(&request(1)).unwrap().events.remove(0);
    let id = claimed.fired.sys_id;
    assert!(slow.begin(&id, BY, 0));
    let mut tx = Arc::clone(&slow).write_for(&id).unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    database.lapse_all();
    let heir = node(&database, "heir");
    assert_eq!(heir.event(&id).unwrap().unwrap().state, EventState::Queued, "it waits for the end");
    tx.commit().unwrap();
    let next = node(&database, "next");
    let found = next.event(&id).unwrap().unwrap();
    assert_eq!((found.state, found.lapses), (EventState::Ready, 1));
    assert!(bench.get("thing", &key(1)).is_some());
}

#[test]
fn an_event_that_nobody_holds_fences_nothing() {
    let database = TestDatabase::create();
    let store = node(&database, "only");
    let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
    let mut tx = Arc::clone(&store).write_for(&key(7).parse().unwrap()).unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    tx.commit().unwrap();
    assert!(bench.get("thing", &key(1)).is_some());
}
