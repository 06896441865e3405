//! What comes under a lapsed lease, in queues that keep an order in distributed mode: it counts for nothing, and lets nothing pass.

use std::sync::Arc;

use campanile_model::{Event, EventState, NewEvent, Outcome, QueueOrder};
use campanile_store::testing::TestDatabase;
use campanile_store::{ClaimRequest, EventStore, NextState, PostgresStore, QueueRule, Store};

use crate::distributed_order::{node, set};
use crate::events_at_hand::{
    BY, MODE, NOW, completion, distributed, event, failed, names, request, run_of,
};

/// A program that has begun the first of two events of a queue that keeps this order, was taken for dead since, and does not know;
/// that event; and who has claimed it anew.
fn taken_over(
    database: &TestDatabase,
    order: QueueOrder,
) -> (Arc<PostgresStore>, Event, Arc<PostgresStore>) {
    let slow = node(database, "slow");
    set(&slow, "", QueueRule { order, halts: order == QueueOrder::Sequential });
    slow.append_blocking(vec![event("a"), event("b")], MODE).unwrap();
    let late = slow.claim(&request(1)).unwrap().events.remove(0);
    assert!(slow.begin(&late.fired.sys_id, BY, 0));
    database.lapse_all();
    let heir = node(database, "heir");
    let taken = heir.claim(&of_heir(9)).unwrap().events;
    assert_eq!(names(&taken), ["a"], "it was begun, and comes alone");
    (slow, late, heir)
}

fn of_heir(limit: usize) -> ClaimRequest<'static> {
    ClaimRequest { claimed_by: "heir", ..request(limit) }
}

/// It is the heir's, as he claimed it, and what follows it waits for his end.
fn is_the_heirs(heir: &Arc<PostgresStore>, late: &Event) {
    let id = late.fired.sys_id;
    let standing = heir.event(&id).unwrap().unwrap();
    assert_eq!((standing.state, standing.attempts), (EventState::Queued, 0));
    assert_eq!(&*standing.claimed_by, "heir");
    assert_eq!(heir.runs(&id, None).unwrap(), []);
    assert_eq!(heir.halts().unwrap(), []);
    let other = ClaimRequest { claimed_by: "other", ..request(9) };
    assert_eq!(heir.claim(&other).unwrap().events, []);
    heir.complete(completion(&standing, NextState::Processed));
    heir.flush().unwrap();
    assert_eq!(names(&heir.claim(&other).unwrap().events), ["b"]);
}

const ORDERS: [QueueOrder; 2] = [QueueOrder::Sequential, QueueOrder::ByRecord];

#[test]
fn an_end_that_comes_after_the_lease_ends_nothing_and_lets_nothing_pass() {
    for order in ORDERS {
        for next in [NextState::Processed, NextState::RetryAt(NOW), failed()] {
            let database = distributed();
            let (slow, late, heir) = taken_over(&database, order);
            slow.record_runs(vec![run_of(&late, Outcome::Succeeded)]);
            slow.flush().unwrap();
            let mut end = completion(&late, next);
            end.runs = vec![run_of(&late, Outcome::Succeeded)];
            slow.complete(end);
            slow.flush().unwrap();
            is_the_heirs(&heir, &late);
        }
    }
}

#[test]
fn what_is_given_back_after_the_lease_stays_with_who_has_it_now() {
    for order in ORDERS {
        let database = distributed();
        let (slow, late, heir) = taken_over(&database, order);
        slow.release(BY, &[late.fired.sys_id]);
        is_the_heirs(&heir, &late);
    }
}

#[test]
fn what_a_handler_fires_after_the_lease_does_not_come() {
    let database = distributed();
    let (slow, late, heir) = taken_over(&database, QueueOrder::Sequential);
    let cause = late.fired.sys_id;
    let fired = NewEvent {
        dedupe_key: format!("h:{cause}:1").into(),
        cause_event: Some(cause),
        queue: "other".into(),
        ..event("fired")
    };
    let told = slow.append_blocking(vec![fired], MODE).unwrap().0.remove(0).unwrap_err();
    assert!(told.to_string().contains("taken for dead"), "{told}");
    assert_eq!(database.texts("SELECT name FROM sysevent_live WHERE queue = 'other'"), [""; 0]);
    is_the_heirs(&heir, &late);
}

#[test]
fn nothing_is_claimed_under_a_lease_that_has_lapsed() {
    for order in [QueueOrder::Parallel, QueueOrder::Sequential, QueueOrder::ByRecord] {
        let database = distributed();
        let slow = node(&database, "slow");
        set(&slow, "", QueueRule { order, halts: false });
        slow.append_blocking(vec![event("a")], MODE).unwrap();
        database.lapse_all();
        let heir = node(&database, "heir");
        assert_eq!(names(&slow.claim(&request(1)).unwrap().events), ["a"], "under a new one");
        let under = "SELECT node.name FROM sysevent_live JOIN campanile_node AS node ON token = claim_token \
             WHERE gone_at IS NULL";
        assert_eq!(database.texts(under), ["slow"], "{order:?}");
        assert_eq!(heir.integrity_problems().unwrap(), [""; 0]);
    }
}
