//! Rows that handlers are about to ask for, read together.
//!
//! Differs because each read is a round trip. Whoever has claimed a batch handles events about one record after another; the first
//! handler that asks for its record has those of the next events read too. What is at hand is for one event only, was read after
//! that event was claimed, and is dropped when it is [`AT_HAND_MAX`] old or this program writes the row: the handler sees what
//! it would have seen had it begun that much earlier.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use campanile_model::{Event, QueueOrder, Record, SysId, TableDef};
use parking_lot::Mutex;

use super::rows::key;
use crate::contract::Claim;

/// How old a row may be that nobody has asked for yet.
const AT_HAND_MAX: Duration = Duration::from_millis(20);

/// Rows that are read beside the one that was asked for.
const ROWS_AHEAD: usize = 15;

/// What the threads that handle events will ask for.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<HashMap<ThreadId, Batch>>);

/// What one thread has claimed.
#[derive(Debug, Default)]
struct Batch {
    /// The event that it handles.
    now: Option<Subject>,
    /// Those that it comes to next.
    next: VecDeque<Subject>,
    at_hand: Vec<AtHand>,
    under_way: Option<UnderWay>,
}

/// A read of rows ahead.
#[derive(Debug)]
struct UnderWay {
    /// For these events, in this order.
    subjects: Vec<Subject>,
    /// What was written here since it was asked for.
    written: Written,
}

/// An event, and the record that it is about.
#[derive(Debug, Clone)]
struct Subject {
    event: SysId,
    table: Arc<str>,
    /// As it is compared.
    key: String,
}

/// A row that was read for an event.
#[derive(Debug)]
struct AtHand {
    event: SysId,
    key: String,
    table: Arc<TableDef>,
    row: Option<Record>,
    asked: Instant,
}

/// What a transaction of this program wrote.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// As they are compared.
    keys: HashSet<String>,
    /// More than are remembered.
    is_much: bool,
}

/// Rows that one transaction may write before all that is at hand is dropped.
const WRITTEN_MAX: usize = 512;

impl Written {
    /// One more row.
    pub(super) fn add(&mut self, sys_id: &str) {
        if self.keys.len() < WRITTEN_MAX {
            self.keys.insert(key(sys_id).into_owned());
        } else {
            self.is_much = true;
        }
    }

    /// Rows whose keys nobody knows.
    pub(super) fn add_unknown(&mut self) {
        self.is_much = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.is_much
    }

    fn has(&self, key: &str) -> bool {
        self.is_much || self.keys.contains(key)
    }
}

/// What to do for a question.
#[derive(Debug)]
pub(super) enum Asked {
    /// This is the answer.
    AtHand(Option<Record>),
    /// Read it, and these with it; then call [`Ahead::keep`].
    With(Vec<String>),
}

impl Ahead {
    /// The calling thread has claimed these events and will handle them in this order. Where the queue keeps an order nothing is read
    /// ahead: each is to see what the one before has caused, wherever.
    pub(super) fn claimed(&self, claim: &Claim) {
        let events = &claim.events;
        let about = |event: &Event| {
            let key = key(&event.fired.instance).into_owned();
            Subject { event: event.fired.sys_id, table: Arc::clone(&event.fired.table), key }
        };
        let mut all = self.0.lock();
        if events.len() < 2 || claim.order != QueueOrder::Parallel {
            all.remove(&thread::current().id());
        } else {
            let next = events.iter().map(about).collect();
            all.insert(thread::current().id(), Batch { next, ..Batch::default() });
        }
    }

    /// The calling thread begins to handle this event.
    pub(super) fn begun(&self, event: &SysId) {
        let mut all = self.0.lock();
        let Some(batch) = all.get_mut(&thread::current().id()) else { return };
        batch.now = None;
        while let Some(subject) = batch.next.pop_front() {
            if subject.event == *event {
                batch.now = Some(subject);
                break;
            }
        }
        if batch.now.is_none() {
            all.remove(&thread::current().id());
        }
    }

