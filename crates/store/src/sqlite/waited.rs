//! A unit whose caller waits for it.

use std::sync::mpsc;

use rusqlite::Connection;

use super::unit::{Haste, Unit};
use crate::contract::{CommitMark, StoreError};

type Work<T> = Box<dyn FnOnce(&Connection) -> Result<T, StoreError> + Send>;
type After<T> = Box<dyn FnOnce(&T, CommitMark) + Send>;
type Tell<T> = mpsc::SyncSender<Result<(T, CommitMark), StoreError>>;

/// The unit of [`super::writer::Writer::run_and_wait`].
pub(in crate::sqlite) struct Waited<T> {
    work: Option<Work<T>>,
    value: Option<T>,
    after: Option<After<T>>,
    tell: Tell<T>,
}

impl<T> Waited<T> {
    pub(in crate::sqlite) fn new(work: Work<T>, after: After<T>, tell: Tell<T>) -> Self {
        Self { work: Some(work), value: None, after: Some(after), tell }
    }
}

impl<T: Send> Unit for Waited<T> {
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(connection)?);
        }
        Ok(())
    }

    fn committed(&mut self, outcome: &Result<CommitMark, StoreError>) {
        if let (Ok(mark), Some(value), Some(after)) = (outcome, &self.value, self.after.take()) {
            after(value, *mark);
        }
    }

    fn answer(self: Box<Self>, outcome: Result<CommitMark, StoreError>) {
        let Self { value, tell, .. } = *self;
        let answer = outcome.and_then(|mark| match value {
            Some(value) => Ok((value, mark)),
            None => Err(StoreError::Statement { reason: "a unit was not run".to_owned() }),
        });
        if tell.send(answer).is_err() {
            tracing::debug!("nobody waits for this unit any more");
        }
    }

    fn haste(&self) -> Haste {
        Haste::Commit
    }
}
