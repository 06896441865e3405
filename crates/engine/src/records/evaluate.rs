//! Running a script that is stored nowhere: background scripts, and trying rules, script actions and conditions
//! (rest-api §21.3). Unless it is told otherwise nothing that the script does remains.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::query::{BindMode, BindOptions, ParseLimits, bind, parse};
use campanile_model::{Record, SysId, TableDef};
use campanile_script::{
    Bindings, Completion, ExternalValue, HostRecord, LimitKind, RecordRef, RunOutcome, ScriptError,
    ScriptErrorKind, ScriptKind, ScriptSource,
};
use campanile_store::{ActionRecord, Select};

use super::execution::{Execution, ExecutionReport};
use super::gate;
use super::lookup;
use super::rules::limits_of;
use super::script_record::ScriptRecord;
use super::unit_of_work::Finish;
use super::users;
use crate::error::EngineError;
use crate::session::{Channel, Session};
use crate::worker::Worker;

/// A script that is only tried may hold its transaction open for this long, unless the caller allows more.
const TRIAL_MS: u64 = 10_000;
/// … and never for longer than this.
const TRIAL_MS_MAX: u64 = 60_000;

/// Which globals a script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluateKind {
    /// `gs` and the library.
    Background,
    /// `current`, `previous` and the operation.
    BusinessRule,
    /// `event` and `current`.
    ScriptAction,
    /// As a business rule's condition; the value is what counts.
    Condition,
}

