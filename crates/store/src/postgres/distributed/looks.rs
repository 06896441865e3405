//! Looks at what waits in one partition: the first due events in the order of the queue, held or only looked at.
//!
//! Differs because each priority is a statement of its own, and between two of them others go on.

use tokio_postgres::{Error, Row};

use super::statements::{HOLD_DUE, HOLD_THESE, LOOK_AT_DUE, NEXT_LANE};
use crate::contract::ClaimRequest;
use crate::postgres::connection::Connection;
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
    /// Each priority is a statement of its own. What arrives at one that was looked at is missed, and what arrives behind it
    /// at the next one is seen: so they are what two looks in a row have in common, or of one priority alone.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due_events(&self) -> Result<Vec<i64>, Error> {
        let First { events, only } = self.look_at_first()?;
        if let Some(only) = only
            && let Some(lane) = self.lane_behind(f64::NEG_INFINITY)?
            && lane.priority.total_cmp(&only).is_eq()
        {
            return Ok(events);
        }
        agreed(events, || Ok(self.look_at_first()?.events))
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
        let row = self
            .connection
            .query_first(NEXT_LANE, &[&self.partition, &stored(self.request.queue), &priority])?;
        row.map(|row| Ok(Lane { priority: row.try_get(0)?, due: row.try_get(1)? })).transpose()
    }

    /// When the first waiting event is due, or was; of those that are due, not necessarily the first.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn first_due(&self) -> Result<Option<i64>, Error> {
        let now = self.request.now.as_millis();
        let mut earliest: Option<i64> = None;
        let mut behind = f64::NEG_INFINITY;
        while let Some(lane) = self.lane_behind(behind)? {
            behind = lane.priority;
            earliest = Some(earliest.map_or(lane.due, |earliest| earliest.min(lane.due)));
            if lane.due <= now {
                break;
            }
        }
        Ok(earliest)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
