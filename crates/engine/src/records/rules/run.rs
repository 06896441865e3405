//! Running the rules of one phase: conditions, recursion, actions, script.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use campanile_model::query::memory::{EvaluationMode, References, Subject, matches};
use campanile_model::{Record, TableDef};
use campanile_script::{Bindings, Limits, RecordRef, ScriptKind, ScriptSource};

use super::actions;
use super::cache::{BoundRule, Moment, Rule};
use crate::engine::Engine;
use crate::records::budget::bounds_of;
use crate::records::execution::Execution;
use crate::records::operation::transaction::RunningRule;
use crate::records::operation::{Failure, Kind};
use crate::records::script_record::ScriptRecord;
use crate::records::withheld;
use crate::spent;

/// What the rules of one operation share.
pub(crate) struct RuleRun<'a> {
    pub(crate) execution: &'a Rc<Execution>,
    pub(crate) current: &'a Rc<ScriptRecord>,
    /// The row before the first write of this context.
    previous: Option<Rc<Record>>,
    previous_object: OnceCell<RecordRef>,
    class: &'a Arc<TableDef>,
    row: &'a Arc<str>,
    kind: Kind,
    scratchpad: RefCell<String>,
}

impl<'a> RuleRun<'a> {
    pub(crate) fn new(
        execution: &'a Rc<Execution>,
        current: &'a Rc<ScriptRecord>,
        previous: Option<Rc<Record>>,
        class: &'a Arc<TableDef>,
        row: &'a Arc<str>,
        kind: Kind,
    ) -> Self {
        Self {
            execution,
            current,
            previous,
            previous_object: OnceCell::new(),
            class,
            row,
            kind,
            scratchpad: RefCell::new("{}".to_owned()),
        }
    }

    fn previous_object(&self) -> RecordRef {
        Rc::clone(self.previous_object.get_or_init(|| match &self.previous {
            Some(previous) => ScriptRecord::previous(self.execution, Record::clone(previous)),
            None => ScriptRecord::missing(self.execution, self.class, None),
        }))
    }

    fn bindings(&self) -> Bindings {
        let current: RecordRef = Rc::clone(self.current) as _;
        Bindings {
            current: Some(current),
            previous: Some(self.previous_object()),
            event: None,
            scratchpad: None,
        }
    }

    /// For messages: `incident INC0000001`.
    fn record_label(&self) -> String {
        let display = self.current.value_at(self.class.display_field);
        let shown = display.as_option().unwrap_or(self.row);
        format!("{} {shown}", self.class.name)
    }
}

/// Runs those of `rules` whose conditions hold, in their order.
///
/// # Errors
/// [`Failure`] when something failed below, or a limit ended a script: the operation rolls back.
pub(crate) fn run_phase(
    run: &RuleRun<'_>,
    rules: &[BoundRule],
    moment: Moment,
) -> Result<(), Failure> {
    if rules.is_empty() {
        return Ok(());
    }
    spent::in_rules(|| run_each(run, rules, moment))
}

fn run_each(run: &RuleRun<'_>, rules: &[BoundRule], moment: Moment) -> Result<(), Failure> {
    for bound in rules {
        if !roles_allow(run.execution, &bound.rule) || !filter_holds(run, bound) {
            continue;
        }
        if let Some(condition) = &bound.rule.condition
            && !condition_holds(run, condition)?
        {
            continue;
        }
        if recurses_too_often(run, &bound.rule) {
            continue;
        }
        let started = Monotonic::now();
        run.execution.transaction(|tx| {
            tx.rules.push(RunningRule {
                name: Arc::clone(&bound.rule.name),
                rule_id: Arc::clone(&bound.rule.sys_id),
                row: Arc::clone(run.row),
            });
        });
        let result = run_rule(run, &bound.rule, moment);
        run.execution.transaction(|tx| {
            tx.rules.pop();
            tx.note_rule(&bound.rule.name, started.elapsed());
        });
        result?;
    }
    Ok(())
}

