//! What the tests of scripts share: positioned records, script actions, and queues that are handled when the test says so.

use std::sync::Arc;

use campanile_engine::Channel;
use campanile_engine::queues::drain::drain;
use campanile_engine::queues::processor::Counts;
use campanile_engine::records::evaluate::{Evaluate, EvaluateKind, evaluate};
use campanile_engine::records::execution::ExecutionReport;
use campanile_engine::records::syslog;
use campanile_model::{HandlerRun, Record};
use campanile_script::{LimitKind, ScriptError, ScriptErrorKind};

use crate::fixture::Fixture;

/// Positions `gA`, `gB` and `gC`.
const GIVEN: &str = "function on(n) { var g = new GlideRecord('incident'); g.get('number', n); return g }\
     var gA = on('INC0000001'), gB = on('INC0000002'), gC = on('INC0000003');";

/// What a script of abel gives that finds the incidents in `gA`, `gB` and `gC`.
pub(crate) fn value(fixture: &Fixture, script: &str) -> String {
    fixture.script(&format!("{GIVEN}{script}")).text
}

/// Runs a background script as the product does: with the bounds that the properties set.
pub(crate) fn background(
    fixture: &Fixture,
    text: &str,
) -> (Result<String, LimitKind>, ExecutionReport) {
    let request = Evaluate {
        script: text.to_owned(),
        name: "test".to_owned(),
        kind: EvaluateKind::Background,
        check_only: false,
        rollback: false,
        run_as: None,
        max_ms: None,
        current: None,
        event: Vec::new(),
    };
    let session = Fixture::session("admin", Channel::Http);
    let workers = fixture.house.engine.workers().unwrap();
    let ran = workers.run(move |worker| evaluate(worker, &session, &request)).unwrap().unwrap();
    match ran.result {
        Ok(completion) => (Ok(completion.text), ran.report),
        Err(ScriptError { kind: ScriptErrorKind::Limit(limit), .. }) => (Err(limit), ran.report),
        Err(error) => panic!("{error:?}"),
    }
}

/// Saves an active script action for `event`; its key.
pub(crate) fn action(
    fixture: &Fixture,
    name: &str,
    event: &str,
    script: &str,
    values: &[(&str, &str)],
) -> String {
    let own = [("name", name), ("event_name", event), ("script", script), ("active", "true")];
    let values = [&own[..], values].concat();
    let written = fixture.insert("admin", "sysevent_script_action", &values).unwrap();
    written.record.text("sys_id").to_owned()
}

/// Handles everything that is due.
pub(crate) fn handle_all(fixture: &Fixture) -> Counts {
    drain(&fixture.house.engine).unwrap()
}

/// The runs of the only event with this name, oldest first.
pub(crate) fn runs(fixture: &Fixture, event: &str) -> Vec<HandlerRun> {
    let row = event_row(fixture, event);
    let store = Arc::clone(fixture.house.engine.store());
    store.flush().unwrap();
    store.runs(&row.sys_id().unwrap(), None).unwrap()
}

/// The only event with this name.
pub(crate) fn event_row(fixture: &Fixture, event: &str) -> Record {
    fixture.house.engine.store().flush().unwrap();
    let mut rows = fixture.house.rows("sysevent", &[("name", event)]);
    assert_eq!(rows.len(), 1, "events called {event}");
    rows.remove(0)
}

/// Rows of the system log of one level whose text has `part`.
pub(crate) fn logged(fixture: &Fixture, level: &str, part: &str) -> Vec<Record> {
    syslog::flush(&fixture.house.engine);
    let rows = fixture.house.rows("syslog", &[("level", level)]);
    rows.into_iter().filter(|row| row.text("message").contains(part)).collect()
}
