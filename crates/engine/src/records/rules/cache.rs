//! The rules of `sys_script`, compiled once: by class, operation and moment, in their order.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_model::query::{BindMode, BindOptions, BoundQuery, ParseLimits, Query, bind, parse};
use campanile_model::{Dictionary, Record, TableDef};
use campanile_script::{ScriptKind, ScriptSource};
use parking_lot::RwLock;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::records::definitions::Load;
use crate::records::execution::Execution;
use crate::records::lookup;
use crate::records::operation::Kind;

/// Table of the rules.
const TABLE: &str = "sys_script";
/// Order of a rule that has none (§2.2).
const ORDER_DEFAULT: i64 = 100;

/// When a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    Before,
    After,
}

/// One active before or after rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) sys_id: Arc<str>,
    pub(crate) name: Arc<str>,
    table: Arc<str>,
    moment: Moment,
    order: i64,
    created_on: Arc<str>,
    on_insert: bool,
    on_update: bool,
    on_delete: bool,
    /// One of them is needed; empty means everybody.
    pub(crate) roles: Vec<Arc<str>>,
    filter: Option<Query>,
    pub(crate) condition: Option<ScriptSource>,
    pub(crate) script: Option<ScriptSource>,
    /// The script names `g_scratchpad`, or could reach it by another way.
    pub(crate) uses_scratchpad: bool,
    /// "Set field values", each term an assignment.
    pub(crate) template: Option<Query>,
    /// Shown when the rule runs.
    pub(crate) message: Option<Arc<str>>,
    pub(crate) aborts: bool,
}

impl Rule {
    /// The rule of a row; `None` when it never runs here. The second value says why a part of it was left out.
    fn of_row(row: &Record) -> Option<(Self, Vec<String>)> {
        let moment = match row.text("when") {
            "" | "before" => Moment::Before,
            "after" => Moment::After,
            _ => return None,
        };
        let text = |field: &str| -> Arc<str> { Arc::from(row.text(field)) };
        let (sys_id, name) = (text("sys_id"), text("name"));
        let source = |kind, field: &str| {
            let source = ScriptSource {
                kind,
                table: Arc::from(TABLE),
                sys_id: Arc::clone(&sys_id),
                name: Arc::clone(&name),
                text: text(field),
            };
            (!source.text.trim().is_empty()).then_some(source)
        };
        let mut problems = Vec::new();
        let mut query = |field: &str| match parse(row.text(field), ParseLimits::STORED) {
            Ok(query) if query == Query::default() => None,
            Ok(query) => Some(query),
            Err(error) => {
                problems
                    .push(format!("business rule '{name}' ({TABLE} {sys_id}): {field}: {error}"));
                // A condition that cannot be read must not open the rule to every record.
                Some(Query { invalid: vec![invalid(&error.to_string())], ..Query::default() })
            }
        };
        let (filter, template) = (query("filter_condition"), query("template"));
        let roles = row.text("role_conditions").split(',').map(str::trim).filter(|r| !r.is_empty());
        let scripted = row.get("advanced").is_true();
        let message = text("message");
        let script = source(ScriptKind::BusinessRule, "script").filter(|_| scripted);
        let mentions =
            |word: &str| script.as_ref().is_some_and(|script| script.text.contains(word));
        let uses_scratchpad = mentions("scratchpad") || mentions("eval");
        Some((
            Self {
                table: text("collection"),
                moment,
                order: row.get("order").as_i64().unwrap_or(ORDER_DEFAULT),
                created_on: text("sys_created_on"),
                on_insert: row.get("action_insert").is_true(),
                on_update: row.get("action_update").is_true(),
                on_delete: row.get("action_delete").is_true(),
                roles: roles.map(Arc::from).collect(),
                filter,
                condition: source(ScriptKind::BusinessRuleCondition, "condition"),
                script,
                uses_scratchpad,
                template,
                message: Some(message)
                    .filter(|text| row.get("add_message").is_true() && !text.is_empty()),
                aborts: row.get("abort_action").is_true(),
                sys_id,
                name,
            },
            problems,
        ))
    }

    fn watches(&self, kind: Kind) -> bool {
        match kind {
            Kind::Insert => self.on_insert,
            Kind::Update => self.on_update,
            Kind::Delete => self.on_delete,
        }
    }
}

