//! The display value of a field and of a row.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Dictionary, FieldDef, FieldIndex, FieldType, Record, SysId, TableDef};
use campanile_store::{ReadTx, StoreError};

use super::duration::duration_text;
use super::formats::Formats;
use crate::records::{choices, journal, lookup};

/// What a password shows, set or not.
const PASSWORD: &str = "********";
/// References whose display column is itself a reference are followed this far.
const STEPS_MAX: usize = 4;
/// Keys in one query of [`Display::prefetch`].
const PREFETCH_KEYS_MAX: usize = 500;

/// Makes display values for one request. Rows that references lead to are read once; [`Display::prefetch`] reads
/// those of a whole list together.
pub struct Display<'a> {
    read: &'a dyn ReadTx,
    dictionary: &'a Dictionary,
    formats: Formats,
    known: RefCell<KnownRows>,
}

/// Display values by table and key in lower case; empty for a row that is gone.
type KnownRows = HashMap<(Arc<str>, String), Rc<str>>;

/// The display value of one field, with nothing remembered. Empty for nil and for a reference to a row that is gone.
///
/// # Errors
/// What the store answers.
pub fn field(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    record: &Record,
    field: FieldIndex,
    formats: &Formats,
) -> Result<String, StoreError> {
    Display::new(read, dictionary, formats.clone()).field(record, field)
}

/// The display value of a row (business-rules §12.4), with nothing remembered.
///
/// # Errors
/// What the store answers.
pub fn record(
    read: &dyn ReadTx,
    dictionary: &Dictionary,
    record: &Record,
    formats: &Formats,
) -> Result<String, StoreError> {
    Display::new(read, dictionary, formats.clone()).record(record)
}

