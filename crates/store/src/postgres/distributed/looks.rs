//! Looks at what waits in one partition: the first due events in the order of the queue, held or only looked at.
//!
//! Differs because each priority is a statement of its own, and between two of them others go on.

use tokio_postgres::{Error, Row};

use super::statements::{HOLD_DUE, HOLD_THESE, LOOK_AT_DUE, NEXT_LANE};
use crate::contract::ClaimRequest;
use crate::postgres::connection::{Asked, Connection};
use crate::postgres::text::stored;

/// One claim at one partition.
pub(super) struct Look<'a> {
    pub(super) connection: &'a Connection,
    pub(super) request: &'a ClaimRequest<'a>,
    pub(super) partition: i64,
}

/// A due event that may be claimed.
#[derive(Clone, Copy)]
struct Due {
    sequence: i64,
    lapses: i64,
    process_on: i64,
}

/// The first due events, as one look has seen them.
struct First {
    events: Vec<i64>,
    /// The priority of all of them, and none before it or, where they come by arrival, behind it was looked at.
    only: Option<f64>,
}

/// Looks that have nothing in common, one after the other, before nothing is taken: at each something has come that is first.
const LOOKS_MAX: usize = 10;

/// A priority that has waiting events.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    pub(super) priority: f64,
    /// When the first of them is due.
    pub(super) due: i64,
}

