//! The group writer: all appends that wait are one transaction.
//!
//! Differs because record operations have connections of their own, and because the answer to a commit can be lost on
//! its way. So each group writes its number into this program's row: the next connection waits until the old
//! transaction has ended, reads the number, and knows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::NewEvent;
use parking_lot::{Condvar, Mutex};
use tokio_postgres::types::ToSql;

use super::append::{self, Held, append_events};
use super::connection::Connection;
use super::effects::Effects;
use super::failure::{closed, located};
use super::group_fate::last_group;
use super::nodes::APPENDING;
use super::plans::BEGIN_BY_INDEX;
use super::store::Shared;
use crate::contract::{
    AppendAnswer, AppendCallback, AppendMode, AppendOutcome, CommitMark, StoreError,
};

/// A group takes no more units once it has this many events.
const GROUP_EVENTS_MAX: usize = 2_000;

/// Events that may wait; more are refused.
const WAITING_EVENTS_MAX: usize = 200_000;

/// How long a group may look for what became of its commit, before its callers are told that nobody knows.
const RESOLVE_MAX: Duration = Duration::from_secs(10);

/// Between two tries to reach the server.
const REST: Duration = Duration::from_millis(100);

/// One append.
pub(super) struct Unit {
    pub(super) events: Vec<NewEvent>,
    pub(super) mode: AppendMode,
    pub(super) done: AppendCallback,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    units: VecDeque<Unit>,
    events: usize,
    stopping: bool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("events", &self.state.lock().events).finish_non_exhaustive()
    }
}

impl Line {
    /// Hands `unit` in. Units are written in the order in which they were handed in.
    pub(super) fn submit(&self, unit: Unit, place: &str) {
        let refusal = {
            let mut state = self.state.lock();
            if state.stopping {
                closed(place)
            } else if state.events > WAITING_EVENTS_MAX {
                StoreError::Busy { waited_ms: 0 }
            } else {
                state.events += unit.events.len();
                state.units.push_back(unit);
                self.filled.notify_one();
                return;
            }
        };
        (unit.done)(Err(refusal));
    }

    /// Lets the writer finish what waits and end; further units are refused.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.filled.notify_all();
    }

    /// Takes what waits as one group; `None` when there will be no more.
    fn take(&self) -> Option<Vec<Unit>> {
        let mut state = self.state.lock();
        while state.units.is_empty() {
            if state.stopping {
                return None;
            }
            self.filled.wait(&mut state);
        }
        let mut units = Vec::new();
        let mut events = 0;
        while events < GROUP_EVENTS_MAX {
            let Some(unit) = state.units.pop_front() else { break };
            events += unit.events.len();
            units.push(unit);
        }
        state.events = state.events.saturating_sub(events);
        Some(units)
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }
}

/// What one unit came to.
enum Fate {
    /// Committed, or to be committed.
    Stored(Vec<AppendOutcome>),
    /// An atomic append was refused: these outcomes are told, and nothing was stored.
    Refused(Vec<AppendOutcome>),
}

/// A group that is ready to be committed.
struct Attempt {
    fates: Vec<Fate>,
    effects: Effects,
    token: i64,
    number: i64,
}

/// What became of a group.
enum Outcome {
    Committed(Attempt),
    /// Nothing was kept.
    Failed(StoreError),
}

/// Runs on the writer's own thread until the line is closed.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// `None` after it was lost.
    pub(super) connection: Option<Connection>,
    pub(super) groups: i64,
}

impl Writer {
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(units) = shared.line.take() {
            self.write(units);
        }
    }

    fn write(&mut self, units: Vec<Unit>) {
        match self.write_group(&units) {
            Outcome::Committed(attempt) => {
                let mark = self.shared.committed();
                self.shared.carry_out(&attempt.effects);
                for (unit, fate) in units.into_iter().zip(attempt.fates) {
                    (unit.done)(answer(fate, mark));
                }
            }
            // Somebody's unit cannot be written: the others must not go with it.
            Outcome::Failed(StoreError::Statement { .. }) if units.len() > 1 => {
                units.into_iter().for_each(|unit| self.write(vec![unit]));
            }
            Outcome::Failed(error) => {
                let error = located(error, self.shared.place());
                units.into_iter().for_each(|unit| (unit.done)(Err(error.clone())));
            }
        }
    }

    /// Writes a group. One that is known not to have been kept is tried again on a new connection.
    fn write_group(&mut self, units: &[Unit]) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        loop {
            let connection = match self.connection() {
                Ok(connection) => connection,
                Err(error) if may_wait(&shared, began) => {
                    tracing::debug!(%error, "the writer has no connection; trying again");
                    std::thread::sleep(REST);
                    continue;
                }
                Err(error) => return Outcome::Failed(error),
            };
            self.groups += 1;
            let mark = (shared.node.token(), self.groups);
            let attempt = match prepare(&connection, &shared, units, mark) {
                Ok(attempt) => attempt,
                // Nothing was kept, and that is certain: the commit was not asked for.
                Err(_) if connection.is_closed() && may_wait(&shared, began) => continue,
                Err(error) => {
                    self.roll_back(connection);
                    return Outcome::Failed(error);
                }
            };
            let Err(error) = connection.batch("COMMIT") else {
                self.connection = Some(connection);
                return Outcome::Committed(attempt);
            };
            if !connection.is_closed() {
                self.roll_back(connection);
                return Outcome::Failed(error.into());
            }
            // The answer was lost, not necessarily the group.
            match self.was_committed(&attempt, began) {
                Some(true) => return Outcome::Committed(attempt),
                Some(false) if may_wait(&shared, began) => {}
                Some(false) => return Outcome::Failed(error.into()),
                None => return Outcome::Failed(shared.outcome_unknown()),
            }
        }
    }

    /// Whether the group with this number was committed. `None` when nobody can tell in time.
    fn was_committed(&mut self, attempt: &Attempt, began: Instant) -> Option<bool> {
        let shared = Arc::clone(&self.shared);
        loop {
            let asked = self.connection().and_then(|connection| {
                let last = last_group(&connection, attempt.token)?;
                self.connection = Some(connection);
                Ok(last)
            });
            match asked {
                Ok(Some(last)) => return Some(last == attempt.number),
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(%error, "what became of a group of appends is not known yet");
                    if !may_wait(&shared, began) {
                        return None;
                    }
                    std::thread::sleep(REST);
                }
            }
        }
    }

    /// The connection, taken out; put it back when it is usable.
    fn connection(&mut self) -> Result<Connection, StoreError> {
        match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => Ok(connection),
            None => self.shared.open(),
        }
    }

    fn roll_back(&mut self, connection: Connection) {
        match connection.batch("ROLLBACK") {
            Ok(()) => self.connection = Some(connection),
            Err(error) => {
                tracing::debug!(%error, "a group could not be rolled back; its connection is closed");
            }
        }
    }
}

