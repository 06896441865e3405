//! What the mock's record object answers to scripts.

use std::any::Any;
use std::rc::Rc;

use campanile_model::Instant;
use campanile_script::{
    ConditionId, ElementKind, ExternalValue, FieldMeta, HostError, HostRecord, PathId, RecordRef,
};

use super::query::{Query, parse};
use super::record::{MockRecord, Path, State, Values};
use super::tables::Row;

impl HostRecord for MockRecord {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn table_name(&self) -> String {
        self.table.clone()
    }
    fn record_class(&self) -> String {
        self.state.borrow().class.clone()
    }
    fn table_label(&self, plural: bool) -> String {
        format!("{}{}", self.table, if plural { "s" } else { "" })
    }
    fn is_valid(&self) -> bool {
        self.is_known() && !self.state.borrow().get_failed
    }
    fn is_valid_record(&self) -> bool {
        self.state.borrow().on_row && !self.null_like.get()
    }
    fn is_new_record(&self) -> bool {
        self.state.borrow().is_new
    }
    fn is_null_like(&self) -> bool {
        self.null_like.get()
    }
    fn instance_of(&self, class: &str) -> bool {
        self.with_tables(|tables| tables.extends(&self.record_class(), class))
    }
    fn operation(&self) -> Option<String> {
        self.state.borrow().operation.clone()
    }
    fn unique_value(&self) -> Option<String> {
        self.state.borrow().values.get("sys_id").cloned()
    }
    fn last_error(&self) -> Option<String> {
        self.state.borrow().aborted.then(|| "the operation was aborted".to_owned())
    }

    fn field_names(&self) -> Vec<String> {
        self.with_tables(|tables| {
            tables.columns(&self.table).iter().map(|column| column.name.to_owned()).collect()
        })
    }
    fn field(&self, name: &str) -> Option<PathId> {
        self.intern(None, &self.table, name)
    }
    fn sub_field(&self, parent: PathId, name: &str) -> Option<PathId> {
        let reference = self.path(parent).column.reference;
        if reference.is_empty() { None } else { self.intern(Some(parent), reference, name) }
    }
    fn meta(&self, path: PathId) -> FieldMeta {
        let Path { column, table, .. } = self.path(path);
        let (owner, root) =
            self.with_tables(|tables| (tables.owner(&table, column.name), tables.root(&table)));
        FieldMeta {
            name: column.name.to_owned(),
            label: column.name.replace('_', " "),
            table: owner.to_owned(),
            base_table: root.to_owned(),
            reference: column.reference.to_owned(),
            internal_type: format!("{:?}", column.kind).to_lowercase(),
            max_length: 40,
            mandatory: column.name == "number",
            attributes: "edge_encryption_enabled=true,no_sort,width=12".to_owned(),
            choices: column.choices.iter().map(|choice| choice.0.to_owned()).collect(),
        }
    }
    fn kind(&self, path: PathId) -> ElementKind {
        self.path(path).column.kind
    }

    fn script_text(&self, path: PathId) -> Rc<str> {
        Self::script_of(&self.path(path).column, &self.stored(path).unwrap_or_default())
    }
    fn is_nil(&self, path: PathId) -> bool {
        self.stored(path).is_none()
    }
    fn stored_text(&self, path: PathId) -> Option<Rc<str>> {
        self.stored(path).map(Rc::from)
    }
    fn display_value(&self, path: PathId) -> String {
        let column = self.path(path).column;
        let stored = self.stored(path).unwrap_or_default();
        if let Some((_, label)) = column.choices.iter().find(|choice| choice.0 == stored) {
            return (*label).to_owned();
        }
        if column.kind != ElementKind::Reference {
            return Self::script_of(&column, &stored).to_string();
        }
        self.with_tables(|tables| {
            let display = tables.display_column(column.reference);
            tables.row(&stored).and_then(|row| row.values.get(display).cloned()).unwrap_or_default()
        })
    }
    fn record_display_value(&self) -> String {
        let name = self.with_tables(|tables| tables.display_column(&self.table));
        self.state.borrow().values.get(name).cloned().unwrap_or_default()
    }
    fn referenced_record(&self, path: PathId) -> Option<RecordRef> {
        let reference = self.path(path).column.reference;
        if reference.is_empty() {
            return None;
        }
        let made = Self::new(&self.host, reference);
        made.load(&self.stored(path).unwrap_or_default());
        Some(made)
    }
    fn temporal_millis(&self, path: PathId) -> Option<i64> {
        Instant::parse_glide_text(&self.stored(path)?).map(Instant::as_millis)
    }
    fn journal_entries(&self, path: PathId, count: i64) -> String {
        format!("{} entries of {}", count, self.path(path).column.name)
    }

