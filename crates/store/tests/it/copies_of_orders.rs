//! Copies of queues that keep an order: what waits, what was begun and what has stopped a queue stand as they stood.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_model::{Instant, NewEvent, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{
    ClaimRequest, Halt, NextState, PostgresLoader, QueueRule, SqliteLoader, Store,
};

use crate::conformance::engine::Bench;
use crate::copies::{copy_all, dump, postgres, sqlite};
use crate::events_at_hand::{NOW, append, event, event_at, failed, finish, names, record, request};

/// The queues, each with what it promises.
const QUEUES: [(&str, QueueOrder, bool); 4] = [
    ("plain", QueueOrder::Sequential, false),
    ("begun", QueueOrder::Sequential, true),
    ("stopped", QueueOrder::Sequential, true),
    ("records", QueueOrder::ByRecord, false),
];

/// When what has failed is tried again.
const LATER: Instant = NOW.plus_millis(30_000);

fn claim_of<'a>(queue: &'a str, limit: usize, now: Instant) -> ClaimRequest<'a> {
    ClaimRequest { queue, now, ..request(limit) }
}

/// Events in every queue; the first of some has failed.
fn fill(store: &Arc<dyn Store>) {
    let mut tx = Arc::clone(store).write().unwrap();
    for (queue, order, halts) in QUEUES {
        tx.set_queue_order(queue, Some(QueueRule { order, halts })).unwrap();
    }
    tx.commit().unwrap();
    for queue in ["begun", "stopped", "plain"] {
        let one = |name: &str, priority: f64| NewEvent {
            queue: queue.into(),
            ..event_at(name, priority, 0)
        };
        append(store, vec![one("1", 100.0), one("2", 100.0), one("3", 100.0)]);
        append(store, vec![one("first", 1.0), one("4", 100.0)]);
    }
    let of = |number: u32, name: &str| NewEvent {
        queue: "records".into(),
        instance: format!("{number:032}").into(),
        ..event(name)
    };
    append(store, vec![of(1, "1a"), of(2, "2a"), of(1, "1b"), of(3, "3a"), of(2, "2b")]);
    append(store, vec![of(1, "1c"), of(3, "3b")]);
    let begin = |queue: &str, next: NextState| {
        let claimed = store.claim(&claim_of(queue, 1, NOW)).unwrap().events.remove(0);
        finish(store, &claimed, next);
    };
    begin("begun", NextState::RetryAt(LATER));
    begin("stopped", failed());
    begin("records", NextState::RetryAt(LATER));
}

/// The names of what the queues give by and by at this time, each handled before the next claim of its queue.
fn given(store: &Arc<dyn Store>, now: Instant) -> BTreeMap<&'static str, Vec<String>> {
    let of = |queue| {
        let mut all = Vec::new();
        loop {
            let claimed = store.claim(&claim_of(queue, 2, now)).unwrap().events;
            if claimed.is_empty() {
                return (queue, all);
            }
            all.extend(names(&claimed));
            for event in &claimed {
                finish(store, event, NextState::Processed);
            }
        }
    };
    QUEUES.iter().map(|(queue, ..)| of(queue)).collect()
}

/// What a store that was filled as told does with it from its next claims on.
fn goes_on_in_order(store: &Arc<dyn Store>, halts: &[Halt]) {
    assert_eq!(store.halts().unwrap(), halts);
    assert_eq!(&*halts[0].queue, "stopped");
    let now = given(store, NOW);
    assert_eq!(now["plain"], ["first", "1", "2", "3", "4"]);
    assert_eq!((now["begun"].len(), now["stopped"].len()), (0, 0), "nothing overtakes");
    let mut others = now["records"].clone();
    // Two records side by side.
    others.sort();
    assert_eq!(others, ["2a", "2b", "3a", "3b"], "the first record waits for its next attempt");
    let before = |name: &str| now["records"].iter().position(|other| other == name);
    assert!(before("2a") < before("2b") && before("3a") < before("3b"), "{now:?}");
    let later = given(store, LATER);
    assert_eq!(later["begun"], ["first", "1", "2", "3", "4"]);
    assert_eq!(later["records"], ["1a", "1b", "1c"]);
    assert_eq!(later["stopped"].len(), 0);
    assert!(store.resume("stopped", record("resume", &[halts[0].event])).unwrap().is_some());
    assert_eq!(given(store, LATER)["stopped"], ["1", "2", "3", "4"]);
}

#[test]
fn queues_that_keep_an_order_keep_it_and_their_halt_through_the_other_engine_and_back() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let databases = [(); 2].map(|()| TestDatabase::create_empty());
    let first = Bench::on(sqlite(folders[0].path())).store;
    fill(&first);
    let halts = first.halts().unwrap();
    copy_all(&*dump(&first), PostgresLoader::open(databases[0].url()).unwrap());
    let moved = postgres(&databases[0]);
    copy_all(&*dump(&moved), SqliteLoader::open(folders[1].path()).unwrap());
    copy_all(&*dump(&moved), PostgresLoader::open(databases[1].url()).unwrap());
    let back = sqlite(folders[1].path());
    let beside = postgres(&databases[1]);
    for store in [&first, &moved, &back, &beside] {
        goes_on_in_order(store, &halts);
    }
}