    /// The calling thread asks for this row, all of it.
    pub(super) fn ask(&self, table: &Arc<TableDef>, sys_id: &str) -> Asked {
        let mut all = self.0.lock();
        let Some(batch) = all.get_mut(&thread::current().id()) else {
            return Asked::With(Vec::new());
        };
        let key = key(sys_id);
        let is_it = |now: &&Subject| *now.key == *key && *now.table == *table.name;
        let Some(now) = batch.now.as_ref().filter(is_it) else { return Asked::With(Vec::new()) };
        batch.at_hand.retain(|row| row.asked.elapsed() < AT_HAND_MAX);
        let found = batch
            .at_hand
            .iter()
            .position(|row| row.event == now.event && Arc::ptr_eq(&row.table, table));
        if let Some(at) = found {
            return Asked::AtHand(batch.at_hand.swap_remove(at).row);
        }
        let subjects: Vec<Subject> = batch.ahead(table).cloned().collect();
        let also = subjects.iter().map(|next| next.key.clone()).collect();
        batch.under_way =
            (!subjects.is_empty()).then(|| UnderWay { subjects, written: Written::default() });
        Asked::With(also)
    }

    /// What the calling thread was told to read with its question could not be read.
    pub(super) fn keep_nothing(&self) {
        if let Some(batch) = self.0.lock().get_mut(&thread::current().id()) {
            batch.under_way = None;
        }
    }

    /// The rows that the calling thread was told to read with its question, which was asked at `asked`.
    pub(super) fn keep(&self, table: &Arc<TableDef>, asked: Instant, rows: Vec<Option<Record>>) {
        let mut all = self.0.lock();
        let Some(batch) = all.get_mut(&thread::current().id()) else { return };
        let Some(UnderWay { subjects, written }) = batch.under_way.take() else { return };
        let rows = subjects.into_iter().zip(rows).filter(|(next, _)| !written.has(&next.key));
        let kept = rows.map(|(next, row)| AtHand {
            event: next.event,
            key: next.key,
            table: Arc::clone(table),
            row,
            asked,
        });
        batch.at_hand.extend(kept);
    }

    /// A transaction that wrote this has ended, or may have.
    pub(super) fn forget(&self, written: &Written) {
        if written.is_empty() {
            return;
        }
        for batch in self.0.lock().values_mut() {
            batch.at_hand.retain(|row| !written.has(&row.key));
            if let Some(UnderWay { written: meanwhile, .. }) = &mut batch.under_way {
                meanwhile.is_much |= written.is_much;
                written.keys.iter().for_each(|key| meanwhile.add(key));
            }
        }
    }
}

