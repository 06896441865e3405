//! How an order is set in distributed mode, over all partitions.

use std::collections::HashMap;

use campanile_model::QueueOrder;

use super::Spread;
use super::spread::{turn_of, turn_of_record};
use super::statements::{BEGUN, FIRST_OF_TURN, GIVE_TURNS, HOLD_BEGUN, WITHOUT_TURN};
use super::strays::relocate;
use crate::contract::StoreError;
use crate::postgres::connection::Connection;
use crate::postgres::events::{read_event, text};
use crate::postgres::text::stored;

/// Waits for the claims of the queue that are under way, and lets none begin until the end of the transaction: what is
/// claimed is seen, and nothing is claimed as before.
const HOLD_OFF_CLAIMS: &str = "SELECT pg_advisory_xact_lock(1667329395, hashtext($1))::text";

/// The turn of all events of a sequential queue.
const ONE_TURN: i64 = 0;

/// Events that get their turn in one statement.
const TURNS_MAX: i64 = 500;

/// Lets what is being handled or was begun keep what comes behind it waiting. A sequential queue asks one partition what that
/// is, so what waits for its next attempt elsewhere is brought there.
///
/// # Errors
/// [`StoreError::QueueAtWork`] when an event of a queue that becomes sequential is being handled elsewhere;
/// [`StoreError::QueueHasOneTurn`] when events of a queue that keeps the order of records from now on stand together, as they
/// arrived while it was sequential, and not with what comes about their records. What PostgreSQL said.
pub(in crate::postgres) fn begin(
    connection: &Connection,
    queue: &str,
    order: QueueOrder,
    spread: &Spread,
) -> Result<(), StoreError> {
    connection.query(HOLD_OFF_CLAIMS, &[&stored(queue)])?;
    let home = (order == QueueOrder::Sequential).then(|| spread.home_of(queue));
    for partition in spread.all() {
        if order == QueueOrder::ByRecord
            && connection
                .query_first(FIRST_OF_TURN, &[&partition, &stored(queue), &ONE_TURN])?
                .is_some()
        {
            return Err(StoreError::QueueHasOneTurn { queue: queue.to_owned() });
        }
        let mut turns: HashMap<i64, i64> = HashMap::new();
        for row in connection.query(HOLD_BEGUN, &[&partition, &stored(queue)])? {
            let event = read_event(&row)?;
            let is_elsewhere = home.is_some_and(|home| home != partition);
            if is_elsewhere && !event.claimed_by.is_empty() {
                return Err(StoreError::QueueAtWork { queue: queue.to_owned() });
            }
            if let Some(turn) = turn_of(order, &event.fired) {
                turns.insert(event.sequence, turn);
            }
        }
        let (sequences, turns): (Vec<i64>, Vec<i64>) = turns.into_iter().unzip();
        match home {
            _ if sequences.is_empty() => {}
            Some(home) if home != partition => {
                relocate(connection, (partition, home), &sequences, |taken| {
                    taken.turn = Some(0);
                })?;
            }
            _ => {
                connection.execute(GIVE_TURNS, &[&partition, &sequences, &turns])?;
            }
        }
    }
    Ok(())
}

/// What was begun in a sequential queue outside its partition: nobody who claims would see it.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn problems(
    connection: &Connection,
    spread: &Spread,
) -> Result<Vec<String>, StoreError> {
    let sequential = "SELECT queue FROM sysevent_queue_order WHERE kind = 'sequential'";
    let mut problems = Vec::new();
    for row in connection.query(sequential, &[])? {
        let (stored, queue): (&str, _) = (row.try_get(0)?, text(&row, 0)?);
        let home = spread.home_of(&queue);
        for partition in spread.all().filter(|partition| *partition != home) {
            if connection.query_first(BEGUN, &[&partition, &stored])?.is_some() {
                problems.push(format!(
                    "an event of the sequential queue '{queue}' was begun in partition {partition}, not in the queue's, {home}"
                ));
            }
        }
    }
    Ok(problems)
}

/// Gives the events that wait in queues which keep an order their turns: they were copied without, each to where it belongs.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn give_turns(
    connection: &Connection,
    spread: &Spread,
) -> Result<(), StoreError> {
    for row in connection.query("SELECT queue, kind FROM sysevent_queue_order", &[])? {
        let (queue, kind): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let order = QueueOrder::from_word(kind);
        for partition in spread.all() {
            let mut behind = i64::MIN;
            loop {
                let rows =
                    connection.query(WITHOUT_TURN, &[&partition, &queue, &behind, &TURNS_MAX])?;
                let mut sequences: Vec<i64> = Vec::with_capacity(rows.len());
                let mut turns: Vec<i64> = Vec::with_capacity(rows.len());
                for row in &rows {
                    sequences.push(row.try_get(0)?);
                    turns.push(match order {
                        QueueOrder::ByRecord => {
                            turn_of_record(&text(row, 1)?, &text(row, 2)?, &text(row, 3)?)
                        }
                        _ => 0,
                    });
                }
                let Some(last) = sequences.last() else { break };
                behind = *last;
                connection.execute(GIVE_TURNS, &[&partition, &sequences, &turns])?;
            }
        }
    }
    Ok(())
}
