//! Answers under idempotency keys: with their row or not at all, one space of keys with events, a day long.

use std::sync::Arc;

use campanile_model::{Instant, NewEvent};
use campanile_store::{KeptAnswer, StoreError};

use super::engine::{Bench, Engine, key};
use crate::events_at_hand::{NOW, event};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn answer(name: &str, content_hash: u64, at: Instant) -> KeptAnswer {
    KeptAnswer {
        key: Arc::from(name),
        content_hash,
        sys_id: Arc::from(key(1)),
        answer: format!("answer to {name}"),
        at,
    }
}

fn kept(
    bench: &Bench,
    name: &str,
    content: u64,
    now: Instant,
) -> Result<Option<String>, StoreError> {
    Arc::clone(&bench.store).read().unwrap().kept_answer(name, content, now)
}

pub(crate) fn an_answer_is_kept_with_its_row_or_not_at_all(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let mut tx = bench.write();
    tx.insert(&bench.row("thing", &[("sys_id", &key(1))])).unwrap();
    tx.keep_answer(&answer("u:joe:k", 7, NOW)).unwrap();
    assert_eq!(tx.kept_answer("u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(None), "nobody else sees it yet");
    drop(tx);
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(None));
    bench.in_tx(|tx| {
        tx.insert(&bench.row("thing", &[("sys_id", &key(1))]))?;
        tx.keep_answer(&answer("u:joe:k", 7, NOW))
    });
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
    assert_eq!(kept(&bench, "u:beth:k", 7, NOW), Ok(None));
    let reused = Err(StoreError::KeyReused { key: "u:joe:k".to_owned() });
    assert_eq!(kept(&bench, "u:joe:k", 8, NOW), reused);
    // It is there after a reopen.
    bench.store.close().unwrap();
    let bench = Bench::on(engine.open());
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
}

pub(crate) fn of_two_that_keep_an_answer_under_one_key_the_second_is_refused(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.in_tx(|tx| tx.keep_answer(&answer("u:joe:k", 7, NOW)));
    for content in [7, 8] {
        let refused = bench.write().keep_answer(&answer("u:joe:k", content, NOW));
        assert!(matches!(refused, Err(StoreError::Duplicate { .. })), "{refused:?}");
    }
    assert_eq!(kept(&bench, "u:joe:k", 7, NOW), Ok(Some("answer to u:joe:k".to_owned())));
}

pub(crate) fn events_and_answers_share_one_space_of_keys(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    let keyed = |name: &str, content_hash: u64| NewEvent {
        dedupe_key: Arc::from(name),
        content_hash,
        ..event("t.keyed")
    };
    bench.in_tx(|tx| {
        assert!(tx.append_events(&[keyed("of an event", 7)])?[0].is_ok());
        tx.keep_answer(&answer("of an answer", 7, NOW))
    });
    let reused = |name: &str| StoreError::KeyReused { key: name.to_owned() };
    assert_eq!(kept(&bench, "of an event", 7, NOW), Err(reused("of an event")));
    let refused = bench.write().keep_answer(&answer("of an event", 7, NOW));
    assert!(matches!(refused, Err(StoreError::Duplicate { .. })), "{refused:?}");
    let outcomes = bench.write().append_events(&[keyed("of an answer", 7)]).unwrap();
    assert_eq!(outcomes, [Err(reused("of an answer"))]);
}

pub(crate) fn a_key_is_free_again_after_a_day(engine: &dyn Engine) {
    let bench = Bench::new(engine);
    bench.in_tx(|tx| tx.keep_answer(&answer("k", 7, NOW)));
    let almost = NOW.plus_millis(DAY_MS - 1);
    assert_eq!(kept(&bench, "k", 7, almost), Ok(Some("answer to k".to_owned())));
    assert!(bench.write().keep_answer(&answer("k", 8, almost)).is_err());
    let later = NOW.plus_millis(DAY_MS);
    assert_eq!(kept(&bench, "k", 7, later), Ok(None));
    bench.in_tx(|tx| tx.keep_answer(&answer("k", 8, later)));
    assert_eq!(kept(&bench, "k", 8, later), Ok(Some("answer to k".to_owned())));
    // An event may take it over too, and then it is the event's.
    let latest = later.plus_millis(DAY_MS);
    let fired = NewEvent {
        dedupe_key: Arc::from("k"),
        content_hash: 8,
        created: latest,
        process_on: latest,
        ..event("t.keyed")
    };
    bench.in_tx(|tx| {
        assert!(!tx.append_events(std::slice::from_ref(&fired))?[0].as_ref().unwrap().duplicate);
        Ok(())
    });
    assert!(matches!(kept(&bench, "k", 8, latest), Err(StoreError::KeyReused { .. })));
}