/// Whether a group may look on for its fate.
fn may_wait(shared: &Shared, began: Instant) -> bool {
    began.elapsed() < RESOLVE_MAX && !shared.line.is_stopping()
}

/// Writes down the number of the group that is written.
const NUMBER_GROUP: &str =
    "UPDATE campanile_node_writer SET last_group = $3 WHERE token = $1 AND writer = $2";

/// Whether nothing of the unit may stay when one of its events is refused.
fn stands_alone(unit: &Unit) -> bool {
    unit.mode.atomic && unit.events.len() > 1
}

/// As [`prepare`], in one round trip: for a group of plain events. `None`, and no transaction, when it takes more.
fn prepare_at_once(
    connection: &Connection,
    units: &[Unit],
    (token, number): (i64, i64),
) -> Result<Option<Attempt>, StoreError> {
    let events: Vec<&NewEvent> = units.iter().flat_map(|unit| &unit.events).collect();
    if events.is_empty() || !events.iter().all(|event| append::is_plain(event)) {
        return Ok(None);
    }
    let change: (&str, &[&(dyn ToSql + Sync)]) = (NUMBER_GROUP, &[&token, &APPENDING, &number]);
    let (outcomes, effects) = append::begin_with(connection, BEGIN_BY_INDEX, change, &events)?;
    if outcomes.iter().any(Result::is_err) && units.iter().any(stands_alone) {
        connection.batch("ROLLBACK")?;
        return Ok(None);
    }
    let mut outcomes = outcomes.into_iter();
    let fates = units
        .iter()
        .map(|unit| Fate::Stored(outcomes.by_ref().take(unit.events.len()).collect()))
        .collect();
    Ok(Some(Attempt { fates, effects, token, number }))
}

/// Everything of a group but its commit.
fn prepare(
    connection: &Connection,
    shared: &Shared,
    units: &[Unit],
    (token, number): (i64, i64),
) -> Result<Attempt, StoreError> {
    if let Some(attempt) = prepare_at_once(connection, units, (token, number))? {
        return Ok(attempt);
    }
    connection.batch(BEGIN_BY_INDEX)?;
    connection.execute(NUMBER_GROUP, &[&token, &APPENDING, &number])?;
    let held = Held(&shared.claims, token);
    let mut fates = Vec::with_capacity(units.len());
    let mut effects = Effects::default();
    for run in units.chunk_by(|l, r| !stands_alone(l) && !stands_alone(r)) {
        match run {
            [unit] if stands_alone(unit) => {
                fates.push(append_atomically(connection, held, unit, &mut effects)?);
            }
            run => {
                let events: Vec<&NewEvent> = run.iter().flat_map(|unit| &unit.events).collect();
                let (outcomes, more) = append_events(connection, held, &events)?;
                effects.extend(&more);
                let mut outcomes = outcomes.into_iter();
                for unit in run {
                    fates.push(Fate::Stored(outcomes.by_ref().take(unit.events.len()).collect()));
                }
            }
        }
    }
    Ok(Attempt { fates, effects, token, number })
}

fn append_atomically(
    connection: &Connection,
    held: Held<'_>,
    unit: &Unit,
    effects: &mut Effects,
) -> Result<Fate, StoreError> {
    connection.batch("SAVEPOINT unit")?;
    let events: Vec<&NewEvent> = unit.events.iter().collect();
    let (outcomes, more) = append_events(connection, held, &events)?;
    if outcomes.iter().any(Result::is_err) {
        connection.batch("ROLLBACK TO unit; RELEASE unit")?;
        return Ok(Fate::Refused(outcomes));
    }
    connection.batch("RELEASE unit")?;
    effects.extend(&more);
    Ok(Fate::Stored(outcomes))
}

fn answer(fate: Fate, mark: CommitMark) -> AppendAnswer {
    match fate {
        Fate::Stored(outcomes) => Ok((outcomes, mark)),
        Fate::Refused(outcomes) => Ok((outcomes, CommitMark::default())),
    }
}
