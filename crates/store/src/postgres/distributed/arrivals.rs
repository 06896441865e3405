//! How events arrive in queues that keep an order.
//!
//! Differs because functions of ours do not run where the rows are: what `campanile_arrive` does in one message takes some
//! here. Whoever stands still in between is ended by the server, so that nobody waits for it for long.

use std::collections::BTreeMap;
use std::sync::Arc;

use campanile_model::{NewEvent, QueueOrder};
use tokio_postgres::Error;

use super::Spread;
use super::spread::turn_of_record;
use super::statements::ARRIVE;
use crate::postgres::connection::Connection;
use crate::postgres::text::stored;

/// A program that says nothing for so long while others wait for the rows of its queues has stood still.
const STANDS_STILL: &str = "SET LOCAL idle_in_transaction_session_timeout = '2s'";

/// Takes the row of a queue until the commit, and gives its kind and when what arrives now is due: not before what arrived
/// before, unless that lies ahead since the clock was set back.
///
/// The clock is read behind the wait: a row that somebody has changed meanwhile is worked out anew.
const TAKE_ORDER: &str = "UPDATE sysevent_queue_order SET last_due = CASE WHEN $2::bigint IS NULL THEN last_due \
     WHEN last_due <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1000 THEN greatest(last_due, $2) \
     ELSE $2 END WHERE queue = $1 RETURNING kind, last_due";

/// New numbers. Asked for by themselves: no statement on rows that are spread asks for one.
const NUMBERS: &str = "SELECT nextval('sysevent_sequence') FROM generate_series(1, $1::bigint)";

/// Most rows in one statement: in its arrays each is looked for from the beginning.
const ROWS_MAX: usize = 500;

/// What the arrival of an event takes.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct SpreadArrival {
    sequence: i64,
    queue: Arc<str>,
    partition: i64,
    /// `None` for one that is for later.
    due: Option<i64>,
    turn_of_record: i64,
}

impl SpreadArrival {
    /// Of `event`, appended under this number to a queue that this program believes to keep this order.
    pub(in crate::postgres) fn of(
        event: &NewEvent,
        (sequence, order): (i64, QueueOrder),
        spread: &Spread,
    ) -> Self {
        Self {
            sequence,
            queue: Arc::clone(&event.queue),
            partition: spread.partition_of(event, order),
            due: (!event.scheduled).then(|| event.process_on.as_millis()),
            turn_of_record: turn_of_record(&event.table, &event.instance, event.sys_id.as_str()),
        }
    }

    fn turn(&self, order: QueueOrder) -> Option<i64> {
        match order {
            QueueOrder::Parallel => None,
            QueueOrder::Sequential => Some(0),
            QueueOrder::ByRecord => Some(self.turn_of_record),
        }
    }
}

/// Lets events that this transaction has appended arrive; to be called last before the commit. As `campanile_arrive`: takes the
/// rows of the queues in the order of their names, and numbers the events anew while it has them. One in a queue that has
/// become sequential stays where it was appended: whoever claims brings it home.
///
/// # Errors
/// What PostgreSQL said.
pub(in crate::postgres) fn arrive(
    connection: &Connection,
    arriving: &[&SpreadArrival],
) -> Result<(), Error> {
    let mut by_queue: BTreeMap<String, Vec<&SpreadArrival>> = BTreeMap::new();
    for one in arriving {
        by_queue.entry(stored(&one.queue).into_owned()).or_default().push(one);
    }
    for (queue, mut events) in by_queue {
        events.sort_by_key(|one| one.sequence);
        let newest = events.iter().filter_map(|one| one.due).max();
        let taken = connection.begin_with(STANDS_STILL, (TAKE_ORDER, &[&queue, &newest]), None)?;
        // It keeps no order any more.
        let Some(row) = taken.first() else { continue };
        let order = QueueOrder::from_word(row.try_get(0)?);
        let due: i64 = row.try_get(1)?;
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let numbers = connection.query(NUMBERS, &[&count])?;
        let mut by_partition: BTreeMap<i64, Vec<(&SpreadArrival, i64)>> = BTreeMap::new();
        for (one, number) in events.into_iter().zip(numbers) {
            by_partition.entry(one.partition).or_default().push((one, number.try_get(0)?));
        }
        for (partition, events) in by_partition {
            for events in events.chunks(ROWS_MAX) {
                let of = |value: fn(&(&SpreadArrival, i64)) -> i64| -> Vec<i64> {
                    events.iter().map(value).collect()
                };
                let turns: Vec<Option<i64>> = events.iter().map(|one| one.0.turn(order)).collect();
                let (sequences, numbers) = (of(|one| one.0.sequence), of(|one| one.1));
                connection
                    .execute(ARRIVE, &[&partition, &sequences, &numbers, &due, &turns, &queue])?;
            }
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::DatabaseUrl;
    use crate::postgres::address::Address;
    use crate::postgres::distributed::plan_tests::partitioned;

    #[test]
    fn nobody_waits_for_long_for_a_program_that_stands_still_before_its_commit() {
        let database = partitioned();
        database.run(
            "INSERT INTO sysevent_queue_order (queue, kind, halts) VALUES ('q', 'sequential', false)",
        );
        let address = Address::parse(&DatabaseUrl::from(database.url())).unwrap();
        let arrival = SpreadArrival {
            sequence: 1,
            queue: Arc::from("q"),
            partition: 3,
            due: Some(0),
            turn_of_record: 7,
        };
        let [still, other] = [(), ()].map(|()| Connection::open(&address).unwrap());
        still.batch("BEGIN").unwrap();
        arrive(&still, &[&arrival]).unwrap();
        other.batch("BEGIN; SET LOCAL lock_timeout = '30s'").unwrap();
        arrive(&other, &[&arrival]).unwrap();
        other.batch("COMMIT").unwrap();
        assert!(still.batch("COMMIT").is_err(), "it was ended");
    }
}