/// The record that `current` stands for.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Table.
    pub table: String,
    /// Key of a row that exists.
    pub sys_id: Option<String>,
    /// Or the first row that matches.
    pub query: Option<String>,
    /// Values of a row that does not exist yet (an insert), as stored texts.
    pub new: Vec<(String, String)>,
    /// Values that are changed on it (an update), as stored texts.
    pub set: Vec<(String, String)>,
    /// `insert`, `update`, `delete`; by default what `new` and `set` suggest.
    pub operation: Option<String>,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Evaluate {
    /// The text.
    pub script: String,
    /// Name shown in errors.
    pub name: String,
    /// Kind.
    pub kind: EvaluateKind,
    /// Compile, run nothing.
    pub check_only: bool,
    /// Nothing remains.
    pub rollback: bool,
    /// Login to run as; the caller's own when `None`.
    pub run_as: Option<String>,
    /// Wall time.
    pub max_ms: Option<u64>,
    /// `current`.
    pub current: Option<Subject>,
    /// Values of `event`, as stored texts.
    pub event: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Evaluated {
    /// The value, or why there is none.
    pub result: Result<Completion, ScriptError>,
    /// What it logged, wrote and fired (with `rollback`, what it would have).
    pub report: ExecutionReport,
    /// Values of `current` afterwards, by field, nil ones left out.
    pub current: Option<Vec<(Arc<str>, String)>>,
    /// `setAbortAction(true)` stood at the end.
    pub aborted: bool,
    /// `g_scratchpad` as JSON.
    pub scratchpad: Option<String>,
    /// Wall time.
    pub wall: Duration,
    /// Highest memory seen; 0 when unknown.
    pub memory_bytes: usize,
}

/// Whether the session may run scripts at all: told before anything of the call is read.
///
/// # Errors
/// [`EngineError::NotAllowed`] for everybody but `admin`.
pub fn allow(session: &Session) -> Result<(), EngineError> {
    gate::require_role(session, &[], "evaluate scripts")
}

/// Runs a script as an administrator tries it. Each use is in the action log.
///
/// # Errors
/// [`EngineError::NotAllowed`] for everybody but `admin`; [`EngineError::TableUnknown`],
/// [`EngineError::RecordUnknown`], [`EngineError::BadParameter`] for a context that does not exist. A script that
/// fails is no error: see [`Evaluated::result`].
pub fn evaluate(
    worker: &Worker,
    session: &Session,
    request: &Evaluate,
) -> Result<Evaluated, EngineError> {
    allow(session)?;
    let engine = worker.engine();
    let kind = script_kind(request.kind);
    let execution = worker.execution(acting_session(engine, session, request)?);
    engine.store().log_action(ActionRecord {
        action: "evaluate".to_owned(),
        user: session.user.user_name.to_string(),
        at: engine.clock().now(),
        sys_ids: Vec::new(),
        count: 1,
        reason: format!(
            "{} '{}' as {}{}",
            kind_word(request.kind),
            request.name,
            execution.session().user.user_name,
            match (request.check_only, request.rollback) {
                (true, _) => ", checked only",
                (false, true) => ", rolled back",
                (false, false) => "",
            }
        ),
    })?;
    if let Err(error) = campanile_script::check(kind, &request.script) {
        return Ok(Evaluated::failed(ScriptError {
            kind: ScriptErrorKind::Syntax,
            message: error.message,
            line: Some(error.line),
            column: Some(error.column),
            stack: String::new(),
            limit_set_by: "",
        }));
    }
    if request.check_only {
        return Ok(Evaluated::nothing());
    }
    if request.rollback {
        execution.unit_of_work(Finish::RollBack, || run(&execution, kind, request))
    } else {
        run(&execution, kind, request)
    }
}

fn run(
    execution: &Rc<Execution>,
    kind: ScriptKind,
    request: &Evaluate,
) -> Result<Evaluated, EngineError> {
    let current =
        request.current.as_ref().map(|s| subject(execution, request.kind, s)).transpose()?;
    let bindings = Bindings {
        current: current.as_ref().map(|(record, _)| Rc::clone(record)).or_else(|| {
            (request.kind == EvaluateKind::ScriptAction).then(|| ScriptRecord::null_like(execution))
        }),
        previous: current.and_then(|(_, previous)| previous),
        event: event(execution, request)?,
        scratchpad: (request.kind == EvaluateKind::BusinessRule).then(|| "{}".to_owned()),
    };
    let mut limits = limits_of(execution, kind);
    let asked = request.max_ms.map(Duration::from_millis);
    let of_kind = limits.max_wall;
    limits.max_wall = if request.rollback {
        let allowed = asked.unwrap_or(Duration::from_millis(TRIAL_MS));
        limits.max_wall.min(allowed).min(Duration::from_millis(TRIAL_MS_MAX))
    } else {
        asked.map_or(limits.max_wall, |asked| asked.min(limits.max_wall))
    };
    if limits.max_wall < of_kind {
        // Not the property of the kind: the caller, or what trials may take.
        limits.max_wall_set_by = LimitKind::Time.property();
    }
    let source = ScriptSource {
        kind,
        table: Arc::from(""),
        sys_id: Arc::from(""),
        name: Arc::from(request.name.as_str()),
        text: Arc::from(request.script.as_str()),
    };
    let RunOutcome { result, scratchpad, usage } = execution.run_script(&source, &bindings, limits);
    Ok(Evaluated {
        result,
        report: execution.report(),
        aborted: bindings.current.as_ref().is_some_and(|current| current.is_action_aborted()),
        current: bindings.current.as_deref().map(shown),
        scratchpad,
        wall: usage.wall,
        memory_bytes: usage.memory_bytes,
    })
}

fn script_kind(kind: EvaluateKind) -> ScriptKind {
    match kind {
        EvaluateKind::Background => ScriptKind::Background,
        EvaluateKind::BusinessRule => ScriptKind::BusinessRule,
        EvaluateKind::ScriptAction => ScriptKind::ScriptAction,
        EvaluateKind::Condition => ScriptKind::BusinessRuleCondition,
    }
}

fn kind_word(kind: EvaluateKind) -> &'static str {
    match kind {
        EvaluateKind::Background => "background",
        EvaluateKind::BusinessRule => "business_rule",
        EvaluateKind::ScriptAction => "script_action",
        EvaluateKind::Condition => "condition",
    }
}

/// Scripts run without the gate of HTTP, as they do everywhere else.
fn acting_session(
    engine: &crate::engine::Engine,
    session: &Session,
    request: &Evaluate,
) -> Result<Session, EngineError> {
    let user = match &request.run_as {
        None => Arc::clone(&session.user),
        Some(login) => {
            users::session_user(engine, login)?.ok_or_else(|| EngineError::BadParameter {
                parameter: "as".to_owned(),
                detail: format!("there is no active user '{login}'"),
            })?
        }
    };
    Ok(Session { user, channel: Channel::Script, cause: None, ..session.clone() })
}

