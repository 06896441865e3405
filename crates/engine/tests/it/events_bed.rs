//! The set-up of events-and-jobs §14: registration `t.ping`, the recorder, queues that are handled when the test says so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use campanile_engine::events::service::{self, EventFilter, FireAnswer, FireCall, FireTime};
use campanile_engine::handlers::explain::{Explanation, explain};
use campanile_engine::queues::drain::drain;
use campanile_engine::queues::processor::Counts;
use campanile_engine::{Channel, Engine, EngineConfig, EngineError, Session};
use campanile_model::{Event, EventState, HandlerRun, SysId};
use campanile_store::CommitMark;

use crate::fixture::Fixture;

/// A script action that appends `event.parm1` to the list.
pub(crate) const RECORDER: &str = "var r = new GlideRecord('u_plain'); r.u_name = event.parm1; r.u_next = event.name; r.insert();";

/// Longer than anything here takes; a test that reaches it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bed {
    pub(crate) fixture: Fixture,
}

impl Bed {
    /// `t.ping` is registered, nothing listens.
    pub(crate) fn quiet() -> Self {
        let bed = Self { fixture: Fixture::new() };
        bed.register("t.ping", &[("table", "incident")]);
        bed
    }

    /// `t.ping` is registered and the recorder listens to it.
    pub(crate) fn new() -> Self {
        let bed = Self::quiet();
        bed.action("recorder", "t.ping", RECORDER, &[]);
        bed
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.fixture.house.engine
    }

    pub(crate) fn admin() -> Session {
        Fixture::session("admin", Channel::Http)
    }

    pub(crate) fn register(&self, name: &str, values: &[(&str, &str)]) -> String {
        let values = [&[("event_name", name)], values].concat();
        let written = self.fixture.insert("admin", "sysevent_register", &values);
        written.unwrap().record.text("sys_id").to_owned()
    }

    pub(crate) fn queue(&self, name: &str, values: &[(&str, &str)]) -> String {
        let values = [&[("queue", name)], values].concat();
        let written = self.fixture.insert("admin", "sysevent_queue", &values);
        written.unwrap().record.text("sys_id").to_owned()
    }

    /// Changes the row of a queue.
    pub(crate) fn set_queue(&self, name: &str, values: &[(&str, &str)]) {
        let rows = self.fixture.house.rows("sysevent_queue", &[("queue", name)]);
        self.fixture.update("admin", "sysevent_queue", rows[0].text("sys_id"), values).unwrap();
    }

    /// Saves an active script action.
    pub(crate) fn action(
        &self,
        name: &str,
        event: &str,
        script: &str,
        values: &[(&str, &str)],
    ) -> String {
        let own = [("name", name), ("event_name", event), ("script", script), ("active", "true")];
        let values = [&own[..], values].concat();
        let written = self.fixture.insert("admin", "sysevent_script_action", &values);
        written.unwrap().record.text("sys_id").to_owned()
    }

    /// Fires by API as admin.
    pub(crate) fn try_fire(&self, call: FireCall) -> Result<FireAnswer, EngineError> {
        service::fire_blocking(self.engine(), &Self::admin(), call)
    }

    pub(crate) fn fire(&self, name: &str, parm1: &str) -> SysId {
        self.try_fire(call(name, parm1)).unwrap().sys_id
    }

    /// Fires about incident `sys_id`.
    pub(crate) fn fire_about(&self, name: &str, sys_id: &str) -> SysId {
        let about = FireCall {
            table: "incident".to_owned(),
            instance: sys_id.to_owned(),
            ..call(name, "")
        };
        self.try_fire(about).unwrap().sys_id
    }

    /// Handles everything that is due.
    pub(crate) fn drain(&self) -> Counts {
        drain(self.engine()).unwrap()
    }

    /// Opens the same data with processors of its own.
    pub(crate) fn with_processors(&mut self) {
        let config = EngineConfig { start_processors: true, ..self.fixture.house.config() };
        self.engine().stop().unwrap();
        self.fixture.house.engine = Engine::open(config).unwrap();
        self.engine().start().unwrap();
    }

