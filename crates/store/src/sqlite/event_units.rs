//! What the group writer runs for events: appends, and batches of completions.

use std::sync::Arc;
use std::time::Instant as Moment;

use campanile_model::NewEvent;
use rusqlite::Connection;

use super::completions::{BATCH_MAX, Pending, UNIT_MAX, write_batch};
use super::effects::EventEffects;
use super::event_store::Events;
use super::unit::{Haste, Unit};
use super::writer::Writer;
use crate::contract::{AppendCallback, AppendMode, AppendOutcome, CommitMark, StoreError};

/// One append.
pub(super) struct AppendUnit {
    pub(super) store: Arc<Events>,
    pub(super) events: Vec<NewEvent>,
    pub(super) mode: AppendMode,
    pub(super) outcomes: Vec<AppendOutcome>,
    /// An atomic append was refused: these outcomes are told, and nothing was stored.
    pub(super) is_refused: bool,
    pub(super) effects: Option<EventEffects>,
    pub(super) done: AppendCallback,
}

impl Unit for AppendUnit {
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.is_refused = false;
        // What a first run held is let go before the second holds it again.
        self.effects = None;
        let (outcomes, effects) = self.store.append(connection, &self.events)?;
        self.outcomes = outcomes;
        self.effects = Some(effects);
        let refusal = self.outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        match refusal {
            Some(error) if self.mode.atomic => {
                self.is_refused = true;
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }

    fn runs_again(&self) -> bool {
        true
    }

    fn committed(&mut self, outcome: &Result<CommitMark, StoreError>) {
        let effects = self.effects.take();
        if let (Ok(_), Some(effects)) = (outcome, effects) {
            effects.carry_out();
        }
    }

    fn answer(self: Box<Self>, outcome: Result<CommitMark, StoreError>) {
        let answer = match outcome {
            Ok(mark) => Ok((self.outcomes, mark)),
            Err(_) if self.is_refused => Ok((self.outcomes, CommitMark::default())),
            Err(error) => Err(error),
        };
        (self.done)(answer);
    }

    fn haste(&self) -> Haste {
        if self.mode.durable { Haste::Disk } else { Haste::Commit }
    }

    fn rows(&self) -> usize {
        self.events.len()
    }
}

/// A batch of what nobody waits for.
pub(super) struct CompletionUnit {
    store: Arc<Events>,
    writer: Writer,
    batch: Vec<Pending>,
    effects: Option<EventEffects>,
}

impl CompletionUnit {
    /// Writes what waits with the next group, and goes on while more does.
    pub(super) fn schedule(store: &Arc<Events>, writer: &Writer) {
        writer.submit(Box::new(Self {
            store: Arc::clone(store),
            writer: writer.clone(),
            batch: Vec::new(),
            effects: None,
        }));
        if store.pending.len() >= BATCH_MAX {
            writer.hurry();
        }
    }
}

impl Unit for CompletionUnit {
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut effects = EventEffects::new(&self.store.claims);
        // Not empty when this runs again.
        write_batch(connection, &self.batch, &mut effects)?;
        let began = Moment::now();
        loop {
            // Taken as late as possible, so that a batch is as large as it can be.
            let batch = self.store.pending.take();
            let from = self.batch.len();
            self.batch.extend(batch);
            write_batch(connection, &self.batch[from..], &mut effects)?;
            if self.batch.len() - from < BATCH_MAX || began.elapsed() >= UNIT_MAX {
                break;
            }
        }
        self.effects = Some(effects);
        Ok(())
    }

    fn runs_again(&self) -> bool {
        true
    }

    fn committed(&mut self, outcome: &Result<CommitMark, StoreError>) {
        let effects = self.effects.take();
        match outcome {
            Ok(_) => {
                if let Some(effects) = effects {
                    effects.carry_out();
                }
                self.store.pending.written(std::mem::take(&mut self.batch).len());
            }
            Err(error) => {
                // The events stay claimed, so nothing is done twice while this process lives.
                tracing::error!(%error, count = self.batch.len(), "completions could not be written");
                self.store.pending.put_back(std::mem::take(&mut self.batch), error.clone());
            }
        }
    }

    fn answer(self: Box<Self>, outcome: Result<CommitMark, StoreError>) {
        if outcome.is_ok() && self.store.pending.go_on() {
            Self::schedule(&self.store, &self.writer);
        }
    }

    fn haste(&self) -> Haste {
        Haste::Nobody
    }

    fn rows(&self) -> usize {
        // Live, log and about one run each.
        3 * BATCH_MAX
    }

    fn must_run(&self) -> bool {
        true
    }
}
