//! Rows that many threads ask for by their keys at once: what comes while a read is under way goes together in the next.
//!
//! Differs because each read is a round trip, which costs more than the row (fires read the record that they are about, and
//! so do handlers: one by one they took a third of the processors' time). Each read begins after it was asked for, so nothing
//! is seen that is older than the question.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::{FieldIndex, Record, TableDef};
use foldhash::fast::RandomState;
use parking_lot::{Condvar, Mutex};

use super::ahead::{Ahead, Asked};
use super::connection::Connection;
use super::pool::Pool;
use super::rows;
use super::wire::aside;
use crate::contract::StoreError;
use crate::sql::Part;

/// Reads under way at once. With more of them each would be smaller.
pub(super) const READS_MAX: usize = 2;

/// Rows in one read.
const ROWS_MAX: usize = 100;

/// Who has waited so long for a turn reads by itself: the reads under way wait for something, a lock perhaps.
const TURN_MAX: Duration = Duration::from_millis(50);

/// What a question comes to: the rows with its keys, in their order.
type Answer = Result<Vec<Option<Record>>, StoreError>;

/// Reads of rows by their keys.
#[derive(Debug)]
pub(super) struct RowReads {
    /// Of [`READS_MAX`] connections.
    pool: Arc<Pool>,
    /// For those who read by themselves.
    others: Arc<Pool>,
    /// What handlers will ask for.
    pub(super) ahead: Ahead,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    waiting: Vec<Arc<Question>>,
}

/// One thread's question.
#[derive(Debug)]
struct Question {
    table: Arc<TableDef>,
    /// `None` for all.
    fields: Option<Box<[FieldIndex]>>,
    keys: Vec<String>,
    told: Mutex<Option<Told>>,
    changed: Condvar,
}

#[derive(Debug)]
enum Told {
    Answer(Answer),
    /// It is this thread's turn to read for all of these, itself among them.
    Read(Vec<Arc<Question>>),
}

impl Question {
    fn part(&self) -> Part<'_> {
        Part { table: &self.table, fields: self.fields.as_deref() }
    }

    /// Whether one statement reads for both.
    fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && self.fields == other.fields
    }

    fn tell(&self, told: Told) {
        *self.told.lock() = Some(told);
        self.changed.notify_one();
    }

    fn wait(&self) -> Told {
        let mut told = self.told.lock();
        loop {
            match told.take() {
                Some(told) => return told,
                None => self.changed.wait(&mut told),
            }
        }
    }

    /// As [`Question::wait`]; `None` when it takes longer than a turn.
    fn wait_for_turn(&self) -> Option<Told> {
        let until = Instant::now() + TURN_MAX;
        let mut told = self.told.lock();
        while told.is_none() && !self.changed.wait_until(&mut told, until).timed_out() {}
        told.take()
    }
}

impl RowReads {
    /// On the connections of `pool`; on `others` when these are held up.
    pub(super) fn new(pool: Arc<Pool>, others: Arc<Pool>) -> Self {
        Self { pool, others, ahead: Ahead::default(), state: Mutex::default() }
    }

    /// The row with this key. When all of it is asked for by who handles a batch of events, the rows that are about to be asked for are
    /// read with it.
    ///
    /// # Errors
    /// What PostgreSQL said, to any of those that went together.
    pub(super) fn get(&self, part: Part<'_>, sys_id: &str) -> Result<Option<Record>, StoreError> {
        let also = match part.fields {
            Some(_) => Vec::new(),
            None => match self.ahead.ask(part.table, sys_id) {
                Asked::AtHand(row) => return Ok(row),
                Asked::With(also) => also,
            },
        };
        let asked = Instant::now();
        let has_more = !also.is_empty();
        let mut keys = also;
        keys.insert(0, sys_id.to_owned());
        let read = self.read(part, keys);
        if has_more && read.is_err() {
            self.ahead.keep_nothing();
        }
        let mut rows = read?.into_iter();
        let row = rows.next().flatten();
        if has_more {
            self.ahead.keep(part.table, asked, rows.collect());
        }
        Ok(row)
    }

