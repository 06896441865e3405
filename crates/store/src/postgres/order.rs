//! What queues promise of the order of their events, as it is stored: the rules, and the queues that an error has stopped.
//!
//! Differs because many programs change it: what this one knows of the rules is read again when it may have changed, and
//! a claim looks again in the database.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{Instant, QueueOrder, SysId};
use parking_lot::Mutex;

use super::connection::Connection;
use super::distributed::{self, Spread};
use super::effects::Effects;
use super::events::{key, sys_id, text};
use super::failure::SOMEWHERE;
use super::nodes;
use super::text::stored;
use crate::contract::{Halt, QueueRule, StoreError};

/// The migrations that brought orders, and orders in distributed mode.
const MIGRATION: i64 = 6;
const MIGRATION_OF_PARTITIONS: i64 = 8;

/// Held from the look at the programs to the commit: one that knows nothing of orders does not come in between
/// (`campanile_admit_older`).
const HOLD_OLDER: &str = "SELECT pg_advisory_xact_lock(1667329392, 4)::text";

/// Programs that do not know of orders must not claim from queues that keep one.
const STOP_OLDER: &str = "UPDATE campanile_migration SET stops_older = true WHERE number = $1::bigint AND NOT stops_older";

/// The queues that keep an order, as this program knows them. Others are parallel.
pub(super) type KnownOrders = Arc<HashMap<Arc<str>, QueueOrder>>;

/// The order that `queue` keeps, as `orders` know it.
pub(super) fn of(orders: &HashMap<Arc<str>, QueueOrder>, queue: &str) -> QueueOrder {
    orders.get(queue).copied().unwrap_or(QueueOrder::Parallel)
}

/// What this program knows.
#[derive(Debug, Default)]
pub(super) struct Orders(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// `None` when it is to be read again.
    orders: Option<KnownOrders>,
    /// How often it was forgotten.
    forgotten: u64,
}

impl Orders {
    /// Somebody may have changed them.
    pub(super) fn forget(&self) {
        let mut known = self.0.lock();
        known.orders = None;
        known.forgotten += 1;
    }

    /// Whether `queue` keeps one, as far as is known without asking.
    pub(super) fn may_be_kept(&self, queue: &str) -> bool {
        self.0.lock().orders.as_ref().is_some_and(|orders| orders.contains_key(queue))
    }

    /// The present ones; asks by `connection` when it must.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn known(
        &self,
        connection: &Connection,
    ) -> Result<KnownOrders, tokio_postgres::Error> {
        let forgotten = {
            let known = self.0.lock();
            if let Some(orders) = &known.orders {
                return Ok(Arc::clone(orders));
            }
            known.forgotten
        };
        // Nobody waits for this but who needs it: the table may be locked, and the beat forgets.
        let mut orders = HashMap::new();
        for row in connection.query("SELECT queue, kind FROM sysevent_queue_order", &[])? {
            let queue: &str = row.try_get(0)?;
            let order = QueueOrder::from_word(row.try_get(1)?);
            orders.insert(Arc::from(&*super::text::read(queue)), order);
        }
        let orders = Arc::new(orders);
        let mut known = self.0.lock();
        // What was forgotten meanwhile is read again by the next.
        if known.forgotten == forgotten {
            known.orders = Some(Arc::clone(&orders));
        }
        Ok(orders)
    }
}

/// See [`crate::WriteTx::set_queue_order`].
///
/// # Errors
/// [`StoreError::OlderAtWork`] while programs work that do not know of orders; [`StoreError::QueueAtWork`]. What PostgreSQL
/// said.
pub(super) fn set(
    connection: &Connection,
    queue: &str,
    rule: Option<QueueRule>,
    spread: Option<&Spread>,
) -> Result<(), StoreError> {
    let Some(rule) = rule.filter(|rule| rule.order != QueueOrder::Parallel) else {
        connection
            .execute("DELETE FROM sysevent_queue_order WHERE queue = $1", &[&stored(queue)])?;
        return Ok(());
    };
    let kind = rule.order.as_str();
    let name = queue;
    let queue = stored(queue);
    // Whoever lets events arrive waits for a row that is written.
    let is_so = connection.query_first(
        "SELECT 1 FROM sysevent_queue_order WHERE queue = $1 AND kind = $2 AND halts = $3",
        &[&queue, &kind, &rule.halts],
    )?;
    if is_so.is_some() {
        return Ok(());
    }
    let number = if spread.is_some() { MIGRATION_OF_PARTITIONS } else { MIGRATION };
    connection.query(HOLD_OLDER, &[])?;
    let older = nodes::older(connection, number)?;
    if !older.is_empty() {
        return Err(StoreError::OlderAtWork {
            place: SOMEWHERE.to_owned(),
            number,
            names: older.join("', '"),
        });
    }
    // What is being handled or was begun keeps what comes behind it waiting, too. Before the row: who completes has
    // events, and then waits for it.
    match spread {
        Some(spread) => distributed::order::begin(connection, name, rule.order, spread)?,
        None => {
            connection.execute(
                "UPDATE sysevent_live SET turn = campanile_turn_of($2, \"table\", instance, sys_id) \
                 WHERE (claim_token IS NOT NULL OR attempts > 0 OR lapses > 0) AND queue = $1 AND turn IS NULL",
                &[&queue, &kind],
            )?;
        }
    }
    connection.execute(
        "INSERT INTO sysevent_queue_order (queue, kind, halts) VALUES ($1, $2, $3) \
         ON CONFLICT (queue) DO UPDATE SET kind = excluded.kind, halts = excluded.halts, set_at = excluded.set_at",
        &[&queue, &kind, &rule.halts],
    )?;
    connection.execute(STOP_OLDER, &[&number])?;
    Ok(())
}