/// The fields of a row that its display value is made of, whatever it holds: its other values need not be read for it.
/// Rows that it refers to and entries of journals are read by themselves.
#[must_use]
pub fn fields_of(table: &TableDef) -> Vec<FieldIndex> {
    // Entries of a journal are found by the key, and labels of choices by the class.
    let named = ["sys_id", "sys_class_name"].into_iter().filter_map(|name| table.index(name));
    let mut fields: Vec<FieldIndex> = named.chain([table.display_field]).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

impl<'a> Display<'a> {
    /// Display values as `read` sees the rows, for a person with `formats`.
    #[must_use]
    pub fn new(read: &'a dyn ReadTx, dictionary: &'a Dictionary, formats: Formats) -> Self {
        Self { read, dictionary, formats, known: RefCell::default() }
    }

    /// The display value of one field. Empty for nil and for a reference to a row that is gone.
    ///
    /// # Errors
    /// What the store answers.
    pub fn field(&self, record: &Record, field: FieldIndex) -> Result<String, StoreError> {
        self.field_at(record, field, STEPS_MAX)
    }

    /// The display value of a row.
    ///
    /// # Errors
    /// What the store answers.
    pub fn record(&self, record: &Record) -> Result<String, StoreError> {
        self.record_at(record, STEPS_MAX)
    }

    /// The display value of the row `sys_id` of `table`; empty when there is none.
    ///
    /// # Errors
    /// What the store answers.
    pub fn reference(&self, table: &str, sys_id: &str) -> Result<String, StoreError> {
        Ok(self.reference_at(table, sys_id, STEPS_MAX)?.to_string())
    }

    /// Reads the rows that `fields` of all `records` (of one table) refer to, a query for each table instead of one
    /// for each value.
    ///
    /// # Errors
    /// What the store answers.
    pub fn prefetch(&self, records: &[Record], fields: &[FieldIndex]) -> Result<(), StoreError> {
        let Some(first) = records.first() else { return Ok(()) };
        let mut wanted: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for index in fields {
            let def = &first.table().fields[*index];
            if !matches!(def.field_type, FieldType::Reference | FieldType::GlideList) {
                continue;
            }
            let keys = wanted.entry(Arc::clone(&def.reference)).or_default();
            let texts = records.iter().flat_map(|record| record.at(*index).as_str().split(','));
            keys.extend(
                texts
                    .filter(|text| SysId::is_valid(text))
                    .map(|t| Arc::from(t.to_ascii_lowercase())),
            );
        }
        for (name, mut keys) in wanted {
            let Some(table) = self.dictionary.table(&name) else { continue };
            keys.sort_unstable();
            keys.dedup();
            {
                let known = self.known.borrow();
                keys.retain(|key| !known.contains_key(&(Arc::clone(&name), key.to_string())));
            }
            for some in keys.chunks(PREFETCH_KEYS_MAX) {
                self.fetch(table, some)?;
            }
        }
        Ok(())
    }

    fn fetch(&self, table: &Arc<TableDef>, keys: &[Arc<str>]) -> Result<(), StoreError> {
        let mut select = lookup::one_of(table, &[("sys_id", keys.to_vec())]);
        select.fields = Some(fields_of(table));
        let mut shown: HashMap<String, Rc<str>> =
            keys.iter().map(|key| (key.to_string(), Rc::from(""))).collect();
        for row in self.read.select(&select)? {
            let text = self.record_at(&row, STEPS_MAX)?;
            shown.insert(row.text("sys_id").to_ascii_lowercase(), Rc::from(text));
        }
        let mut known = self.known.borrow_mut();
        known.extend(shown.into_iter().map(|(key, text)| ((Arc::clone(&table.name), key), text)));
        Ok(())
    }

    fn record_at(&self, record: &Record, steps: usize) -> Result<String, StoreError> {
        self.field_at(record, record.table().display_field, steps)
    }

    fn field_at(
        &self,
        record: &Record,
        field: FieldIndex,
        steps: usize,
    ) -> Result<String, StoreError> {
        let def = &record.table().fields[field];
        let value = record.at(field);
        match def.field_type {
            FieldType::Password | FieldType::Password2 => return Ok(PASSWORD.to_owned()),
            FieldType::Journal => return self.journal(record, def),
            _ => {}
        }
        let Some(stored) = value.as_option() else { return Ok(String::new()) };
        Ok(match def.field_type {
            FieldType::Boolean => value.is_true().to_string(),
            FieldType::DateTime => self.formats.date_time(stored),
            FieldType::Date => self.formats.date(stored),
            FieldType::Time => self.formats.time(stored),
            FieldType::Duration => duration_text(stored),
            FieldType::Reference => self.reference_at(&def.reference, stored, steps)?.to_string(),
            FieldType::GlideList => self.list(def, stored, steps)?,
            FieldType::TableName => match self.dictionary.table(stored) {
                Some(table) => table.label.to_string(),
                None => stored.to_owned(),
            },
            _ if def.has_choices => {
                choices::label(self.dictionary, record.class_name(), def, stored)
            }
            _ => stored.to_owned(),
        })
    }

    fn list(&self, def: &FieldDef, stored: &str, steps: usize) -> Result<String, StoreError> {
        let mut shown = Vec::new();
        for member in stored.split(',') {
            // A list may hold what is no key, for example a mail address: that shows itself.
            if def.reference.is_empty() || !SysId::is_valid(member) {
                shown.push(member.to_owned());
                continue;
            }
            let text = self.reference_at(&def.reference, member, steps)?;
            if !text.is_empty() {
                shown.push(text.to_string());
            }
        }
        Ok(shown.join(", "))
    }

    fn reference_at(&self, table: &str, sys_id: &str, steps: usize) -> Result<Rc<str>, StoreError> {
        let Some(table) = self.dictionary.table(table) else { return Ok(Rc::from("")) };
        let key = (Arc::clone(&table.name), sys_id.to_ascii_lowercase());
        if let Some(text) = self.known.borrow().get(&key) {
            return Ok(Rc::clone(text));
        }
        let text: Rc<str> = match self.read.get(table, sys_id)? {
            Some(row) if steps > 0 => Rc::from(self.record_at(&row, steps - 1)?),
            _ => Rc::from(""),
        };
        self.known.borrow_mut().insert(key, Rc::clone(&text));
        Ok(text)
    }

    fn journal(&self, record: &Record, def: &FieldDef) -> Result<String, StoreError> {
        let entries = journal::entries(
            self.read,
            self.dictionary,
            record.text("sys_id"),
            &def.name,
            journal::ALL,
        )?;
        journal::print(self.read, self.dictionary, &entries, &def.label, &self.formats)
    }
}
