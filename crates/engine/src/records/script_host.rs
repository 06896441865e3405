//! The session side of the Glide API (`gs`), as the engine gives it to scripts.

use std::rc::Rc;
use std::time::Duration;

use campanile_model::{EventSource, Instant, Record, SysId};
use campanile_script::{
    EventCall, ExternalValue, Host, HostError, HostRecord, LimitKind, LogLevel, MessageKind,
    RecordRef, ScheduledEventCall, ScriptKind, UserInfo,
};

use super::execution::Execution;
use super::properties::secrets;
use super::script_record::{ScriptRecord, ours};
use super::{conversion, lookup};
use crate::error::EngineError;
use crate::events::fire::FireRequest;

/// Longest single `gs.sleep`.
const SLEEP_MS_MAX: u64 = 5_000;
/// Table of the properties.
const PROPERTIES: &str = "sys_properties";

/// The host of one run.
pub(crate) struct ScriptHost {
    execution: Rc<Execution>,
}

impl ScriptHost {
    pub(crate) fn new(execution: Rc<Execution>) -> Self {
        Self { execution }
    }

    fn check(&self) -> Result<(), HostError> {
        self.execution.must_end().map_or(Ok(()), |limit| Err(HostError::Terminated(limit)))
    }

    /// Fires, with the record's table, key, display value and (for snapshots) values.
    fn fire(&self, mut request: FireRequest, record: Option<&RecordRef>) -> Result<(), HostError> {
        self.check()?;
        if let Some(record) = record.and_then(|record| ours(&**record)) {
            let values = record.snapshot();
            request.table = record.class_for_events();
            request.instance = values.text("sys_id").to_owned();
            request.record_display.get_or_insert_with(|| record.record_display_value());
            request.deleting = self.execution.is_deleting(&request.instance);
            request.record = Some(values);
        }
        if self.execution.is_in_rule() {
            request.source = Some(EventSource::Rule);
        }
        let name = request.name.clone();
        match self.execution.fire(request) {
            Ok(_) => Ok(()),
            Err(EngineError::FireRefused { code: "loop_suspected", detail }) => {
                self.execution.log_error("event", &detail);
                Err(HostError::Terminated(LimitKind::EventDepth))
            }
            Err(EngineError::LimitReached(_)) => Err(HostError::Terminated(LimitKind::Events)),
            Err(error @ EngineError::FireRefused { .. }) => {
                Err(HostError::Throw { class: "Error", message: error.to_string() })
            }
            Err(error) => {
                self.execution.note_outage(&error);
                Err(HostError::Throw {
                    class: "Error",
                    message: format!("event '{name}' could not be stored: {error}"),
                })
            }
        }
    }

    /// The moment of a scheduled event; `None` means now.
    fn moment(&self, when: &ExternalValue) -> Option<Instant> {
        match when {
            ExternalValue::DateTime(at) => *at,
            ExternalValue::Number(_) => None,
            ExternalValue::Element(record, path) => record
                .temporal_millis(*path)
                .map(Instant::from_millis)
                .or_else(|| Instant::parse_glide_text(&record.script_text(*path))),
            other => {
                let text = conversion::text_of(other);
                let at = Instant::parse_glide_text(&text);
                if at.is_none() && !text.is_empty() {
                    self.execution.warn(&format!(
                        "'{text}' is no time (expected yyyy-MM-dd HH:mm:ss UTC): the event is due now"
                    ));
                }
                at
            }
        }
    }

    /// A property from the open transaction, when that may hold a newer one.
    fn uncommitted_property(&self, name: &str) -> Option<Option<Record>> {
        let touched = self.execution.transaction(|tx| tx.tables.contains(PROPERTIES));
        if touched != Some(true) {
            return None;
        }
        self.property_row(name).ok()
    }

    fn property_row(&self, name: &str) -> Result<Option<Record>, EngineError> {
        let dictionary = self.execution.dictionary()?;
        let table = lookup::table(&dictionary, PROPERTIES)?;
        let select = lookup::equal(table, &[("name", name)]).limit(1);
        Ok(self.execution.with_read(|tx| tx.select(&select))?.into_iter().next())
    }
}

impl Host for ScriptHost {
    fn now(&self) -> Instant {
        self.execution.now()
    }

    fn must_end(&self) -> Option<LimitKind> {
        self.execution.must_end()
    }

    fn new_record(&self, table: &str) -> RecordRef {
        ScriptRecord::fresh(&self.execution, table)
    }

    fn table_exists(&self, table: &str) -> bool {
        self.execution.dictionary().is_ok_and(|dictionary| dictionary.table(table).is_some())
    }

    fn log(&self, level: LogLevel, source: &str, message: &str) {
        self.execution.log_line(level, source, message);
    }

    fn is_debugging(&self) -> bool {
        self.execution.is_debugging()
    }

    fn add_message(&self, kind: MessageKind, text: &str) {
        self.execution.add_message(kind, text);
    }

    fn messages(&self, kind: MessageKind) -> Vec<String> {
        let messages = self.execution.messages().into_iter();
        messages.filter(|(of, _)| *of == kind).map(|(_, text)| text).collect()
    }

    fn flush_messages(&self) {
        self.execution.forget_messages_after(0);
    }

