//! Replaying a batch of rows through the record operation, with all its rules.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, Value};
use campanile_store::CommitMark;
use serde::{Deserialize, Serialize};

use super::choices::{self, Choices};
use super::columns::{Column, Columns, Kind};
use super::convert::{self, Cell};
use super::map::ReplayMap;
use super::references::{Finder, References};
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::operation::{self, Change, Door, Failure, Options, Outcome};
use crate::records::unit_of_work::Finish;
use crate::records::{gate, lookup};
use crate::session::{Channel, Session};
use crate::worker::Worker;

/// Refused rows that a report names; the rest is only counted.
const REFUSALS_MAX: usize = 100;

/// Rows of a file, in the order in which they happened.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBatch {
    /// Name of the map, for messages.
    #[serde(default)]
    pub map_file: String,
    /// The map itself.
    pub map: String,
    /// Name of the file, for messages.
    #[serde(default)]
    pub file: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells of the rows.
    pub rows: Vec<Vec<String>>,
    /// Line of the file of each row; when there are none they count from `first_row`.
    #[serde(default)]
    pub lines: Vec<u64>,
    /// Number of the first row.
    #[serde(default)]
    pub first_row: u64,
    /// Only checks what can be checked without writing: the map, the columns, the form of every cell.
    #[serde(default)]
    pub check: bool,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct ReplayCounts {
    /// Rows.
    pub rows: u64,
    /// Rows that made a record.
    pub inserts: u64,
    /// Rows that changed one.
    pub updates: u64,
    /// Rows that changed nothing.
    pub unchanged: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The first of them, with line and reason.
    pub refusals: Vec<String>,
    /// Rows that were made because others referred to them, by table.
    pub references_created: BTreeMap<String, u64>,
    /// Choices that were made of labels, by `table.element`.
    pub choices_created: BTreeMap<String, u64>,
    /// Events that were fired, by name.
    pub events: BTreeMap<String, u64>,
    /// Wait for this before telling anybody.
    #[serde(skip)]
    pub mark: CommitMark,
}

/// Whether the session may replay at all: told before anything of the call is read.
///
/// # Errors
/// [`EngineError::NotAllowed`] for anybody but an administrator.
pub fn allow(session: &Session) -> Result<(), EngineError> {
    gate::require_role(session, &[], "replay")
}

/// Replays rows: the first sight of a key makes a record, later rows change it, and a row that changes no field of the
/// map writes nothing. After defaults and before rules every field of the map has the row's value, empty included.
/// Names of other rows and labels that nobody knows become rows and choices. A row that is refused is told, and the
/// others go on.
///
/// # Errors
/// [`EngineError::NotAllowed`] for anybody but an administrator; [`EngineError::BadInput`] for a map that does not fit;
/// what the store answers: rows before are then kept.
pub fn replay(
    worker: &Worker,
    session: &Session,
    batch: &ReplayBatch,
) -> Result<ReplayCounts, EngineError> {
    allow(session)?;
    let name = if batch.map_file.is_empty() { "map" } else { &batch.map_file };
    let map = ReplayMap::parse(name, &batch.map)?;
    let dictionary = worker.engine().dictionary()?;
    let columns = Columns::bind(&map, &dictionary, &batch.file, &batch.columns)?;
    let session = Session { channel: Channel::System, ..session.clone() };
    let mut replay = Replay {
        worker,
        session,
        batch,
        columns,
        references: References::default(),
        choices: Choices::default(),
        records: HashMap::new(),
        counts: ReplayCounts::default(),
    };
    replay.counts.rows = u64::try_from(batch.rows.len()).unwrap_or(u64::MAX);
    let rows = replay.meaning_of_rows(&map, &dictionary);
    if !batch.check {
        replay.look_up(&dictionary, &rows)?;
        for (at, cells) in rows {
            replay.row(at, &cells)?;
        }
    }
    Ok(replay.finish())
}

struct Replay<'a> {
    worker: &'a Worker,
    session: Session,
    batch: &'a ReplayBatch,
    columns: Columns,
    references: References,
    choices: Choices,
    /// Records by their key; `None` when several have it.
    records: HashMap<String, Option<Arc<str>>>,
    counts: ReplayCounts,
}

type Row = (usize, Vec<Cell>);

