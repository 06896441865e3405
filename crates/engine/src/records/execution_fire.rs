//! Firing from an execution: into the transaction of the operation that runs, or at once.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{NewEvent, SysId};
use campanile_store::{AppendMode, AppendOutcome, Appended, CommitMark};

use super::execution::Execution;
use super::execution_report::FiredEvent;
use super::operation::transaction::WaitingEvent;
use crate::error::{EngineError, LimitReached};
use crate::events::fire::provision::{self, Provision, Waiting};
use crate::events::fire::{self, FireRequest, Resolved, provisional};
use crate::spent;

/// What became of a fired event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FireResult {
    /// It waits for the commit of the operation that runs.
    Waiting(SysId),
    /// It is stored (or was already).
    Stored(Appended),
    /// Nothing was stored, for this reason.
    NotStored(&'static str),
}

impl Execution {
    /// Fires an event. Inside an operation it waits for that operation's commit; else it is stored when this
    /// returns, and durable when [`Execution::commit_mark`] is.
    ///
    /// # Errors
    /// [`EngineError::FireRefused`]; [`EngineError::LimitReached`] for one event too many; what the store answers.
    pub fn fire(self: &Rc<Self>, request: FireRequest) -> Result<FireResult, EngineError> {
        self.budget.count_event(&self.engine, self.outermost_kind()).map_err(|limit| {
            EngineError::LimitReached(Box::new(LimitReached {
                limit,
                set_by: limit.property(),
                script: None,
                detail: format!("too many events in one run ({})", limit.property()),
            }))
        })?;
        let resolved =
            fire::resolve(&self.engine, &self.session, &mut self.ordinals.borrow_mut(), request)?;
        let (event, provisions) = match resolved {
            Resolved::Event(event, provisions) => (*event, provisions),
            Resolved::NotStored { reason } => return Ok(FireResult::NotStored(reason)),
        };
        let sys_id = event.sys_id;
        let bytes =
            size_of::<NewEvent>() + event.parm1.len() + event.parm2.len() + event.snapshot.len();
        let mut pending = Some((event, provisions));
        self.transaction(|tx| {
            let ordinal = tx.next_ordinal();
            tx.events_bytes += bytes;
            self.budget.hold(bytes);
            if let (Some(frame), Some((event, provisions))) = (tx.frames.last_mut(), pending.take())
            {
                frame.events.push(WaitingEvent { ordinal, event, provisions });
            }
        });
        match pending {
            None => Ok(FireResult::Waiting(sys_id)),
            Some((event, provisions)) => self.append_now(event, provisions).map(FireResult::Stored),
        }
    }

    fn append_now(
        &self,
        event: NewEvent,
        mut provisions: Vec<Provision>,
    ) -> Result<Appended, EngineError> {
        let mut events = [event];
        let (outcomes, mark) = if self.in_unit() {
            (self.append_in_unit(&mut events, &provisions)?, self.commit_mark())
        } else {
            provisional::divert_when_full(&self.engine, &mut provisions, &mut events)?;
            self.append_and_commit(&mut events, &provisions)?
        };
        self.note_commit(mark);
        let [event] = events;
        let fired = FiredEvent::new(&event, event.sys_id);
        match outcomes.into_iter().next() {
            Some(Ok(appended)) => {
                self.note_fired(vec![FiredEvent { sys_id: appended.sys_id, ..fired }]);
                Ok(appended)
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(EngineError::Unavailable("the store lost an event's outcome".to_owned())),
        }
    }

    /// Outside a unit: appends what was fired outside an operation.
    fn append_and_commit(
        &self,
        events: &mut [NewEvent],
        provisions: &[Provision],
    ) -> Result<(Vec<AppendOutcome>, CommitMark), EngineError> {
        if provisions.is_empty() {
            let mode = AppendMode { durable: false, atomic: false };
            return Ok(self.engine.store().append_blocking(events.to_vec(), mode)?);
        }
        let mut writer = Arc::clone(self.engine.store()).write()?;
        let waiting = Waiting { provisions, events };
        let tables = provision::write(&self.engine, &mut *writer, waiting)?;
        let outcomes = writer.append_events(events)?;
        let mark = spent::committing(&**self.engine.store(), writer)?;
        self.engine.tables_changed(tables);
        Ok((outcomes, mark))
    }

    /// Where the count of equal events stands, and going back to it after a roll-back.
    pub(crate) fn ordinals_mark(&self) -> usize {
        self.ordinals.borrow().mark()
    }

    pub(crate) fn ordinals_go_back(&self, mark: usize) {
        self.ordinals.borrow_mut().go_back(mark);
    }
}
