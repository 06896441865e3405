//! Texts of elements: script text, stored text, display value (scripting §3.2, §4).

use std::rc::Rc;

use campanile_model::{FieldDef, FieldIndex, FieldType, Instant, Record, Value};
use campanile_script::{ElementKind, FieldMeta, PathId, RecordRef};

use super::object::{Nature, ScriptRecord};
use super::row::Row;
use crate::records::properties::secrets;

/// Script text of a stored value.
pub(super) fn script_text_of(field: &FieldDef, value: &Value) -> Rc<str> {
    match (field.field_type, value.as_option()) {
        (_, None) => Rc::from(""),
        (FieldType::Boolean, Some(_)) => Rc::from(if value.is_true() { "true" } else { "false" }),
        (_, Some(text)) => Rc::from(text),
    }
}

impl ScriptRecord {
    /// Script text of an element; a journal gives what was entered in this operation.
    pub(super) fn text_at(&self, path: PathId) -> Rc<str> {
        if let Some(text) = self.own_plain(path, script_text_of) {
            return text;
        }
        match self.locate(path) {
            None => Rc::from(""),
            Some(at) if is_journal(at.field()) => {
                self.entered_text(path).unwrap_or_else(|| Rc::from(""))
            }
            Some(at) => script_text_of(at.field(), &at.value),
        }
    }

    /// Stored text of an element; `None` when nil.
    pub(super) fn stored_at(&self, path: PathId) -> Option<Rc<str>> {
        if let Some(text) = self.own_plain(path, |_, value| value.as_option().map(Rc::from)) {
            return text;
        }
        let at = self.locate(path)?;
        if is_journal(at.field()) {
            return self.entered_text(path);
        }
        at.value.as_option().map(Rc::from)
    }

    /// What `f` makes of a field of the row itself that is neither a journal nor a secret: most reads are of these.
    fn own_plain<T>(&self, path: PathId, f: impl FnOnce(&FieldDef, &Value) -> T) -> Option<T> {
        let index = self.own_field(path)?;
        let field = &self.table.fields[index];
        let row = self.row();
        let is_plain =
            !is_journal(field) && !field.field_type.is_secret() && !self.hides_own(&row, index);
        is_plain.then(|| f(field, row.record.at(index)))
    }

    /// As [`ScriptRecord::hides`], for the row of this object: what was read as a secret stays one, whatever the script makes
    /// of its type and readers.
    pub(super) fn hides_own(&self, row: &Row, index: FieldIndex) -> bool {
        let is_secret_as =
            |read: &Record| self.hides(read, index) && read.at(index) == row.record.at(index);
        is_secret_as(&row.record) || row.original.as_deref().is_some_and(is_secret_as)
    }

    /// Whether a field of the row is the value of a secret property that this session may not have.
    pub(crate) fn withholds(&self, index: FieldIndex) -> bool {
        self.hides_own(&self.row(), index)
    }

    /// Whether a field of `row` is the value of a secret property that this session may not have.
    pub(super) fn hides(&self, row: &Record, index: FieldIndex) -> bool {
        secrets::is_value(row.table(), index) && secrets::hides(row, &self.execution.session().user)
    }

    /// The text of a journal that was entered in the running operation.
    fn entered_text(&self, path: PathId) -> Option<Rc<str>> {
        if !matches!(self.nature, Nature::Operation(_)) {
            return None;
        }
        let name = &self.table.fields[self.own_field(path)?].name;
        let row = self.row();
        let entry = row.journals.iter().rev().find(|entry| entry.field == *name);
        entry.map(|entry| Rc::from(&*entry.text))
    }

    /// Display value of an element; empty when nil.
    pub(super) fn display_at(&self, path: PathId) -> String {
        let Some(at) = self.locate(path) else { return String::new() };
        if is_journal(at.field()) {
            return self.journal_at(path, -1);
        }
        if at.value.is_nil() {
            return String::new();
        }
        let record = match self.own_field(path) {
            Some(_) => self.snapshot(),
            None => {
                let mut record = Record::empty(at.table.clone());
                record.set_at(at.index, at.value.clone());
                record
            }
        };
        self.execution.display_field(&record, at.index)
    }

    /// Display value of the field called `name`; `None` when there is no such field.
    pub(crate) fn display_of(&self, name: &str) -> Option<String> {
        self.path_by_name(name).map(|path| self.display_at(path))
    }

    /// The newest `count` entries of a journal element, all for −1.
    pub(super) fn journal_at(&self, path: PathId, count: i64) -> String {
        let Some(index) = self.own_field(path) else { return String::new() };
        self.execution.journal_text(&self.snapshot(), index, count)
    }

    pub(super) fn kind_at(&self, path: PathId) -> ElementKind {
        let field_type = match self.own_field(path) {
            Some(index) => self.table.fields[index].field_type,
            None => self.locate(path).map_or(FieldType::String, |at| at.field().field_type),
        };
        match field_type {
            FieldType::Integer | FieldType::Decimal | FieldType::Float => ElementKind::Number,
            FieldType::Boolean => ElementKind::Boolean,
            FieldType::Reference => ElementKind::Reference,
            FieldType::GlideList => ElementKind::List,
            FieldType::DateTime | FieldType::Date | FieldType::Time => ElementKind::Temporal,
            FieldType::Duration => ElementKind::Duration,
            FieldType::Journal | FieldType::JournalList => ElementKind::Journal,
            _ => ElementKind::Text,
        }
    }

    pub(super) fn meta_at(&self, path: PathId) -> FieldMeta {
        let Some(at) = self.locate(path) else {
            return FieldMeta {
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
            };
        };
        let field = at.field();
        let choices = self.execution.dictionary().map_or_else(
            |_unread| Vec::new(),
            |dictionary| {
                let choices = dictionary.choices(&at.table.name, &field.name);
                choices.iter().filter(|c| !c.inactive).map(|c| c.value.to_string()).collect()
            },
        );
        FieldMeta {
            name: field.name.to_string(),
            label: field.label.to_string(),
            table: field.defined_on.to_string(),
            base_table: at.table.root.to_string(),
            reference: field.reference.to_string(),
            internal_type: field.internal_type.to_string(),
            max_length: field.max_length,
            mandatory: field.mandatory,
            attributes: field.attributes.to_string(),
            choices,
        }
    }

    /// Milliseconds of a temporal field.
    pub(super) fn millis_at(&self, path: PathId) -> Option<i64> {
        let at = self.locate(path)?;
        if !at.field().field_type.is_temporal() {
            return None;
        }
        Instant::parse_glide_text(at.value.as_option()?).map(Instant::as_millis)
    }

    /// The referenced row as an object of its own.
    pub(super) fn referenced_at(&self, path: PathId) -> Option<RecordRef> {
        let at = self.locate(path)?;
        if at.field().field_type != FieldType::Reference {
            return None;
        }
        let table = at.field().reference.clone();
        let found = at.value.as_option().and_then(|sys_id| self.read_referenced(&table, sys_id));
        Some(match found {
            Some(record) => Self::on_row(&self.execution, record),
            None => Self::fresh(&self.execution, &table),
        })
    }
}

pub(super) fn is_journal(field: &FieldDef) -> bool {
    matches!(field.field_type, FieldType::Journal | FieldType::JournalList)
}
