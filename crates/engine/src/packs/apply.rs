//! Applying a pack: everything in one transaction, or nothing.

use std::rc::Rc;
use std::sync::Arc;

use campanile_model::Value;

use super::document::{self, PackDocument, RecordSpec, Row};
use super::marks::Marks;
use super::report::PackReport;
use super::rows::{Installer, Place, Policy, Wanted};
use super::sections::{self, Section};
use super::source::PackSource;
use super::values::Resolver;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::execution::Execution;
use crate::records::gate;
use crate::records::seed::stable_id;
use crate::records::unit_of_work::Finish;
use crate::session::{Channel, Session};
use crate::worker::{SCRIPT_STACK_BYTES, Worker, spawn_named};

/// How to apply a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplyOptions {
    /// Writes the demo data too.
    pub demo: bool,
    /// Overwrites rows that were edited since the pack wrote them, and brings back those that were deleted.
    pub force: bool,
    /// Only tells what would change.
    pub dry_run: bool,
}

/// Whether the session may apply packs at all: told before anything of the call is read.
///
/// # Errors
/// [`EngineError::NotAllowed`] for anybody but an administrator.
pub fn allow(session: &Session) -> Result<(), EngineError> {
    gate::require_role(session, &[], "packs")
}

/// Brings the database in line with the pack, in one transaction. Applied again it changes nothing. What a person
/// has edited since the pack wrote it stays, and is told.
///
/// # Errors
/// [`EngineError::NotAllowed`] for anybody but an administrator; [`EngineError::BadInput`] with the path of what is
/// wrong: then nothing was changed. What the store answers.
pub fn apply(
    worker: &Worker,
    session: &Session,
    source: &PackSource,
    options: ApplyOptions,
) -> Result<PackReport, EngineError> {
    allow(session)?;
    let pack = document::parse(source)?;
    let session = Session { channel: Channel::System, ..session.clone() };
    let execution = worker.execution(session);
    let finish = if options.dry_run { Finish::RollBack } else { Finish::Commit };
    let mut report =
        execution.installation(finish, || install(&execution, source, &pack, options))?;
    report.mark = execution.commit_mark();
    Ok(report)
}

/// As [`apply`], by the product itself, on a script thread of its own; durable when it returns.
///
/// # Errors
/// As [`apply`].
pub fn apply_blocking(
    engine: &Arc<Engine>,
    source: &PackSource,
    options: ApplyOptions,
) -> Result<PackReport, EngineError> {
    let (for_worker, source) = (Arc::clone(engine), source.clone());
    let work = move || {
        let worker = Worker::new(for_worker)?;
        apply(&worker, &Session::system(), &source, options)
    };
    let thread = spawn_named("pack", Some(SCRIPT_STACK_BYTES), work).map_err(|error| {
        EngineError::Unavailable(format!("a thread for the pack could not be started: {error}"))
    })?;
    let report = thread.join().map_err(|_panic| {
        EngineError::Unavailable("applying the pack ended in a fault; the log says why".to_owned())
    })??;
    engine.store().wait_durable(report.mark)?;
    Ok(report)
}

fn install(
    execution: &Rc<Execution>,
    source: &PackSource,
    pack: &PackDocument,
    options: ApplyOptions,
) -> Result<PackReport, EngineError> {
    let mut installer = Installer::new(execution, &source.name_or_path, &pack.name, options);
    installer.report.name.clone_from(&pack.name);
    installer.report.version.clone_from(&pack.version);
    let key = Marks::key(&pack.name);
    let kept = execution.with_unit_writer(|writer| Ok(writer.meta_get(&key)?))?;
    installer.marks = Marks::read(kept.as_deref());
    let marks = installer.marks.clone();

    installer.check_requirements(pack)?;
    installer.install_package(pack)?;
    installer.install_tables(pack)?;
    installer.install_people(pack)?;
    for (section, entries) in [
        (&sections::NUMBERS, &pack.numbers),
        (&sections::PROPERTIES, &pack.properties.0),
        (&sections::QUEUES, &pack.queues),
        (&sections::EVENTS, &pack.events),
        (&sections::BUSINESS_RULES, &pack.business_rules),
        (&sections::SCRIPT_ACTIONS, &pack.script_actions),
    ] {
        installer.install_section(section, entries)?;
    }
    installer.install_records("records", &pack.records)?;
    if options.demo {
        installer.install_records("demo", &pack.demo)?;
    }
    installer.tell_leftovers()?;
    if installer.marks != marks {
        let text = installer.marks.text();
        execution.with_unit_writer(|writer| Ok(writer.meta_set(&key, &text)?))?;
    }
    Ok(installer.report)
}

