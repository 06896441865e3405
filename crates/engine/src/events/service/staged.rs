//! Events that are appended in a transaction of their own, together with what must be committed with them.

use std::sync::Arc;

use campanile_store::{CommitMark, WriteTx};

use super::fire::{FireOutcome, Prepared};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::provision::{self, Waiting};

/// A batch that is appended in a transaction, which is not yet committed.
pub(super) struct Staged {
    answers: Vec<FireOutcome>,
    /// Tables of definitions that were written with it.
    tables: Vec<&'static str>,
}

impl Staged {
    /// Makes the queues that are needed and appends the events.
    ///
    /// # Errors
    /// What the store answers; of an atomic batch also the refusal of one event: then `tx` is to be dropped.
    pub(super) fn in_tx(
        engine: &Arc<Engine>,
        tx: &mut dyn WriteTx,
        mut prepared: Prepared,
    ) -> Result<Self, EngineError> {
        let waiting = Waiting { provisions: &prepared.provisions, events: &mut prepared.events };
        let tables = provision::write(engine, tx, waiting)?;
        prepared.note_queues();
        let outcomes = tx.append_events(&prepared.events)?;
        let atomic = prepared.places.atomic;
        let answers = prepared.places.answers(outcomes)?;
        match answers.iter().find_map(|answer| answer.as_ref().err()) {
            Some(refusal) if atomic => Err(refusal.clone()),
            _ => Ok(Self { answers, tables }),
        }
    }

    /// What became of each event.
    pub(super) fn answers(&self) -> &[FireOutcome] {
        &self.answers
    }

    /// The same, when nothing of it is to be kept.
    pub(super) fn into_answers(self) -> Vec<FireOutcome> {
        self.answers
    }

    /// Commits `tx`. Wait for the mark before telling anybody.
    pub(super) fn commit(
        self,
        engine: &Arc<Engine>,
        tx: Box<dyn WriteTx>,
    ) -> Result<(Vec<FireOutcome>, CommitMark), EngineError> {
        let mark = tx.commit()?;
        engine.tables_changed(self.tables);
        Ok((self.answers, mark))
    }
}
