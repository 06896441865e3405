//! The tables of a pack: their definitions, choice lists and overrides.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_model::{Dictionary, Record, TableDef, Value};

use super::document::PackDocument;
use super::rows::{Installer, Policy, Wanted};
use crate::error::EngineError;
use crate::records::dictionary::{ChoiceRow, ColumnRow, is_system_column};
use crate::records::seed::{TableRows, TableSpec};
use campanile_model::limits::TABLE_COLUMNS_MAX;
use campanile_model::nearest::suggestion;
use campanile_model::table_def::INTERNAL_TYPES;

/// Short forms of column types that packs may name besides the dictionary's own.
const SHORT_TYPES: [&str; 5] = ["datetime", "date", "time", "duration", "list"];

impl Installer<'_> {
    /// Writes the definitions of all tables, then has the physical tables follow.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] with the path of what is wrong.
    pub(super) fn install_tables(&mut self, pack: &PackDocument) -> Result<(), EngineError> {
        let mut paths = HashMap::new();
        let sets: Vec<TableRows> = pack.tables.iter().map(|table| table.rows(self.pack)).collect();
        let dictionary = self.execution.dictionary()?;
        for (place, spec) in pack.tables.iter().enumerate() {
            self.check_table(pack, &dictionary, spec, &format!("tables[{place}]"))?;
        }
        for (place, (spec, rows)) in pack.tables.iter().zip(&sets).enumerate() {
            let path = format!("tables[{place}]");
            paths.insert(spec.name.clone(), path.clone());
            self.install_table(spec, rows, &path)?;
        }
        for (place, (spec, rows)) in pack.tables.iter().zip(&sets).enumerate() {
            let exists = dictionary.table(&spec.name).is_some();
            for (number, column) in rows.columns.iter().enumerate() {
                let path = match number.checked_sub(1).filter(|n| *n < spec.fields.len()) {
                    Some(field) => format!("tables[{place}].fields[{field}]"),
                    None => format!("tables[{place}]"),
                };
                paths.insert(format!("{}.{}", column.table, column.element), path.clone());
                self.install_column(column, path, exists)?;
            }
        }
        self.execution.settle_definitions().map_err(|error| match error {
            EngineError::Integrity { display, detail, .. } => {
                let path = paths.get(&display).map_or("tables", String::as_str);
                self.refuse(path, detail)
            }
            other => other,
        })?;
        for (place, (spec, rows)) in pack.tables.iter().zip(&sets).enumerate() {
            for choice in &rows.choices {
                let field = spec.fields.iter().position(|field| field.name == choice.element);
                let path = format!("tables[{place}].fields[{}].choices", field.unwrap_or_default());
                self.install_choice(choice, path)?;
            }
        }
        self.install_choice_lists(pack)?;
        self.install_overrides(pack)?;
        self.execution.settle_definitions()
    }

    fn check_table(
        &self,
        pack: &PackDocument,
        dictionary: &Dictionary,
        spec: &TableSpec,
        path: &str,
    ) -> Result<(), EngineError> {
        let known = |name: &str| {
            dictionary.table(name).is_some() || pack.tables.iter().any(|table| table.name == name)
        };
        let unknown = |name: &str| {
            let names = dictionary.tables().map(|table| &*table.name);
            let names = names.chain(pack.tables.iter().map(|table| table.name.as_str()));
            format!("there is no table '{name}'{}", suggestion(name, names))
        };
        if spec.name.is_empty() {
            return Err(self.refuse(format!("{path}.name"), "is missing: every table needs a name"));
        }
        if !spec.extends.is_empty() && !known(&spec.extends) {
            return Err(self.refuse(format!("{path}.extends"), unknown(&spec.extends)));
        }
        // Told before anything is written: the table with what it has already is judged when its columns are settled.
        if spec.fields.len() > TABLE_COLUMNS_MAX {
            let detail = format!(
                "{} columns, the limit is {TABLE_COLUMNS_MAX}: keep some in a table of their own",
                spec.fields.len()
            );
            return Err(self.refuse(format!("{path}.fields"), detail));
        }
        for (place, field) in spec.fields.iter().enumerate() {
            let path = format!("{path}.fields[{place}]");
            if field.name.is_empty() {
                return Err(
                    self.refuse(format!("{path}.name"), "is missing: every column needs a name")
                );
            }
            if is_system_column(&field.name) {
                let detail = format!(
                    "table '{}' has the column '{}' by itself: leave it out of 'fields', or name yours 'u_{}'",
                    spec.name, field.name, field.name
                );
                return Err(self.refuse(format!("{path}.name"), detail));
            }
            if !field.reference.is_empty() && !known(&field.reference) {
                return Err(self.refuse(format!("{path}.reference"), unknown(&field.reference)));
            }
            let name = field.field_type.as_str();
            let mut types = INTERNAL_TYPES.iter().chain(&SHORT_TYPES);
            if !name.is_empty() && !types.clone().any(|known| *known == name) {
                let meant = suggestion(name, types.by_ref().copied());
                return Err(self
                    .refuse(format!("{path}.type"), format!("'{name}' is no column type{meant}")));
            }
        }
        Ok(())
    }

    fn install_table(
        &mut self,
        spec: &TableSpec,
        rows: &TableRows,
        path: &str,
    ) -> Result<(), EngineError> {
        let table = self.table("sys_db_object")?;
        let parent = match rows.table.parent.as_str() {
            "" => String::new(),
            // Of a parent in the same pack the row may not be there yet; its key is known all the same.
            parent => {
                let id = crate::records::seed::stable_id(self.pack, "tables", parent);
                self.place(&table, id.as_str(), &[("name", parent)])?.sys_id
            }
        };
        let place = self.place(&table, &rows.table.sys_id, &[("name", &spec.name)])?;
        let foreign = place.existing.as_ref().filter(|_| !place.own);
        if let Some(existing) = foreign.filter(|_| !parent.is_empty())
            && !existing.text("super_class").eq_ignore_ascii_case(&parent)
        {
            let detail = format!(
                "table '{}' exists and extends another table: leave 'extends' out",
                spec.name
            );
            return Err(self.refuse(format!("{path}.extends"), detail));
        }
        let values = values_of(&rows.table.to_record(&table, &parent));
        self.write(Wanted {
            path: path.to_owned(),
            key: spec.name.clone(),
            place,
            values,
            journals: Vec::new(),
            policy: Policy::Shared,
            table,
        })
    }

    fn install_column(
        &mut self,
        column: &ColumnRow,
        path: String,
        table_exists: bool,
    ) -> Result<(), EngineError> {
        let table = self.table("sys_dictionary")?;
        let natural = [("name", column.table.as_str()), ("element", column.element.as_str())];
        let place = self.place(&table, &column.sys_id, &natural)?;
        // A table that exists has its system columns and its collection row, if it wants them.
        let own = column.element.is_empty() || is_system_column(&column.element);
        if table_exists && own && place.existing.is_none() && self.marks.of(&place.sys_id).is_none()
        {
            return Ok(());
        }
        self.write(Wanted {
            path,
            key: format!("{}.{}", column.table, column.element),
            place,
            values: values_of(&column.to_record(&table)),
            journals: Vec::new(),
            policy: if own { Policy::Shared } else { Policy::Definition },
            table,
        })
    }

    fn install_choice(&mut self, choice: &ChoiceRow, path: String) -> Result<(), EngineError> {
        let table = self.table("sys_choice")?;
        let natural = [
            ("name", choice.table.as_str()),
            ("element", choice.element.as_str()),
            ("value", choice.value.as_str()),
            ("language", choice.language.as_str()),
        ];
        self.write(Wanted {
            path,
            key: format!("{}.{}={}", choice.table, choice.element, choice.value),
            place: self.place(&table, &choice.sys_id, &natural)?,
            values: values_of(&choice.to_record(&table)),
            journals: Vec::new(),
            policy: Policy::Definition,
            table,
        })
    }

    fn install_choice_lists(&mut self, pack: &PackDocument) -> Result<(), EngineError> {
        for (place, list) in pack.choices.iter().enumerate() {
            let path = format!("choices[{place}]");
            let table = self.known_table(&list.table, &format!("{path}.table"))?;
            let field = self.known_column(&table, &list.element, &format!("{path}.element"))?;
            if !field {
                self.report.warnings.push(format!(
                    "{path}: '{}' of {} is defined without a choice list, so these choices are not offered",
                    list.element, list.table
                ));
            }
            for (number, choice) in list.rows(self.pack).iter().enumerate() {
                self.install_choice(choice, format!("{path}.values[{number}]"))?;
            }
        }
        Ok(())
    }

    fn install_overrides(&mut self, pack: &PackDocument) -> Result<(), EngineError> {
        let definitions = self.table("sys_dictionary_override")?;
        for (place, spec) in pack.overrides.iter().enumerate() {
            let path = format!("overrides[{place}]");
            self.known_table(&spec.table, &format!("{path}.table"))?;
            let base = self.known_table(&spec.base_table, &format!("{path}.base_table"))?;
            self.known_column(&base, &spec.element, &format!("{path}.element"))?;
            let row = spec.row(self.pack);
            let natural = [
                ("name", spec.table.as_str()),
                ("base_table", spec.base_table.as_str()),
                ("element", spec.element.as_str()),
            ];
            self.write(Wanted {
                path,
                key: format!("{}.{}", spec.table, spec.element),
                place: self.place(&definitions, &row.sys_id, &natural)?,
                values: values_of(&row.to_record(&definitions)),
                journals: Vec::new(),
                policy: Policy::Definition,
                table: Arc::clone(&definitions),
            })?;
        }
        Ok(())
    }

    /// The table called `name`, which stands at `path`.
    pub(super) fn known_table(&self, name: &str, path: &str) -> Result<Arc<TableDef>, EngineError> {
        let dictionary = self.execution.dictionary()?;
        dictionary.table(name).cloned().ok_or_else(|| {
            let names = dictionary.tables().map(|table| &*table.name);
            self.refuse(path, format!("there is no table '{name}'{}", suggestion(name, names)))
        })
    }

    /// Whether the column has a choice list.
    fn known_column(&self, table: &TableDef, name: &str, path: &str) -> Result<bool, EngineError> {
        table.field(name).map(|field| field.has_choices).ok_or_else(|| {
            let names = table.fields.iter().map(|field| &*field.name);
            let meant = suggestion(name, names);
            self.refuse(path, format!("table '{}' has no column '{name}'{meant}", table.name))
        })
    }
}

/// The values that a definition sets, without the key.
fn values_of(record: &Record) -> Vec<(Arc<str>, Value)> {
    let fields = record.table().fields.iter().zip(record.values());
    fields
        .filter(|(field, value)| !value.is_nil() && &*field.name != "sys_id")
        .map(|(field, value)| (Arc::clone(&field.name), value.clone()))
        .collect()
}
