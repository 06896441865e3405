//! The fixture of business-rules §19 and scripting §20: four users, incidents A, B and C, the clock at
//! 2024-03-13 18:30:00 UTC; and ways to run scripts and to write rules in it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_engine::records::execution::{Execution, ExecutionReport};
use campanile_engine::records::service::{self, InputValue, WriteRequest, Written};
use campanile_engine::records::syslog;
use campanile_engine::worker::{SCRIPT_STACK_BYTES, Worker};
use campanile_engine::{Channel, Engine, EngineConfig, EngineError, Session, User};
use campanile_model::{Clock, EventSource, Instant, Record};
use campanile_script::{
    Bindings, LimitKind, Limits, LogLevel, ScriptErrorKind, ScriptKind, ScriptSource,
};

use crate::hook_clock::HookClock;
use crate::house::House;

pub(crate) const A: &str = "a0000000000000000000000000000001";
pub(crate) const B: &str = "b0000000000000000000000000000002";
pub(crate) const C: &str = "c0000000000000000000000000000003";
pub(crate) const ABEL: &str = "abe10000000000000000000000000000";
pub(crate) const BETH: &str = "be770000000000000000000000000000";
pub(crate) const JOE: &str = "10e00000000000000000000000000000";

const TABLES: &str = r#"
- name: task
  label: Task
  extendable: true
  fields:
    - {name: number, length: 40, display: true, default: "javascript:getNextObjNumberPadded();"}
    - {name: short_description, length: 160}
    - {name: description, length: 4000}
    - {name: active, type: boolean, default: "true"}
    - {name: state, type: integer, default: "1", choices: [{value: "1", label: Open}, {value: "3", label: Closed}]}
    - {name: priority, type: integer, default: "4"}
    - {name: impact, type: integer}
    - {name: urgency, type: integer}
    - {name: assigned_to, type: reference, reference: sys_user}
    - {name: parent, type: reference, reference: task}
    - {name: watch_list, type: glide_list, reference: sys_user}
    - {name: opened_at, type: glide_date_time}
    - {name: opened_by, type: reference, reference: sys_user, default: "javascript:gs.getUserID()"}
    - {name: reassignment_count, type: integer}
    - {name: comments, type: journal_input, label: Additional comments}
    - {name: work_notes, type: journal_input, label: Work notes}
- name: incident
  label: Incident
  extends: task
  audit: true
  fields:
    - {name: category, length: 40, attributes: "no_audit=false"}
    - {name: caller_id, type: reference, reference: sys_user}
    - {name: problem_id, type: reference, reference: problem}
    - {name: u_code, length: 10, unique: true}
    - {name: u_count, type: integer}
    - {name: u_must, length: 40}
- name: problem
  label: Problem
  extends: task
  fields:
    - {name: u_count, type: integer}
- name: u_plain
  label: Plain
  fields:
    - {name: u_name, length: 40}
    - {name: u_next, length: 40}
    - {name: u_user, type: reference, reference: sys_user}
"#;

/// A house with that furniture.
pub(crate) struct Fixture {
    pub(crate) house: House,
}

/// What a script came to.
pub(crate) struct Ran {
    pub(crate) text: String,
    pub(crate) report: ExecutionReport,
}

impl Ran {
    /// Lines that the script and the rules printed.
    pub(crate) fn trace(&self) -> Vec<&str> {
        let printed = self.report.log.iter().filter(|line| line.level == LogLevel::Print);
        printed.map(|line| line.text.as_str()).collect()
    }

    /// Lines of one level.
    pub(crate) fn lines(&self, level: LogLevel) -> Vec<&str> {
        self.report
            .log
            .iter()
            .filter(|line| line.level == level)
            .map(|line| line.text.as_str())
            .collect()
    }
}

