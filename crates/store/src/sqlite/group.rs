//! One group of units as one transaction.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::failure::located;
use super::sync::Durability;
use super::unit::{Haste, Unit};
use crate::contract::{CommitMark, StoreError};

/// Each unit's fate.
type Outcomes = Vec<Result<CommitMark, StoreError>>;

/// Runs `units` in one transaction and commits. A unit that fails is undone alone; when the
/// transaction itself is lost (disk full, a broken disk), all are refused and the connection is ready for the next.
pub(in crate::sqlite) fn run(
    connection: &Connection,
    units: &mut [Box<dyn Unit>],
    durability: &Arc<Durability>,
    file: &Path,
) -> Outcomes {
    if units.is_empty() {
        return Vec::new();
    }
    let refused = match run_units(connection, units) {
        Ok(refused) => refused,
        Err(error) => {
            let error = located(error, file);
            roll_back(connection);
            return units.iter().map(|_| Err(error.clone())).collect();
        }
    };
    let mark = durability.committed();
    refused
        .into_iter()
        .map(|error| match error {
            Some(error) => Err(located(error, file)),
            None => Ok(mark),
        })
        .collect()
}

/// Begins, runs, commits. The inner errors undid one unit, an outer error all.
///
/// Most groups have no unit that fails, and a savepoint is dear: SQLite keeps a copy of each page that is changed in
/// it, which took a tenth of the writer's time. So units that can be run again run without; when one fails, all is
/// undone and the group runs once more, each in a savepoint.
fn run_units(
    connection: &Connection,
    units: &mut [Box<dyn Unit>],
) -> Result<Vec<Option<StoreError>>, StoreError> {
    if let [unit] = units {
        statement(connection, "BEGIN IMMEDIATE")?;
        unit.run(connection)?;
        statement(connection, "COMMIT")?;
        return Ok(vec![None]);
    }
    if units.iter().all(|unit| unit.runs_again()) {
        statement(connection, "BEGIN IMMEDIATE")?;
        if units.iter_mut().all(|unit| unit.run(connection).is_ok()) {
            statement(connection, "COMMIT")?;
            return Ok(units.iter().map(|_| None).collect());
        }
        roll_back(connection);
    }
    run_in_savepoints(connection, units)
}

fn run_in_savepoints(
    connection: &Connection,
    units: &mut [Box<dyn Unit>],
) -> Result<Vec<Option<StoreError>>, StoreError> {
    statement(connection, "BEGIN IMMEDIATE")?;
    let mut refused = Vec::with_capacity(units.len());
    for unit in units {
        statement(connection, "SAVEPOINT unit")?;
        let error = unit.run(connection).err();
        // SQLite ends the whole transaction by itself after some failures.
        if let Some(error) = error {
            if connection.is_autocommit() {
                return Err(error);
            }
            statement(connection, "ROLLBACK TO unit")?;
            refused.push(Some(error));
        } else {
            refused.push(None);
        }
        statement(connection, "RELEASE unit")?;
    }
    statement(connection, "COMMIT")?;
    Ok(refused)
}

/// Tells everybody: at once, or after the sync that covers the group.
pub(in crate::sqlite) fn answer(
    units: Vec<Box<dyn Unit>>,
    outcomes: Outcomes,
    durability: &Arc<Durability>,
) {
    let mut durable = Vec::new();
    for (unit, outcome) in units.into_iter().zip(outcomes) {
        match outcome {
            Ok(mark) if unit.haste() == Haste::Disk => durable.push((unit, mark)),
            outcome => unit.answer(outcome),
        }
    }
    let Some(last) = durable.iter().map(|(_, mark)| *mark).max() else { return };
    durability.on_durable(
        last,
        Box::new(move |answer| {
            for (unit, mark) in durable {
                unit.answer(answer.clone().map(|()| mark));
            }
        }),
    );
}

/// Runs a statement of the transaction itself.
pub(in crate::sqlite) fn statement(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Ends the transaction without keeping anything, if there still is one.
pub(in crate::sqlite) fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = statement(connection, "ROLLBACK") {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}