/// §4.1: message, abort, set values, script.
fn run_rule(run: &RuleRun<'_>, rule: &Rule, moment: Moment) -> Result<(), Failure> {
    let message = rule.message.as_ref().map(|message| actions::add_message(run, message));
    if rule.aborts && moment == Moment::Before {
        run.current.set_abort(true);
        if let Some(message) = message {
            run.current.say_of_abort(message);
        }
        return Ok(());
    }
    if let Some(template) = &rule.template {
        actions::set_values(run, rule, template, moment);
    }
    let Some(script) = &rule.script else { return Ok(()) };
    // Copying the scratchpad in and out costs; few rules have a use for it.
    let scratchpad = rule.uses_scratchpad.then(|| run.scratchpad.borrow().clone());
    let bindings = Bindings { scratchpad, ..run.bindings() };
    let outcome =
        run.execution.run_script(script, &bindings, limits_of(run.execution, script.kind));
    if let Some(scratchpad) = outcome.scratchpad.clone() {
        run.scratchpad.replace(scratchpad);
    }
    if let Err(error) = &outcome.result
        && !run.execution.is_restarting()
    {
        run.execution.log_script_failure(script, &run.record_label(), error);
    }
    run.execution.failure_of_run(script, &outcome)
}

fn roles_allow(execution: &Execution, rule: &Rule) -> bool {
    let user = &execution.session().user;
    rule.roles.is_empty() || user.is_admin() || rule.roles.iter().any(|role| user.has_role(role))
}

fn filter_holds(run: &RuleRun<'_>, bound: &BoundRule) -> bool {
    let Some(filter) = &bound.filter else { return true };
    let references = Referenced(run.execution);
    let journals = run.current.waiting_or_stored_journals();
    let user = &run.execution.session().user;
    run.current.with_values(|current, before| {
        if withheld::asks_in_vain(user, filter, [Some(current), before]) {
            return false;
        }
        let subject = match (run.kind, before) {
            (Kind::Insert, _) => Subject::inserted(current),
            (Kind::Update, Some(before)) => Subject::updated(before, current),
            _ => Subject::unchanged(current),
        };
        let subject = subject.with_journal_entries(&journals);
        matches(filter, &subject, EvaluationMode::Condition, &references)
    })
}

/// Follows dotted paths of filters. A secret that the session may not have is empty there.
pub(crate) struct Referenced<'a>(pub(crate) &'a Execution);

impl References for Referenced<'_> {
    fn load(&self, table: &Arc<TableDef>, sys_id: &str) -> Option<Record> {
        match self.0.read_row(table, sys_id) {
            Ok(row) => row.map(|row| withheld::without_secret(&self.0.session().user, row)),
            Err(error) => {
                tracing::error!(%error, table = &*table.name, "a referenced row could not be read");
                None
            }
        }
    }
}

fn condition_holds(run: &RuleRun<'_>, condition: &ScriptSource) -> Result<bool, Failure> {
    let outcome = run.execution.run_script(
        condition,
        &run.bindings(),
        limits_of(run.execution, condition.kind),
    );
    if let Err(error) = &outcome.result
        && !run.execution.is_restarting()
    {
        run.execution.log_script_failure(condition, &run.record_label(), error);
    }
    run.execution.failure_of_run(condition, &outcome)?;
    Ok(outcome.result.is_ok_and(|completion| completion.truthy))
}

/// §6: the same rule for the same row stands on the stack three times already.
fn recurses_too_often(run: &RuleRun<'_>, rule: &Rule) -> bool {
    let limit = run.execution.budget().bounds(run.execution.engine()).rule_recursion();
    let first = run.execution.transaction(|tx| {
        let same =
            |running: &&RunningRule| running.rule_id == rule.sys_id && running.row == *run.row;
        if tx.rules.iter().filter(same).count() < limit {
            return None;
        }
        let pair = (Arc::clone(&rule.sys_id), Arc::clone(run.row));
        Some(tx.recursion_logged.insert(pair))
    });
    match first.flatten() {
        None => false,
        Some(is_news) => {
            if is_news {
                run.execution.log_error(
                    "business rule",
                    &format!(
                        "business rule '{}' (sys_script {}) was skipped for {}: it runs for this record \
                         {limit} times already, each time from its own write; use setWorkflow(false) or \
                         change the field without update()",
                        rule.name,
                        rule.sys_id,
                        run.record_label()
                    ),
                );
            }
            true
        }
    }
}

/// The bounds of one run of this kind (scripting §16).
pub(crate) fn limits_of(execution: &Execution, kind: ScriptKind) -> Limits {
    execution.budget().bounds(execution.engine()).limits(kind)
}

/// The bounds of runs of this kind, for callers without an execution.
pub(crate) fn limits_of_kind(engine: &Engine, kind: ScriptKind) -> Limits {
    bounds_of(engine).limits(kind)
}
