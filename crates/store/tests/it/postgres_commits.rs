//! Commits whose answer is lost: what is told afterwards is what happened.

use std::sync::Arc;
use std::time::Duration;

use campanile_store::testing::{Cut, Proxy, TestDatabase};
use campanile_store::{
    EventStore, Lease, PostgresOptions, PostgresStore, Store, StoreError, WriteTx,
};

use crate::conformance::engine::{Bench, key};
use crate::events_at_hand::{MODE, event};

/// A store whose line to its database can be cut, and the database.
struct House {
    bench: Bench,
    store: Arc<PostgresStore>,
    proxy: Proxy,
    database: TestDatabase,
}

impl House {
    fn new() -> Self {
        let database = TestDatabase::create();
        let proxy = Proxy::to(database.url());
        let options = PostgresOptions {
            // Nothing but the test commits.
            lease: Lease { beat: Duration::from_secs(3_600), ..Lease::default() },
            watch: Duration::from_secs(3_600),
            ..PostgresOptions::new(proxy.url())
        };
        let store = PostgresStore::open(&options).unwrap();
        let bench = Bench::on(Arc::clone(&store) as Arc<dyn Store>);
        Self { bench, store, proxy, database }
    }

    /// Inserts a row and an event in one transaction whose commit meets `cut`.
    fn commit(&self, number: usize, cut: Option<Cut>) -> Result<(), StoreError> {
        let mut tx: Box<dyn WriteTx> = self.bench.write();
        tx.insert(&self.bench.row("thing", &[("sys_id", &key(number))])).unwrap();
        tx.append_events(&[event("beside.the.row")]).unwrap();
        if let Some(cut) = cut {
            self.proxy.cut_next_commit(cut);
        }
        tx.commit().map(drop)
    }

    /// Rows and events as another program sees them.
    fn kept(&self) -> (String, String) {
        let number = |table: &str| {
            self.database.texts(&format!("SELECT count(*)::text FROM {table}")).remove(0)
        };
        (number("thing"), number("sysevent_live"))
    }
}

#[test]
fn a_commit_that_was_kept_is_told_as_kept_though_its_answer_was_lost() {
    let house = House::new();
    for round in 1..=20 {
        house.commit(round, Some(Cut::After)).unwrap();
        assert_eq!(house.proxy.cuts(), round);
        assert_eq!(house.kept(), (round.to_string(), round.to_string()));
    }
}

#[test]
fn a_commit_that_never_arrived_is_told_as_not_kept_and_the_next_one_goes_on() {
    let house = House::new();
    for round in 1..=20 {
        let error = house.commit(round, Some(Cut::Before)).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert_eq!(house.proxy.cuts(), round);
    }
    house.commit(100, None).unwrap();
    assert_eq!(house.kept(), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn a_commit_that_hangs_is_ended_and_cannot_come_true_later() {
    let house = House::new();
    let error = house.commit(1, Some(Cut::Held)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    // The server gets it now, on a connection that it has ended.
    house.proxy.release();
    house.commit(2, None).unwrap();
    assert_eq!(house.kept(), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn who_cannot_learn_what_became_of_a_commit_is_told_that() {
    let house = House::new();
    let mut tx = house.bench.write();
    tx.insert(&house.bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    house.proxy.cut_next_commit(Cut::After);
    house.proxy.close();
    let error = tx.commit().map(drop).unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.to_string().contains("idempotency key"), "{error}");
    assert_eq!(house.kept().0, "1", "it was kept");
    house.store.abandon();
}

#[test]
fn a_group_of_appends_whose_answer_was_lost_is_neither_lost_nor_doubled() {
    let house = House::new();
    for (round, cut) in [Cut::Before, Cut::After].into_iter().cycle().take(20).enumerate() {
        house.proxy.cut_next_commit(cut);
        house.store.append_blocking(vec![event("one"), event("two")], MODE).unwrap();
        assert_eq!(house.proxy.cuts(), round + 1);
        assert_eq!(house.kept().1, (2 * (round + 1)).to_string());
    }
}
