//! Journal entries: rows of `sys_journal_field`, and how they read (scripting §6).

use std::collections::HashMap;

use campanile_model::{Dictionary, Record};
use campanile_store::{ReadTx, StoreError};

use super::display::Formats;
use super::lookup;

/// Every entry.
pub const ALL: i64 = -1;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was written, stored form.
    pub written_at: String,
    /// Login of the author.
    pub author: String,
    /// Its text.
    pub text: String,
}

/// The newest `count` entries of one journal ([`ALL`] for every one), newest first. None when the row has no key.
///
/// # Errors
/// What the store answers.
pub fn entries(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    sys_id: &str,
    element: &str,
    count: i64,
) -> Result<Vec<Entry>, StoreError> {
    let Some(table) = dictionary.table("sys_journal_field") else { return Ok(Vec::new()) };
    if sys_id.is_empty() || count == 0 {
        return Ok(Vec::new());
    }
    // The key belongs to one row, so the table's name (a class or an ancestor of it) need not be asked for.
    let select = lookup::equal(table, &[("element_id", sys_id), ("element", element)]);
    let mut select = lookup::reversed(lookup::ordered(select, &["sys_created_on", "sys_id"]));
    select.limit = u64::try_from(count).ok();
    let entry = |row: &Record| Entry {
        written_at: row.text("sys_created_on").to_owned(),
        author: row.text("sys_created_by").to_owned(),
        text: row.text("value").to_owned(),
    };
    Ok(read.select(&select)?.iter().map(entry).collect())
}

/// Entries as people read them: `2024-03-13 11:30:00 - Abel Tuter (Work notes)`, the text on the next line, an empty
/// line after each. Empty when there are none.
///
/// # Errors
/// What the store answers.
pub fn print(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    entries: &[Entry],
    label: &str,
    formats: &Formats,
) -> Result<String, StoreError> {
    let mut names: HashMap<&str, String> = HashMap::new();
    let mut text = String::new();
    for entry in entries {
        if !names.contains_key(entry.author.as_str()) {
            names.insert(&entry.author, author_name(read, dictionary, &entry.author)?);
        }
        let (at, name) = (formats.date_time(&entry.written_at), &names[entry.author.as_str()]);
        text.push_str(&format!("{at} - {name} ({label})\n{}\n\n", entry.text));
    }
    Ok(text)
}

/// The user's name; the login when there is no such user or it has no name.
fn author_name(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    login: &str,
) -> Result<String, StoreError> {
    let Some(table) = dictionary.table("sys_user") else { return Ok(login.to_owned()) };
    let found = read.select(&lookup::equal(table, &[("user_name", login)]).limit(1))?;
    let name = found.first().map(|row| row.text("name")).filter(|name| !name.is_empty());
    Ok(name.unwrap_or(login).to_owned())
}