impl Replay<'_> {
    /// What the cells mean; rows with a cell of another form are refused here.
    fn meaning_of_rows(&mut self, map: &ReplayMap, dictionary: &Dictionary) -> Vec<Row> {
        let label_chars_max = choices::label_chars_max(dictionary);
        let mut rows = Vec::with_capacity(self.batch.rows.len());
        for (at, cells) in self.batch.rows.iter().enumerate() {
            match convert::row(map, &self.columns, cells)
                .and_then(|cells| self.names_fit(dictionary, label_chars_max, cells))
            {
                Ok(cells) => rows.push((at, cells)),
                Err(reason) => self.refuse(at, &reason),
            }
        }
        rows
    }

    /// Whether names and labels fit where they would be kept if nobody knows them.
    fn names_fit(
        &self,
        dictionary: &Dictionary,
        label_chars_max: usize,
        cells: Vec<Cell>,
    ) -> Result<Vec<Cell>, String> {
        for (column, cell) in self.columns.list.iter().zip(&cells) {
            let (text, room) = match (cell, &column.kind) {
                (Cell::Label(label), _) => (label, label_chars_max),
                (Cell::Name(name), Kind::Reference { table, find_by }) => {
                    let field = dictionary.table(table).and_then(|table| table.field(find_by));
                    (name, field.map_or(usize::MAX, |field| field.max_length))
                }
                _ => continue,
            };
            let length = text.chars().count();
            if length > room {
                return Err(format!(
                    "column '{}': the text has {length} characters, there is room for {room}",
                    column.name
                ));
            }
        }
        Ok(cells)
    }

    /// Finds the records and the rows that are referred to, and makes the choices that are missing.
    fn look_up(&mut self, dictionary: &Dictionary, rows: &[Row]) -> Result<(), EngineError> {
        let execution = self.worker.execution(self.session.clone());
        self.find_records(&execution, rows)?;
        for (place, column) in self.columns.list.iter().enumerate() {
            if let Kind::Reference { table, find_by } = &column.kind {
                let finder = (Arc::clone(table), Arc::clone(find_by));
                let names: Vec<&str> =
                    rows.iter().filter_map(|(_, cells)| name(&cells[place])).collect();
                self.references.find(&execution, dictionary, &finder, &names)?;
            }
        }
        // In one transaction, so that the dictionary changes once.
        let (choices, columns) = (&mut self.choices, &self.columns);
        execution.unit_of_work(Finish::Commit, || {
            for (place, column) in
                columns.list.iter().enumerate().filter(|(_, c)| c.kind == Kind::Choice)
            {
                let labels: Vec<&str> =
                    rows.iter().filter_map(|(_, cells)| label(&cells[place])).collect();
                choices.prepare(&execution, dictionary, columns, column, &labels)?;
            }
            Ok(())
        })?;
        self.note(&execution);
        Ok(())
    }

    fn find_records(&mut self, execution: &Rc<Execution>, rows: &[Row]) -> Result<(), EngineError> {
        let table = &self.columns.table;
        let field = &self.columns.field(self.columns.key()).name;
        let mut keys: Vec<Arc<str>> =
            rows.iter().map(|(_, cells)| Arc::from(text(&cells[self.columns.key]))).collect();
        keys.sort_unstable();
        keys.dedup();
        for part in keys.chunks(500) {
            let mut select = lookup::one_of(table, &[(field, part.to_vec())]);
            select.fields =
                Some(["sys_id", field].iter().filter_map(|name| table.index(name)).collect());
            for row in execution.with_read(|tx| tx.select(&select))? {
                let key: Arc<str> = Arc::from(row.text("sys_id"));
                self.records
                    .entry(row.text(field).to_owned())
                    .and_modify(|found| *found = None)
                    .or_insert(Some(key));
            }
        }
        Ok(())
    }

    /// One row: its references first, then the record.
    fn row(&mut self, at: usize, cells: &[Cell]) -> Result<(), EngineError> {
        let execution = self.worker.execution(self.session.clone());
        let result = self.operate(&execution, cells);
        self.note(&execution);
        match result {
            Ok(Outcome::Done { .. }) => Ok(()),
            Ok(Outcome::Refused(refusal)) => {
                self.refuse(at, &refusal.to_string());
                Ok(())
            }
            Err(Failure::Error(error @ (EngineError::Store(_) | EngineError::Unavailable(_)))) => {
                Err(error)
            }
            Err(failure) => {
                self.refuse(at, &failure.into_error().to_string());
                Ok(())
            }
        }
    }

    fn operate(&mut self, execution: &Rc<Execution>, cells: &[Cell]) -> Result<Outcome, Failure> {
        let mut values = Vec::with_capacity(cells.len());
        for (place, cell) in cells.iter().enumerate() {
            let column = &self.columns.list[place];
            let value = match cell {
                Cell::Value(value) => value.clone(),
                Cell::Label(label) => self.choices.value(column, label).unwrap_or_default(),
                Cell::Name(name) => {
                    let Some(finder) = finder(column) else { continue };
                    let dictionary = execution.dictionary()?;
                    match self.references.row(execution, &dictionary, &finder, name) {
                        Ok(key) => key,
                        Err(EngineError::Store(error)) => return Err(error.into()),
                        Err(refusal) => return Ok(Outcome::Refused(refusal)),
                    }
                }
            };
            values.push((Arc::clone(&self.columns.field(column).name), value));
        }
        let key = text(&cells[self.columns.key]);
        let (kind, sys_id) = match self.records.get(key) {
            None => (operation::Kind::Insert, None),
            Some(Some(sys_id)) => (operation::Kind::Update, Some(Arc::clone(sys_id))),
            Some(None) => {
                let field = self.columns.field(self.columns.key());
                return Ok(Outcome::Refused(EngineError::BadParameter {
                    parameter: field.name.to_string(),
                    detail: format!("several records have '{key}': expected one"),
                }));
            }
        };
        let change = Change {
            kind,
            table: Arc::clone(&self.columns.table),
            sys_id,
            values,
            journals: Vec::new(),
            fresh: None,
            reason: Arc::from("replay"),
            options: Options { values_win: true, ..Options::plain(Door::System) },
        };
        let outcome = operation::run(execution, &change)?;
        if let Outcome::Done { record, changed, .. } = &outcome {
            match (kind, changed) {
                (operation::Kind::Insert, _) => {
                    self.counts.inserts += 1;
                    self.records.insert(key.to_owned(), Some(Arc::from(record.text("sys_id"))));
                }
                (_, true) => self.counts.updates += 1,
                (_, false) => self.counts.unchanged += 1,
            }
        }
        Ok(outcome)
    }

    fn note(&mut self, execution: &Rc<Execution>) {
        self.counts.mark = self.counts.mark.max(execution.commit_mark());
        for fired in execution.report().fired {
            *self.counts.events.entry(fired.name.to_string()).or_default() += 1;
        }
    }

    fn refuse(&mut self, at: usize, reason: &str) {
        self.counts.refused += 1;
        if self.counts.refusals.len() < REFUSALS_MAX {
            let place = match self.batch.lines.get(at) {
                Some(line) => format!("line {line}"),
                None => format!(
                    "row {}",
                    self.batch.first_row.saturating_add(u64::try_from(at).unwrap_or(0))
                ),
            };
            self.counts.refusals.push(format!("{}: {place}: {reason}", self.batch.file));
        }
    }

    fn finish(self) -> ReplayCounts {
        let mut counts = self.counts;
        counts.references_created = self
            .references
            .created
            .into_iter()
            .map(|(table, count)| (table.to_string(), count))
            .collect();
        counts.choices_created = self.choices.created.into_iter().collect();
        counts
    }
}

impl ReplayCounts {
    /// Adds the counts of another batch.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
        let room = REFUSALS_MAX.saturating_sub(self.refusals.len());
        self.refusals.extend(other.refusals.into_iter().take(room));
        for (mine, theirs) in [
            (&mut self.references_created, other.references_created),
            (&mut self.choices_created, other.choices_created),
            (&mut self.events, other.events),
        ] {
            for (name, count) in theirs {
                *mine.entry(name).or_default() += count;
            }
        }
        self.mark = self.mark.max(other.mark);
    }
}

fn finder(column: &Column) -> Option<Finder> {
    match &column.kind {
        Kind::Reference { table, find_by } => Some((Arc::clone(table), Arc::clone(find_by))),
        _ => None,
    }
}

fn text(cell: &Cell) -> &str {
    match cell {
        Cell::Value(value) => Value::as_str(value),
        Cell::Label(text) | Cell::Name(text) => text,
    }
}

fn label(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Label(label) => Some(label),
        _ => None,
    }
}

fn name(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Name(name) => Some(name),
        _ => None,
    }
}