    fn assign(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        if let Some(text) = self.accept(&self.path(path).column, value) {
            self.put(path, text);
        }
        Ok(())
    }
    fn set_value(&self, path: PathId, value: &ExternalValue) -> Result<(), HostError> {
        if matches!(value, ExternalValue::Null) {
            return Ok(());
        }
        self.assign(path, value)
    }
    fn set_display_value(&self, path: PathId, text: &str) -> Result<(), HostError> {
        let column = self.path(path).column;
        let stored = self.with_tables(|tables| {
            let display = tables.display_column(column.reference);
            let found = tables.rows.iter().find(|row| {
                row.class == column.reference && row.values.get(display).is_some_and(|t| t == text)
            });
            found.map(|row| row.values["sys_id"].clone())
        });
        self.put(path, stored.unwrap_or_else(|| text.to_owned()));
        Ok(())
    }
    fn set_journal_entry(&self, path: PathId, text: &str, user_name: Option<&str>) {
        self.put(path, format!("{}: {text}", user_name.unwrap_or("abel")));
    }
    fn note_unknown_assignment(&self, name: &str) {
        self.unknown_names.borrow_mut().push(name.to_owned());
    }
    fn set_field_error(&self, path: PathId, message: &str) {
        self.state.borrow_mut().errors.insert(path, message.to_owned());
    }
    fn field_error(&self, path: PathId) -> String {
        self.state.borrow().errors.get(&path).cloned().unwrap_or_default()
    }

    fn any_changes(&self) -> bool {
        let state = self.state.borrow();
        state.values != state.original || !state.journal.is_empty()
    }
    fn changes(&self, path: PathId) -> bool {
        let column = self.path(path).column;
        let state = self.state.borrow();
        let text = |values: &Values| values.get(column.name).cloned().unwrap_or_default();
        state.journal.contains_key(column.name) || text(&state.values) != text(&state.original)
    }
    fn previous_script_text(&self, path: PathId) -> Option<Rc<str>> {
        let column = self.path(path).column;
        let stored = self.state.borrow().original.get(column.name).cloned().unwrap_or_default();
        self.changes(path).then(|| Self::script_of(&column, &stored))
    }

    fn add_query(&self, field: &str, operator: &str, value: &ExternalValue) -> ConditionId {
        self.state.borrow_mut().query.add(field, operator, value)
    }
    fn add_or_condition(
        &self,
        on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.state.borrow_mut().query.add_or(on, field, operator, value)
    }
    fn add_and_condition(
        &self,
        _on: ConditionId,
        field: &str,
        operator: &str,
        value: &ExternalValue,
    ) -> ConditionId {
        self.state.borrow_mut().query.add(field, operator, value)
    }
    fn add_encoded_query(&self, query: &str) -> ConditionId {
        let mut state = self.state.borrow_mut();
        for (field, operator, value) in parse(query) {
            state.query.add(&field, &operator, &value);
        }
        state.query.last()
    }
    fn add_active_query(&self, active: bool) -> ConditionId {
        self.add_query("active", "=", &ExternalValue::Bool(active))
    }
    fn order_by(&self, field: &str, descending: bool) {
        self.state.borrow_mut().query.order.push((field.to_owned(), descending));
    }
    fn set_limit(&self, rows: i64) {
        let mut state = self.state.borrow_mut();
        state.query.limit = usize::try_from(rows).ok().filter(|rows| *rows > 0);
        state.query.window = None;
    }
    fn choose_window(&self, first: i64, last: i64) {
        let bound = |at: i64| usize::try_from(at).unwrap_or_default();
        let mut state = self.state.borrow_mut();
        state.query.window = Some((bound(first), bound(last)));
        state.query.limit = None;
    }
    fn encoded_query(&self) -> String {
        self.state.borrow().query.encoded()
    }
    fn is_valid_encoded_query(&self, query: &str) -> bool {
        let fields = self.field_names();
        !query.is_empty() && parse(query).iter().all(|term| fields.contains(&term.0))
    }