impl Look<'_> {
    /// Due events, a priority after the other, held.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn by_priority(&self) -> Result<Vec<i64>, Error> {
        let mut picked = Vec::new();
        let mut behind = f64::NEG_INFINITY;
        while picked.len() < self.request.limit {
            let Some(lane) = self.lane_behind(behind)? else { break };
            behind = lane.priority;
            if lane.due > self.request.now.as_millis() {
                continue;
            }
            let found = self.due(HOLD_DUE, lane, self.request.limit - picked.len())?;
            if !until_lapsed(&found, &mut picked) {
                break;
            }
        }
        Ok(picked)
    }

    /// Due events of all priorities in the order of arrival, held: the first of each are looked at.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn by_arrival(&self) -> Result<Vec<i64>, Error> {
        let sequences = self.first_by_arrival()?.events;
        let rows = self.connection.query(
            HOLD_THESE,
            &[
                &self.partition,
                &sequences,
                &stored(self.request.queue),
                &self.request.now.as_millis(),
            ],
        )?;
        let held = rows.iter().map(read_due).collect::<Result<Vec<_>, _>>()?;
        let mut picked = Vec::new();
        until_lapsed(&held, &mut picked);
        Ok(picked)
    }

    /// The first due events in the queue's order, only looked at: none of them is behind one that is missing.
    ///
    /// `first` is the first priority that has waiting events, as it was seen before. Each priority is a statement of its own. What arrives at one that was looked at is missed, and what arrives behind it
    /// at the next one is seen: so they are what two looks in a row have in common, or of one priority alone.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due_events(&self, first: Option<Lane>) -> Result<Vec<i64>, Error> {
        if let Some(events) = first.map_or(Ok(None), |first| self.of_first_lane(first))? {
            return Ok(events);
        }
        let First { events, only } = self.look_at_first()?;
        if let Some(only) = only
            && let Some(lane) = self.lane_behind(f64::NEG_INFINITY)?
            && lane.priority.total_cmp(&only).is_eq()
        {
            return Ok(events);
        }
        agreed(events, || Ok(self.look_at_first()?.events))
    }

    /// The same in one round trip, where all of them are of this priority and it is the first one behind that look too; `None`
    /// where others may be among them.
    fn of_first_lane(&self, lane: Lane) -> Result<Option<Vec<i64>>, Error> {
        let now = self.request.now.as_millis();
        if lane.due > now {
            return Ok(None);
        }
        let (queue, limit) = (stored(self.request.queue), self.request.limit);
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
        let [due, behind, first] = self.connection.query_all([
            (LOOK_AT_DUE, &[&self.partition, &queue, &lane.priority, &now, &wanted]),
            (NEXT_LANE, &[&self.partition, &queue, &lane.priority]),
            (NEXT_LANE, &[&self.partition, &queue, &f64::NEG_INFINITY]),
        ])?;
        let due = due.iter().map(read_due).collect::<Result<Vec<_>, _>>()?;
        let is_full = self.request.by_priority && due.len() >= limit;
        let is_first = read_lane(&first)?
            .is_some_and(|first| first.priority.total_cmp(&lane.priority).is_eq());
        let is_all = is_first && (is_full || behind.is_empty());
        Ok(is_all.then(|| due.iter().map(|due| due.sequence).collect()))
    }

    fn look_at_first(&self) -> Result<First, Error> {
        if !self.request.by_priority {
            return self.first_by_arrival();
        }
        let mut events: Vec<i64> = Vec::new();
        let (mut behind, mut lanes) = (f64::NEG_INFINITY, 0);
        while events.len() < self.request.limit {
            let Some(lane) = self.lane_behind(behind)? else { break };
            (behind, lanes) = (lane.priority, lanes + 1);
            if lane.due <= self.request.now.as_millis() {
                let due = self.due(LOOK_AT_DUE, lane, self.request.limit - events.len())?;
                events.extend(due.iter().map(|due| due.sequence));
            }
        }
        Ok(First { events, only: (lanes == 1).then_some(behind) })
    }

    fn first_by_arrival(&self) -> Result<First, Error> {
        let mut first = Vec::new();
        let (mut behind, mut lanes) = (f64::NEG_INFINITY, 0);
        while let Some(lane) = self.lane_behind(behind)? {
            (behind, lanes) = (lane.priority, lanes + 1);
            if lane.due <= self.request.now.as_millis() {
                first.extend(self.due(LOOK_AT_DUE, lane, self.request.limit)?);
            }
        }
        first.sort_unstable_by_key(|due| (due.process_on, due.sequence));
        first.truncate(self.request.limit);
        let events = first.iter().map(|due| due.sequence).collect();
        Ok(First { events, only: (lanes == 1).then_some(behind) })
    }

    fn due(&self, statement: &str, lane: Lane, limit: usize) -> Result<Vec<Due>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.connection.query(
            statement,
            &[
                &self.partition,
                &stored(self.request.queue),
                &lane.priority,
                &self.request.now.as_millis(),
                &limit,
            ],
        )?;
        rows.iter().map(read_due).collect()
    }

    /// The first priority behind another one that has waiting events.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn lane_behind(&self, priority: f64) -> Result<Option<Lane>, Error> {
        let queue = stored(self.request.queue);
        read_lane(&self.connection.query(NEXT_LANE, &[&self.partition, &queue, &priority])?)
    }

    /// The first priority that has waiting events, and the rows of another question, in one round trip.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_lane_and(
        &self,
        asked: Asked<'_>,
    ) -> Result<(Option<Lane>, Vec<Row>), Error> {
        let queue = stored(self.request.queue);
        let first: Asked<'_> = (NEXT_LANE, &[&self.partition, &queue, &f64::NEG_INFINITY]);
        let (lane, rows) = self.connection.query_both_within(first, asked)?;
        Ok((read_lane(&lane)?, rows))
    }

    /// When the first waiting event is due, or was; of those that are due, not necessarily the first.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due(&self) -> Result<Option<i64>, Error> {
        self.first_due_from(self.lane_behind(f64::NEG_INFINITY)?)
    }

    /// The same where the first priority that has waiting events is known.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due_from(&self, first: Option<Lane>) -> Result<Option<i64>, Error> {
        let now = self.request.now.as_millis();
        let mut earliest: Option<i64> = None;
        let mut lane = first;
        while let Some(Lane { priority, due }) = lane {
            earliest = Some(earliest.map_or(due, |earliest| earliest.min(due)));
            if due <= now {
                break;
            }
            lane = self.lane_behind(priority)?;
        }
        Ok(earliest)
    }
}

/// The priority in a row of [`NEXT_LANE`], if there is one.
///
/// # Errors
/// What PostgreSQL said.
pub(super) fn read_lane(rows: &[Row]) -> Result<Option<Lane>, Error> {
    let row = rows.first();
    row.map(|row| Ok(Lane { priority: row.try_get(0)?, due: row.try_get(1)? })).transpose()
}

