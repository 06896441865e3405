//! The group writer: all appends that wait are one transaction.
//!
//! Differs because record operations have connections of their own, and because the answer to a commit can be lost on
//! its way. So each group writes its number into this program's row: the next connection waits until the old
//! transaction has ended, reads the number, and knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_model::{Event, NewEvent};

use super::append::{Held, append_events};
use super::births::Promises;
use super::connection::Connection;
use super::effects::Effects;
use super::failure::{is_deadlock, located};
use super::group_fate;
use super::line::Unit;
use super::nodes::APPENDING;
use super::order::KnownOrders;
use super::own_row::{NUMBER_GROUP, NUMBER_GROUP_BY_KEY, OwnRow};
use super::plain::Plain;
use super::store::Shared;
use super::turns;
use crate::contract::{AppendAnswer, AppendOutcome, CommitMark, StoreError};

/// How long a group may look for what became of its commit, before its callers are told that nobody knows.
const RESOLVE_MAX: Duration = Duration::from_secs(10);

/// How often a group is tried again that was ended in a deadlock: whoever was in its way may be slower than its next try.
const DEADLOCKS_MAX: u32 = 3;

/// Between two tries to reach the server.
const REST: Duration = Duration::from_millis(100);

/// What one unit came to.
pub(super) enum Fate {
    /// Committed, or to be committed.
    Stored(Vec<AppendOutcome>),
    /// An atomic append was refused: these outcomes are told, and nothing was stored.
    Refused(Vec<AppendOutcome>),
}

/// What a group comes to, once it is committed.
pub(super) struct Attempt {
    pub(super) fates: Vec<Fate>,
    pub(super) effects: Effects,
    /// Events that were claimed at once, and for whom.
    pub(super) born: Option<(Promises, Vec<Event>)>,
}

/// What a group writes down of itself.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) token: i64,
    pub(super) number: i64,
}

/// What a group came to that was to be one statement.
enum AtOnce<'u> {
    /// And where its number stands.
    Committed(Attempt, OwnRow),
    /// Nothing was kept: it takes more.
    TakesMore,
    /// It was not answered.
    Lost(StoreError, Plain<'u>),
}

/// What a group comes to if it was committed, though that was not answered.
enum Lost<'u> {
    Prepared(Attempt),
    Plain(Plain<'u>),
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
    /// Where the number of the last group stands.
    pub(super) row: OwnRow,
}

