//! What is kept of an event: append, keys, coalescing, completion, runs.

use std::sync::Arc;

use campanile_model::{EventState, NewEvent, Outcome, SysId};
use campanile_store::{AppendMode, CommitMark, NextState, Store, StoreError};

use crate::events_at_hand::{
    BY, NOW, append, claim, claimed_names, completion, event, event_at, failed, finish, fire,
    fresh, on_both_engines, open, run_of,
};

on_both_engines! {
    an_event_reads_back_as_it_was_fired,
    keys_are_found_ignoring_case_and_an_unknown_one_is_not,
    a_taken_sys_id_refuses_that_event_alone,
    order_of_arrival_goes_on_behind_everything_after_a_restart,
    the_same_key_with_the_same_content_stores_nothing_and_names_the_first,
    a_key_used_for_other_content_is_refused_and_forgotten_after_a_day,
    one_key_twice_in_one_batch_is_one_event,
    an_atomic_append_with_one_refusal_stores_nothing,
    what_a_handler_fires_twice_is_one_event_until_the_epoch_of_the_cause_ends,
    an_equal_waiting_event_absorbs_a_new_one_within_its_seconds,
    a_completed_event_is_in_the_log_with_when_and_how_long,
    an_attempt_ends_once,
    runs_read_back_as_they_were_recorded_oldest_first,
    the_backlog_counts_due_scheduled_and_claimed_apart,
}

fn keyed(name: &str, key: &str, content: u64) -> NewEvent {
    NewEvent { dedupe_key: Arc::from(key), content_hash: content, ..event(name) }
}