impl Fixture {
    /// Opens the engine again with a clock that can be hooked.
    pub(crate) fn hook_clock(&mut self) -> Arc<HookClock> {
        let clock = Arc::new(HookClock::default());
        let config =
            EngineConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..self.house.config() };
        self.house.engine.stop().unwrap();
        self.house.engine = Engine::open(config).unwrap();
        clock
    }

    pub(crate) fn new() -> Self {
        let house = House::furnished("fixture", furnish);
        house.clock.set(now());
        Self { house }
    }

    /// A session of one of the fixture's users.
    pub(crate) fn session(login: &str, channel: Channel) -> Session {
        let (id, first, last, zone, roles): (&str, &str, &str, &str, &[&str]) = match login {
            "admin" => {
                ("ad000000000000000000000000000000", "System", "Administrator", "UTC", &["admin"])
            }
            "abel" => (ABEL, "Abel", "Tuter", "America/Los_Angeles", &["itil"]),
            "beth" => (BETH, "Beth", "Anglin", "UTC", &["itil"]),
            "joe" => (JOE, "Joe", "Employee", "UTC", &[]),
            other => panic!("no user {other} in the fixture"),
        };
        Session {
            user: Arc::new(User {
                sys_id: Arc::from(id),
                user_name: Arc::from(login),
                display_name: Arc::from(format!("{first} {last}")),
                first_name: Arc::from(first),
                last_name: Arc::from(last),
                email: Arc::from(""),
                time_zone: Arc::from(zone),
                roles: roles.iter().map(|role| Arc::from(*role)).collect(),
            }),
            channel,
            source: EventSource::Script,
            uri: Arc::from(""),
            cause: None,
        }
    }

    /// Runs `work` with a new execution, on a thread that is fit for scripts.
    pub(crate) fn run<T: Send>(
        &self,
        session: Session,
        work: impl FnOnce(&Rc<Execution>) -> T + Send,
    ) -> T {
        let engine = Arc::clone(&self.house.engine);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("fixture".to_owned())
                .stack_size(SCRIPT_STACK_BYTES);
            let body = move || {
                let worker = Worker::new(engine).unwrap();
                work(&worker.execution(session))
            };
            match thread.spawn_scoped(scope, body).unwrap().join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a background script as abel.
    pub(crate) fn script(&self, text: &str) -> Ran {
        self.script_as("abel", text)
    }

    /// Runs a background script; it must not fail.
    pub(crate) fn script_as(&self, login: &str, text: &str) -> Ran {
        match self.try_script(login, text) {
            (Ok(text), report) => Ran { text, report },
            (Err(error), _) => panic!("{error:?}"),
        }
    }

    /// Runs a background script: its value, or what ended it.
    pub(crate) fn try_script(
        &self,
        login: &str,
        text: &str,
    ) -> (Result<String, Option<LimitKind>>, ExecutionReport) {
        let source = ScriptSource {
            kind: ScriptKind::Background,
            table: Arc::from(""),
            sys_id: Arc::from(""),
            name: Arc::from("test"),
            text: Arc::from(text),
        };
        self.run(Self::session(login, Channel::Script), |execution| {
            let outcome = execution.run_script(&source, &Bindings::default(), Limits::default());
            let result = match outcome.result {
                Ok(completion) => Ok(completion.text),
                Err(error) => match error.kind {
                    ScriptErrorKind::Limit(limit) => Err(Some(limit)),
                    _ => panic!("{} at line {:?}\n{}", error.message, error.line, error.stack),
                },
            };
            (result, execution.report())
        })
    }

    /// Sets a property.
    pub(crate) fn property(&self, name: &str, value: &str) {
        match self.house.rows("sys_properties", &[("name", name)]).first() {
            Some(row) => {
                self.house.change("sys_properties", row.text("sys_id"), &[("value", value)]);
            }
            None => {
                self.house.add("sys_properties", &[("name", name), ("value", value)]);
            }
        }
    }

    /// Saves a rule as an administrator would; `values` go over a before-update rule on incident.
    pub(crate) fn rule(&self, name: &str, values: &[(&str, &str)]) -> String {
        let mut row: HashMap<&str, &str> = HashMap::from([
            ("name", name),
            ("collection", "incident"),
            ("when", "before"),
            ("order", "100"),
            ("action_update", "true"),
            ("advanced", "true"),
            ("active", "true"),
        ]);
        row.extend(values.iter().copied());
        let row: Vec<(&str, &str)> = row.into_iter().collect();
        self.insert("admin", "sys_script", &row).unwrap().record.text("sys_id").to_owned()
    }

    /// A before-update rule whose body is `script`.
    pub(crate) fn before(&self, name: &str, script: &str) -> String {
        self.rule(name, &[("script", script)])
    }

    /// An after-update rule whose body is `script`.
    pub(crate) fn after(&self, name: &str, script: &str) -> String {
        self.rule(name, &[("when", "after"), ("script", script)])
    }

    /// Inserts a row over HTTP.
    pub(crate) fn insert(
        &self,
        login: &str,
        table: &str,
        values: &[(&str, &str)],
    ) -> Result<Written, EngineError> {
        let request = Self::request(table, None, values);
        self.run(Self::session(login, Channel::Http), move |execution| {
            service::insert(execution, &request)
        })
    }

    /// Changes a row over HTTP.
    pub(crate) fn update(
        &self,
        login: &str,
        table: &str,
        sys_id: &str,
        values: &[(&str, &str)],
    ) -> Result<Written, EngineError> {
        let request = Self::request(table, Some(sys_id), values);
        self.run(Self::session(login, Channel::Http), move |execution| {
            service::update(execution, &request)
        })
    }

    pub(crate) fn request(
        table: &str,
        sys_id: Option<&str>,
        values: &[(&str, &str)],
    ) -> WriteRequest {
        let values =
            values.iter().map(|(name, value)| ((*name).to_owned(), InputValue::from(*value)));
        WriteRequest {
            table: table.to_owned(),
            sys_id: sys_id.map(str::to_owned),
            values: values.collect(),
            ..WriteRequest::default()
        }
    }

    /// The stored row.
    pub(crate) fn row(&self, table: &str, sys_id: &str) -> Option<Record> {
        self.house.rows(table, &[("sys_id", sys_id)]).into_iter().next()
    }

    /// One field of incident A as stored.
    pub(crate) fn a(&self, field: &str) -> String {
        self.row("incident", A).unwrap().text(field).to_owned()
    }

    /// Names of all events, in the order of arrival.
    pub(crate) fn events(&self) -> Vec<String> {
        let rows = self.house.rows("sysevent", &[]);
        let mut rows: Vec<(i64, String)> = rows
            .iter()
            .map(|row| (row.get("sequence").as_i64().unwrap_or(0), row.text("name").to_owned()))
            .collect();
        rows.sort();
        rows.into_iter().map(|(_, name)| name).collect()
    }

    /// Messages of error rows in the system log.
    pub(crate) fn logged_errors(&self) -> Vec<String> {
        syslog::flush(&self.house.engine);
        let rows = self.house.rows("syslog", &[("level", "2")]);
        rows.iter().map(|row| row.text("message").to_owned()).collect()
    }
}