    /// The rows with these keys, of which there is one at least.
    fn read(&self, part: Part<'_>, keys: Vec<String>) -> Answer {
        let question = {
            let mut state = self.state.lock();
            if state.under_way < READS_MAX {
                state.under_way += 1;
                Err(keys)
            } else {
                let question = Arc::new(Question {
                    table: Arc::clone(part.table),
                    fields: part.fields.map(Box::from),
                    keys,
                    told: Mutex::default(),
                    changed: Condvar::new(),
                });
                state.waiting.push(Arc::clone(&question));
                Ok(question)
            }
        };
        let question = match question {
            Ok(question) => question,
            Err(keys) => {
                let _turn = Turn { reads: self, group: Vec::new() };
                return read_alone(&*self.pool.take()?, part, &keys);
            }
        };
        let mut told = aside(|| question.wait_for_turn());
        if told.is_none() && self.leave(&question) {
            return read_alone(&*self.others.take()?, part, &question.keys);
        }
        loop {
            match told.take().unwrap_or_else(|| aside(|| question.wait())) {
                Told::Answer(answer) => return answer,
                // Its own answer is among them.
                Told::Read(group) => Turn { reads: self, group }.read(),
            }
        }
    }

    /// Waits no more, unless its read has begun.
    fn leave(&self, question: &Arc<Question>) -> bool {
        let mut state = self.state.lock();
        let waited = state.waiting.len();
        state.waiting.retain(|other| !Arc::ptr_eq(other, question));
        state.waiting.len() < waited
    }

    /// Closes the connections.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// The next read, by one of those who wait; nobody's turn when nobody does.
    fn pass_on(&self) {
        let mut state = self.state.lock();
        let count = state.waiting.len().min(ROWS_MAX);
        let group: Vec<Arc<Question>> = state.waiting.drain(..count).collect();
        match group.first().map(Arc::clone) {
            Some(first) => first.tell(Told::Read(group)),
            None => state.under_way -= 1,
        }
    }
}

/// A thread's turn to read. When it ends, however it does, everybody has an answer and somebody else the turn.
struct Turn<'a> {
    reads: &'a RowReads,
    /// Who waits for an answer from it.
    group: Vec<Arc<Question>>,
}

impl Turn<'_> {
    fn read(mut self) {
        match self.reads.pool.take() {
            Ok(connection) => self.read_on(&connection),
            Err(error) => self.tell(|_| true, |_| Err(error.clone())),
        }
    }

    /// Reads for all in one round trip, by a statement for those who ask for the same fields of the same table's rows.
    fn read_on(&mut self, connection: &Connection) {
        let mut firsts: Vec<Arc<Question>> = Vec::new();
        for question in &self.group {
            if !firsts.iter().any(|first| question.is_like(first)) {
                firsts.push(Arc::clone(question));
            }
        }
        let group = self.group.clone();
        let asked: Vec<_> = firsts
            .iter()
            .map(|first| {
                let asking = group.iter().filter(|question| question.is_like(first));
                (
                    first.part(),
                    asking.flat_map(|question| &question.keys).map(String::as_str).collect(),
                )
            })
            .collect();
        rows::get_each(connection, &asked, |at, found| {
            let first = &firsts[at];
            let found = found.as_ref().map(|rows| by_key(&first.table, rows));
            self.tell(
                |question| question.is_like(first),
                |question| match &found {
                    Ok(rows) => Ok(in_turn(rows, &question.keys)),
                    Err(error) => Err((*error).clone()),
                },
            );
        });
    }

    /// Tells those who are `meant`; nobody waits for more than one answer.
    fn tell(&mut self, meant: impl Fn(&Question) -> bool, answer: impl Fn(&Question) -> Answer) {
        self.group.retain(|question| {
            let is_meant = meant(question);
            if is_meant {
                question.tell(Told::Answer(answer(question)));
            }
            !is_meant
        });
    }
}

/// Reads for one question.
fn read_alone(connection: &Connection, part: Part<'_>, keys: &[String]) -> Answer {
    if let [key] = keys {
        return Ok(vec![rows::get(connection, part, key)?]);
    }
    let mut answer = Ok(Vec::new());
    let keys_of_part = keys.iter().map(String::as_str).collect();
    rows::get_each(connection, &[(part, keys_of_part)], |_, found| {
        answer = found.map(|rows| in_turn(&by_key(part.table, &rows), keys));
    });
    answer
}