fn an_event_reads_back_as_it_was_fired() {
    let (store, folder) = fresh();
    let fired = NewEvent {
        parm1: Arc::from("ä 'quoted' \0 text"),
        parm2: Arc::from("x".repeat(65_536)),
        queue: Arc::from("q.one"),
        queue_from_call: true,
        priority: 12.5,
        scheduled: true,
        registered: false,
        snapshot: Arc::from(r#"{"number":"INC1"}"#),
        depth: 3,
        cause_event: Some(SysId::generate(NOW)),
        cause_handler: Arc::from("script_action:1"),
        dedupe_key: Arc::from("me/1"),
        coalesce_seconds: 5,
        max_attempts: 4,
        ..event_at("t.ping", 12.5, 77)
    };
    let appended = fire(&store, fired.clone());
    assert_eq!(appended.sequence, 1);
    drop(store);
    let found = open(&folder).event(&appended.sys_id).unwrap().unwrap();
    assert_eq!(found.fired, fired);
    assert_eq!((found.sequence, found.origin_id), (1, fired.sys_id));
    assert_eq!((found.epoch, found.attempts, found.lapses), (0, 0, 0));
}

fn keys_are_found_ignoring_case_and_an_unknown_one_is_not() {
    let (store, _folder) = fresh();
    let sys_id: SysId = "AAAABBBBCCCCDDDDEEEEFFFF00001111".parse().unwrap();
    fire(&store, NewEvent { sys_id, ..event("a") });
    let lower: SysId = "aaaabbbbccccddddeeeeffff00001111".parse().unwrap();
    assert_eq!(store.event(&lower).unwrap().unwrap().fired.sys_id.as_str(), sys_id.as_str());
    assert_eq!(store.event(&SysId::generate(NOW)).unwrap(), None);
}

fn a_taken_sys_id_refuses_that_event_alone() {
    let (store, _folder) = fresh();
    let first = event("a");
    let outcomes = append(
        &store,
        vec![first.clone(), NewEvent { sys_id: first.sys_id, ..event("b") }, event("c")],
    );
    assert!(matches!(outcomes[1], Err(StoreError::Duplicate { .. })));
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(claimed_names(&store, 5), ["a", "c"]);
}

fn order_of_arrival_goes_on_behind_everything_after_a_restart() {
    let (store, folder) = fresh();
    append(&store, vec![event("a"), event("b")]);
    let events = claim(&store, 2).events;
    finish(&store, &events[0], NextState::Processed);
    finish(&store, &events[1], NextState::Processed);
    drop(store);
    let store = open(&folder);
    assert_eq!(fire(&store, event("c")).sequence, 3);
}

fn the_same_key_with_the_same_content_stores_nothing_and_names_the_first() {
    let (store, folder) = fresh();
    let first = fire(&store, keyed("a", "caller/k", 1));
    let again = fire(&store, keyed("a", "caller/k", 1));
    assert_eq!((again.sys_id, again.duplicate), (first.sys_id, true));
    drop(store);
    let store = open(&folder);
    assert!(fire(&store, keyed("a", "caller/k", 1)).duplicate);
    assert!(!fire(&store, keyed("a", "other/k", 1)).duplicate);
    assert_eq!(claim(&store, 9).events.len(), 2);
}

fn a_key_used_for_other_content_is_refused_and_forgotten_after_a_day() {
    let (store, _folder) = fresh();
    fire(&store, keyed("a", "k", 1));
    let refused = append(&store, vec![keyed("b", "k", 2)]).remove(0);
    assert_eq!(refused, Err(StoreError::KeyReused { key: "k".to_owned() }));
    let hours = |h: i64| NOW.plus_millis(h * 3_600_000);
    let still =
        append(&store, vec![NewEvent { created: hours(23), ..keyed("b", "k", 2) }]).remove(0);
    assert!(still.is_err());
    let new = fire(&store, NewEvent { created: hours(24), ..keyed("b", "k", 2) });
    assert!(!new.duplicate);
    assert_eq!(claimed_names(&store, 9), ["a", "b"]);
}

fn one_key_twice_in_one_batch_is_one_event() {
    let (store, _folder) = fresh();
    let outcomes = append(&store, vec![keyed("a", "k", 1), keyed("a", "k", 1)]);
    let keys: Vec<_> =
        outcomes.into_iter().map(Result::unwrap).map(|a| (a.sys_id, a.duplicate)).collect();
    assert_eq!(keys[0].0, keys[1].0);
    assert_eq!((keys[0].1, keys[1].1), (false, true));
}

fn an_atomic_append_with_one_refusal_stores_nothing() {
    let (store, _folder) = fresh();
    fire(&store, keyed("first", "k", 1));
    let (outcomes, mark) = store
        .append_blocking(
            vec![event("a"), keyed("b", "k", 2), event("c")],
            AppendMode { durable: true, atomic: true },
        )
        .unwrap();
    assert_eq!(mark, CommitMark::default());
    assert!(matches!(outcomes[1], Err(StoreError::KeyReused { .. })));
    assert_eq!(claimed_names(&store, 9), ["first"]);
    assert_eq!(store.backlog(NOW).unwrap()[0].queued, 1);
}

fn what_a_handler_fires_twice_is_one_event_until_the_epoch_of_the_cause_ends() {
    let (store, _folder) = fresh();
    fire(&store, event("cause"));
    let cause = claim(&store, 1).events.remove(0);
    let follow_up = |name: &str, epoch: i64| NewEvent {
        cause_event: Some(cause.fired.sys_id),
        ..keyed(name, &format!("h:{}:{epoch}:script_action:x:0:abc", cause.fired.sys_id), 9)
    };
    let first = fire(&store, follow_up("follow-up", 0));
    finish(&store, &cause, NextState::RetryAt(NOW));
    let retried = claim(&store, 1).events.remove(0);
    assert_eq!(
        fire(&store, follow_up("follow-up", 0)),
        campanile_store::Appended {
            sys_id: first.sys_id,
            sequence: 0,
            duplicate: true,
            coalesced: false,
        }
    );
    assert_eq!(&*store.event(&first.sys_id).unwrap().unwrap().fired.dedupe_key, "");
    // The claim order: the follow-up was due with the retry.
    assert_eq!(&*retried.fired.name, "cause");
    finish(&store, &retried, NextState::Processed);
    assert!(!fire(&store, follow_up("follow-up", 0)).duplicate, "the key outlived its epoch");
}

fn an_equal_waiting_event_absorbs_a_new_one_within_its_seconds() {
    let (store, _folder) = fresh();
    let one = |parm: &str, after_ms: i64| NewEvent {
        coalesce_seconds: 10,
        parm1: Arc::from(parm),
        created: NOW.plus_millis(after_ms),
        ..event("t.noisy")
    };
    let first = fire(&store, one("a", 0));
    let absorbed = fire(&store, one("a", 10_000));
    assert_eq!((absorbed.sys_id, absorbed.coalesced), (first.sys_id, true));
    assert!(!fire(&store, one("b", 10_000)).coalesced, "another parameter");
    assert!(
        !fire(&store, NewEvent { instance: Arc::from(""), ..one("a", 1) }).coalesced,
        "another record"
    );
    assert!(!fire(&store, one("a", 10_001)).coalesced, "too late for the first");
    let claimed = claim(&store, 1).events.remove(0);
    assert_eq!((claimed.fired.sys_id, claimed.coalesced), (first.sys_id, 1));
    let after = fire(&store, one("a", 10_000));
    assert!(after.coalesced);
    assert_ne!(after.sys_id, first.sys_id, "an event that is being handled absorbs nothing");
}

fn a_completed_event_is_in_the_log_with_when_and_how_long() {
    let (store, folder) = fresh();
    append(&store, vec![event("fine"), event("broken")]);
    let events = claim(&store, 2).events;
    finish(&store, &events[0], NextState::Processed);
    finish(&store, &events[1], failed());
    drop(store);
    let store = open(&folder);
    let fine = store.event(&events[0].fired.sys_id).unwrap().unwrap();
    assert_eq!((fine.state, fine.attempts, fine.sequence), (EventState::Processed, 1, 1));
    assert_eq!((fine.processed, fine.processing_duration_ms), (Some(NOW.plus_millis(5)), Some(7)));
    assert_eq!((&*fine.claimed_by, &*fine.error_code), ("", ""));
    assert_eq!(fine.fired, events[0].fired);
    let broken = store.event(&events[1].fired.sys_id).unwrap().unwrap();
    assert_eq!(
        (broken.state, &*broken.error_code, &*broken.error_message),
        (EventState::Error, "handler_failed", "it broke")
    );
}

fn an_attempt_ends_once() {
    let (store, _folder) = fresh();
    fire(&store, event("a"));
    let claimed = claim(&store, 1).events.remove(0);
    store.complete(completion(&claimed, NextState::Processed));
    store.complete(completion(&claimed, failed()));
    store.release(BY, &[claimed.fired.sys_id]);
    store.flush().unwrap();
    let done = store.event(&claimed.fired.sys_id).unwrap().unwrap();
    assert_eq!((done.state, done.attempts), (EventState::Processed, 1));
    assert!(claim(&store, 1).events.is_empty());
}

fn runs_read_back_as_they_were_recorded_oldest_first() {
    let (store, _folder) = fresh();
    fire(&store, event("a"));
    let claimed = claim(&store, 1).events.remove(0);
    let (first, mut second) =
        (run_of(&claimed, Outcome::Succeeded), run_of(&claimed, Outcome::Failed));
    second.error_message = "TypeError".to_owned();
    second.error_line = 3;
    store.record_runs(vec![first.clone()]);
    let mut end = completion(&claimed, failed());
    end.runs = vec![second.clone()];
    store.complete(end);
    store.flush().unwrap();
    assert_eq!(store.runs(&claimed.fired.sys_id, None).unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.runs(&claimed.fired.sys_id, Some(0)).unwrap().len(), 2);
    assert!(store.runs(&claimed.fired.sys_id, Some(1)).unwrap().is_empty());
    assert!(store.runs(&SysId::generate(NOW), None).unwrap().is_empty());
}

fn the_backlog_counts_due_scheduled_and_claimed_apart() {
    let (store, folder) = fresh();
    append(
        &store,
        vec![
            event("a"),
            event("b"),
            event("c"),
            event_at("later", 100.0, 60_000),
            event_at("later", 1.0, 60_000),
        ],
    );
    fire(
        &store,
        NewEvent {
            queue: Arc::from("other"),
            created: NOW.plus_millis(-9),
            process_on: NOW.plus_millis(-9),
            ..event("d")
        },
    );
    claim(&store, 1);
    let check = |store: &Arc<dyn Store>, queued: u64| {
        let backlog = store.backlog(NOW).unwrap();
        assert_eq!(backlog.iter().map(|b| b.queue.as_str()).collect::<Vec<_>>(), ["", "other"]);
        assert_eq!(
            (backlog[0].ready, backlog[0].scheduled, backlog[0].queued),
            (3 - queued, 2, queued)
        );
        assert_eq!(backlog[0].oldest_ready, Some(NOW));
        assert_eq!(backlog[1].oldest_ready, Some(NOW.plus_millis(-9)));
    };
    check(&store, 1);
    drop(store);
    check(&open(&folder), 0);
}
