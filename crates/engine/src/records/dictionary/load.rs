//! Reading the dictionary into a snapshot.

use std::sync::Arc;

use campanile_model::{Dictionary, TableDef};
use campanile_store::ReadTx;

use super::flatten::{choice_lists, flatten};
use super::rows::{ChoiceRow, ColumnRow, DictionaryRows};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::{lookup, seed};

/// Language of the labels, until sessions have one.
const LANGUAGE: &str = "en";

/// All tables without the choice lists: a new choice, which is frequent while data is imported, leaves the
/// definitions of the tables as they are.
#[derive(Debug)]
struct Tables {
    tables: Vec<Arc<TableDef>>,
    borrowing: Vec<ColumnRow>,
}

impl Load for Tables {
    const TABLES: &'static [&'static str] =
        &["sys_db_object", "sys_dictionary", "sys_dictionary_override"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let read = Arc::clone(engine.store()).read()?;
        let mut rows = DictionaryRows::read(&*read, seed::system_dictionary()?)?;
        let tables = flatten(&rows, &display_default(&*read)?);
        rows.columns.retain(|column| column.choice_source.is_some());
        Ok(Self { tables, borrowing: rows.columns })
    }
}

impl Load for Dictionary {
    const TABLES: &'static [&'static str] =
        &["sys_db_object", "sys_dictionary", "sys_dictionary_override", "sys_choice"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let tables = engine.definitions::<Tables>()?;
        let read = Arc::clone(engine.store()).read()?;
        let choices = read_choices(&*read)?;
        let lists = choice_lists(&choices, &tables.borrowing, LANGUAGE);
        Ok(Self::new(tables.tables.iter().cloned(), lists))
    }
}

/// The dictionary as a transaction sees it, its own writes included.
///
/// # Errors
/// What the store answers.
pub fn read(read: &dyn ReadTx) -> Result<Dictionary, EngineError> {
    let rows = DictionaryRows::read(read, seed::system_dictionary()?)?;
    let lists = choice_lists(&read_choices(read)?, &rows.columns, LANGUAGE);
    Ok(Dictionary::new(flatten(&rows, &display_default(read)?), lists))
}

fn read_choices(read: &dyn ReadTx) -> Result<Vec<ChoiceRow>, EngineError> {
    let table = lookup::table(seed::system_dictionary()?, "sys_choice")?;
    let rows = read.select(&lookup::ordered(lookup::equal(table, &[]), &["name", "sequence"]))?;
    Ok(rows.iter().map(ChoiceRow::from_record).collect())
}

/// The column of `glide.record.display_value_default`; empty for none. A change of the property counts from the
/// next change of the dictionary, or the next start.
pub(super) fn display_default(read: &dyn ReadTx) -> Result<String, EngineError> {
    let table = lookup::table(seed::system_dictionary()?, "sys_properties")?;
    let wanted = [("name", "glide.record.display_value_default")];
    let rows = read.select(&lookup::equal(table, &wanted))?;
    Ok(rows.first().map(|row| row.text("value").to_owned()).unwrap_or_default())
}