impl Writer {
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        self.connection = self.connection.take().filter(|first| self.will_use(first).is_ok());
        while let Some(units) = shared.line.take() {
            self.write(units);
        }
    }

    fn write(&mut self, units: Vec<Unit>) {
        match self.write_group(&units) {
            Outcome::Committed(attempt) => {
                let mark = self.shared.committed();
                if let Some((promises, born)) = attempt.born {
                    self.shared.deliver(&promises, born);
                }
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
        let mut deadlocks = 0;
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
            let orders = match shared.orders.known(&connection) {
                Ok(orders) => orders,
                Err(_) if connection.is_closed() && may_wait(&shared, began) => continue,
                Err(error) => return Outcome::Failed(error.into()),
            };
            self.groups += 1;
            let mark = Mark { token: shared.node.token(), number: self.groups };
            // Known again once the group is committed.
            let row = std::mem::take(&mut self.row);
            let group = (units, &orders);
            // The answer to what commits can be lost, and not necessarily the group.
            let (error, lost) = match append_at_once(&connection, &shared, group, (mark, &row)) {
                AtOnce::Committed(attempt, row) => {
                    self.connection = Some(connection);
                    self.row = row;
                    return Outcome::Committed(attempt);
                }
                AtOnce::Lost(error, plain) => (error, Lost::Plain(plain)),
                AtOnce::TakesMore => match prepare(&connection, &shared, group, (mark, &row)) {
                    Ok((attempt, row)) => {
                        let stored = stored_events(units, &attempt.fates);
                        let spread = shared.claims.spread().map(AsRef::as_ref);
                        let arriving = turns::arriving((&orders, spread), stored);
                        let committed = turns::commit_of(&connection, &arriving)
                            .and_then(|commit| connection.batch(&commit));
                        match committed {
                            Ok(()) => {
                                self.connection = Some(connection);
                                self.row = row;
                                return Outcome::Committed(attempt);
                            }
                            // Over the rows of queues that keep an order: whoever was in the way goes on now.
                            Err(error) if is_deadlock(&error) && deadlocks < DEADLOCKS_MAX => {
                                deadlocks += 1;
                                self.roll_back(connection);
                                continue;
                            }
                            Err(error) => (error.into(), Lost::Prepared(attempt)),
                        }
                    }
                    // Nothing was kept, and that is certain: the commit was not asked for.
                    Err(_) if connection.is_closed() && may_wait(&shared, began) => continue,
                    Err(error) => {
                        self.roll_back(connection);
                        return Outcome::Failed(error);
                    }
                },
            };
            if !connection.is_closed() {
                self.roll_back(connection);
                return Outcome::Failed(error);
            }
            match self.was_committed(mark, began) {
                Some(true) => {
                    return Outcome::Committed(match lost {
                        Lost::Prepared(attempt) => attempt,
                        Lost::Plain(plain) => self.found(plain, began),
                    });
                }
                Some(false) if may_wait(&shared, began) => {}
                Some(false) => return Outcome::Failed(error),
                None => {
                    if let Lost::Plain(mut plain) = lost {
                        plain.leave_in_doubt();
                    }
                    return Outcome::Failed(shared.outcome_unknown());
                }
            }
        }
    }

    /// Whether the group with this mark was committed. `None` when nobody can tell in time.
    fn was_committed(&mut self, mark: Mark, began: Instant) -> Option<bool> {
        // The next number may be used up by asking.
        self.groups = self.groups.max(mark.number + 1);
        self.ask(began, |connection| group_fate::was_committed(connection, mark.token, mark.number))
            .flatten()
    }

    /// A group of plain events that is there, though its answer was lost: all of them are.
    fn found(&mut self, plain: Plain<'_>, began: Instant) -> Attempt {
        match self.ask(began, |connection| plain.find(connection)) {
            Some(stands) => plain.committed(&stands),
            // When the server is gone again, their order is all that stays untold.
            None => plain.committed_unseen(),
        }
    }

    /// The answer to `question`, asked until the server gives one; `None` when it does not in time.
    fn ask<T>(
        &mut self,
        began: Instant,
        question: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Option<T> {
        let shared = Arc::clone(&self.shared);
        loop {
            let asked = self.connection().and_then(|connection| {
                let answer = question(&connection)?;
                self.connection = Some(connection);
                Ok(answer)
            });
            match asked {
                Ok(answer) => return Some(answer),
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
            None => {
                // Whoever waits for what the lost one was at may end it.
                self.shared.line.will_write_by(None);
                let connection = self.shared.open_settled()?;
                self.will_use(&connection)?;
                Ok(connection)
            }
        }
    }

    /// Tells those who look for what became of a group that this connection is in use. Behind a pool that mixes connections up
    /// nobody does.
    fn will_use(&self, connection: &Connection) -> Result<(), StoreError> {
        if connection.is_settled() {
            self.shared.line.will_write_by(group_fate::process_of(connection)?);
        }
        Ok(())
    }

    fn roll_back(&mut self, connection: Connection) {
        match connection.batch("ROLLBACK") {
            Ok(()) => self.connection = Some(connection),
            Err(error) => {
                self.shared.line.will_write_by(None);
                tracing::debug!(%error, "a group could not be rolled back; its connection is closed");
            }
        }
    }
}

/// The events of a group that were stored, and what became of each.
fn stored_events<'u>(
    units: &'u [Unit],
    fates: &'u [Fate],
) -> impl Iterator<Item = (&'u NewEvent, &'u AppendOutcome)> {
    units.iter().zip(fates).flat_map(|(unit, fate)| {
        let outcomes: &[AppendOutcome] = match fate {
            Fate::Stored(outcomes) => outcomes,
            Fate::Refused(_) => &[],
        };
        unit.events.iter().zip(outcomes)
    })
}

/// Whether a group may look on for its fate.
fn may_wait(shared: &Shared, began: Instant) -> bool {
    began.elapsed() < RESOLVE_MAX && !shared.line.is_stopping()
}

/// Whether nothing of the unit may stay when one of its events is refused.
fn stands_alone(unit: &Unit) -> bool {
    unit.mode.atomic && unit.events.len() > 1
}

/// All events of a group.
pub(super) fn events_of(units: &[Unit]) -> Vec<&NewEvent> {
    units.iter().flat_map(|unit| &unit.events).collect()
}

/// Writes and commits a group of plain events in one round trip.
fn append_at_once<'u>(
    connection: &Connection,
    shared: &Shared,
    group: (&'u [Unit], &KnownOrders),
    (mark, row): (Mark, &OwnRow),
) -> AtOnce<'u> {
    let Some(plain) = Plain::of(connection, shared, group, mark) else { return AtOnce::TakesMore };
    match plain.append(connection, row) {
        Ok(Some((stands, row))) => AtOnce::Committed(plain.committed(&stands), row),
        Ok(None) => AtOnce::TakesMore,
        Err(error) => AtOnce::Lost(error, plain),
    }
}

/// Writes the group's number down, in the transaction that is open. Returns where it stands.
fn number_group(
    connection: &Connection,
    shared: &Shared,
    (mark, row): (Mark, &OwnRow),
) -> Result<OwnRow, StoreError> {
    let Mark { token, number } = mark;
    if shared.claims.spread().is_some() {
        connection.execute(NUMBER_GROUP_BY_KEY, &[&token, &APPENDING, &number])?;
        return Ok(OwnRow::default());
    }
    let place = row.place(token);
    let changed = connection.query_first(NUMBER_GROUP, &[&token, &APPENDING, &number, &place])?;
    let place: Option<String> = changed.map(|row| row.try_get(0)).transpose()?;
    if place.is_none() {
        // It stands elsewhere, or was just changed by who asked what became of the last group: the number must be there all the same.
        connection.execute(NUMBER_GROUP_BY_KEY, &[&token, &APPENDING, &number])?;
    }
    Ok(OwnRow::at(token, place))
}

/// Everything of a group but its commit, and where its number stands then.
fn prepare(
    connection: &Connection,
    shared: &Shared,
    (units, orders): (&[Unit], &KnownOrders),
    (mark, row): (Mark, &OwnRow),
) -> Result<(Attempt, OwnRow), StoreError> {
    connection.batch(connection.begin_by_index())?;
    let row = number_group(connection, shared, (mark, row))?;
    let held = Held(&shared.claims, mark.token, orders);
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
    Ok((Attempt { fates, effects, born: None }, row))
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
