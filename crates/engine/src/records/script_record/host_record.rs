//! The record object as scripts reach it: each method leads to the file that does it.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use campanile_script::{
    ConditionId, ElementKind, ExternalValue, FieldMeta, HostError, HostRecord, PathId, RecordRef,
};

use super::object::{Nature, ScriptRecord, Switches};
use super::row::Place;
use crate::records::gate::{self, Operation};
use crate::records::operation::Kind;

/// What scripts hold: the record object, shared.
impl HostRecord for ScriptRecord {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_name(&self) -> String {
        self.name.to_string()
    }

    fn record_class(&self) -> String {
        let row = self.row();
        if row.record.table().name.is_empty() {
            self.name.to_string()
        } else {
            row.record.class_name().to_owned()
        }
    }

    fn table_label(&self, plural: bool) -> String {
        if plural { self.table.plural.to_string() } else { self.table.label.to_string() }
    }

    fn is_valid(&self) -> bool {
        !matches!(self.nature, Nature::UnknownTable | Nature::NullLike)
            && self.row().place != Place::NotFound
    }

    fn is_valid_record(&self) -> bool {
        match self.nature {
            Nature::ReadOnly { valid, .. } => valid,
            Nature::NullLike | Nature::UnknownTable => false,
            _ => self.row().is_on_row(),
        }
    }

    fn is_new_record(&self) -> bool {
        self.nature == Nature::Operation(Kind::Insert) || self.row().place == Place::New
    }

    fn is_null_like(&self) -> bool {
        self.nature == Nature::NullLike
    }

    fn instance_of(&self, class: &str) -> bool {
        let name = self.record_class();
        let dictionary = self.execution.dictionary();
        dictionary.is_ok_and(|d| d.table(&name).is_some_and(|table| table.extends(class)))
    }

    fn operation(&self) -> Option<String> {
        let kind = match self.nature {
            Nature::Operation(kind) => Some(kind),
            _ => self.last_operation.get(),
        };
        kind.map(|kind| kind.word().to_owned())
    }

    fn unique_value(&self) -> Option<String> {
        self.key()
    }

    fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    fn field_names(&self) -> Vec<String> {
        self.table.fields.iter().map(|field| field.name.to_string()).collect()
    }

    fn field(&self, name: &str) -> Option<PathId> {
        self.table.index(name).map(Self::path_of)
    }

    fn sub_field(&self, parent: PathId, name: &str) -> Option<PathId> {
        self.walk(parent, name)
    }

    fn meta(&self, path: PathId) -> FieldMeta {
        self.meta_at(path)
    }

    fn kind(&self, path: PathId) -> ElementKind {
        self.kind_at(path)
    }

    fn script_text(&self, path: PathId) -> Rc<str> {
        self.text_at(path)
    }

    fn is_nil(&self, path: PathId) -> bool {
        self.stored_at(path).is_none()
    }

    fn stored_text(&self, path: PathId) -> Option<Rc<str>> {
        self.stored_at(path)
    }

    fn display_value(&self, path: PathId) -> String {
        self.display_at(path)
    }

    fn record_display_value(&self) -> String {
        if self.table.fields.is_empty() {
            return String::new();
        }
        self.execution.display_record(&self.snapshot())
    }

    fn referenced_record(&self, path: PathId) -> Option<RecordRef> {
        self.referenced_at(path)
    }

    fn temporal_millis(&self, path: PathId) -> Option<i64> {
        self.millis_at(path)
    }

    fn journal_entries(&self, path: PathId, count: i64) -> String {
        self.journal_at(path, count)
    }

    fn assign(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        self.assign_at(path, value);
        self.check_held()
    }

    fn set_value(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        self.set_value_at(path, value);
        self.check_held()
    }

    fn set_display_value(&self, path: PathId, text: &str) -> Result<(), HostError> {
        self.check_budget()?;
        self.set_display_at(path, text);
        self.check_held()
    }

    fn set_journal_entry(&self, path: PathId, text: &str, user_name: Option<&str>) {
        self.enter(path, text, user_name);
        self.count_held();
    }

    fn note_unknown_assignment(&self, name: &str) {
        self.execution.log_line(
            campanile_script::LogLevel::Debug,
            "",
            &format!("{} has no field '{name}': the assignment has no effect", self.name),
        );
    }

    fn set_field_error(&self, path: PathId, message: &str) {
        if let Some(index) = self.own_field(path) {
            let name = Arc::clone(&self.table.fields[index].name);
            let mut errors = self.field_errors.borrow_mut();
            errors.retain(|(field, _)| *field != name);
            errors.push((name, message.to_owned()));
        }
    }