/// Gives the events that wait in queues which keep an order their turns: they were copied without.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn give_turns(
    connection: &Connection,
    spread: Option<&Spread>,
) -> Result<(), StoreError> {
    let number = match spread {
        Some(spread) => {
            distributed::order::give_turns(connection, spread)?;
            MIGRATION_OF_PARTITIONS
        }
        None => {
            connection.execute(
                "UPDATE sysevent_live SET turn = campanile_turn(queue, \"table\", instance, sys_id) \
                 WHERE queue IN (SELECT queue FROM sysevent_queue_order)",
                &[],
            )?;
            MIGRATION
        }
    };
    let stop = format!("{STOP_OLDER} AND EXISTS (SELECT FROM sysevent_queue_order)");
    connection.execute(&stop, &[&number])?;
    Ok(())
}

/// The order that `queue` keeps now, whatever this program believes.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn present(connection: &Connection, queue: &str) -> Result<QueueOrder, StoreError> {
    let row = connection
        .query_first("SELECT kind FROM sysevent_queue_order WHERE queue = $1", &[&stored(queue)])?;
    let kind = row.map(|row| Ok::<_, StoreError>(QueueOrder::from_word(row.try_get(0)?)));
    Ok(kind.transpose()?.unwrap_or_default())
}

/// An event that has ended in error.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) queue: Arc<str>,
    pub(super) event: SysId,
    pub(super) at: i64,
}

/// As [`halt`], for events of which this is known: in distributed mode no log is asked.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn halt_by(connection: &Connection, mut failed: Vec<Failed>) -> Result<(), StoreError> {
    if failed.is_empty() {
        return Ok(());
    }
    // In the order of their names, as whoever lets events arrive takes them.
    failed.sort_by(|l, r| stored(&l.queue).cmp(&stored(&r.queue)));
    for Failed { queue, event, at } in failed {
        connection.execute(
            "UPDATE sysevent_queue_order SET halted_event = $2, halted_at = $3 \
             WHERE queue = $1 AND kind = 'sequential' AND halts AND halted_at IS NULL",
            &[&stored(&queue), &event.as_str(), &at],
        )?;
    }
    Ok(())
}

/// Stops the queues that stop at an error, for those of the events with these sequences that have just ended in one.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn halt(connection: &Connection, failed: &[i64]) -> Result<(), StoreError> {
    if failed.is_empty() {
        return Ok(());
    }
    // In the order of their names, as whoever lets events arrive takes them.
    connection.query(
        "SELECT 1 FROM sysevent_queue_order AS rule WHERE rule.queue IN (SELECT log.queue FROM sysevent_log AS log \
         WHERE log.sequence = ANY ($1)) ORDER BY rule.queue FOR UPDATE",
        &[&failed],
    )?;
    connection.execute(
        "UPDATE sysevent_queue_order AS rule SET halted_event = log.sys_id, \
         halted_at = COALESCE(log.sys_updated_on, log.process_on) \
         FROM sysevent_log AS log WHERE log.sequence = ANY ($1) AND log.state = 'error' AND rule.queue = log.queue \
         AND rule.kind = 'sequential' AND rule.halts AND rule.halted_at IS NULL",
        &[&failed],
    )?;
    Ok(())
}

/// Lets the queue go on that this event has stopped. Returns whether there was one.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn let_go_on(
    connection: &Connection,
    event: &SysId,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    go_on(connection, "lower(halted_event) = $1", &key(event), effects)
}

/// Lets a stopped queue go on. Returns whether it was stopped.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn resume(
    connection: &Connection,
    queue: &str,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    go_on(connection, "queue = $1 AND halted_at IS NOT NULL", &stored(queue), effects)
}

fn go_on(
    connection: &Connection,
    which: &str,
    name: &str,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE sysevent_queue_order SET halted_event = NULL, halted_at = NULL WHERE {which} RETURNING queue"
    );
    let resumed = connection.query(&sql, &[&name])?;
    for row in &resumed {
        effects.wake(&text(row, 0)?, None, i64::MIN);
    }
    Ok(!resumed.is_empty())
}

/// See [`crate::EventStore::halts`].
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn halts(connection: &Connection) -> Result<Vec<Halt>, StoreError> {
    let rows = connection.query(
        "SELECT queue, halted_event, halted_at FROM sysevent_queue_order WHERE halted_at IS NOT NULL ORDER BY queue",
        &[],
    )?;
    let halt = |row: &tokio_postgres::Row| {
        let at = Instant::from_millis(row.try_get(2)?);
        Ok(Halt { queue: text(row, 0)?, event: sys_id(row, 1)?, at })
    };
    rows.iter().map(halt).collect()
}
