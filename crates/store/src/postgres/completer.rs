//! The thread that writes what nobody waits for: completions, runs, and which events are being handled.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use super::append::{FORGET_INTERNAL_KEYS, internal_keys_of};
use super::completions::{Written, begin_with_finals, write_batch};
use super::connection::Connection;
use super::effects::Effects;
use super::holders;
use super::nodes::COMPLETING;
use super::own_row::{OwnRow, WRITE_HANDLING, WRITE_HANDLING_BY_KEY};
use super::pending::{Pending, Work};
use super::statements::Values;
use super::store::Shared;
use crate::contract::StoreError;

/// Between two tries to write the same batch.
const REST: Duration = Duration::from_millis(200);

/// Runs until the line is closed and empty.
pub(super) struct Completer {
    pub(super) shared: Arc<Shared>,
    /// `None` after it was lost.
    pub(super) connection: Option<Connection>,
    /// Where it stands which events are being handled.
    pub(super) row: OwnRow,
}

impl Completer {
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(work) = shared.pending.next() {
            let left = match self.write(&work) {
                Ok(written) => {
                    self.settle(&work.batch, written);
                    if work.handling_changed {
                        self.pass_on();
                    }
                    continue;
                }
                // One entry cannot be written: the others must not wait for it for ever.
                Err(StoreError::Statement { .. }) if !work.batch.is_empty() => {
                    self.one_by_one(work)
                }
                Err(error) => Err((work, error)),
            };
            if let Err((work, error)) = left {
                let count = work.batch.len();
                tracing::error!(%error, count, "completions could not be written yet");
                if !shared.pending.put_back(work, error, REST) {
                    return;
                }
            }
        }
    }

    /// Writes each entry by itself. What is left when the database takes nothing any more is no refusal of an entry: it is to
    /// be tried again.
    fn one_by_one(&mut self, work: Work) -> Result<(), (Work, StoreError)> {
        let Work { batch, token, handling_changed } = work;
        let mut entries = batch.into_iter();
        while let Some(entry) = entries.next() {
            let one = Work { batch: vec![entry], token, handling_changed: false };
            match self.write_entry(one) {
                Ok(()) => {}
                Err((one, error)) => {
                    let batch = one.batch.into_iter().chain(entries).collect();
                    return Err((Work { batch, token, handling_changed }, error));
                }
            }
        }
        if handling_changed {
            self.shared.pending.note_handling();
        }
        Ok(())
    }

    /// Writes one entry, if need be without what the database refuses; one that it refuses all the same is dropped.
    fn write_entry(&mut self, one: Work) -> Result<(), (Work, StoreError)> {
        let refusal = match self.write_and_settle(&one) {
            Ok(()) => return Ok(()),
            Err(error @ StoreError::Statement { .. }) => error,
            Err(error) => return Err((one, error)),
        };
        tracing::error!(error = %refusal, entry = ?one.batch, "a completion cannot be written as it is");
        // The event would stay claimed until this program ends.
        let Some(bare) = one.batch.first().and_then(|entry| entry.bare(&refusal)) else {
            self.shared.pending.written(1);
            return Ok(());
        };
        match self.write_and_settle(&Work { batch: vec![bare], ..one }) {
            Ok(()) => Ok(()),
            Err(StoreError::Statement { .. }) => {
                self.shared.pending.written(1);
                Ok(())
            }
            Err(error) => Err((one, error)),
        }
    }

    fn write_and_settle(&mut self, work: &Work) -> Result<(), StoreError> {
        let written = self.write(work)?;
        self.settle(&work.batch, written);
        Ok(())
    }

    fn write(&mut self, work: &Work) -> Result<Written, StoreError> {
        let Work { batch, token, handling_changed } = work;
        let shared = Arc::clone(&self.shared);
        // What was claimed under a lease that has lapsed since is late, whatever this program holds by now.
        let present = shared.node.token();
        let token = token.unwrap_or(present);
        let row = std::mem::take(&mut self.row);
        let is_spread = shared.claims.spread().is_some();
        let connection = self.connection()?;
        let begin = connection.begin_by_index();
        // What is given back must not be claimed again meanwhile without being known here.
        let gives_back = batch.iter().any(|pending| pending.given_back().is_some());
        let _alone = gives_back.then(|| shared.claims.claiming.write());
        let work = || -> Result<(Written, Vec<Row>), StoreError> {
            let at_once = begin_with_finals(connection, begin, &shared.claims, batch, token)?;
            let written = if let Some(written) = at_once {
                written
            } else {
                connection.batch(begin)?;
                write_batch(connection, &shared.claims, batch, token)?
            };
            let handling = shared.claims.handling();
            let (low, high) = internal_keys_of(&written.fired);
            let place = row.place(present);
            let handling: Values<'_> = &[&present, &COMPLETING, &handling, &place];
            let write = if is_spread {
                (WRITE_HANDLING_BY_KEY, &handling[..3])
            } else {
                (WRITE_HANDLING, handling)
            };
            let keys: Values<'_> = &[&low, &high];
            let changed = connection.commit_with([
                handling_changed.then_some(write),
                (!low.is_empty()).then_some((FORGET_INTERNAL_KEYS, keys)),
            ])?;
            Ok((written, changed))
        };
        match work() {
            Ok((written, changed)) => {
                self.row =
                    if *handling_changed { self.stands(&row, &changed, present) } else { row };
                Ok(written)
            }
            Err(error) => {
                if connection.batch("ROLLBACK").is_err() {
                    self.connection = None;
                }
                Err(error)
            }
        }
    }

    /// Writes down who handles what was born for another processor, unless it has ended already, as nearly all has.
    fn pass_on(&mut self) {
        let passed_on = self.shared.claims.passed_on();
        if passed_on.is_empty() {
            return;
        }
        let written =
            self.connection().and_then(|connection| holders::pass_on(connection, &passed_on));
        if let Err(error) = written {
            self.connection = None;
            tracing::debug!(%error, "events that were born for another processor still bear its name");
        }
    }

    /// Where it stands now which events are being handled. Where it stood before, somebody has moved it: it is to be written again.
    fn stands(&self, before: &OwnRow, changed: &[Row], token: i64) -> OwnRow {
        let place = changed.first().and_then(|row| row.try_get(0).ok());
        if place.is_none() && before.place(token).is_some() {
            self.shared.pending.note_handling();
        }
        OwnRow::at(token, place)
    }

    /// After the commit: what has ended is nobody's any more, and what failed waits again.
    fn settle(&self, batch: &[Pending], written: Written) {
        let Written { mut effects, retried, late, .. } = written;
        for (event, held) in batch.iter().filter_map(Pending::ended) {
            let Some(claimed) = self.shared.claims.end(event, held) else { continue };
            let at = retried.iter().find(|(retried, _)| retried == event).map(|(_, at)| *at);
            // What comes behind it in its turn may be claimed now; also where the order was set meanwhile.
            let is_in_turn = claimed.in_turn || self.shared.orders.may_be_kept(&claimed.queue);
            if let Some(at) = at.or(is_in_turn.then_some(claimed.process_on)) {
                effects.wake(&claimed.queue, claimed.partition, at);
            }
        }
        for event in late {
            tracing::warn!(
                event.id = %event,
                "a completion came after the lease had lapsed; it was dropped"
            );
        }
        if !batch.is_empty() {
            self.shared.committed();
        }
        // Whoever waits for the end finds what may be claimed since.
        self.carry_out(&effects);
        self.shared.pending.written(batch.len());
    }

    fn carry_out(&self, effects: &Effects) {
        self.shared.carry_out(effects);
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.as_ref().is_none_or(Connection::is_closed) {
            self.connection = None;
            self.connection = Some(self.shared.open_settled()?);
        }
        self.connection.as_ref().ok_or_else(|| super::failure::closed(self.shared.place()))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::super::{PostgresOptions, PostgresStore};
    use super::*;
    use crate::contract::{AppendMode, ClaimRequest, EventStore};
    use crate::testing::{NOW, TestDatabase, event};

    /// The program has claimed the event again under the same lease, and does not know it yet.
    #[test]
    fn what_is_claimed_again_meanwhile_is_not_given_back() {
        let database = TestDatabase::create();
        let store = PostgresStore::open(&PostgresOptions::new(database.url())).expect("it opens");
        let mode = AppendMode { durable: false, atomic: false };
        store.append_blocking(vec![event("a")], mode).expect("it is appended");
        let request =
            ClaimRequest { queue: "", limit: 9, claimed_by: "by", by_priority: true, now: NOW };
        let claimed = store.claim(&request).expect("it claims").events;
        let ids: Vec<_> = claimed.iter().map(|event| event.fired.sys_id).collect();
        let given = store.claims.take_out("by", &ids);
        assert_eq!(given.len(), 1);
        let state = || database.texts("SELECT state FROM sysevent_live");

        let claiming = store.claims.claiming.read();
        store.shared.pending.push(Pending::GiveBack(given));
        // Until whoever gives back waits for the claim, or has not waited.
        while store.claims.claiming.try_read().is_some() && state() == ["queued"] {
            std::thread::yield_now();
        }
        let token = store.shared.node.token();
        store.claims.add(&claimed, (None, token, NOW.as_millis()), false);
        drop(claiming);
        store.flush().expect("it is written");
        assert_eq!(state(), ["queued"]);
    }
}
