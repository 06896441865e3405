//! The mock's record object.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use campanile_model::Instant;
use campanile_script::{
    ConditionId, ElementKind, ExternalValue, FieldMeta, HostError, HostRecord, PathId, RecordRef,
};

use super::host::MockHost;
use super::query::{Query, parse, texts};
use super::tables::{Column, Row, Tables};

type Values = BTreeMap<String, String>;

/// A field, or one reached through references.
#[derive(Debug, Clone)]
struct Path {
    parent: Option<PathId>,
    column: Column,
    /// Table whose column it is.
    table: String,
}

#[derive(Debug, Default)]
struct State {
    class: String,
    values: Values,
    /// The values as they were read, for `changes`.
    original: Values,
    /// Values set through references, in memory only.
    through: BTreeMap<PathId, String>,
    journal: BTreeMap<String, String>,
    query: Query,
    results: Vec<String>,
    total: usize,
    at: usize,
    on_row: bool,
    is_new: bool,
    get_failed: bool,
    fresh_insert: bool,
    operation: Option<String>,
    aborted: bool,
    force: bool,
    auto_sys_fields: bool,
    errors: BTreeMap<PathId, String>,
}

/// A record object in memory.
pub(crate) struct MockRecord {
    host: Rc<MockHost>,
    table: String,
    paths: RefCell<Vec<Path>>,
    state: RefCell<State>,
    null_like: Cell<bool>,
    /// Workflow flag, and what was noted, for tests.
    pub(crate) workflow: Cell<bool>,
    pub(crate) unknown_names: RefCell<Vec<String>>,
    pub(crate) lookups: Cell<usize>,
}

impl MockRecord {
    pub(super) fn new(host: &Rc<MockHost>, table: &str) -> Rc<Self> {
        let state = State { class: table.to_owned(), auto_sys_fields: true, ..State::default() };
        let made = Rc::new(Self {
            host: Rc::clone(host),
            table: table.to_owned(),
            paths: RefCell::default(),
            state: RefCell::new(state),
            null_like: Cell::new(false),
            workflow: Cell::new(true),
            unknown_names: RefCell::default(),
            lookups: Cell::new(0),
        });
        let weak: Weak<Self> = Rc::downgrade(&made);
        host.made.borrow_mut().push(weak);
        made
    }

    pub(super) fn on_row(host: &Rc<MockHost>, table: &str, sys_id: &str) -> Rc<Self> {
        let made = Self::new(host, table);
        made.load(sys_id);
        made
    }

    /// The null-like `current` of a script action without a record.
    pub(crate) fn make_null_like(&self) {
        self.null_like.set(true);
    }

    fn load(&self, sys_id: &str) -> bool {
        let row = self.host.tables.borrow().row(sys_id).cloned();
        let mut state = self.state.borrow_mut();
        let Some(row) = row else { return false };
        state.class = row.class;
        state.original = row.values.clone();
        state.values = row.values;
        state.through.clear();
        state.on_row = true;
        state.fresh_insert = false;
        true
    }

    fn intern(&self, parent: Option<PathId>, table: &str, name: &str) -> Option<PathId> {
        let mut paths = self.paths.borrow_mut();
        if let Some(at) =
            paths.iter().position(|path| path.parent == parent && path.column.name == name)
        {
            return PathId::try_from(at).ok();
        }
        self.lookups.set(self.lookups.get() + 1);
        let column = self.host.tables.borrow().column(table, name)?;
        paths.push(Path { parent, column, table: table.to_owned() });
        PathId::try_from(paths.len() - 1).ok()
    }

    fn path(&self, path: PathId) -> Path {
        self.paths.borrow()[path as usize].clone()
    }

    fn stored(&self, path: PathId) -> Option<String> {
        let Path { parent, column, .. } = self.path(path);
        let state = self.state.borrow();
        if let Some(text) = state.through.get(&path) {
            return Some(text.clone());
        }
        let text = match parent {
            None if column.kind == ElementKind::Journal => state.journal.get(column.name).cloned(),
            None => state.values.get(column.name).cloned(),
            Some(parent) => {
                drop(state);
                let target = self.stored(parent)?;
                self.host.tables.borrow().row(&target)?.values.get(column.name).cloned()
            }
        };
        text.filter(|text| !text.is_empty())
    }

    fn put(&self, path: PathId, text: String) {
        let Path { parent, column, .. } = self.path(path);
        let mut state = self.state.borrow_mut();
        let text = if text == "NULL" { String::new() } else { text };
        if parent.is_some() {
            state.through.insert(path, text);
        } else if column.kind == ElementKind::Journal {
            state.journal.insert(column.name.to_owned(), text);
        } else {
            state.values.insert(column.name.to_owned(), text);
        }
    }

    /// Stored text of a value for a column; `None` when the value is refused.
    fn accept(&self, column: &Column, value: &ExternalValue) -> Option<String> {
        let text = texts(value).join(",");
        match column.kind {
            ElementKind::Boolean => Some(match text.as_str() {
                "" => String::new(),
                "true" | "1" => "1".to_owned(),
                _ => "0".to_owned(),
            }),
            ElementKind::Number if !text.is_empty() && text.parse::<f64>().is_err() => {
                self.host.warn(&format!("'{text}' is no number for {}", column.name));
                None
            }
            _ => Some(text),
        }
    }

    fn write(&self) -> String {
        let mut state = self.state.borrow_mut();
        let sys_id = state.values["sys_id"].clone();
        if state.auto_sys_fields {
            let count = state.values.get("sys_mod_count").and_then(|n| n.parse::<u64>().ok());
            let next = (count.unwrap_or_default() + 1).to_string();
            state.values.insert("sys_mod_count".to_owned(), next);
        }
        let values: Values =
            state.values.clone().into_iter().filter(|(_, text)| !text.is_empty()).collect();
        self.host.tables.borrow_mut().row_mut(&sys_id).unwrap().values = values;
        state.original = state.values.clone();
        state.operation = Some("update".to_owned());
        sys_id
    }

    fn is_known(&self) -> bool {
        self.host.tables.borrow().def(&self.table).is_some()
    }

    fn script_of(column: &Column, stored: &str) -> Rc<str> {
        match (column.kind, stored) {
            (ElementKind::Boolean, "1") => "true".into(),
            (ElementKind::Boolean, "0") => "false".into(),
            (_, text) => text.into(),
        }
    }

    fn with_tables<T>(&self, body: impl FnOnce(&Tables) -> T) -> T {
        body(&self.host.tables.borrow())
    }
}

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

impl MockRecord {
    fn instance_of_root(&self, root: &str) -> bool {
        self.with_tables(|tables| tables.root(&self.table) == root)
    }
}