/// `current` and `previous`.
fn subject(
    execution: &Rc<Execution>,
    kind: EvaluateKind,
    subject: &Subject,
) -> Result<(RecordRef, Option<RecordRef>), EngineError> {
    let dictionary = execution.engine().dictionary()?;
    let table = lookup::table(&dictionary, &subject.table)?;
    let found = found_row(execution, table, subject)?;
    let is_rule = matches!(kind, EvaluateKind::BusinessRule | EvaluateKind::Condition);
    let current = match (found, is_rule) {
        (None, _) => {
            ScriptRecord::trial(execution, Record::empty(Arc::clone(table)), None, "insert")
        }
        (Some(row), true) => {
            let operation = subject.operation.as_deref().unwrap_or("update");
            ScriptRecord::trial(execution, row.clone(), Some(row), operation)
        }
        (Some(row), false) => ScriptRecord::on_row(execution, row),
    };
    let previous = is_rule.then(|| {
        let before = found_row(execution, table, subject).ok().flatten();
        match before {
            Some(row) => ScriptRecord::read_only(execution, row, "previous"),
            None => ScriptRecord::missing(execution, table, None),
        }
    });
    for (name, value) in subject.new.iter().chain(&subject.set) {
        let path = current.field(name).ok_or_else(|| EngineError::BadParameter {
            parameter: format!("context.current.{name}"),
            detail: format!("table '{}' has no field '{name}'", subject.table),
        })?;
        if let Err(error) = current.assign(path, &ExternalValue::Text(Rc::from(value.as_str()))) {
            return Err(EngineError::BadParameter {
                parameter: format!("context.current.{name}"),
                detail: error.to_string(),
            });
        }
    }
    Ok((current, previous))
}

/// The row that the subject names; `None` for one that does not exist yet.
fn found_row(
    execution: &Rc<Execution>,
    table: &Arc<TableDef>,
    subject: &Subject,
) -> Result<Option<Record>, EngineError> {
    let unknown = |what: &str| EngineError::RecordUnknown {
        table: subject.table.clone(),
        sys_id: what.to_owned(),
    };
    if let Some(sys_id) = &subject.sys_id {
        return match execution.with_read(|read| read.get(table, sys_id))? {
            Some(row) => Ok(Some(row)),
            None => Err(unknown(sys_id)),
        };
    }
    let Some(query) = &subject.query else { return Ok(None) };
    let dictionary = execution.engine().dictionary()?;
    let parsed = parse(query, ParseLimits::STORED).map_err(|error| EngineError::BadParameter {
        parameter: "context.current.query".to_owned(),
        detail: error.to_string(),
    })?;
    let options = BindOptions { mode: BindMode::Database, invalid_returns_no_rows: true };
    let bound = bind(&parsed, table, &dictionary, options);
    let rows = execution.with_read(|read| read.select(&Select::new(bound).limit(1)))?;
    rows.into_iter().next().map(Some).ok_or_else(|| unknown(query))
}

/// A read-only `event` made of the values that were given.
fn event(execution: &Rc<Execution>, request: &Evaluate) -> Result<Option<RecordRef>, EngineError> {
    if request.kind != EvaluateKind::ScriptAction {
        return Ok(None);
    }
    let dictionary = execution.engine().dictionary()?;
    let table = lookup::table(&dictionary, "sysevent")?;
    let mut record = Record::empty(Arc::clone(table));
    record.set("sys_id", SysId::generate(execution.engine().clock().now()).as_str());
    record.set("sys_created_on", execution.engine().clock().now().to_glide_text().as_str());
    record.set("user_id", &*execution.session().user.sys_id);
    record.set("user_name", &*execution.session().user.user_name);
    for (name, value) in &request.event {
        if !record.set(name, value.as_str()) {
            return Err(EngineError::BadParameter {
                parameter: format!("context.event.{name}"),
                detail: format!("an event has no field '{name}'"),
            });
        }
    }
    Ok(Some(ScriptRecord::read_only(execution, record, "event")))
}

/// The values of a record object, nil ones and secrets left out.
fn shown(record: &dyn HostRecord) -> Vec<(Arc<str>, String)> {
    record
        .field_names()
        .into_iter()
        .filter_map(|name| {
            let path = record.field(&name)?;
            if matches!(record.meta(path).internal_type.as_str(), "password" | "password2") {
                return None;
            }
            let text = record.stored_text(path)?;
            Some((Arc::from(name.as_str()), text.to_string()))
        })
        .collect()
}

impl Evaluated {
    fn nothing() -> Self {
        Self {
            result: Ok(Completion::default()),
            report: ExecutionReport::default(),
            current: None,
            aborted: false,
            scratchpad: None,
            wall: Duration::ZERO,
            memory_bytes: 0,
        }
    }

    fn failed(error: ScriptError) -> Self {
        Self { result: Err(error), ..Self::nothing() }
    }
}
