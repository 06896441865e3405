//! The session side of the mock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use campanile_model::Instant;
use campanile_script::{
    EventCall, ExternalValue, Host, HostError, LimitKind, LogLevel, MessageKind, RecordRef,
    ScheduledEventCall, UserInfo,
};

use super::fixture::ids;
use super::record::MockRecord;
use super::tables::Tables;

/// An event that a script fired, with its values as texts of what crossed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fired {
    pub(crate) name: String,
    pub(crate) record: Option<String>,
    pub(crate) parm1: String,
    pub(crate) parm2: String,
    pub(crate) queue: String,
    pub(crate) when: Option<String>,
}

/// A host in memory.
pub(crate) struct MockHost {
    this: Weak<MockHost>,
    pub(crate) tables: RefCell<Tables>,
    pub(crate) log: RefCell<Vec<(LogLevel, String, String)>>,
    pub(crate) fired: RefCell<Vec<Fired>>,
    pub(crate) properties: RefCell<BTreeMap<String, String>>,
    messages: RefCell<Vec<(MessageKind, String)>>,
    pub(crate) slept_millis: Cell<u64>,
    /// Events that may still be fired.
    pub(crate) events_left: Cell<usize>,
    /// Record objects that were made, for leak checks.
    pub(crate) made: RefCell<Vec<Weak<MockRecord>>>,
    next_id: Cell<u64>,
}

impl MockHost {
    pub(super) fn new(tables: Tables) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            tables: RefCell::new(tables),
            log: RefCell::default(),
            fired: RefCell::default(),
            properties: RefCell::default(),
            messages: RefCell::default(),
            slept_millis: Cell::new(0),
            events_left: Cell::new(usize::MAX),
            made: RefCell::default(),
            next_id: Cell::new(1),
        })
    }

    pub(super) fn new_sys_id(&self) -> String {
        let number = self.next_id.replace(self.next_id.get() + 1);
        format!("f{number:031x}")
    }

    /// Messages of log lines at one level.
    pub(crate) fn logged(&self, level: LogLevel) -> Vec<String> {
        let log = self.log.borrow();
        log.iter().filter(|line| line.0 == level).map(|line| line.2.clone()).collect()
    }

    pub(super) fn warn(&self, message: &str) {
        self.log(LogLevel::Warn, "", message);
    }
}

/// What an external value looks like, for comparison.
pub(crate) fn shown(value: &ExternalValue) -> String {
    match value {
        ExternalValue::Undefined => "undefined".to_owned(),
        ExternalValue::Null => "null".to_owned(),
        ExternalValue::Bool(value) => format!("bool:{value}"),
        ExternalValue::Number(value) => format!("number:{value}"),
        ExternalValue::Text(text) => format!("text:{text}"),
        ExternalValue::Element(record, path) => {
            format!("element:{}", record.stored_text(*path).unwrap_or_default())
        }
        ExternalValue::Record(record) => {
            format!("record:{}", record.unique_value().unwrap_or_default())
        }
        ExternalValue::DateTime(instant) => {
            format!("date:{}", instant.map(Instant::to_glide_text).unwrap_or_default())
        }
        ExternalValue::List(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        ExternalValue::Object { text, json } => format!("object:{text}:{json}"),
    }
}

impl Host for MockHost {
    fn now(&self) -> Instant {
        Instant::parse_glide_text("2024-03-13 18:30:00").unwrap()
    }
    fn new_record(&self, table: &str) -> RecordRef {
        if self.tables.borrow().def(table).is_none() {
            self.warn(&format!("there is no table '{table}'"));
        }
        MockRecord::new(&self.this.upgrade().unwrap(), table)
    }
    fn table_exists(&self, table: &str) -> bool {
        self.tables.borrow().def(table).is_some()
    }
    fn log(&self, level: LogLevel, source: &str, message: &str) {
        self.log.borrow_mut().push((level, source.to_owned(), message.to_owned()));
    }
    fn is_debugging(&self) -> bool {
        false
    }
    fn add_message(&self, kind: MessageKind, text: &str) {
        self.messages.borrow_mut().push((kind, text.to_owned()));
    }
    fn messages(&self, kind: MessageKind) -> Vec<String> {
        let messages = self.messages.borrow();
        messages.iter().filter(|line| line.0 == kind).map(|line| line.1.clone()).collect()
    }
    fn flush_messages(&self) {
        self.messages.borrow_mut().clear();
    }
    fn message_text(&self, key: &str) -> String {
        match key {
            "greeting" => "Hello '{0}', it''s {1}".to_owned(),
            other => other.to_owned(),
        }
    }
    fn user(&self) -> UserInfo {
        UserInfo {
            sys_id: ids::ABEL.to_owned(),
            user_name: "abel".to_owned(),
            display_name: "Abel Tuter".to_owned(),
            first_name: "Abel".to_owned(),
            last_name: "Tuter".to_owned(),
            email: "abel@example.com".to_owned(),
            roles: vec!["itil".to_owned(), "catalog".to_owned()],
        }
    }
    fn has_role(&self, roles: &str) -> bool {
        roles.split(',').any(|role| role.trim() == "itil")
    }
    fn is_interactive(&self) -> bool {
        false
    }
    fn property(&self, name: &str) -> Option<String> {
        self.properties.borrow().get(name).cloned()
    }
    fn set_property(&self, name: &str, value: &str, _description: &str) -> Result<(), HostError> {
        self.properties.borrow_mut().insert(name.to_owned(), value.to_owned());
        Ok(())
    }
    fn event_queue(&self, call: &EventCall<'_>) -> Result<(), HostError> {
        if call.name.len() > 40 {
            return Err(HostError::Throw {
                class: "RangeError",
                message: format!("event name '{}' is too long, expected at most 40", call.name),
            });
        }
        let Some(left) = self.events_left.get().checked_sub(1) else {
            return Err(HostError::Terminated(LimitKind::Events));
        };
        self.events_left.set(left);
        self.fired.borrow_mut().push(Fired {
            name: call.name.to_owned(),
            record: call.record.as_ref().map(|record| {
                format!("{}/{}", record.record_class(), record.unique_value().unwrap_or_default())
            }),
            parm1: shown(call.parm1),
            parm2: shown(call.parm2),
            queue: call.queue.to_owned(),
            when: None,
        });
        Ok(())
    }
    fn event_queue_scheduled(&self, call: &ScheduledEventCall<'_>) -> Result<(), HostError> {
        self.fired.borrow_mut().push(Fired {
            name: call.name.to_owned(),
            record: Some(shown(call.subject)),
            parm1: shown(call.parm1),
            parm2: shown(call.parm2),
            queue: String::new(),
            when: Some(shown(call.when)),
        });
        Ok(())
    }
    fn global_events(&self, record: &RecordRef) -> Result<(), HostError> {
        self.fired.borrow_mut().push(Fired {
            name: format!("{}.*", record.record_class()),
            record: record.unique_value(),
            ..Fired::default()
        });
        Ok(())
    }
    fn sleep(&self, millis: u64) -> Result<(), HostError> {
        self.slept_millis.set(self.slept_millis.get() + millis);
        Ok(())
    }
    fn generate_guid(&self) -> String {
        self.new_sys_id()
    }
    fn display_column(&self, table: &str) -> String {
        self.tables.borrow().display_column(table).to_owned()
    }
}
