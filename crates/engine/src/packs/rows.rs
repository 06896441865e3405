//! Writing the rows of a pack: what is new, what is outdated, what a person has edited.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::{Record, SysId, TableDef, Value};

use super::apply::ApplyOptions;
use super::marks::{self, Marks};
use super::names::{Names, rows_with};
use super::report::{Change as Reported, PackReport};
use super::yaml::bad_input;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::operation::{self, Change, Door, JournalEntry, Kind, Options, Outcome};
use crate::records::seed::stable_id;

/// How a row of the pack meets one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Follows the pack; what a person has edited is kept, unless forced.
    Definition,
    /// As a definition; also takes over a row of others that nobody has edited.
    TakesOver,
    /// A row of others is left as it is, without a word.
    Shared,
    /// Written only when absent; rules do not run, as for all data that is imported with the system.
    Data,
}

/// A row as the pack wants it.
pub(super) struct Wanted {
    /// Where it stands in the document.
    pub(super) path: String,
    pub(super) table: Arc<TableDef>,
    /// What identifies it for people.
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) values: Vec<(Arc<str>, Value)>,
    pub(super) journals: Vec<(Arc<str>, Arc<str>)>,
    pub(super) policy: Policy,
}

/// The key of a row, and the row that has it or its name already.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) sys_id: String,
    pub(super) existing: Option<Record>,
    /// The row has the pack's own key.
    pub(super) own: bool,
}

/// One application of one pack.
pub(super) struct Installer<'a> {
    pub(super) execution: &'a Rc<Execution>,
    pub(super) file: &'a str,
    pub(super) pack: &'a str,
    pub(super) package: SysId,
    pub(super) options: ApplyOptions,
    pub(super) names: Names,
    pub(super) marks: Marks,
    pub(super) report: PackReport,
    /// Rows that the document has brought so far, with their paths.
    seen: HashMap<String, String>,
    /// Rows of the pack, whether written or found as wanted.
    pub(super) present: HashSet<String>,
}

impl<'a> Installer<'a> {
    pub(super) fn new(
        execution: &'a Rc<Execution>,
        file: &'a str,
        pack: &'a str,
        options: ApplyOptions,
    ) -> Self {
        Self {
            execution,
            file,
            pack,
            package: stable_id(pack, "packages", pack),
            options,
            names: Names::default(),
            marks: Marks::default(),
            report: PackReport::default(),
            seen: HashMap::new(),
            present: HashSet::new(),
        }
    }

    /// The table called `name` as the installation sees it.
    pub(super) fn table(&self, name: &str) -> Result<Arc<TableDef>, EngineError> {
        let dictionary = self.execution.dictionary()?;
        let table = dictionary.table(name).cloned();
        table.ok_or_else(|| EngineError::TableUnknown(name.to_owned()))
    }

    /// A refusal of what stands at `path`.
    pub(super) fn refuse(&self, path: impl AsRef<str>, detail: impl Into<String>) -> EngineError {
        bad_input(self.file, path, detail)
    }

    /// Where the row with this stable key, or with these values in the columns that name it, is or will be.
    pub(super) fn place(
        &self,
        table: &Arc<TableDef>,
        sys_id: &str,
        natural: &[(&str, &str)],
    ) -> Result<Place, EngineError> {
        if let Some(existing) = self.execution.with_read(|tx| tx.get(table, sys_id))? {
            return Ok(Place { sys_id: sys_id.to_owned(), existing: Some(existing), own: true });
        }
        let named = match natural.split_first() {
            Some(((column, text), rest)) if !text.is_empty() => {
                let mut rows = rows_with(self.execution, table, column, text)?;
                rows.retain(|row| rest.iter().all(|(column, text)| row.text(column) == *text));
                rows.into_iter().next()
            }
            _ => None,
        };
        Ok(match named {
            Some(row) => {
                Place { sys_id: row.text("sys_id").to_owned(), existing: Some(row), own: false }
            }
            None => Place { sys_id: sys_id.to_owned(), existing: None, own: true },
        })
    }

    /// Writes the row, if it has to be written.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] with the path, for whatever refuses it.
    pub(super) fn write(&mut self, wanted: Wanted) -> Result<(), EngineError> {
        let id = wanted.place.sys_id.to_ascii_lowercase();
        if let Some(first) = self.seen.insert(id.clone(), wanted.path.clone()) {
            let detail = format!("'{}' stands in the pack twice: see {first}", wanted.key);
            return Err(self.refuse(&wanted.path, detail));
        }
        self.present.insert(id.clone());
        match wanted.place.existing.clone() {
            None => self.insert(wanted, &id),
            Some(existing) => self.meet(wanted, &id, &existing),
        }
    }

