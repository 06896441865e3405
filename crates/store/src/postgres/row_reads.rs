//! Rows that many threads ask for by their keys at once: what comes while a read is under way goes together in the next.
//!
//! Differs because each read is a round trip, which costs more than the row (fires read the record that they are about, and
//! so do handlers: one by one they took a third of the processors' time). Each read begins after it was asked for, so nothing
//! is seen that is older than the question.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::{Record, TableDef};
use parking_lot::{Condvar, Mutex};

use super::connection::Connection;
use super::pool::Pool;
use super::rows;
use super::wire::aside;
use crate::contract::StoreError;

/// Reads under way at once. With more of them each would be smaller.
pub(super) const READS_MAX: usize = 2;

/// Rows in one read.
const ROWS_MAX: usize = 100;

/// Who has waited so long for a turn reads by itself: the reads under way wait for something, a lock perhaps.
const TURN_MAX: Duration = Duration::from_millis(50);

/// What a question comes to.
type Answer = Result<Option<Record>, StoreError>;

/// Reads of rows by their keys.
#[derive(Debug)]
pub(super) struct RowReads {
    /// Of [`READS_MAX`] connections.
    pool: Arc<Pool>,
    /// For those who read by themselves.
    others: Arc<Pool>,
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
    sys_id: String,
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
        Self { pool, others, state: Mutex::default() }
    }

    /// The row of `table` or of a class below it with this key.
    ///
    /// # Errors
    /// What PostgreSQL said, to any of those that went together.
    pub(super) fn get(&self, table: &Arc<TableDef>, sys_id: &str) -> Answer {
        let question = {
            let mut state = self.state.lock();
            if state.under_way < READS_MAX {
                state.under_way += 1;
                None
            } else {
                let question = Arc::new(Question {
                    table: Arc::clone(table),
                    sys_id: sys_id.to_owned(),
                    told: Mutex::default(),
                    changed: Condvar::new(),
                });
                state.waiting.push(Arc::clone(&question));
                Some(question)
            }
        };
        let Some(question) = question else {
            let _turn = Turn { reads: self, group: Vec::new() };
            return rows::get(&*self.pool.take()?, table, sys_id);
        };
        let mut told = aside(|| question.wait_for_turn());
        if told.is_none() && self.leave(&question) {
            return rows::get(&*self.others.take()?, table, sys_id);
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
            Ok(connection) => {
                while let Some(first) = self.group.first() {
                    let table = Arc::clone(&first.table);
                    self.read_table(&connection, &table);
                }
            }
            Err(error) => self.tell(|_| true, |_| Err(error.clone())),
        }
    }

    /// Reads for all who ask for rows of `table`.
    fn read_table(&mut self, connection: &Connection, table: &Arc<TableDef>) {
        let is_of = |question: &Question| Arc::ptr_eq(&question.table, table);
        let asking = self.group.iter().filter(|question| is_of(question));
        let keys: Vec<&str> = asking.map(|question| question.sys_id.as_str()).collect();
        let found = rows::get_all(connection, table, &keys);
        self.tell(is_of, |question| match &found {
            Ok(rows) => Ok(rows
                .iter()
                .find(|row| row.text("sys_id").eq_ignore_ascii_case(&question.sys_id))
                .cloned()),
            Err(error) => Err(error.clone()),
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

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Only after a panic is anybody left.
        self.tell(|_| true, |_| Err(StoreError::Busy { waited_ms: 0 }));
        self.reads.pass_on();
    }
}
