//! The state of one outermost operation: its writer, the operations that stand on the stack, what they fired and
//! wrote so far.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use campanile_model::{NewEvent, Record, TableDef};
use campanile_store::WriteTx;

use super::change::Failure;
use crate::events::fire::provision::Provision;
use crate::records::execution::{FiredEvent, WrittenRecord};

/// A hold of the writer longer than this is logged (DESIGN §5).
const HOLD_LOGGED: Duration = Duration::from_millis(50);

/// A rule that stands on the stack.
#[derive(Debug, Clone)]
pub(crate) struct RunningRule {
    pub(crate) name: Arc<str>,
    pub(crate) rule_id: Arc<str>,
    /// The row that it runs for, in lower case.
    pub(crate) row: Arc<str>,
}

/// An event that waits for the commit, with its place among all that were fired.
#[derive(Debug)]
pub(crate) struct WaitingEvent {
    pub(crate) ordinal: u64,
    pub(crate) event: NewEvent,
    pub(crate) provisions: Vec<Provision>,
}

/// One operation on the stack.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Events that its own rules fired: kept when it succeeds.
    pub(crate) events: Vec<WaitingEvent>,
    /// The row as it was read before the writer was taken; checked when it is.
    pub(crate) read: Option<Record>,
    /// The row is being deleted.
    pub(crate) deleting: Option<Arc<str>>,
}

/// Everything of one outermost operation that is not committed yet.
pub(crate) struct Transaction {
    /// The operation did not begin again.
    pub(crate) first_attempt: bool,
    pub(crate) writer: Option<Box<dyn WriteTx>>,
    held_since: Option<Monotonic>,
    /// The slowest rule while the writer was held.
    slowest: Option<(Arc<str>, Duration)>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) rules: Vec<RunningRule>,
    /// Pairs of rule and row whose recursion was logged.
    pub(crate) recursion_logged: HashSet<(Arc<str>, Arc<str>)>,
    /// Rows before their first write in this context, by key in lower case; `None` for a row that was inserted.
    pub(crate) previous: HashMap<Arc<str>, Option<Rc<Record>>>,
    /// Rows that were written, by key in lower case: how often.
    pub(crate) writes: HashMap<Arc<str>, u32>,
    /// Events of operations that succeeded.
    pub(crate) kept: Vec<WaitingEvent>,
    next_ordinal: u64,
    /// Bytes of the events that its scripts fired.
    pub(crate) events_bytes: usize,
    /// Events that were appended: told when the commit has succeeded.
    pub(crate) fired: Vec<FiredEvent>,
    pub(crate) written: Vec<WrittenRecord>,
    pub(crate) tables: BTreeSet<Arc<str>>,
    /// Set when something failed under a script: the scripts above end, then everything is rolled back.
    pub(crate) failure: Option<Failure>,
    pub(crate) warnings: Vec<String>,
}

impl Transaction {
    pub(crate) fn new(first_attempt: bool) -> Self {
        Self {
            first_attempt,
            writer: None,
            held_since: None,
            slowest: None,
            frames: Vec::new(),
            rules: Vec::new(),
            recursion_logged: HashSet::new(),
            previous: HashMap::new(),
            writes: HashMap::new(),
            kept: Vec::new(),
            next_ordinal: 0,
            events_bytes: 0,
            fired: Vec::new(),
            written: Vec::new(),
            tables: BTreeSet::new(),
            failure: None,
            warnings: Vec::new(),
        }
    }

    /// The writer is ours from now on.
    pub(crate) fn hold(&mut self, writer: Box<dyn WriteTx>) {
        self.writer = Some(writer);
        self.held_since = Some(Monotonic::now());
    }

    /// How long the writer has been held.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        self.held_since.map(|since| since.elapsed())
    }

    /// Notes how long a rule took while the writer was held.
    pub(crate) fn note_rule(&mut self, name: &Arc<str>, took: Duration) {
        if self.writer.is_some() && self.slowest.as_ref().is_none_or(|(_, longest)| took > *longest)
        {
            self.slowest = Some((Arc::clone(name), took));
        }
    }

    /// Logs a hold that kept others waiting.
    pub(crate) fn log_hold(&self) {
        if let Some(held) = self.held_for().filter(|held| *held > HOLD_LOGGED) {
            let rule = self.slowest.as_ref().map_or("", |(name, _)| name);
            let rule_ms = self.slowest.as_ref().map_or(0, |(_, took)| took.as_millis());
            tracing::warn!(
                held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
                rule,
                rule_ms = u64::try_from(rule_ms).unwrap_or(u64::MAX),
                "a record operation held the writer for long; its slowest rule is named"
            );
        }
    }

    /// A place for the next event.
    pub(crate) fn next_ordinal(&mut self) -> u64 {
        self.next_ordinal += 1;
        self.next_ordinal
    }

    /// Counts a write of the row.
    pub(crate) fn note_write(&mut self, table: &Arc<TableDef>, row: &Arc<str>) {
        *self.writes.entry(Arc::clone(row)).or_default() += 1;
        self.touch(table);
    }

    /// Definitions made of this table are stale after the commit.
    pub(crate) fn touch(&mut self, table: &TableDef) {
        if !self.tables.contains(&table.name) {
            self.tables.insert(Arc::clone(&table.name));
        }
    }

    /// How often the row was written.
    pub(crate) fn writes_of(&self, row: &str) -> u32 {
        self.writes.get(row).copied().unwrap_or(0)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("writer", &self.writer.is_some())
            .field("depth", &self.frames.len())
            .finish_non_exhaustive()
    }
}