fn read_due(row: &Row) -> Result<Due, Error> {
    Ok(Due { sequence: row.try_get(0)?, lapses: row.try_get(1)?, process_on: row.try_get(2)? })
}

/// What two looks in a row have in common at the beginning: between the two it was so. `before` was the first of them.
fn agreed<E>(
    mut before: Vec<i64>,
    mut look: impl FnMut() -> Result<Vec<i64>, E>,
) -> Result<Vec<i64>, E> {
    for _ in 0..LOOKS_MAX {
        let mut seen = look()?;
        let common = before.iter().zip(&seen).take_while(|(l, r)| l == r).count();
        if common > 0 || seen.is_empty() {
            seen.truncate(common);
            return Ok(seen);
        }
        before = seen;
    }
    Ok(Vec::new())
}

/// Picks of `found` what may be claimed together: one that lapsed before comes alone. Returns whether more may be picked.
fn until_lapsed(found: &[Due], picked: &mut Vec<i64>) -> bool {
    for due in found {
        if due.lapses > 0 {
            if picked.is_empty() {
                picked.push(due.sequence);
            }
            return false;
        }
        picked.push(due.sequence);
    }
    true
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use campanile_model::Instant;

    use super::*;
    use crate::postgres::DatabaseUrl;
    use crate::postgres::address::Address;
    use crate::postgres::distributed::plan_tests::partitioned;

    #[test]
    fn looks_go_on_until_two_begin_alike() {
        let after = |looks: &[&[i64]]| {
            let mut looks = looks.iter().map(|look| look.to_vec());
            let first = looks.next().unwrap();
            agreed(first, || looks.next().ok_or("one look too many")).unwrap()
        };
        assert_eq!(after(&[&[1, 2], &[1, 2, 3]]), [1, 2]);
        // The first came to a priority that had been looked at, the second behind it to the next.
        assert_eq!(after(&[&[2], &[1, 2], &[1, 2]]), [1, 2]);
        assert_eq!(after(&[&[2], &[1, 3], &[1]]), [1]);
        assert_eq!(after(&[&[1], &[]]), [0; 0], "it was cancelled");
        let anew: Vec<Vec<i64>> = (0..=20).map(|look| vec![-look]).collect();
        let anew: Vec<&[i64]> = anew.iter().map(Vec::as_slice).collect();
        assert_eq!(after(&anew), [0; 0], "somebody else may have a look");
    }

    #[test]
    fn the_first_due_events_are_of_the_first_priority_alone_where_that_is_still_the_first() {
        let database = partitioned();
        database.run(
            "INSERT INTO sysevent_live (sequence, sys_id, queue, derived_priority, process_on, sys_created_on, name, turn, \
             \"partition\", depth, source, queue_from_call, registered, scheduled, max_attempts, coalesce_seconds) \
             SELECT n, 'e' || n, 'q', 100 * n, 9 - n, 0, 'n', 0, 3, 0, 'api', false, true, false, 0, 0 \
             FROM generate_series(1, 2) AS made (n)",
        );
        let address = Address::parse(&DatabaseUrl::from(database.url())).unwrap();
        let connection = Connection::open(&address).unwrap();
        let first_due = |limit, by_priority, (priority, due)| {
            let now = Instant::from_millis(10);
            let request = ClaimRequest { queue: "q", limit, claimed_by: "n/q/0", by_priority, now };
            let look = Look { connection: &connection, request: &request, partition: 3 };
            look.first_due_events(Some(Lane { priority, due })).unwrap()
        };
        let (first, second) = ((100.0, 8), (200.0, 7));
        assert_eq!(first_due(1, true, first), [1]);
        assert_eq!(first_due(1, true, second), [1], "it has come since that was the first");
        assert_eq!(first_due(9, true, first), [1, 2]);
        assert_eq!(first_due(1, false, first), [2], "the second has arrived before");
        assert_eq!(first_due(9, true, (50.0, 5)), [1, 2], "it has gone since");
    }
}