/// The rows with these keys, in their order.
fn in_turn(rows: &ByKey<'_>, keys: &[String]) -> Vec<Option<Record>> {
    keys.iter().map(|key| rows.get(&rows::key(key)).copied().cloned()).collect()
}

/// Rows by their keys as they are compared.
type ByKey<'r> = HashMap<Cow<'r, str>, &'r Record, RandomState>;

fn by_key<'r>(table: &TableDef, rows: &'r [Record]) -> ByKey<'r> {
    let Some(at) = table.index("sys_id") else { return HashMap::default() };
    rows.iter().map(|row| (rows::key(row.at(at).as_str()), row)).collect()
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Only after a panic is anybody left.
        self.tell(|_| true, |_| Err(StoreError::Busy { waited_ms: 0 }));
        self.reads.pass_on();
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use campanile_model::testing;

    use super::super::{PostgresOptions, PostgresStore};
    use super::*;
    use crate::contract::Store;
    use crate::testing::TestDatabase;

    /// A store with a table of tasks that the server took for empty when it was told to look.
    fn store(database: &TestDatabase) -> (Arc<PostgresStore>, Arc<TableDef>) {
        let store = PostgresStore::open(&PostgresOptions::new(database.url())).expect("it opens");
        let dictionary = testing::dictionary();
        let tables: Vec<_> = dictionary.tables().cloned().collect();
        let mut tx = Arc::clone(&store).write().expect("it takes writes");
        tx.ensure_tables(&dictionary, &tables).expect("the tables can be made");
        tx.commit().expect("they are kept");
        database.run("ANALYZE");
        (store, Arc::clone(dictionary.table("incident").expect("there are incidents")))
    }

    fn insert(database: &TestDatabase, rows: std::ops::RangeInclusive<usize>) {
        database.run(&format!(
            "INSERT INTO task (sys_id, sys_class_name, number) SELECT lpad(n::text, 32, '0'), 'incident', 'n' || n \
             FROM generate_series({}, {}) AS n",
            rows.start(),
            rows.end()
        ));
    }

    fn key(number: usize) -> String {
        format!("{number:032}")
    }

    fn get_all(connection: &Connection, table: &Arc<TableDef>, keys: &[&str]) -> Vec<Record> {
        let mut found = Vec::new();
        rows::get_each(connection, &[(Part::whole(table), keys.to_vec())], |_, rows| {
            found = rows.expect("they can be read");
        });
        found
    }

    #[test]
    fn reads_by_keys_are_planned_once_for_lists_of_all_lengths() {
        let database = TestDatabase::create();
        let (store, table) = store(&database);
        insert(&database, 1..=20);
        let connection = store.row_reads.as_ref().unwrap().pool.take().unwrap();
        let keys: Vec<String> = (1..=20).map(key).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for count in 1..=keys.len() {
            assert_eq!(get_all(&connection, &table, &keys[..count]).len(), count);
            assert!(
                rows::get(&connection, Part::whole(&table), keys[count - 1]).unwrap().is_some()
            );
        }
        let plans = connection
            .query(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT t0%'",
                &[],
            )
            .unwrap();
        let counts: Vec<(i64, i64)> = plans.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(counts, [(20, 0), (20, 0)], "of one key, and of several");
    }

    #[test]
    fn the_plan_for_all_lists_of_keys_goes_by_the_key_however_little_the_server_knows() {
        let database = TestDatabase::create();
        let (store, table) = store(&database);
        let connection = store.row_reads.as_ref().unwrap().pool.take().unwrap();
        let goes_by_the_key = || {
            get_all(&connection, &table, &[&key(1), &key(2)]);
            let names = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT t0%'";
            let name: String = connection.query_first(names, &[]).unwrap().unwrap().get(0);
            let explain = format!("EXPLAIN EXECUTE {name} ('{{a,b}}', 'incident')");
            let lines = connection.query(&explain, &[]).unwrap();
            let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
            let plan = lines.join("\n");
            assert!(plan.contains("Index Cond: (lower(sys_id) = ANY ($1))"), "{plan}");
        };
        goes_by_the_key();
        insert(&database, 1..=20);
        goes_by_the_key();
        database.run("ANALYZE task");
        goes_by_the_key();
        insert(&database, 21..=20_000);
        goes_by_the_key();
        database.run("ANALYZE task");
        goes_by_the_key();
    }
}
