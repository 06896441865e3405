//! Transactions: who sees what, what is undone, what is durable.

use std::sync::Arc;

use campanile_store::{ClaimRequest, Select, StoreError};

use super::engine::{Bench, Engine, key};
use crate::events_at_hand::{NOW, event};

pub(crate) fn nobody_else_sees_what_is_not_committed(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    assert!(tx.get(bench.table("thing"), &key(1)).unwrap().is_some(), "its own writes");
    assert_eq!(tx.as_read().count(&bench.query("thing", "")).unwrap(), 1);
    assert!(bench.get("thing", &key(1)).is_none());
    tx.commit().unwrap();
    assert!(bench.get("thing", &key(1)).is_some());
}

pub(crate) fn a_reader_keeps_its_view(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let reader = Arc::clone(&bench.store).read().unwrap();
    let all = bench.query("thing", "");
    assert_eq!(reader.count(&all).unwrap(), 0);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1))])]);
    assert_eq!(reader.count(&all).unwrap(), 0);
    drop(reader);
    assert_eq!(bench.count("thing", ""), 1);
}

pub(crate) fn a_dropped_transaction_leaves_nothing(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    tx.append_events(&[event("never.fired")]).unwrap();
    drop(tx);
    assert_eq!(bench.count("thing", ""), 0);
    assert!(claimed(&bench).is_empty());
}

pub(crate) fn going_back_to_a_savepoint_keeps_what_was_before(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    let undone = tx.savepoint().unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(2))])).unwrap();
    tx.rollback_to(undone).unwrap();
    let kept = tx.savepoint().unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(3))])).unwrap();
    tx.release(kept).unwrap();
    assert!(tx.rollback_to(undone).is_err(), "it is gone");
    tx.commit().unwrap();
    assert_eq!(bench.found("thing", "", "sys_id"), [key(1), key(3)]);
}

pub(crate) fn a_savepoint_inside_another_ends_with_it(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    let outer = tx.savepoint().unwrap();
    let inner = tx.savepoint().unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    tx.release(inner).unwrap();
    let open = tx.savepoint().unwrap();
    tx.insert(&bench.row("thing", &[("sys_id", &key(2))])).unwrap();
    tx.rollback_to(outer).unwrap();
    assert!(tx.release(open).is_err(), "it went with the outer one");
    tx.insert(&bench.row("thing", &[("sys_id", &key(3))])).unwrap();
    tx.commit().unwrap();
    assert_eq!(bench.found("thing", "", "sys_id"), [key(3)]);
}

pub(crate) fn events_of_a_savepoint_that_was_undone_never_appear(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.append_events(&[event("first")]).unwrap();
    let savepoint = tx.savepoint().unwrap();
    tx.append_events(&[event("undone")]).unwrap();
    tx.rollback_to(savepoint).unwrap();
    tx.append_events(&[event("last")]).unwrap();
    assert!(claimed(&bench).is_empty(), "claimable before the commit");
    tx.commit().unwrap();
    assert_eq!(claimed(&bench), ["first", "last"]);
}

pub(crate) fn marks_rise_and_become_durable(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let first = bench.in_tx(|tx| tx.insert(&bench.row("thing", &[("sys_id", &key(1))])));
    let second = bench.in_tx(|tx| tx.insert(&bench.row("thing", &[("sys_id", &key(2))])));
    assert!(first < second);
    bench.store.wait_durable(second).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    bench.store.on_durable(first, Box::new(move |answer| tell.send(answer).unwrap()));
    assert_eq!(told.recv().unwrap(), Ok(()));
}