    fn field_error(&self, path: PathId) -> String {
        let Some(index) = self.own_field(path) else { return String::new() };
        let errors = self.field_errors.borrow();
        let found = errors.iter().find(|(field, _)| *field == self.table.fields[index].name);
        found.map_or_else(String::new, |(_, message)| message.clone())
    }

    fn any_changes(&self) -> bool {
        self.has_any_change()
    }

    fn changes(&self, path: PathId) -> bool {
        self.has_changed(path)
    }

    fn previous_script_text(&self, path: PathId) -> Option<Rc<str>> {
        self.previous_text(path)
    }

    fn add_query(&self, field: &str, operator: &str, value: &ExternalValue) -> ConditionId {
        self.add_term(field, operator, value)
    }

    fn add_or_condition(
        &self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.add_arm(on, field, operator, value)
    }

    fn add_and_condition(
        &self,
        _on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.add_term(field, operator, value)
    }

    fn add_encoded_query(&self, query: &str) -> ConditionId {
        self.add_encoded(query)
    }

    fn add_active_query(&self, active: bool) -> ConditionId {
        if self.table.index("active").is_none() {
            return self.add_encoded("");
        }
        self.add_term("active", "=", &ExternalValue::Bool(active))
    }

    fn order_by(&self, field: &str, descending: bool) {
        self.add_order(field, descending);
    }

    fn set_limit(&self, rows: i64) {
        self.set_row_limit(rows);
    }

    fn choose_window(&self, first: i64, last: i64) {
        self.set_window(first, last);
    }

    fn encoded_query(&self) -> String {
        self.encoded()
    }

    fn is_valid_encoded_query(&self, query: &str) -> bool {
        self.is_valid_query(query)
    }

    fn query(&self) -> Result<(), HostError> {
        self.run_query()
    }

    fn next(&self) -> Result<bool, HostError> {
        self.move_on()
    }

    fn has_next(&self) -> Result<bool, HostError> {
        self.check_budget()?;
        Ok(self.search.borrow().rows.len() > 0)
    }

    fn get(&self, value: &ExternalValue) -> Result<bool, HostError> {
        self.find(value)
    }

    fn get_by(&self, field: &str, value: &ExternalValue) -> Result<bool, HostError> {
        self.find_by(field, value)
    }

    fn row_count(&self) -> Result<i64, HostError> {
        self.count_rows()
    }

    fn initialize(&self) {
        self.blank_row();
    }

    fn new_record(&self) -> Result<(), HostError> {
        self.begin_new()
    }

    fn insert(&self) -> Result<Option<String>, HostError> {
        self.do_insert()
    }

    fn update(&self, reason: &str) -> Result<Option<String>, HostError> {
        self.do_update(reason)
    }

    fn delete(&self) -> Result<bool, HostError> {
        self.do_delete()
    }

    fn update_multiple(&self) -> Result<(), HostError> {
        self.do_update_multiple()
    }

    fn delete_multiple(&self) -> Result<(), HostError> {
        self.do_delete_multiple()
    }

    fn set_new_guid(&self, sys_id: Option<&str>) {
        match sys_id {
            None => {
                let key = campanile_model::SysId::generate(self.execution.now());
                self.choose_key(key.as_str());
            }
            Some(id) if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) => {
                self.choose_key(id);
            }
            Some(id) => {
                self.execution
                    .warn(&format!("'{id}' is no new sys_id: expected 32 hexadecimal digits"));
            }
        }
    }

    fn set_workflow(&self, on: bool) {
        self.switches.set(Switches { workflow: on, ..self.switches.get() });
    }

    fn auto_sys_fields(&self, on: bool) {
        self.switches.set(Switches { auto_sys_fields: on, ..self.switches.get() });
    }

    fn set_force_update(&self, on: bool) {
        self.switches.set(Switches { force_update: on, ..self.switches.get() });
    }

    fn set_abort_action(&self, abort: bool) {
        self.set_abort(abort);
    }

    fn is_action_aborted(&self) -> bool {
        self.aborted.borrow().is_some()
    }

    fn can(&self, operation: &str, _path: Option<PathId>) -> bool {
        let operation = match operation {
            "read" => Operation::Read,
            "write" => Operation::Write,
            "create" => Operation::Create,
            "delete" => Operation::Delete,
            _ => return false,
        };
        self.is_valid() && gate::check(self.execution.session(), &self.table, operation).is_ok()
    }

    fn next_number(&self) -> String {
        match self.execution.next_number(&self.table) {
            Ok(number) => number.unwrap_or_default(),
            Err(error) => {
                self.execution.log_error("number", &format!("of {}: {error}", self.name));
                String::new()
            }
        }
    }
}
