//! Reading journals: entries of `sys_journal_field`, formatted (scripting §6).

use std::sync::Arc;

use campanile_model::{Instant, Record};
use campanile_script::PathId;

use super::object::ScriptRecord;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::lookup;
use crate::records::operation::journal::TABLE;

impl ScriptRecord {
    /// The newest `count` entries of a journal element, all for −1.
    pub(super) fn journal_text(&self, path: PathId, count: i64) -> String {
        let Some(index) = self.own_field(path) else { return String::new() };
        let field = &self.table.fields[index];
        let Some(sys_id) = self.key() else { return String::new() };
        match self.execution.journal_text(&sys_id, &field.name, &field.label, count) {
            Ok(text) => text,
            Err(error) => {
                self.execution.log_error("journal", &format!("{}: {error}", field.name));
                String::new()
            }
        }
    }
}

impl Execution {
    /// Entries of a journal, newest first: header line, text, blank line each.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) fn journal_text(
        &self,
        sys_id: &str,
        field: &str,
        label: &str,
        count: i64,
    ) -> Result<String, EngineError> {
        let dictionary = self.dictionary()?;
        let table = lookup::table(&dictionary, TABLE)?;
        let select = lookup::equal(table, &[("element_id", sys_id), ("element", field)]);
        let mut select = lookup::reversed(lookup::ordered(select, &["sys_created_on", "sys_id"]));
        if let Ok(count) = u64::try_from(count) {
            select = select.limit(count);
        }
        let entries = self.with_read(|tx| tx.select(&select))?;
        let mut text = String::new();
        for entry in &entries {
            text.push_str(&self.journal_entry(entry, label)?);
        }
        Ok(text)
    }

    fn journal_entry(&self, entry: &Record, label: &str) -> Result<String, EngineError> {
        let at = Instant::parse_glide_text(entry.text("sys_created_on")).unwrap_or_default();
        let author = self.display_name_of_login(entry.text("sys_created_by"))?;
        let when = self.display_instant(at);
        Ok(format!("{when} - {author} ({label})\n{}\n\n", entry.text("value")))
    }

    /// Name of a login for people; the login when nobody has it.
    fn display_name_of_login(&self, login: &str) -> Result<String, EngineError> {
        if login == &*self.session().user.user_name {
            return Ok(self.session().user.display_name.to_string());
        }
        let dictionary = self.dictionary()?;
        let Some(table) = dictionary.table("sys_user") else { return Ok(login.to_owned()) };
        let select = lookup::equal(table, &[("user_name", login)]).limit(1);
        let user = self.with_read(|tx| tx.select(&select))?.into_iter().next();
        let name: Option<Arc<str>> = user.and_then(|u| u.get("name").as_option().map(Arc::from));
        Ok(name.map_or_else(|| login.to_owned(), |name| name.to_string()))
    }
}
