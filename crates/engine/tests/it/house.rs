//! An engine with a database, a clock that stands still, and rows written without rules.

use std::sync::Arc;

use campanile_engine::records::dictionary::after_many;
use campanile_engine::records::seed::{TableSpec, apply_constant_defaults, stamp_new};
use campanile_engine::records::{lookup, seed};
use campanile_engine::{Engine, EngineConfig, InitOptions};
use campanile_model::{Clock, Instant, ManualClock, Record};
use campanile_store::testing::TestDatabase;
use campanile_store::{Connections, DatabaseUrl, Lease};
use tempfile::TempDir;

/// Where the clock stands at first: 2026-03-02 08:00:00 UTC.
pub(crate) const START: Instant = Instant::from_millis(1_772_438_400_000);

pub(crate) struct House {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<ManualClock>,
    folder: TempDir,
    /// On PostgreSQL, where the database is.
    url: Option<String>,
    /// It, unless others are to have it. Goes last.
    database: Option<TestDatabase>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::furnished("house", |_| ())
    }

    /// One with what `furnish` puts in. On PostgreSQL a house of this `name` is furnished once and then copied.
    pub(crate) fn furnished(name: &str, furnish: impl FnOnce(&Self)) -> Self {
        if !on_postgres() {
            let house = Self::made(None);
            furnish(&house);
            return house;
        }
        let fill = |url: &str| furnish(&Self::made(Some(url.to_owned())));
        let database = TestDatabase::create_filled(&std::env::current_exe().unwrap(), name, fill);
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let url = Some(database.url().to_owned());
        let engine = Engine::open(config(&folder, url.clone(), &clock)).unwrap();
        Self { engine, clock, folder, url, database: Some(database) }
    }

    /// On the embedded engine, for what concerns its folder.
    pub(crate) fn in_a_folder() -> Self {
        Self::made(None)
    }

    fn made(url: Option<String>) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let options = InitOptions {
            admin_password: Some("correct horse".to_owned()),
            ..InitOptions::default()
        };
        let made = Engine::init(config(&folder, url.clone(), &clock), options).unwrap();
        assert_eq!(made.admin_password, None, "a given password is not told back");
        Self { engine: made.engine, clock, folder, url, database: None }
    }

    /// Stops the engine and opens the same folder again.
    pub(crate) fn restart(mut self) -> Self {
        self.engine.stop().unwrap();
        self.engine = Engine::open(self.config()).unwrap();
        self
    }

    /// Runs statements on the database beside the engine; on PostgreSQL.
    pub(crate) fn run_sql(&self, sql: &str) {
        self.database.as_ref().unwrap().run(sql);
    }

    pub(crate) fn config(&self) -> EngineConfig {
        config(&self.folder, self.url.clone(), &self.clock)
    }

    /// Adds a row with its constant defaults, as the product itself would; its key.
    pub(crate) fn add(&self, table: &str, values: &[(&str, &str)]) -> String {
        let dictionary = self.engine.dictionary().unwrap();
        let mut row = Record::empty(Arc::clone(lookup::table(&dictionary, table).unwrap()));
        for (name, value) in values {
            assert!(row.set(name, *value), "{table} has no {name}");
        }
        apply_constant_defaults(&mut row);
        stamp_new(&mut row, self.clock.now(), "system");
        let mut tx = Arc::clone(self.engine.store()).write().unwrap();
        tx.insert(&row).unwrap();
        tx.commit().unwrap();
        self.engine.tables_changed([table]);
        row.text("sys_id").to_owned()
    }

    /// Changes fields of a row.
    pub(crate) fn change(&self, table: &str, sys_id: &str, values: &[(&str, &str)]) {
        let dictionary = self.engine.dictionary().unwrap();
        let table = lookup::table(&dictionary, table).unwrap();
        let mut tx = Arc::clone(self.engine.store()).write().unwrap();
        let mut row = tx.get(table, sys_id).unwrap().unwrap();
        let mut changed = Vec::new();
        for (name, value) in values {
            assert!(row.set(name, *value), "{} has no {name}", table.name);
            changed.extend(table.index(name));
        }
        assert!(tx.update(&row, &changed).unwrap());
        tx.commit().unwrap();
        self.engine.tables_changed([&*table.name]);
    }

    /// Removes a row.
    pub(crate) fn remove(&self, table: &str, sys_id: &str) {
        let dictionary = self.engine.dictionary().unwrap();
        let mut tx = Arc::clone(self.engine.store()).write().unwrap();
        assert!(tx.delete(lookup::table(&dictionary, table).unwrap(), sys_id).unwrap());
        tx.commit().unwrap();
        self.engine.tables_changed([table]);
    }

    /// The rows of `table` with these values.
    pub(crate) fn rows(&self, table: &str, values: &[(&str, &str)]) -> Vec<Record> {
        let dictionary = self.engine.dictionary().unwrap();
        let select = lookup::equal(lookup::table(&dictionary, table).unwrap(), values);
        let read = Arc::clone(self.engine.store()).read().unwrap();
        read.select(&lookup::ordered(select, &["sys_id"])).unwrap()
    }

    /// Adds tables in the form of packs, parents and children in any order.
    pub(crate) fn define(&self, yaml: &str) {
        let specs: Vec<TableSpec> = serde_yaml_ng::from_str(yaml).unwrap();
        let definitions: Vec<_> = specs.iter().map(|spec| spec.rows("test")).collect();
        let system = |name: &str| seed::system_table(name).unwrap();
        let (objects, columns, choices) =
            (system("sys_db_object"), system("sys_dictionary"), system("sys_choice"));
        let mut tx = Arc::clone(self.engine.store()).write().unwrap();
        for rows in &definitions {
            // The key of a table follows from its name.
            let parent_id = match rows.table.parent.as_str() {
                "" => String::new(),
                parent => seed::stable_id("test", "tables", parent).to_string(),
            };
            let mut records = vec![rows.table.to_record(&objects, &parent_id)];
            records.extend(rows.columns.iter().map(|row| row.to_record(&columns)));
            records.extend(rows.choices.iter().map(|row| row.to_record(&choices)));
            for mut record in records {
                stamp_new(&mut record, self.clock.now(), "system");
                tx.insert(&record).unwrap();
            }
        }
        after_many(&mut *tx, specs.iter().map(|spec| spec.name.as_str())).unwrap();
        tx.commit().unwrap();
        self.engine.tables_changed(["sys_db_object", "sys_dictionary", "sys_choice"]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Err(error) = self.engine.stop() {
            assert!(std::thread::panicking(), "the engine did not stop: {error}");
        }
    }
}

/// Whether this run of the tests is one on PostgreSQL (`CAMPANILE_TEST_ENGINE=postgres`).
pub(crate) fn on_postgres() -> bool {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let engine = std::env::var("CAMPANILE_TEST_ENGINE").unwrap_or_default();
    engine == "postgres"
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(START))
}

fn config(folder: &TempDir, url: Option<String>, clock: &Arc<ManualClock>) -> EngineConfig {
    EngineConfig {
        data_dir: folder.path().to_path_buf(),
        database: url.map(DatabaseUrl::from),
        connections: Connections::default(),
        partitions: None,
        lease: Lease::default(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        node: "node-a".to_owned(),
        script_workers: 1,
        start_processors: false,
    }
}
