//! What of an event and of the runs of its handlers is told to whom (rest-api §§17.1, 17.2). The log keeps all of it.
//!
//! Administrators of events are told everything. Whoever fired an event is told of the record that it is about (its
//! display value, its snapshot, the values that a condition compared, what scripts said while they handled it) what a
//! reader of that record may know, and nothing when it may not read it: firing about a record needs no right to it.

use std::sync::Arc;

use campanile_model::{Dictionary, Event, EventSource, HandlerRun};

use crate::engine::Engine;
use crate::error::EngineError;
pub(super) use crate::records::withheld::administers_events as administers;
use crate::records::withheld::may_be_told_of;
use crate::session::Session;

/// Stands for an error in the words of a script.
const NOT_TOLD: &str = "not told: it may speak of a record that you may not read";

/// Whether the event was fired under the login of the session.
pub(super) fn is_own(session: &Session, event: &Event) -> bool {
    event.fired.user_name == session.user.user_name
}

/// One event, and who asks.
pub(super) struct Told<'a> {
    session: &'a Session,
    /// The session may know what the event tells of its record.
    record: bool,
}

impl<'a> Told<'a> {
    /// Decides what `session` may be told of `event`.
    ///
    /// # Errors
    /// When the dictionary cannot be read.
    pub(super) fn of(
        engine: &Engine,
        session: &'a Session,
        event: &Event,
    ) -> Result<Self, EngineError> {
        let dictionary: Arc<Dictionary> = engine.dictionary()?;
        let fired = &event.fired;
        let record = may_be_told_of(session, &dictionary, &fired.table, &fired.instance);
        Ok(Self { session, record })
    }

    /// Whether the session may see `parm1`, `parm2` and the snapshot: administrators of events, and whoever fired it. Where a
    /// script fired it under that person's login, the values are the script's: they are shown with the record.
    pub(super) fn shows_values(&self, event: &Event) -> bool {
        let chose_them = matches!(
            event.fired.source,
            EventSource::Api | EventSource::CloudEvent | EventSource::Webhook | EventSource::Cli
        );
        administers(self.session) || (is_own(self.session, event) && (chose_them || self.record))
    }

    /// The event without what the session may not be told; such texts are empty.
    pub(super) fn event(&self, mut event: Event) -> Event {
        if !self.shows_values(&event) {
            event.fired.parm1 = Arc::from("");
            event.fired.parm2 = Arc::from("");
            event.fired.snapshot = Arc::from("");
        }
        if !self.record {
            event.fired.descriptive_name = Arc::from("");
            event.fired.snapshot = Arc::from("");
            if !event.error_message.is_empty() {
                event.error_message = Arc::from(NOT_TOLD);
            }
        }
        event
    }

    /// The run without what the session may not be told; such texts are empty.
    pub(super) fn run(&self, mut run: HandlerRun) -> HandlerRun {
        if self.record {
            return run;
        }
        run.sentence.clear();
        run.log.clear();
        run.error_stack.clear();
        if !run.error_message.is_empty() {
            NOT_TOLD.clone_into(&mut run.error_message);
        }
        // These say whether the record is there.
        if matches!(run.reason.as_str(), "target_missing" | "target_from_snapshot") {
            run.reason.clear();
        }
        run
    }
}