pub(crate) fn sixteen_writers_lose_nothing(engine: &dyn Engine) {
    const WRITERS: usize = 16;
    const ROWS: usize = 25;
    let bench = Bench::new(engine);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let bench = &bench;
            scope.spawn(move || {
                for row in 0..ROWS {
                    let sys_id = key(writer * ROWS + row);
                    let mark = bench.in_tx(|tx| {
                        tx.insert(&bench.row("thing", &[("sys_id", &sys_id)]))?;
                        let total =
                            tx.meta_get("total")?.map_or(0, |n| n.parse::<usize>().unwrap());
                        tx.meta_set("total", &(total + 1).to_string())
                    });
                    assert!(bench.get("thing", &sys_id).is_some(), "its own commit");
                    bench.store.wait_durable(mark).unwrap();
                }
            });
        }
    });
    let total = (WRITERS * ROWS).to_string();
    assert_eq!(bench.write().meta_get("total").unwrap(), Some(total));
    assert_eq!(bench.count("thing", ""), (WRITERS * ROWS) as u64);
    assert_eq!(bench.store.integrity_problems().unwrap(), Vec::<String>::new());
}

pub(crate) fn a_full_database_refuses_and_stays_usable(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(0)), ("label", "before")])]);
    bench.store.close().unwrap();
    let Bench { store, dictionary } = bench;
    drop(store);
    let bench = Bench { store: engine.open_nearly_full(), dictionary };
    let large = "x".repeat(4_000);
    let mut tx = bench.write();
    let refused = (1..1_000).find_map(|number| {
        tx.insert(&bench.row("thing", &[("sys_id", &key(number)), ("label", &large)])).err()
    });
    assert!(matches!(refused, Some(StoreError::Full { .. })), "{refused:?}");
    drop(tx);
    assert_eq!(bench.found("thing", "", "label"), ["before"]);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "after")])]);
    assert_eq!(bench.found("thing", "", "label"), ["before", "after"]);
    assert_eq!(bench.store.integrity_problems().unwrap(), Vec::<String>::new());
}

pub(crate) fn what_was_committed_is_there_after_a_reopen(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("label", "kept")])]);
    bench.store.close().unwrap();
    let bench = Bench::on(engine.open());
    assert_eq!(bench.get("thing", &key(1)).unwrap().text("label"), "kept");
}

pub(crate) fn meta_values_are_replaced_and_rolled_back(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    assert_eq!(bench.write().meta_get("mark").unwrap(), None);
    bench.in_tx(|tx| tx.meta_set("mark", "1"));
    let mut tx = bench.write();
    tx.meta_set("mark", "2").unwrap();
    assert_eq!(tx.meta_get("mark").unwrap().as_deref(), Some("2"));
    drop(tx);
    assert_eq!(bench.write().meta_get("mark").unwrap().as_deref(), Some("1"));
}

pub(crate) fn a_closed_store_refuses(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let all = Select::new(bench.query("thing", ""));
    let reader = Arc::clone(&bench.store).read().unwrap();
    bench.store.close().unwrap();
    bench.store.close().unwrap();
    assert!(matches!(Arc::clone(&bench.store).write(), Err(StoreError::Unavailable { .. })));
    assert!(matches!(Arc::clone(&bench.store).read(), Err(StoreError::Unavailable { .. })));
    // One that was open may still answer; it must not hang or panic.
    drop(reader.select(&all));
}

/// Names of the events of the default queue that can be claimed.
fn claimed(bench: &Bench) -> Vec<String> {
    let request = ClaimRequest {
        queue: "",
        limit: 100,
        claimed_by: "node/default/0",
        by_priority: true,
        now: NOW,
    };
    let claim = bench.store.claim(&request).unwrap();
    claim.events.iter().map(|event| event.fired.name.to_string()).collect()
}

pub(crate) fn who_reads_a_row_to_change_it_loses_no_change(engine: &dyn Engine) {
    const WRITERS: usize = 8;
    const CHANGES: usize = 10;
    let bench = Bench::new(engine);
    bench.insert(&[bench.row("thing", &[("sys_id", &key(1)), ("big", "0")])]);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..CHANGES {
                    bench.in_tx(|tx| {
                        let mut row = tx.get_for_change(bench.table("thing"), &key(1))?.unwrap();
                        let big = row.get("big").as_i64().unwrap() + 1;
                        row.set("big", big.to_string());
                        tx.update(&row, &[row.table().index("big").unwrap()]).map(|_| ())
                    });
                }
            });
        }
    });
    let expected = (WRITERS * CHANGES).to_string();
    assert_eq!(bench.get("thing", &key(1)).unwrap().text("big"), expected);
}