impl Batch {
    /// What to read beside a row of `table`: the records of the events that come next.
    fn ahead(&self, table: &TableDef) -> impl Iterator<Item = &Subject> {
        let next = self.next.iter().take(ROWS_AHEAD);
        let is_at_hand = |next: &Subject| self.at_hand.iter().any(|row| row.event == next.event);
        next.filter(move |next| {
            !next.key.is_empty() && *next.table == *table.name && !is_at_hand(next)
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use campanile_model::testing::dictionary;

    use super::super::births::born;
    use super::*;
    use crate::testing::{NOW, event};

    fn table() -> Arc<TableDef> {
        Arc::clone(dictionary().table("incident").expect("there are incidents"))
    }

    /// Events about the incidents with these keys.
    fn events(keys: &[&str]) -> Vec<Event> {
        let about = |(at, key): (usize, &&str)| {
            let mut new = event("a");
            new.sys_id = SysId::generate(NOW.plus_millis(i64::try_from(at).expect("few")));
            (new.table, new.instance) = (Arc::from("incident"), Arc::from(*key));
            born(&new, 1, &Arc::from("by"))
        };
        keys.iter().enumerate().map(about).collect()
    }

    fn batch(events: &[Event]) -> Claim {
        Claim { events: events.to_vec(), ..Claim::default() }
    }

    /// A thread that has claimed `keys`, handles the first and has asked for its record.
    fn house(keys: &[&str], table: &Arc<TableDef>) -> (Ahead, Vec<Event>, Vec<String>) {
        let ahead = Ahead::default();
        let events = events(keys);
        ahead.claimed(&batch(&events));
        ahead.begun(&events[0].fired.sys_id);
        let Asked::With(also) = ahead.ask(table, keys[0]) else { panic!("nothing is at hand") };
        (ahead, events, also)
    }

    fn is_at_hand(ahead: &Ahead, table: &Arc<TableDef>, key: &str) -> bool {
        matches!(ahead.ask(table, key), Asked::AtHand(Some(_)))
    }

    fn rows(count: usize, table: &Arc<TableDef>) -> Vec<Option<Record>> {
        vec![Some(Record::empty(Arc::clone(table))); count]
    }

    #[test]
    fn the_records_of_the_next_events_are_read_with_the_first_and_told_once() {
        let table = table();
        let (ahead, events, also) = house(&["a", "B", "c"], &table);
        assert_eq!(also, ["b", "c"]);
        ahead.keep(&table, Instant::now(), rows(2, &table));
        assert!(!is_at_hand(&ahead, &table, "b"), "that event has not begun");
        ahead.begun(&events[1].fired.sys_id);
        assert!(!is_at_hand(&ahead, &table, "c"));
        assert!(!is_at_hand(&ahead, &Arc::new(TableDef::clone(&table)), "b"), "of another time");
        let elsewhere = thread::scope(|scope| {
            scope.spawn(|| is_at_hand(&ahead, &table, "b")).join().expect("it asks")
        });
        assert!(!elsewhere, "it is the processor's");
        assert!(is_at_hand(&ahead, &table, "b"));
        assert!(!is_at_hand(&ahead, &table, "b"), "who asks again wants to know again");
    }

    /// The update came before the event was fired: its handler sees it, though the row was read for an earlier event.
    #[test]
    fn what_was_read_for_one_event_is_told_to_no_other() {
        let table = table();
        let (ahead, _, _) = house(&["a", "b"], &table);
        ahead.keep(&table, Instant::now(), rows(1, &table));
        let next = events(&["b", "b"]);
        ahead.claimed(&batch(&next));
        ahead.begun(&next[0].fired.sys_id);
        assert!(!is_at_hand(&ahead, &table, "b"));
    }

    #[test]
    fn what_this_program_writes_is_read_again() {
        let table = table();
        let written = |key| {
            let mut written = Written::default();
            written.add(key);
            written
        };
        for (key, stays) in [("B", false), ("c", true)] {
            let (ahead, events, _) = house(&["a", "b"], &table);
            ahead.keep(&table, Instant::now(), rows(1, &table));
            ahead.forget(&written(key));
            ahead.begun(&events[1].fired.sys_id);
            assert_eq!(is_at_hand(&ahead, &table, "b"), stays, "{key} was written behind the read");
            let (ahead, events, _) = house(&["a", "b"], &table);
            ahead.forget(&written(key));
            ahead.keep(&table, Instant::now(), rows(1, &table));
            ahead.begun(&events[1].fired.sys_id);
            assert_eq!(is_at_hand(&ahead, &table, "b"), stays, "{key} was written beside the read");
        }
        let (ahead, events, _) = house(&["a", "b"], &table);
        ahead.keep(&table, Instant::now(), rows(1, &table));
        let mut much = Written::default();
        (0..=WRITTEN_MAX).for_each(|n| much.add(&n.to_string()));
        ahead.forget(&much);
        ahead.begun(&events[1].fired.sys_id);
        assert!(!is_at_hand(&ahead, &table, "b"));
    }

    /// While a read is under way, others may take out of what is at hand what it was not asked for.
    #[test]
    fn each_event_gets_the_row_that_was_read_for_it_whatever_is_dropped_meanwhile() {
        let table = table();
        let sys_id = table.index("sys_id").expect("it has a key");
        let row = |key: &String| {
            let mut values: Vec<campanile_model::Value> =
                (0..table.fields.len()).map(|_| campanile_model::Value::Nil).collect();
            values[sys_id] = campanile_model::Value::text(key);
            Some(Record::from_values(Arc::clone(&table), values))
        };
        let keys: Vec<String> = (0..30).map(|n| format!("k{n}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (ahead, events, also) = house(&keys, &table);
        ahead.keep(&table, Instant::now(), also.iter().map(row).collect());
        let forget = |key| {
            let mut written = Written::default();
            written.add(key);
            ahead.forget(&written);
        };
        forget("k5");
        ahead.begun(&events[5].fired.sys_id);
        let Asked::With(also) = ahead.ask(&table, "k5") else { panic!("it was dropped") };
        assert_eq!(also, ["k16", "k17", "k18", "k19", "k20"]);
        forget("k9");
        ahead.keep(&table, Instant::now(), also.iter().map(row).collect());
        for number in [17, 20] {
            ahead.begun(&events[number].fired.sys_id);
            let Asked::AtHand(Some(found)) = ahead.ask(&table, keys[number]) else {
                panic!("{number} was read")
            };
            assert_eq!(found.text("sys_id"), keys[number]);
        }
    }

    #[test]
    fn what_is_old_is_read_again() {
        let table = table();
        let (ahead, events, _) = house(&["a", "b"], &table);
        let long_ago = Instant::now().checked_sub(AT_HAND_MAX).expect("the machine runs");
        ahead.keep(&table, long_ago, rows(1, &table));
        ahead.begun(&events[1].fired.sys_id);
        assert!(!is_at_hand(&ahead, &table, "b"));
    }

    #[test]
    fn no_more_is_read_ahead_than_may_be_at_hand_and_nothing_of_other_tables() {
        let table = table();
        let keys: Vec<String> = (0..99).map(|n| n.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (_, _, also) = house(&keys, &table);
        assert_eq!(also.len(), ROWS_AHEAD);
        let ahead = Ahead::default();
        let mut events = events(&["a", "b", ""]);
        events[1].fired.table = Arc::from("problem");
        ahead.claimed(&batch(&events));
        ahead.begun(&events[0].fired.sys_id);
        assert!(matches!(ahead.ask(&table, "a"), Asked::With(also) if also.is_empty()));
        assert!(matches!(ahead.ask(&table, "b"), Asked::With(also) if also.is_empty()));
    }

    #[test]
    fn where_an_order_is_kept_nothing_is_read_ahead() {
        let table = table();
        let ahead = Ahead::default();
        let events = events(&["a", "b"]);
        ahead.claimed(&Claim { order: QueueOrder::ByRecord, ..batch(&events) });
        ahead.begun(&events[0].fired.sys_id);
        assert!(matches!(ahead.ask(&table, "a"), Asked::With(also) if also.is_empty()));
    }

    #[test]
    fn who_asks_again_reads_no_more_than_is_not_at_hand() {
        let table = table();
        let (ahead, _, also) = house(&["a", "b", "c"], &table);
        ahead.keep_nothing();
        ahead.keep(&table, Instant::now(), rows(2, &table));
        assert!(matches!(ahead.ask(&table, "a"), Asked::With(again) if again == also));
        ahead.keep(&table, Instant::now(), rows(2, &table));
        assert!(matches!(ahead.ask(&table, "a"), Asked::With(also) if also.is_empty()));
    }

    #[test]
    fn who_has_come_to_the_end_is_forgotten() {
        let ahead = Ahead::default();
        let events = events(&["a", "b"]);
        ahead.claimed(&batch(&events[..1]));
        assert!(ahead.0.lock().is_empty(), "nothing comes after it");
        ahead.claimed(&batch(&events));
        ahead.begun(&events[1].fired.sys_id);
        assert_eq!(ahead.0.lock().len(), 1);
        ahead.claimed(&batch(&[]));
        assert!(ahead.0.lock().is_empty());
    }
}
