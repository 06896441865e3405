//! How the engine is doing: readiness, numbers for metrics, and what `doctor` finds.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use campanile_model::QueueDef;
use campanile_model::query::BoundQuery;
use campanile_store::{ConnectionBudget, Select};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::events::fire::{PROVISIONAL_MAX, provisional};
use crate::events::queue_registry::QueueRegistry;
use crate::records::operation::hidden_methods::hiding as hiding_column;
use crate::records::operation::rule_checks::{NeverRuns, why_it_never_runs};
use crate::records::properties;
use crate::records::seed::{SYSTEM_PACK, stable_id};

/// One check of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `storage`, `definitions`, `disk`, …
    pub name: &'static str,
    /// It is all right.
    pub ok: bool,
    /// How long the check took.
    pub millis: u64,
    /// What is wrong, or a number worth knowing; empty when there is nothing to say.
    pub detail: String,
}

/// Something that `doctor` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Somebody has to do something.
    pub serious: bool,
    /// What it is, and where.
    pub what: String,
    /// How to mend it.
    pub fix: String,
}

/// Names in one line of a check.
const NAMES_SHOWN_MAX: usize = 20;
/// Kinds of rules that are saved and do not run yet.
const RULES_THAT_WAIT: [&str; 3] = ["async", "async_always", "display"];
/// All values of `when` that mean something.
const MOMENTS: [&str; 5] = ["before", "after", "async", "async_always", "display"];

impl Engine {
    /// Whether work can be done, check by check. Reads a little; takes some milliseconds.
    #[must_use]
    pub fn readiness(&self) -> Vec<Check> {
        vec![
            timed("storage", || {
                Arc::clone(self.store())
                    .read()
                    .map(|_reader| String::new())
                    .map_err(|e| e.to_string())
            }),
            timed("migrations", || Ok(format!("schema {}", self.schema_version()))),
            timed("definitions", || {
                self.dictionary()
                    .map(|dictionary| format!("{} tables", dictionary.tables().count()))
                    .map_err(|error| error.to_string())
            }),
            timed("queues", || self.queues_served()),
            timed("disk", || {
                let free =
                    self.store().gauges().into_iter().find(|(name, _)| *name == "disk_free_ratio");
                match free {
                    Some((_, ratio)) if ratio < 0.01 => Err(format!("{:.1} % free", ratio * 100.0)),
                    _ => Ok(String::new()),
                }
            }),
        ]
    }

    /// Whether every queue that asks for processors has one that lives.
    fn queues_served(&self) -> Result<String, String> {
        if !self.config.start_processors {
            return Ok("no processors on this node".to_owned());
        }
        let registry = self.definitions::<QueueRegistry>().map_err(|error| error.to_string())?;
        let nodes = self.store().nodes();
        match self.queues().unserved(&registry, &nodes) {
            None => Err("the processors are not started".to_owned()),
            Some(names) if names.is_empty() => {
                let asked = |queue: &&Arc<QueueDef>| !queue.placement.is_none();
                Ok(format!("{} queues", registry.queues().filter(asked).count()))
            }
            Some(names) => {
                let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
                Err(match names.len().saturating_sub(NAMES_SHOWN_MAX) {
                    0 => format!("no processor serves {shown}"),
                    more => format!("no processor serves {shown}, and {more} more"),
                })
            }
        }
    }

