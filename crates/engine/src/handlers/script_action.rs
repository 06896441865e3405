//! Script actions: rows of `sysevent_script_action`, run for events of exactly their name (§5.2).

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::{Event, EventSource, HandlerKind, Record, SysId};
use campanile_script::{
    Bindings, LimitKind, Limits, ScriptError, ScriptErrorKind, ScriptKind, ScriptSource,
};

use super::handler::{Attempt, Candidate, Handler, HandlerResult, NearMiss, RunError};
use super::{script_condition, target};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::{self, empty};
use crate::events::queue_registry::duration;
use crate::events::registry::likeness;
use crate::records::definitions::Load;
use crate::records::execution::Execution;
use crate::records::execution_report::outage;
use crate::records::rules::limits_of_kind;
use crate::records::{lookup, users};
use crate::session::{Cause, Channel, Session, User};
use crate::worker::Worker;

/// Table of script actions.
pub const SCRIPT_ACTION_TABLE: &str = "sysevent_script_action";

const ORDER_DEFAULT: i64 = 100;

/// What a run needs of one script action.
#[derive(Debug)]
struct ScriptAction {
    condition: Option<ScriptSource>,
    script: Option<ScriptSource>,
    run_as: RunAs,
    timeout: Option<Duration>,
    limits: ActionLimits,
}

/// Bounds of one run as the properties set them; the time-out of the handler or its queue may be tighter.
#[derive(Debug, Clone, Copy)]
struct ActionLimits {
    script: Limits,
    condition: Limits,
}

/// Who runs a script action.
#[derive(Debug)]
enum RunAs {
    System(Arc<User>),
    /// The user with this key, as it is when the handler runs.
    User(Arc<str>),
}

/// A script action as *explain* needs it, active or not.
#[derive(Debug)]
struct Listener {
    handler: SysId,
    name: Arc<str>,
    event_name: Arc<str>,
    active: bool,
}

/// All script actions, active ones by the name of their event.
#[derive(Debug)]
pub struct ScriptActions {
    active: HashMap<Arc<str>, Arc<[Candidate]>>,
    by_likeness: HashMap<String, Vec<Listener>>,
    none: Arc<[Candidate]>,
}

impl Load for ScriptActions {
    // The bounds of the scripts are properties.
    const TABLES: &'static [&'static str] = &[SCRIPT_ACTION_TABLE, "sys_properties"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let table = lookup::table(&dictionary, SCRIPT_ACTION_TABLE)?;
        let rows = Arc::clone(engine.store()).read()?.select(&lookup::equal(table, &[]))?;
        let limits = ActionLimits {
            script: limits_of_kind(engine, ScriptKind::ScriptAction),
            condition: limits_of_kind(engine, ScriptKind::ScriptActionCondition),
        };
        Ok(Self::new(&rows, limits))
    }
}

/// The names of active script actions that listen to exactly `event_name`, in their order.
///
/// # Errors
/// What the store answers.
pub fn listeners_of(engine: &Engine, event_name: &str) -> Result<Vec<String>, EngineError> {
    let actions = engine.definitions::<ScriptActions>()?;
    let listeners = actions.active.get(event_name).map_or(&[][..], |list| &**list);
    Ok(listeners.iter().map(|candidate| candidate.name.to_string()).collect())
}

impl ScriptActions {
    fn new(rows: &[Record], limits: ActionLimits) -> Self {
        let mut rows: Vec<&Record> = rows.iter().collect();
        rows.sort_by_key(|row| {
            let order = row.get("order").as_i64().unwrap_or(ORDER_DEFAULT);
            (order, row.text("name").to_owned(), row.text("sys_id").to_owned())
        });
        let system = Arc::new(User::system());
        let mut active: HashMap<Arc<str>, Vec<Candidate>> = HashMap::new();
        let mut by_likeness: HashMap<String, Vec<Listener>> = HashMap::new();
        for row in rows {
            let (Some(handler), Some(event_name)) =
                (row.sys_id(), row.get("event_name").as_option())
            else {
                continue;
            };
            let event_name: Arc<str> = Arc::from(event_name);
            let is_active = row.get("active").is_true();
            by_likeness.entry(likeness(&event_name)).or_default().push(Listener {
                handler,
                name: Arc::from(row.text("name")),
                event_name: Arc::clone(&event_name),
                active: is_active,
            });
            if is_active {
                active
                    .entry(event_name)
                    .or_default()
                    .push(candidate(handler, row, &system, limits));
            }
        }
        Self {
            active: active.into_iter().map(|(name, list)| (name, Arc::from(list))).collect(),
            by_likeness,
            none: Arc::from(Vec::new()),
        }
    }
}

