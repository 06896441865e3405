//! What is promised to processors while a group of appends is under way (`births`), and what is born of it.

use std::sync::Arc;

use campanile_model::limits::IDEMPOTENCY_KEY_MS;
use campanile_model::{Event, EventState, NewEvent, SysId};

use super::register::Births;
use crate::postgres::effects::Effects;

/// For whom the events of a group under way will be born. While a processor is promised some, they may stand in the database
/// and not be known here yet: nothing is given back for it then. What is not kept is promised no more once this is dropped.
#[derive(Debug)]
pub(in crate::postgres) struct Promises {
    births: Arc<Births>,
    /// The lease that they will stand on.
    pub(in crate::postgres) token: i64,
    /// In the order of the events.
    pub(in crate::postgres) to: Vec<Option<Arc<str>>>,
}

/// A group of which nobody knows whether it was committed, or what was born with it.
#[derive(Debug)]
pub(in crate::postgres) struct InDoubt {
    pub(in crate::postgres) token: i64,
    pub(in crate::postgres) number: i64,
    /// What may have been born, and claimed by whom.
    pub(in crate::postgres) events: Vec<(SysId, Arc<str>)>,
    pub(in crate::postgres) to: Vec<Option<Arc<str>>>,
    /// Who is to look once that is known: nobody was told of any event of the group.
    pub(in crate::postgres) wakes: Effects,
}

impl Promises {
    /// These promises of `births`, for events that will stand on the lease `token`.
    pub(in crate::postgres) fn new(
        births: Arc<Births>,
        token: i64,
        to: Vec<Option<Arc<str>>>,
    ) -> Self {
        Self { births, token, to }
    }

    /// Nobody knows whether the group was committed under `number`, or what was born with it: it stays promised until that is
    /// found out.
    pub(in crate::postgres) fn are_in_doubt(mut self, number: i64, events: &[&NewEvent]) {
        let to = std::mem::take(&mut self.to);
        let mut wakes = Effects::default();
        for event in events {
            wakes.wake(&event.queue, None, event.process_on.as_millis());
        }
        let events = events.iter().zip(&to);
        let events =
            events.filter_map(|(event, by)| Some((event.sys_id, Arc::clone(by.as_ref()?))));
        let events = events.collect();
        self.births.still_in_doubt(InDoubt { token: self.token, number, events, to, wakes });
    }
}

impl Drop for Promises {
    fn drop(&mut self) {
        self.births.withdraw(&self.to);
    }
}

/// What a claim would have read of `event` after it was appended under `sequence` and claimed by `by`.
pub(in crate::postgres) fn born(event: &NewEvent, sequence: i64, by: &Arc<str>) -> Event {
    let fired = NewEvent { key_life_ms: IDEMPOTENCY_KEY_MS, content_hash: 0, ..event.clone() };
    Event {
        sequence,
        origin_id: fired.sys_id,
        state: EventState::Queued,
        processed: None,
        processing_duration_ms: None,
        claimed_by: Arc::clone(by),
        epoch: 0,
        attempts: 0,
        lapses: 0,
        only_failed: false,
        coalesced: 0,
        error_code: Arc::from(""),
        error_message: Arc::from(""),
        fired,
    }
}