    /// Sets the gauges that are read when somebody asks for metrics.
    pub fn publish_gauges(&self) {
        let mut bytes = 0.0;
        for (name, value) in self.store().gauges() {
            if name == "lapses_counted" {
                // The store counts them.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count"
                )]
                metrics::counter!("campanile_lapses_total").absolute(value as u64);
                continue;
            }
            if matches!(name, "database_bytes" | "wal_bytes") {
                bytes += value;
            }
            metrics::gauge!(format!("campanile_storage_{name}")).set(value);
        }
        metrics::gauge!("campanile_storage_bytes").set(bytes);
        if let Err(error) = crate::queues::metrics::refresh(self) {
            tracing::warn!(%error, "the backlog could not be counted");
        }
    }

    /// The newest migration of the database.
    #[must_use]
    pub fn schema_version(&self) -> i64 {
        let found = self.store().gauges().into_iter().find(|(name, _)| *name == "schema_version");
        #[expect(clippy::cast_possible_truncation, reason = "a version is a small whole number")]
        found.map_or(0, |(_, version)| version as i64)
    }

    /// Everything in this folder that somebody should know: damage, definitions that do nothing, events that wait in
    /// vain. Slow on a large database.
    ///
    /// # Errors
    /// What the store answers.
    pub fn examine(&self) -> Result<Vec<Finding>, EngineError> {
        let mut findings: Vec<Finding> = self
            .store()
            .integrity_problems()?
            .into_iter()
            .map(|problem| Finding {
                serious: true,
                what: format!("the database is damaged: {problem}"),
                fix: "stop the server and restore the folder from a backup".to_owned(),
            })
            .collect();
        let concerns = self.store().concerns()?.into_iter();
        findings.extend(concerns.map(|concern| Finding {
            serious: concern.is_serious,
            what: concern.what,
            fix: concern.fix,
        }));
        self.connections_that_are_missing(&mut findings)?;
        self.rules_that_do_not_run(&mut findings)?;
        self.queues_that_stand_still(&mut findings)?;
        self.properties_that_do_not_fit(&mut findings)?;
        self.queues_that_are_not_made(&mut findings)?;
        self.columns_that_hide_methods(&mut findings)?;
        Ok(findings)
    }

    /// How many connections the servers on the database take; `None` where that does not matter.
    ///
    /// # Errors
    /// What the store answers.
    pub fn connection_budget(&self) -> Result<Option<ConnectionBudget>, EngineError> {
        Ok(self.store().connection_budget()?)
    }

    /// For the servers that run, and for one when none does. This program is none of them.
    fn connections_that_are_missing(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        let Some(budget) = self.connection_budget()? else { return Ok(()) };
        if let Some((what, fix)) = budget.shortage(budget.others.max(1)) {
            findings.push(Finding { serious: false, what, fix });
        }
        Ok(())
    }

    /// Nobody can mend a column of the product, so those are left out.
    fn columns_that_hide_methods(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        for column in self.rows_of("sys_dictionary")? {
            let (table, element) = (column.text("name"), column.text("element"));
            let own = stable_id(SYSTEM_PACK, "tables", &format!("{table}.{element}"));
            if !column.get("active").is_true() || column.text("sys_id") == own.as_str() {
                continue;
            }
            findings.extend(hiding_column(table, element).map(|column| Finding {
                serious: false,
                what: column.what,
                fix: column.fix,
            }));
        }
        Ok(())
    }

    /// Values are judged when they are saved; these were stored by an older version, or by another program.
    fn properties_that_do_not_fit(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        for property in self.rows_of("sys_properties")? {
            if let Err(reason) = properties::save_check::judge(&property) {
                findings.push(Finding {
                    serious: false,
                    what: format!(
                        "the value of property '{}' (sys_properties {}) does not fit: {reason}",
                        property.text("name"),
                        property.text("sys_id")
                    ),
                    fix: "save a value that fits, or empty it: then the default counts".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn rules_that_do_not_run(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        let dictionary = self.dictionary()?;
        for rule in self.rows_of("sys_script")? {
            if rule.get("active").is_true() {
                let never = why_it_never_runs(&dictionary, &rule).into_iter();
                findings.extend(never.map(|NeverRuns { what, fix }| Finding {
                    serious: false,
                    what: format!(
                        "business rule '{}' (sys_script {}) on {} never runs: {what}",
                        rule.text("name"),
                        rule.text("sys_id"),
                        rule.text("collection")
                    ),
                    fix: format!("{fix}, or set `active` to false"),
                }));
            }
            let when = rule.text("when");
            let queries = rule.get("action_query").is_true();
            let is_idle = !rule.get("advanced").is_true() && !rule.text("script").is_empty();
            if rule.get("active").is_true() && is_idle {
                findings.push(Finding {
                    serious: false,
                    what: format!(
                        "business rule '{}' (sys_script {}) on {} has a script that does not run: `advanced` is false",
                        rule.text("name"),
                        rule.text("sys_id"),
                        rule.text("collection")
                    ),
                    fix: "set `advanced` to true, or remove the script".to_owned(),
                });
            }
            if rule.get("active").is_true() && !MOMENTS.contains(&when) {
                findings.push(Finding {
                    serious: false,
                    what: format!(
                        "business rule '{}' (sys_script {}) on {} never runs: its `when` is '{when}'",
                        rule.text("name"),
                        rule.text("sys_id"),
                        rule.text("collection")
                    ),
                    fix: "set `when` to before or after".to_owned(),
                });
            }
            if rule.get("active").is_true() && (RULES_THAT_WAIT.contains(&when) || queries) {
                let kind = if queries { "query" } else { when };
                findings.push(Finding {
                    serious: false,
                    what: format!(
                        "business rule '{}' (sys_script {}) on {} is active and does not run: {kind} rules \
                         wait for a later release",
                        rule.text("name"),
                        rule.text("sys_id"),
                        rule.text("collection")
                    ),
                    fix: "make it a before or after rule, or leave it for later".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn queues_that_stand_still(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        let queues = self.rows_of("sysevent_queue")?;
        for waiting in self.store().backlog(self.clock().now())? {
            if waiting.ready == 0 {
                continue;
            }
            let name = if waiting.queue.is_empty() { "default" } else { &waiting.queue };
            let row = queues.iter().find(|row| row.text("queue") == name);
            let (what, fix) = match row {
                None => {
                    ("nobody registered it", "make a row in sysevent_queue, or move the events")
                }
                Some(row) if !row.get("active").is_true() => {
                    ("it is inactive", "set `active` of its sysevent_queue row, or move the events")
                }
                Some(_) => continue,
            };
            findings.push(Finding {
                serious: true,
                what: format!(
                    "{} in queue '{name}' in vain: {what}",
                    campanile_model::counted(waiting.ready, "event waits", "events wait")
                ),
                fix: fix.to_owned(),
            });
        }
        Ok(())
    }

    /// The limit on provisional queues is reached.
    fn queues_that_are_not_made(&self, findings: &mut Vec<Finding>) -> Result<(), EngineError> {
        let count = self.definitions::<QueueRegistry>()?.provisional();
        if count > 0 && provisional::is_full(self)? {
            findings.push(Finding {
                serious: false,
                what: format!(
                    "{count} provisional queues are there, {PROVISIONAL_MAX} allows {}: events that name a further queue go \
                     to the default queue",
                    provisional::limit(self)
                ),
                fix: format!(
                    "clear `provisional` of the sysevent_queue rows that are needed, delete the others, or raise \
                     {PROVISIONAL_MAX}"
                ),
            });
        }
        Ok(())
    }

    /// All rows of a definition table.
    fn rows_of(&self, table: &str) -> Result<Vec<campanile_model::Record>, EngineError> {
        let dictionary = self.dictionary()?;
        let Some(table) = dictionary.table(table) else { return Ok(Vec::new()) };
        let read = Arc::clone(self.store()).read()?;
        Ok(read.select(&Select::new(BoundQuery::all(Arc::clone(table))))?)
    }
}

fn timed(name: &'static str, check: impl FnOnce() -> Result<String, String>) -> Check {
    let began = Monotonic::now();
    let (ok, detail) = match check() {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Check { name, ok, millis, detail }
}