    fn query(&self) -> Result<(), HostError> {
        let mut state = self.state.borrow_mut();
        let found = self.with_tables(|tables| state.query.matches(tables, &self.table));
        state.total = found.len();
        state.results = state.query.cut(found);
        state.at = 0;
        state.on_row = false;
        Ok(())
    }
    fn next(&self) -> Result<bool, HostError> {
        let next = {
            let mut state = self.state.borrow_mut();
            state.aborted = false;
            let next = state.results.get(state.at).cloned();
            state.at += 1;
            state.on_row = false;
            next
        };
        Ok(next.is_some_and(|sys_id| self.load(&sys_id)))
    }
    fn has_next(&self) -> Result<bool, HostError> {
        let state = self.state.borrow();
        Ok(state.at < state.results.len())
    }
    fn get(&self, value: &ExternalValue) -> Result<bool, HostError> {
        if self.get_by("sys_id", value)? {
            return Ok(true);
        }
        let display = self.with_tables(|tables| tables.display_column(&self.table));
        self.get_by(display, value)
    }
    fn get_by(&self, field: &str, value: &ExternalValue) -> Result<bool, HostError> {
        self.state.borrow_mut().query = Query::default();
        self.add_query(field, "=", value);
        self.query()?;
        let found = self.next()?;
        self.state.borrow_mut().get_failed = !found;
        Ok(found)
    }
    fn row_count(&self) -> Result<i64, HostError> {
        let state = self.state.borrow();
        let rows = if state.query.window.is_some() { state.total } else { state.results.len() };
        Ok(i64::try_from(rows).unwrap())
    }

    fn initialize(&self) {
        let mut state = self.state.borrow_mut();
        let kept = state.auto_sys_fields;
        *state = State { class: self.table.clone(), auto_sys_fields: kept, ..State::default() };
    }
    fn new_record(&self) -> Result<(), HostError> {
        self.initialize();
        let mut state = self.state.borrow_mut();
        state.values.insert("sys_id".to_owned(), self.host.new_sys_id());
        state.is_new = true;
        Ok(())
    }
    fn insert(&self) -> Result<Option<String>, HostError> {
        if !self.is_known() {
            return Ok(None);
        }
        let mut state = self.state.borrow_mut();
        let sys_id = self.host.new_sys_id();
        state.values.insert("sys_id".to_owned(), sys_id.clone());
        state.class.clone_from(&self.table);
        if self.instance_of_root("task") {
            state.values.entry("state".to_owned()).or_insert_with(|| "1".to_owned());
            state.values.insert("number".to_owned(), self.next_number());
        }
        let row = Row { class: self.table.clone(), values: state.values.clone() };
        self.host.tables.borrow_mut().rows.push(row);
        state.operation = Some("insert".to_owned());
        state.on_row = true;
        state.is_new = false;
        state.fresh_insert = true;
        Ok(Some(sys_id))
    }
    fn update(&self, _reason: &str) -> Result<Option<String>, HostError> {
        if !self.state.borrow().on_row {
            return self.insert();
        }
        if self.state.borrow().aborted {
            return Ok(None);
        }
        let force = self.state.borrow().force;
        if !self.any_changes() && !force {
            return Ok(self.unique_value());
        }
        Ok(Some(self.write()))
    }
    fn delete(&self) -> Result<bool, HostError> {
        let state = self.state.borrow();
        if !state.on_row || state.fresh_insert {
            return Ok(false);
        }
        let sys_id = state.values["sys_id"].clone();
        self.host.tables.borrow_mut().rows.retain(|row| row.values["sys_id"] != sys_id);
        Ok(true)
    }
    fn update_multiple(&self) -> Result<(), HostError> {
        let state = self.state.borrow();
        let found = self.with_tables(|tables| state.query.matches(tables, &self.table));
        let mut tables = self.host.tables.borrow_mut();
        for sys_id in found {
            let row = tables.row_mut(&sys_id).unwrap();
            for (name, text) in &state.values {
                if text.is_empty() {
                    row.values.remove(name);
                } else {
                    row.values.insert(name.clone(), text.clone());
                }
            }
        }
        Ok(())
    }
    fn delete_multiple(&self) -> Result<(), HostError> {
        let state = self.state.borrow();
        let found = self.with_tables(|tables| state.query.matches(tables, &self.table));
        self.host.tables.borrow_mut().rows.retain(|row| !found.contains(&row.values["sys_id"]));
        Ok(())
    }
    fn set_new_guid(&self, sys_id: Option<&str>) {
        let sys_id = sys_id.map_or_else(|| self.host.new_sys_id(), str::to_owned);
        self.state.borrow_mut().values.insert("sys_id".to_owned(), sys_id);
    }
    fn set_workflow(&self, on: bool) {
        self.workflow.set(on);
    }
    fn auto_sys_fields(&self, on: bool) {
        self.state.borrow_mut().auto_sys_fields = on;
    }
    fn set_force_update(&self, on: bool) {
        self.state.borrow_mut().force = on;
    }
    fn set_abort_action(&self, abort: bool) {
        self.state.borrow_mut().aborted = abort;
    }
    fn is_action_aborted(&self) -> bool {
        self.state.borrow().aborted
    }
    fn can(&self, operation: &str, path: Option<PathId>) -> bool {
        operation == "read" || operation == "write" && path.is_some()
    }
    fn next_number(&self) -> String {
        "INC0000042".to_owned()
    }
}