fn candidate(handler: SysId, row: &Record, system: &Arc<User>, limits: ActionLimits) -> Candidate {
    let name: Arc<str> = Arc::from(row.text("name"));
    let source = |kind: ScriptKind, field: &str| {
        let text = row.text(field);
        (!text.trim().is_empty()).then(|| ScriptSource {
            kind,
            table: Arc::from(SCRIPT_ACTION_TABLE),
            sys_id: Arc::from(handler.as_str()),
            name: Arc::clone(&name),
            text: Arc::from(text),
        })
    };
    let definition = ScriptAction {
        condition: source(ScriptKind::ScriptActionCondition, "condition_script"),
        script: source(ScriptKind::ScriptAction, "script"),
        run_as: match row.get("run_as").as_option() {
            Some(user) => RunAs::User(Arc::from(user)),
            None => RunAs::System(Arc::clone(system)),
        },
        timeout: duration(row.text("timeout")),
        limits,
    };
    Candidate {
        handler,
        version: row.get("sys_mod_count").as_i64().unwrap_or(0),
        max_attempts: row.get("max_attempts").as_i64().unwrap_or(0),
        definition: Arc::new(definition),
        name,
    }
}

/// The kind `script_action`.
#[derive(Debug, Clone, Copy)]
pub struct ScriptActionHandler;

impl Handler for ScriptActionHandler {
    fn kind(&self) -> HandlerKind {
        HandlerKind::ScriptAction
    }

    fn candidates(&self, engine: &Engine, event: &Event) -> Result<Arc<[Candidate]>, EngineError> {
        let actions = engine.definitions::<ScriptActions>()?;
        Ok(Arc::clone(actions.active.get(&event.fired.name).unwrap_or(&actions.none)))
    }

    fn run(&self, worker: &Worker, attempt: &Attempt<'_>, candidate: &Candidate) -> HandlerResult {
        let Some(action) = candidate.definition.downcast_ref::<ScriptAction>() else {
            unreachable!("the dispatcher gives a kind its own candidates only");
        };
        match session(worker, attempt, candidate, action) {
            Ok(session) => {
                let execution = worker.execution(session);
                run(&execution, attempt, action)
            }
            Err(result) => *result,
        }
    }

    fn near_misses(&self, engine: &Engine, event: &Event) -> Result<Vec<NearMiss>, EngineError> {
        let actions = engine.definitions::<ScriptActions>()?;
        let name = &event.fired.name;
        let alike = actions.by_likeness.get(&likeness(name));
        Ok(alike.into_iter().flatten().filter_map(|listener| near_miss(listener, name)).collect())
    }
}

fn near_miss(listener: &Listener, event_name: &str) -> Option<NearMiss> {
    let differs = &*listener.event_name != event_name;
    let mut sentence = match (differs, listener.active) {
        (true, _) => {
            format!("listens to `{}`, this event is `{event_name}`", listener.event_name)
        }
        (false, false) => "is inactive".to_owned(),
        (false, true) => return None,
    };
    if differs && !listener.active {
        sentence.push_str("; it is inactive too");
    }
    Some(NearMiss {
        kind: HandlerKind::ScriptAction,
        handler: listener.handler,
        name: Arc::clone(&listener.name),
        reason: if differs { "name_differs" } else { "inactive" },
        sentence,
    })
}

/// Who runs the script: the system, or the user that the definition names, while that user is active.
fn session(
    worker: &Worker,
    attempt: &Attempt<'_>,
    candidate: &Candidate,
    action: &ScriptAction,
) -> Result<Session, Box<HandlerResult>> {
    let user = match &action.run_as {
        RunAs::System(system) => Arc::clone(system),
        RunAs::User(key) => match users::session_user_by_id(worker.engine(), key) {
            Ok(Some(user)) => user,
            Ok(None) => {
                let message = format!(
                    "the user {key} to run as is inactive or gone; choose another user in 'Run as'"
                );
                return Err(Box::new(failed("run_as_inactive", message)));
            }
            Err(error) => {
                let mut result = failed("script_error", error.to_string());
                result.report.outage = outage(&error);
                return Err(Box::new(result));
            }
        },
    };
    let event = attempt.event;
    let cause = Cause {
        event: event.fired.sys_id,
        epoch: event.epoch,
        depth: event.fired.depth,
        event_name: Arc::clone(&event.fired.name),
        handler_kind: HandlerKind::ScriptAction,
        handler: candidate.handler,
    };
    Ok(Session {
        user,
        channel: Channel::Script,
        source: EventSource::Script,
        uri: empty(),
        cause: Some(Arc::new(cause)),
    })
}