    /// Told when the event has ended.
    pub(crate) fn end_of(&self, event: &SysId) -> Receiver<()> {
        let (sender, receiver) = channel();
        let told = move || sender.send(()).unwrap();
        let waiting = service::await_end(self.engine(), &Self::admin(), event, told).unwrap();
        // The test waits for the end itself; whoever drops the waiting is not told.
        std::mem::forget(waiting);
        receiver
    }

    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.fixture.house.clock.advance_millis(seconds * 1_000);
    }

    pub(crate) fn event(&self, sys_id: &SysId) -> Event {
        self.engine().store().event(sys_id).unwrap().unwrap()
    }

    pub(crate) fn state(&self, sys_id: &SysId) -> EventState {
        self.event(sys_id).state
    }

    /// The events that satisfy an encoded query, in the order of arrival.
    pub(crate) fn events(&self, query: &str) -> Vec<Event> {
        let filter =
            EventFilter { query: query.to_owned(), limit: Some(1_000), ..EventFilter::default() };
        let page = service::list(self.engine(), &Self::admin(), &filter).unwrap();
        let mut events: Vec<_> = page.events.into_iter().map(|view| view.event).collect();
        events.sort_by_key(|event| event.sequence);
        events
    }

    pub(crate) fn runs(&self, sys_id: &SysId) -> Vec<HandlerRun> {
        self.engine().store().flush().unwrap();
        self.engine().store().runs(sys_id, None).unwrap()
    }

    /// `name outcome[/reason]` of each run, oldest first.
    pub(crate) fn outcomes(&self, sys_id: &SysId) -> Vec<String> {
        let line = |run: &HandlerRun| match run.reason.as_str() {
            "" => format!("{} {}", run.handler_name, run.outcome.as_str()),
            reason => format!("{} {}/{reason}", run.handler_name, run.outcome.as_str()),
        };
        self.runs(sys_id).iter().map(line).collect()
    }

    /// What recorders appended, in order.
    pub(crate) fn recorded(&self) -> Vec<String> {
        let rows = self.fixture.house.rows("u_plain", &[]);
        rows.iter().map(|row| row.text("u_name").to_owned()).collect()
    }

    pub(crate) fn explain(&self, sys_id: &SysId) -> Explanation {
        explain(self.engine(), &Self::admin(), sys_id).unwrap()
    }

    /// Does something to an event as `login` with the role `events_admin`.
    pub(crate) fn act(
        &self,
        sys_id: SysId,
        action: impl FnOnce(&Engine, &Session, service::Act) -> Result<CommitMark, EngineError>,
    ) -> Result<CommitMark, EngineError> {
        let act = service::Act { sys_id, reason: "test".to_owned(), version: None };
        action(self.engine(), &Self::admin(), act)
    }
}

/// A call with a name and a first value.
pub(crate) fn call(name: &str, parm1: &str) -> FireCall {
    FireCall { name: name.to_owned(), parm1: parm1.to_owned(), ..FireCall::default() }
}

/// The same, to another queue.
pub(crate) fn call_to(queue: &str, name: &str, parm1: &str) -> FireCall {
    FireCall { queue: Some(queue.to_owned()), ..call(name, parm1) }
}

/// The same, so many seconds from now.
pub(crate) fn call_after(seconds: i64, name: &str, parm1: &str) -> FireCall {
    FireCall { process_on: Some(FireTime::After(seconds * 1_000)), ..call(name, parm1) }
}

/// The code of a refused fire.
pub(crate) fn code(result: Result<FireAnswer, EngineError>) -> &'static str {
    match result {
        Err(EngineError::FireRefused { code, .. }) => code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Beth, who may publish events, over HTTP.
pub(crate) fn publisher() -> Session {
    let mut session = Fixture::session("beth", Channel::Http);
    let mut user = (*session.user).clone();
    user.roles = vec!["event_publisher".into()];
    session.user = user.into();
    session
}
