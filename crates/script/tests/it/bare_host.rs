//! A host without records: the sandbox below the Glide classes needs only its clock and its log.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_model::Instant;
use campanile_script::{
    Bindings, EventCall, Host, HostError, Limits, LogLevel, MessageKind, RecordRef, RunOutcome,
    Sandbox, ScheduledEventCall, ScriptErrorKind, ScriptKind, ScriptSource, UserInfo,
};

/// 2024-03-13 18:30:00 UTC, the frozen clock of the acceptance cases.
pub(crate) const NOW_MILLIS: i64 = 1_710_354_600_000;

/// What a test does when a line is logged.
type OnLog = Box<dyn Fn(&str)>;

/// Keeps log lines; has no tables.
#[derive(Default)]
pub(crate) struct BareHost {
    pub(crate) lines: RefCell<Vec<String>>,
    on_log: Option<OnLog>,
}

impl BareHost {
    /// Calls back whenever a line is logged.
    pub(crate) fn calling(on_log: impl Fn(&str) + 'static) -> Self {
        Self { lines: RefCell::default(), on_log: Some(Box::new(on_log)) }
    }
}

impl Host for BareHost {
    fn now(&self) -> Instant {
        Instant::from_millis(NOW_MILLIS)
    }
    fn new_record(&self, table: &str) -> RecordRef {
        panic!("the test asked for a record of {table}")
    }
    fn table_exists(&self, _table: &str) -> bool {
        false
    }
    fn log(&self, _level: LogLevel, _source: &str, message: &str) {
        self.lines.borrow_mut().push(message.to_owned());
        if let Some(on_log) = &self.on_log {
            on_log(message);
        }
    }
    fn is_debugging(&self) -> bool {
        false
    }
    fn add_message(&self, _kind: MessageKind, _text: &str) {}
    fn messages(&self, _kind: MessageKind) -> Vec<String> {
        Vec::new()
    }
    fn message_text(&self, key: &str) -> String {
        key.to_owned()
    }
    fn flush_messages(&self) {}
    fn user(&self) -> UserInfo {
        UserInfo {
            sys_id: String::new(),
            user_name: "system".to_owned(),
            display_name: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            roles: Vec::new(),
        }
    }
    fn has_role(&self, _roles: &str) -> bool {
        true
    }
    fn is_interactive(&self) -> bool {
        false
    }
    fn property(&self, _name: &str) -> Option<String> {
        None
    }
    fn set_property(&self, _name: &str, _value: &str, _description: &str) -> Result<(), HostError> {
        Ok(())
    }
    fn event_queue(&self, _call: &EventCall<'_>) -> Result<(), HostError> {
        Ok(())
    }
    fn event_queue_scheduled(&self, _call: &ScheduledEventCall<'_>) -> Result<(), HostError> {
        Ok(())
    }
    fn global_events(&self, _record: &RecordRef) -> Result<(), HostError> {
        Ok(())
    }
    fn sleep(&self, _millis: u64) -> Result<(), HostError> {
        Ok(())
    }
    fn generate_guid(&self) -> String {
        "0".repeat(32)
    }
    fn display_column(&self, _table: &str) -> String {
        String::new()
    }
}

/// A script of a kind.
pub(crate) fn source(kind: ScriptKind, text: &str) -> ScriptSource {
    ScriptSource {
        kind,
        table: Arc::from("sys_script"),
        sys_id: Arc::from("0123456789abcdef0123456789abcdef"),
        name: Arc::from("a script"),
        text: Arc::from(text),
    }
}

/// Limits that let a hostile script end soon.
pub(crate) fn tight_limits() -> Limits {
    Limits {
        max_wall: Duration::from_millis(150),
        max_wall_set_by: "a test",
        memory_bytes: 24 << 20,
        stack_bytes: 256 << 10,
        string_bytes: 1 << 20,
    }
}

/// Runs a background script with generous limits.
pub(crate) fn run(sandbox: &Sandbox, text: &str) -> RunOutcome {
    run_limited(sandbox, text, Limits::default())
}

/// Runs a background script.
pub(crate) fn run_limited(sandbox: &Sandbox, text: &str, limits: Limits) -> RunOutcome {
    let host: Rc<dyn Host> = Rc::new(BareHost::default());
    sandbox.run(&source(ScriptKind::Background, text), &Bindings::default(), limits, &host)
}

/// The text of the value of a background script.
pub(crate) fn value(sandbox: &Sandbox, text: &str) -> String {
    match run(sandbox, text).result {
        Ok(completion) => completion.text,
        Err(error) => panic!("{text}\nfailed: {error:?}"),
    }
}

/// The error of a background script.
pub(crate) fn error(sandbox: &Sandbox, text: &str) -> (ScriptErrorKind, String) {
    match run(sandbox, text).result {
        Ok(completion) => panic!("{text}\nsucceeded: {completion:?}"),
        Err(error) => (error.kind, error.message),
    }
}
