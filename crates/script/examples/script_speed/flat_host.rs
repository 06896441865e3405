//! A host as flat as it can be, so that the numbers are those of the script layer.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use campanile_model::Instant;
use campanile_script::{
    ConditionId, ElementKind, EventCall, ExternalValue, FieldMeta, Host, HostError, HostRecord,
    LogLevel, MessageKind, PathId, RecordRef, ScheduledEventCall, UserInfo,
};

/// Column names and their texts.
pub(crate) struct FlatRecord {
    names: &'static [(&'static str, ElementKind)],
    texts: RefCell<Vec<Rc<str>>>,
}

impl FlatRecord {
    pub(crate) fn new(names: &'static [(&'static str, ElementKind)], texts: &[&str]) -> Rc<Self> {
        let texts = texts.iter().map(|text| Rc::from(*text)).collect();
        Rc::new(Self { names, texts: RefCell::new(texts) })
    }

    pub(crate) fn text(&self, path: PathId) -> Rc<str> {
        Rc::clone(&self.texts.borrow()[path as usize])
    }
}

impl HostRecord for FlatRecord {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn table_name(&self) -> String {
        "incident".to_owned()
    }
    fn record_class(&self) -> String {
        "incident".to_owned()
    }
    fn table_label(&self, _plural: bool) -> String {
        String::new()
    }
    fn is_valid(&self) -> bool {
        true
    }
    fn is_valid_record(&self) -> bool {
        true
    }
    fn is_new_record(&self) -> bool {
        false
    }
    fn is_null_like(&self) -> bool {
        false
    }
    fn instance_of(&self, _class: &str) -> bool {
        true
    }
    fn operation(&self) -> Option<String> {
        None
    }
    fn unique_value(&self) -> Option<String> {
        None
    }
    fn last_error(&self) -> Option<String> {
        None
    }
    fn field_names(&self) -> Vec<String> {
        self.names.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
    fn field(&self, name: &str) -> Option<PathId> {
        let at = self.names.iter().position(|(known, _)| *known == name)?;
        PathId::try_from(at).ok()
    }
    fn sub_field(&self, _parent: PathId, _name: &str) -> Option<PathId> {
        None
    }
    fn meta(&self, _path: PathId) -> FieldMeta {
        FieldMeta {
            name: String::new(),
            label: String::new(),
            table: String::new(),
            base_table: String::new(),
            reference: String::new(),
            internal_type: String::new(),
            max_length: 0,
            mandatory: false,
            attributes: String::new(),
            choices: Vec::new(),
        }
    }
    fn kind(&self, path: PathId) -> ElementKind {
        self.names[path as usize].1
    }
    fn script_text(&self, path: PathId) -> Rc<str> {
        self.text(path)
    }
    fn is_nil(&self, path: PathId) -> bool {
        self.text(path).is_empty()
    }
    fn stored_text(&self, path: PathId) -> Option<Rc<str>> {
        Some(self.text(path))
    }
    fn display_value(&self, path: PathId) -> String {
        self.text(path).to_string()
    }
    fn record_display_value(&self) -> String {
        String::new()
    }
    fn referenced_record(&self, _path: PathId) -> Option<RecordRef> {
        None
    }
    fn temporal_millis(&self, _path: PathId) -> Option<i64> {
        None
    }
    fn journal_entries(&self, _path: PathId, _count: i64) -> String {
        String::new()
    }
    fn assign(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        let text = match value {
            ExternalValue::Text(text) => Rc::clone(text),
            ExternalValue::Element(record, path) => record.script_text(*path),
            ExternalValue::Number(number) => number.to_string().into(),
            _ => Rc::from(""),
        };
        self.texts.borrow_mut()[path as usize] = text;
        Ok(())
    }
    fn set_value(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        self.assign(path, value)
    }
    fn set_display_value(&self, _path: PathId, _text: &str) -> Result<(), HostError> {
        Ok(())
    }
    fn set_journal_entry(&self, _path: PathId, _text: &str, _user_name: Option<&str>) {}
    fn note_unknown_assignment(&self, _name: &str) {}
    fn set_field_error(&self, _path: PathId, _message: &str) {}
    fn field_error(&self, _path: PathId) -> String {
        String::new()
    }
    fn any_changes(&self) -> bool {
        false
    }
    fn changes(&self, _path: PathId) -> bool {
        false
    }
    fn previous_script_text(&self, _path: PathId) -> Option<Rc<str>> {
        None
    }
    fn add_query(&self, _field: &str, _operator: &str, _value: &ExternalValue) -> ConditionId {
        0
    }
    fn add_or_condition(
        &self,
        _on: ConditionId,
        _field: &str,
        _operator: &str,
        _value: &ExternalValue,
    ) -> ConditionId {
        0
    }
    fn add_and_condition(
        &self,
        _on: ConditionId,
        _field: &str,
        _operator: &str,
        _value: &ExternalValue,
    ) -> ConditionId {
        0
    }
    fn add_encoded_query(&self, _query: &str) -> ConditionId {
        0
    }
    fn add_active_query(&self, _active: bool) -> ConditionId {
        0
    }
    fn order_by(&self, _field: &str, _descending: bool) {}
    fn set_limit(&self, _rows: i64) {}
    fn choose_window(&self, _first: i64, _last: i64) {}
    fn encoded_query(&self) -> String {
        String::new()
    }
    fn is_valid_encoded_query(&self, _query: &str) -> bool {
        true
    }
    fn query(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn next(&self) -> Result<bool, HostError> {
        Ok(false)
    }
    fn has_next(&self) -> Result<bool, HostError> {
        Ok(false)
    }
    fn get(&self, _value: &ExternalValue) -> Result<bool, HostError> {
        Ok(true)
    }
    fn get_by(&self, _field: &str, _value: &ExternalValue) -> Result<bool, HostError> {
        Ok(true)
    }
    fn row_count(&self) -> Result<i64, HostError> {
        Ok(0)
    }
    fn initialize(&self) {}
    fn new_record(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn insert(&self) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    fn update(&self, _reason: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    fn delete(&self) -> Result<bool, HostError> {
        Ok(false)
    }
    fn update_multiple(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn delete_multiple(&self) -> Result<(), HostError> {
        Ok(())
    }
    fn set_new_guid(&self, _sys_id: Option<&str>) {}
    fn set_workflow(&self, _on: bool) {}
    fn auto_sys_fields(&self, _on: bool) {}
    fn set_force_update(&self, _on: bool) {}
    fn set_abort_action(&self, _abort: bool) {}
    fn is_action_aborted(&self) -> bool {
        false
    }
    fn can(&self, _operation: &str, _path: Option<PathId>) -> bool {
        true
    }
    fn next_number(&self) -> String {
        String::new()
    }
}

/// A session that does nothing.
pub(crate) struct FlatHost;

impl Host for FlatHost {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn new_record(&self, _table: &str) -> RecordRef {
        FlatRecord::new(&[("number", ElementKind::Text)], &["INC0000001"])
    }
    fn table_exists(&self, _table: &str) -> bool {
        true
    }
    fn log(&self, _level: LogLevel, _source: &str, _message: &str) {}
    fn is_debugging(&self) -> bool {
        false
    }
    fn add_message(&self, _kind: MessageKind, _text: &str) {}
    fn messages(&self, _kind: MessageKind) -> Vec<String> {
        Vec::new()
    }
    fn flush_messages(&self) {}
    fn message_text(&self, key: &str) -> String {
        key.to_owned()
    }
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
        String::new()
    }
    fn display_column(&self, _table: &str) -> String {
        String::new()
    }
}