fn failed(reason: &'static str, message: String) -> HandlerResult {
    let error = RunError { message, ..RunError::default() };
    HandlerResult::failed(reason, error, crate::records::execution::ExecutionReport::default())
}

fn run(execution: &Rc<Execution>, attempt: &Attempt<'_>, action: &ScriptAction) -> HandlerResult {
    let target = match target::of_event(execution, attempt.event) {
        Ok(target) => target,
        Err(error) => {
            execution.note_outage(&error);
            let error = RunError { message: error.to_string(), ..RunError::default() };
            return HandlerResult::failed("script_error", error, execution.report());
        }
    };
    let bindings = Bindings {
        current: Some(target.current),
        previous: None,
        event: Some(target::event_object(execution, attempt)),
        scratchpad: None,
    };
    // Condition and script share the time of the run.
    let (timeout, set_by) = time_of(attempt, action);
    let mut left = timeout;
    if let Some(condition) = &action.condition {
        let of_kind = action.limits.condition;
        let mut limits = of_kind;
        if timeout < of_kind.max_wall {
            (limits.max_wall, limits.max_wall_set_by) = (timeout, set_by);
        }
        let outcome = execution.run_script(condition, &bindings, limits);
        left = left.saturating_sub(outcome.usage.wall);
        match outcome.result {
            Ok(answer) if !answer.truthy => {
                let mut sentence = script_condition::sentence(&condition.text, &answer, &bindings);
                // The reason is the condition's: that the record was gone is told beside it (§5.4).
                let note = target::sentence(target.note);
                if !note.is_empty() {
                    sentence.push_str(&format!("; {note}"));
                }
                return HandlerResult::skipped("condition_false", sentence, execution.report());
            }
            Ok(_) => {}
            Err(error) => {
                log(execution, attempt.event, condition, &error);
                let allowed = limits.max_wall;
                return failure(execution, attempt.event, "condition_error", error, allowed);
            }
        }
    }
    let Some(script) = &action.script else {
        return HandlerResult::succeeded(target.note, execution.report());
    };
    let limits = Limits { max_wall: left, max_wall_set_by: set_by, ..action.limits.script };
    match execution.run_script(script, &bindings, limits).result {
        Ok(_) => HandlerResult::succeeded(target.note, execution.report()),
        Err(error) => {
            log(execution, attempt.event, script, &error);
            failure(execution, attempt.event, "script_error", error, timeout)
        }
    }
}

/// How long condition and script may take, and what says so: the action, its queue, or the property for all of them.
fn time_of(attempt: &Attempt<'_>, action: &ScriptAction) -> (Duration, &'static str) {
    let (timeout, set_by) = match action.timeout {
        Some(timeout) => (timeout, "timeout of the script action"),
        None => (attempt.timeout, "handler_timeout of the queue"),
    };
    let of_all = action.limits.script;
    if timeout <= of_all.max_wall {
        (timeout, set_by)
    } else {
        (of_all.max_wall, of_all.max_wall_set_by)
    }
}

/// One row of the system log for a script that failed (scripting §17).
fn log(execution: &Execution, event: &Event, source: &ScriptSource, error: &ScriptError) {
    let fired = &event.fired;
    let record = match (&*fired.table, &*fired.instance) {
        ("", _) | (_, "") => format!("event {} {}", fired.name, fired.sys_id),
        (table, instance) => format!("{table} {instance} (event {} {})", fired.name, fired.sys_id),
    };
    execution.log_script_failure(source, &record, error);
}

/// The result of a run that ended in an error; `reason` is that of an ordinary exception.
fn failure(
    execution: &Rc<Execution>,
    event: &Event,
    reason: &'static str,
    error: ScriptError,
    timeout: Duration,
) -> HandlerResult {
    let (reason, message) = match error.kind {
        ScriptErrorKind::Runtime => (reason, error.message),
        ScriptErrorKind::Syntax => ("definition_invalid", error.message),
        ScriptErrorKind::Limit(LimitKind::Time) => {
            let limit = timeout.as_millis();
            ("timeout", format!("{} (handler timeout {limit} ms)", error.message))
        }
        ScriptErrorKind::Limit(LimitKind::EventDepth) => {
            let chain = fire::chain(execution.engine(), event.fired.sys_id);
            ("loop_suspected", format!("{}: {chain}", error.message))
        }
        ScriptErrorKind::Limit(_) => ("limit", error.message),
    };
    let error = RunError { message, line: error.line, stack: error.stack };
    HandlerResult::failed(reason, error, execution.report())
}