fn invalid(reason: &str) -> campanile_model::query::InvalidTerm {
    campanile_model::query::InvalidTerm { text: String::new(), reason: reason.to_owned() }
}

/// A rule with its filter bound to the class of the row.
#[derive(Debug, Clone)]
pub(crate) struct BoundRule {
    pub(crate) rule: Arc<Rule>,
    pub(crate) filter: Option<Arc<BoundQuery>>,
}

/// The rules of one class.
#[derive(Debug, Default)]
pub(crate) struct ClassRules {
    lists: [Vec<BoundRule>; 6],
}

impl ClassRules {
    /// The rules for rows of `class`.
    pub(crate) fn of(
        execution: &Rc<Execution>,
        class: &Arc<TableDef>,
    ) -> Result<Arc<Self>, EngineError> {
        let rules = execution.engine().definitions::<RuleCache>()?;
        if let Some(known) = rules.by_class.read().get(&class.name) {
            return Ok(Arc::clone(known));
        }
        let dictionary = execution.dictionary()?;
        let (made, problems) = rules.bind_to(class, &dictionary);
        for problem in problems {
            execution.log_error("business rule", &problem);
        }
        let made = Arc::new(made);
        rules.by_class.write().insert(Arc::clone(&class.name), Arc::clone(&made));
        Ok(made)
    }

    /// Candidates in the order in which they run.
    pub(crate) fn list(&self, kind: Kind, moment: Moment) -> &[BoundRule] {
        &self.lists[position(kind, moment)]
    }
}

const fn position(kind: Kind, moment: Moment) -> usize {
    let kind = match kind {
        Kind::Insert => 0,
        Kind::Update => 1,
        Kind::Delete => 2,
    };
    match moment {
        Moment::Before => kind,
        Moment::After => kind + 3,
    }
}

/// All active rules.
#[derive(Debug)]
pub(crate) struct RuleCache {
    /// In the order of §2.2.
    rules: Vec<Arc<Rule>>,
    by_class: RwLock<HashMap<Arc<str>, Arc<ClassRules>>>,
}

impl Load for RuleCache {
    const TABLES: &'static [&'static str] =
        &[TABLE, "sys_db_object", "sys_dictionary", "sys_dictionary_override"];

    fn load(engine: &Engine) -> Result<Self, EngineError> {
        let dictionary = engine.dictionary()?;
        let mut rules = Vec::new();
        if let Some(table) = dictionary.table(TABLE) {
            let read = Arc::clone(engine.store()).read()?;
            for row in read.select(&lookup::equal(table, &[("active", "1")]))? {
                let Some((rule, problems)) = Rule::of_row(&row) else { continue };
                for problem in problems {
                    tracing::error!("{problem}");
                }
                rules.push(Arc::new(rule));
            }
        }
        rules.sort_by(|a, b| {
            (a.order, &a.created_on, &a.sys_id).cmp(&(b.order, &b.created_on, &b.sys_id))
        });
        Ok(Self { rules, by_class: RwLock::default() })
    }
}

impl RuleCache {
    fn bind_to(&self, class: &Arc<TableDef>, dictionary: &Dictionary) -> (ClassRules, Vec<String>) {
        let mut bound = ClassRules::default();
        let mut problems = Vec::new();
        let options = BindOptions { mode: BindMode::Condition, invalid_returns_no_rows: false };
        for rule in self.rules.iter().filter(|rule| class.extends(&rule.table)) {
            let filter = rule.filter.as_ref().map(|query| {
                let query = bind(query, class, dictionary, options);
                problems.extend(query.dropped.iter().map(|term| {
                    format!(
                        "filter of business rule '{}' ({TABLE} {}) is false for every {}: {} ({})",
                        rule.name, rule.sys_id, class.name, term.reason, term.text
                    )
                }));
                Arc::new(query)
            });
            for kind in [Kind::Insert, Kind::Update, Kind::Delete] {
                if rule.watches(kind) {
                    bound.lists[position(kind, rule.moment)]
                        .push(BoundRule { rule: Arc::clone(rule), filter: filter.clone() });
                }
            }
        }
        (bound, problems)
    }
}