pub(crate) fn now() -> Instant {
    Instant::parse_glide_text("2024-03-13 18:30:00").unwrap()
}

/// The furniture.
fn furnish(house: &House) {
    house.clock.set(now());
    house.define(TABLES);
    for (id, login, first, last, zone) in [
        (ABEL, "abel", "Abel", "Tuter", "America/Los_Angeles"),
        (BETH, "beth", "Beth", "Anglin", ""),
        (JOE, "joe", "Joe", "Employee", ""),
    ] {
        house.add(
            "sys_user",
            &[
                ("sys_id", id),
                ("user_name", login),
                ("first_name", first),
                ("last_name", last),
                ("name", &format!("{first} {last}")),
                ("time_zone", zone),
            ],
        );
    }
    for (table, prefix) in [("incident", "INC"), ("task", "TASK"), ("problem", "PRB")] {
        house.add(
            "sys_number",
            &[("category", table), ("prefix", prefix), ("number", "1000"), ("maximum_digits", "7")],
        );
    }
    let watchers = format!("{BETH},{JOE}");
    house.add(
        "incident",
        &[
            ("sys_id", A),
            ("sys_class_name", "incident"),
            ("number", "INC0000001"),
            ("active", "1"),
            ("priority", "1"),
            ("state", "1"),
            ("category", "network"),
            ("assigned_to", ABEL),
            ("caller_id", JOE),
            ("short_description", "Email down"),
            ("watch_list", &watchers),
            ("opened_at", "2024-03-01 10:00:00"),
        ],
    );
    house.add(
        "incident",
        &[
            ("sys_id", B),
            ("sys_class_name", "incident"),
            ("number", "INC0000002"),
            ("active", "1"),
            ("priority", "3"),
            ("state", "2"),
        ],
    );
    house.add(
        "incident",
        &[
            ("sys_id", C),
            ("sys_class_name", "incident"),
            ("number", "INC0000003"),
            ("active", "0"),
            ("priority", "1"),
            ("state", "7"),
            ("category", "software"),
            ("reassignment_count", "9"),
        ],
    );
}

/// `update` of incident A after `assignments`.
pub(crate) fn update_a(assignments: &str) -> String {
    format!("var gA = new GlideRecord('incident'); gA.get('{A}'); {assignments}; gA.update()")
}