    fn message_text(&self, key: &str) -> String {
        let find = || -> Result<Option<String>, EngineError> {
            let dictionary = self.execution.dictionary()?;
            let Some(table) = dictionary.table("sys_ui_message") else { return Ok(None) };
            let select = lookup::equal(table, &[("key", key), ("language", "en")]).limit(1);
            let rows = self.execution.with_read(|tx| tx.select(&select))?;
            Ok(rows.first().map(|row| row.text("message").to_owned()))
        };
        match find() {
            Ok(text) => text.unwrap_or_else(|| key.to_owned()),
            Err(error) => {
                tracing::error!(%error, "a message text could not be read");
                key.to_owned()
            }
        }
    }

    fn user(&self) -> UserInfo {
        let user = &self.execution.session().user;
        UserInfo {
            sys_id: user.sys_id.to_string(),
            user_name: user.user_name.to_string(),
            display_name: user.display_name.to_string(),
            first_name: user.first_name.to_string(),
            last_name: user.last_name.to_string(),
            email: user.email.to_string(),
            roles: user.roles.iter().map(ToString::to_string).collect(),
        }
    }

    fn has_role(&self, roles: &str) -> bool {
        let user = &self.execution.session().user;
        user.is_admin() || roles.split(',').any(|role| user.has_role(role.trim()))
    }

    fn is_interactive(&self) -> bool {
        false
    }

    fn property(&self, name: &str) -> Option<String> {
        let (engine, user) = (self.execution.engine(), &self.execution.session().user);
        match self.uncommitted_property(name) {
            Some(row) => {
                let row = row.filter(|row| !secrets::hides(row, user))?;
                Some(row.text("value").to_owned())
            }
            None => engine.property_for(user, name),
        }
    }

    fn set_property(&self, name: &str, value: &str, description: &str) -> Result<(), HostError> {
        self.check()?;
        let text = |text: &str| ExternalValue::Text(text.into());
        let record = ScriptRecord::fresh(&self.execution, PROPERTIES);
        let set = |field: &str, value: &ExternalValue| match record.field(field) {
            Some(path) => record.assign(path, value),
            None => Ok(()),
        };
        let known = record.get_by("name", &text(name))?;
        if !known {
            record.initialize();
            set("name", &text(name))?;
            set("type", &text("string"))?;
        }
        set("value", &text(value))?;
        if !description.is_empty() {
            set("description", &text(description))?;
        }
        if known {
            record.update("")?
        } else {
            record.insert()?
        };
        Ok(())
    }

    fn event_queue(&self, call: &EventCall<'_>) -> Result<(), HostError> {
        let request = FireRequest {
            name: call.name.to_owned(),
            parm1: conversion::event_text_of(call.parm1),
            parm2: conversion::event_text_of(call.parm2),
            queue: Some(call.queue.to_owned()).filter(|queue| !queue.is_empty()),
            ..FireRequest::default()
        };
        self.fire(request, call.record.as_ref().filter(|record| !record.is_null_like()))
    }

    fn event_queue_scheduled(&self, call: &ScheduledEventCall<'_>) -> Result<(), HostError> {
        let mut request = FireRequest {
            name: call.name.to_owned(),
            parm1: conversion::event_text_of(call.parm1),
            parm2: conversion::event_text_of(call.parm2),
            process_on: self.moment(call.when),
            ..FireRequest::default()
        };
        let record = match call.subject {
            ExternalValue::Record(record) if !record.is_null_like() => Some(record),
            ExternalValue::Record(_) | ExternalValue::Null | ExternalValue::Undefined => None,
            other => {
                request.instance = conversion::text_of(other);
                request.table_from_registration = true;
                None
            }
        };
        if request.parm1.is_empty()
            && let Some(record) = record
        {
            request.parm1 = record.record_display_value();
        }
        self.fire(request, record)
    }

    fn global_events(&self, record: &RecordRef) -> Result<(), HostError> {
        let Some(object) = ours(&**record) else { return Ok(()) };
        for request in object.global_event_requests() {
            self.fire(request, Some(record))?;
        }
        Ok(())
    }

    fn sleep(&self, millis: u64) -> Result<(), HostError> {
        self.check()?;
        let mut wait = Duration::from_millis(millis.min(SLEEP_MS_MAX));
        if let Some(left) = self.execution.writer_time_left() {
            wait = wait.min(left);
        }
        std::thread::sleep(wait);
        self.check()
    }

    fn generate_guid(&self) -> String {
        SysId::generate(self.execution.now()).to_string()
    }

    fn display_column(&self, table: &str) -> String {
        let dictionary = self.execution.dictionary().ok();
        let table = dictionary.as_ref().and_then(|dictionary| dictionary.table(table));
        let field = table.and_then(|table| table.fields.get(table.display_field));
        field.map_or_else(String::new, |field| field.name.to_string())
    }
}

impl Execution {
    /// Whether a rule runs at this moment.
    pub(crate) fn is_in_rule(&self) -> bool {
        self.transaction(|tx| !tx.rules.is_empty()).unwrap_or(false)
    }

    /// Whether what runs at this moment is a background script itself, not a rule that it set off.
    pub(crate) fn is_in_background_script(&self) -> bool {
        let innermost = self.running_script();
        innermost.is_some_and(|script| script.kind == ScriptKind::Background)
    }

    /// Whether the row is being deleted by an operation on the stack.
    pub(crate) fn is_deleting(&self, sys_id: &str) -> bool {
        let row = sys_id.to_ascii_lowercase();
        self.transaction(|tx| {
            tx.frames.iter().any(|frame| frame.deleting.as_deref() == Some(&*row))
        })
        .unwrap_or(false)
    }

    /// Whether the scripts on the stack end because the outermost operation begins again.
    pub(crate) fn is_restarting(&self) -> bool {
        self.transaction(|tx| tx.failure.is_some()).unwrap_or(false)
    }
}