impl Installer<'_> {
    fn check_requirements(&self, pack: &PackDocument) -> Result<(), EngineError> {
        let table = self.table("sys_package")?;
        for (place, name) in pack.requires.iter().enumerate() {
            let found = super::names::rows_with(self.execution, &table, "source", name)?;
            if found.is_empty() {
                let detail = format!("pack '{name}' is not installed: apply it first");
                return Err(self.refuse(format!("requires[{place}]"), detail));
            }
        }
        Ok(())
    }

    fn install_package(&mut self, pack: &PackDocument) -> Result<(), EngineError> {
        let table = self.table("sys_package")?;
        let label = if pack.title.is_empty() { &pack.name } else { &pack.title };
        let requires = pack.requires.join(",");
        let values = [
            ("name", pack.name.as_str()),
            ("source", &pack.name),
            ("version", &pack.version),
            ("description", label),
            ("requires", &requires),
        ];
        let place = self.place(&table, self.package.as_str(), &[("source", &pack.name)])?;
        let values = values.map(|(name, text)| (Arc::from(name), Value::text(text)));
        // The version is the pack's own business: it is written whatever a person did to the row.
        let force = std::mem::replace(&mut self.options.force, true);
        let written = self.write(Wanted {
            path: "name".to_owned(),
            key: pack.name.clone(),
            place,
            values: values.to_vec(),
            journals: Vec::new(),
            policy: Policy::Definition,
            table,
        });
        self.options.force = force;
        written
    }

    /// The key of an entry, and where its row is.
    pub(super) fn keyed(
        &self,
        section: &Section,
        table: &Arc<campanile_model::TableDef>,
        entry: &Row,
        path: &str,
    ) -> Result<(String, Place), EngineError> {
        let written = section.key_of(section.key);
        let key = match entry.text(written) {
            "" => entry.text(section.key),
            key => key,
        };
        if key.is_empty() {
            return Err(
                self.refuse(format!("{path}.{written}"), "is missing: it identifies the row")
            );
        }
        let id = stable_id(self.pack, section.name, key);
        // Rules of one name may stand on several tables and in several packs.
        let natural: &[(&str, &str)] =
            if section.table == "sys_script" { &[] } else { &[(section.key, key)] };
        Ok((key.to_owned(), self.place(table, id.as_str(), natural)?))
    }

    pub(super) fn install_section(
        &mut self,
        section: &Section,
        entries: &[Row],
    ) -> Result<(), EngineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let dictionary = self.execution.dictionary()?;
        let table = self.table(section.table)?;
        for (place, entry) in entries.iter().enumerate() {
            let path = format!("{}[{place}]", section.name);
            let resolver = Resolver {
                execution: self.execution,
                dictionary: &dictionary,
                names: &self.names,
                file: self.file,
            };
            let (mut values, journals) = resolver.entry(section, &table, &path, entry)?;
            if section.table == "sys_script"
                && !values.iter().any(|(name, _)| &**name == "advanced")
            {
                // On the platform a script runs only when the form was in its advanced view.
                let scripted = !entry.text("script").is_empty();
                values.push((Arc::from("advanced"), Value::bool(scripted)));
            }
            let (key, found) = self.keyed(section, &table, entry, &path)?;
            let policy = if section.takes_over { Policy::TakesOver } else { Policy::Definition };
            self.write(Wanted {
                path,
                table: Arc::clone(&table),
                key,
                place: found,
                values,
                journals,
                policy,
            })?;
        }
        Ok(())
    }

    pub(super) fn name_records(
        &mut self,
        section: &str,
        records: &[RecordSpec],
    ) -> Result<(), EngineError> {
        for (place, spec) in records.iter().enumerate() {
            let path = format!("{section}[{place}]");
            let table = self.known_table(&spec.table, &format!("{path}.table"))?;
            let (key, found) = self.record_place(section, &table, spec)?;
            if let Some(handle) = &spec.handle
                && !self.names.add_handle(handle, &table.name, &found.sys_id)
            {
                let detail = format!("another row of the pack is called '{handle}'");
                return Err(self.refuse(format!("{path}.as"), detail));
            }
            self.names.add(&table.name, &key, &found.sys_id);
        }
        Ok(())
    }

    fn record_place(
        &self,
        section: &str,
        table: &Arc<campanile_model::TableDef>,
        spec: &RecordSpec,
    ) -> Result<(String, Place), EngineError> {
        let display = &*table.fields[table.display_field].name;
        let name = spec.values.text(display);
        let key = match (&spec.handle, name) {
            (Some(handle), _) => handle.clone(),
            (None, "") => format!("{}/{:?}", table.name, spec.values),
            (None, name) => format!("{}/{name}", table.name),
        };
        let id = stable_id(self.pack, section, &key);
        let place = self.place(table, id.as_str(), &[(display, name)])?;
        let shown = match (name, &spec.handle) {
            ("", Some(handle)) => handle.clone(),
            ("", None) => id.to_string(),
            (name, _) => name.to_owned(),
        };
        Ok((shown, place))
    }

    fn install_records(
        &mut self,
        section: &str,
        records: &[RecordSpec],
    ) -> Result<(), EngineError> {
        let dictionary = self.execution.dictionary()?;
        for (place, spec) in records.iter().enumerate() {
            let path = format!("{section}[{place}]");
            let table = self.known_table(&spec.table, &format!("{path}.table"))?;
            if table.name.starts_with("sysevent")
                || &*table.name == "sys_audit"
                || &*table.name == "syslog"
            {
                let detail = format!(
                    "rows of {} come by what happens: they cannot be installed",
                    table.name
                );
                return Err(self.refuse(format!("{path}.table"), detail));
            }
            let resolver = Resolver {
                execution: self.execution,
                dictionary: &dictionary,
                names: &self.names,
                file: self.file,
            };
            let (values, journals) = resolver.record(&table, &path, &spec.values)?;
            let (key, found) = self.record_place(section, &table, spec)?;
            self.write(Wanted {
                path,
                table,
                key,
                place: found,
                values,
                journals,
                policy: Policy::Data,
            })?;
        }
        Ok(())
    }

    /// Tells of rows that an earlier version of the pack brought and this one does not: they are left.
    fn tell_leftovers(&mut self) -> Result<(), EngineError> {
        let gone: Vec<(String, String)> = self
            .marks
            .rows()
            .filter(|(sys_id, _)| !self.present.contains(*sys_id))
            .map(|(sys_id, table)| (sys_id.to_owned(), table.to_owned()))
            .collect();
        for (sys_id, table) in gone {
            let dictionary = self.execution.dictionary()?;
            let Some(def) = dictionary.table(&table) else { continue };
            match self.execution.with_read(|tx| tx.get(def, &sys_id))? {
                Some(row) => {
                    let name = row.at(def.display_field).as_str().to_owned();
                    self.report.warnings.push(format!(
                        "{table} '{name}' came with an earlier version of the pack and is not in this one: delete it \
                         if it is not needed"
                    ));
                }
                None => self.marks.forget(&sys_id),
            }
        }
        Ok(())
    }
}
