//! A group of plain events: without keys, counted on no other, in queues that keep no order. It is appended in one statement, and
//! some of it may be born claimed (`births`).

use std::sync::Arc;

use campanile_model::NewEvent;
use tokio_postgres::types::ToSql;

use super::births::{Promises, born};
use super::connection::Connection;
use super::effects::Effects;
use super::failure::broken_uniqueness;
use super::insert::{self, Stands};
use super::line::Unit;
use super::nodes::APPENDING;
use super::order::KnownOrders;
use super::own_row::{NUMBER_GROUP_TOO, OwnRow};
use super::store::Shared;
use super::writer::{Attempt, Fate, Mark, events_of};
use crate::contract::{Appended, StoreError};

/// A group, and for whom its events may be born.
pub(super) struct Plain<'u> {
    units: &'u [Unit],
    events: Vec<&'u NewEvent>,
    promises: Option<Promises>,
    mark: Mark,
}

impl<'u> Plain<'u> {
    /// `None` when the group takes more than one statement.
    pub(super) fn of(
        connection: &Connection,
        shared: &Shared,
        (units, orders): (&'u [Unit], &KnownOrders),
        mark: Mark,
    ) -> Option<Self> {
        let events = events_of(units);
        // In distributed mode each partition has a statement of its own.
        let is_spread = shared.claims.spread().is_some();
        let arrives_in_turn = |event: &&NewEvent| orders.contains_key(&event.queue);
        let is_plain = !events.is_empty()
            && events.iter().all(|event| insert::is_plain(event))
            && (orders.is_empty() || !events.iter().any(arrives_in_turn));
        if !is_plain || is_spread || !connection.is_settled() {
            return None;
        }
        let promises = shared.claims.births.promise(&events, mark.token, shared.moment());
        Some(Self { units, events, promises, mark })
    }

    /// Writes and commits it in one round trip; `row` is where its number goes. Returns where its events stand, and that row by
    /// now. `None`, and nothing was kept, when it takes more after all.
    ///
    /// # Errors
    /// What PostgreSQL said. When the connection is gone, the group may have been committed all the same.
    pub(super) fn append(
        &self,
        connection: &Connection,
        row: &OwnRow,
    ) -> Result<Option<(Vec<Stands>, OwnRow)>, StoreError> {
        let Mark { token, number } = &self.mark;
        let place = row.place(*token);
        let mark: &[&(dyn ToSql + Sync); 4] = &[token, &APPENDING, number, &place];
        let for_whom = self.for_whom();
        match insert::append_at_once(connection, (NUMBER_GROUP_TOO, mark), &self.events, for_whom) {
            Ok((stands, place)) if stands.len() == self.events.len() => {
                Ok(Some((stands, OwnRow::at(*token, place))))
            }
            // The row stands elsewhere, or nobody knows this program.
            Ok(_) => Ok(None),
            Err(error) if broken_uniqueness(&error).is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// To whom each of its events is promised, if any is.
    fn for_whom(&self) -> Option<&[Option<Arc<str>>]> {
        self.promises.as_ref().map(|promises| &*promises.to)
    }

    /// Where its events stand, which are there though the answer was lost.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) fn find(&self, connection: &Connection) -> Result<Vec<Stands>, StoreError> {
        insert::stand(connection, &self.events, (self.mark.token, self.for_whom()))
    }

    /// What it comes to, now that it is committed and its events stand so.
    pub(super) fn committed(self, stands: &[Stands]) -> Attempt {
        let Self { units, events, promises, .. } = self;
        let mut effects = Effects::default();
        let mut all_born = Vec::new();
        for (at, (event, stands)) in events.iter().zip(stands).enumerate() {
            let by = promises.as_ref().and_then(|promises| promises.to[at].as_ref());
            match by.filter(|_| stands.is_born) {
                Some(by) => all_born.push(born(event, stands.sequence, by)),
                None => effects.wake(&event.queue, None, event.process_on.as_millis()),
            }
        }
        let mut stored = events.iter().zip(stands).map(|(event, stands)| {
            let (sys_id, sequence) = (event.sys_id, stands.sequence);
            Ok(Appended { sys_id, sequence, duplicate: false, coalesced: false })
        });
        let fates = units
            .iter()
            .map(|unit| Fate::Stored(stored.by_ref().take(unit.events.len()).collect()))
            .collect();
        Attempt { fates, effects, born: promises.map(|promises| (promises, all_born)) }
    }

    /// The same, when the server is gone again: what was born is found out later.
    pub(super) fn committed_unseen(mut self) -> Attempt {
        self.leave_in_doubt();
        let nothing_known = vec![Stands::default(); self.events.len()];
        self.committed(&nothing_known)
    }

    /// Nobody knows what became of it.
    pub(super) fn leave_in_doubt(&mut self) {
        if let Some(promises) = self.promises.take() {
            promises.are_in_doubt(self.mark.number, &self.events);
        }
    }
}