    fn insert(&mut self, wanted: Wanted, id: &str) -> Result<(), EngineError> {
        if self.marks.of(id).is_some() && !self.options.force {
            self.warn(&wanted, "was deleted since the pack brought it and stays away");
            return Ok(());
        }
        let mut values = wanted.values.clone();
        let table = Arc::clone(&wanted.table);
        let mut add = |name: &str, value: Value| {
            if let Some(field) =
                table.field(name).filter(|f| !values.iter().any(|(n, _)| *n == f.name))
            {
                values.push((Arc::clone(&field.name), value));
            }
        };
        if wanted.policy != Policy::Data {
            add("sys_package", Value::text(self.package.as_str()));
            add("sys_name", Value::text(&wanted.key));
        }
        let record = self.operate(&wanted, Kind::Insert, values)?;
        if wanted.policy != Policy::Data {
            self.marks.set(&record);
        }
        self.note("insert", &wanted, Vec::new());
        Ok(())
    }

    /// The row is there: changes it where the pack has changed and nobody else did.
    fn meet(&mut self, wanted: Wanted, id: &str, existing: &Record) -> Result<(), EngineError> {
        let foreign = !wanted.place.own;
        if wanted.policy == Policy::Data || (foreign && wanted.policy == Policy::Shared) {
            return Ok(());
        }
        let differs: Vec<(Arc<str>, Value)> = wanted
            .values
            .iter()
            .filter(|(name, value)| existing.get(name) != value)
            .cloned()
            .collect();
        if differs.is_empty() {
            return Ok(());
        }
        let fields: Vec<String> = differs.iter().map(|(name, _)| name.to_string()).collect();
        let untouched = match self.marks.of(id) {
            Some(digest) => digest == marks::digest(existing),
            None => {
                wanted.policy == Policy::TakesOver
                    && existing.get("sys_mod_count").as_i64().unwrap_or(0) == 0
            }
        };
        if !untouched && !self.options.force {
            let why = match (foreign, self.marks.of(id)) {
                (true, None) => "is not from this pack and differs in",
                _ => "was edited since the pack wrote it and differs in",
            };
            self.warn(&wanted, &format!("{why} {}: kept; force overwrites it", fields.join(", ")));
            return Ok(());
        }
        let record = self.operate(&wanted, Kind::Update, differs)?;
        self.marks.set(&record);
        // A save check may have made of the value what was there before.
        let fields: Vec<String> =
            fields.into_iter().filter(|name| record.get(name) != existing.get(name)).collect();
        if !fields.is_empty() {
            self.note("update", &wanted, fields);
        }
        Ok(())
    }

    fn operate(
        &mut self,
        wanted: &Wanted,
        kind: Kind,
        values: Vec<(Arc<str>, Value)>,
    ) -> Result<Record, EngineError> {
        let journal = |(field, text): &(Arc<str>, Arc<str>)| JournalEntry {
            field: Arc::clone(field),
            text: Arc::clone(text),
            user: None,
            stored: false,
        };
        let change = Change {
            kind,
            table: Arc::clone(&wanted.table),
            sys_id: Some(Arc::from(wanted.place.sys_id.as_str())),
            values,
            journals: wanted.journals.iter().map(journal).collect(),
            fresh: None,
            reason: Arc::from(format!("pack {}", self.pack)),
            options: Options {
                workflow: wanted.policy != Policy::Data,
                ..Options::plain(Door::System)
            },
        };
        let outcome =
            operation::run(self.execution, &change).map_err(operation::Failure::into_error)?;
        let warnings = self.execution.take_warnings();
        self.report.warnings.extend(warnings);
        match outcome {
            Outcome::Done { record, .. } => Ok(record),
            Outcome::Refused(EngineError::Store(error)) => Err(error.into()),
            Outcome::Refused(refusal) => Err(self.refuse(&wanted.path, refusal.to_string())),
        }
    }

    fn note(&mut self, action: &'static str, wanted: &Wanted, fields: Vec<String>) {
        self.report.changes.push(Reported {
            action,
            table: wanted.table.name.to_string(),
            key: wanted.key.clone(),
            fields,
        });
    }

    fn warn(&mut self, wanted: &Wanted, what: &str) {
        let Wanted { path, table, key, .. } = wanted;
        self.report.warnings.push(format!("{path}: {} '{key}' {what}", table.name));
    }
}
