//! What changed in this operation (scripting §5.8).

use std::rc::Rc;

use campanile_script::PathId;

use super::object::{Nature, ScriptRecord};
use super::reading::{is_journal, script_text_of};
use crate::records::operation::{Kind, integrity};

impl ScriptRecord {
    pub(super) fn has_changed(&self, path: PathId) -> bool {
        let Some(index) = self.own_field(path) else { return false };
        if self.nature == Nature::Operation(Kind::Delete) {
            return false;
        }
        let field = &self.table.fields[index];
        let row = self.row();
        if is_journal(field) {
            return row.journals.iter().any(|entry| entry.field == field.name);
        }
        match &row.original {
            Some(original) => !integrity::same(field, original.at(index), row.record.at(index)),
            None => !row.record.at(index).is_nil(),
        }
    }

    pub(super) fn has_any_change(&self) -> bool {
        (0..self.table.fields.len()).any(|index| self.has_changed(Self::path_of(index)))
    }

    pub(super) fn previous_text(&self, path: PathId) -> Option<Rc<str>> {
        if !self.has_changed(path) {
            return None;
        }
        let index = self.own_field(path)?;
        let row = self.row();
        Some(match &row.original {
            Some(_) if self.table.fields[index].field_type.is_secret() => Rc::from(""),
            Some(original) if self.hides(original, index) => Rc::from(""),
            Some(original) => script_text_of(&self.table.fields[index], original.at(index)),
            None => Rc::from(""),
        })
    }
}
