//! The common fixture of the acceptance cases (§20), a sandbox to run scripts in, and its answers.

use std::collections::BTreeMap;
use std::rc::Rc;

use campanile_script::{
    Bindings, Completion, ElementKind, Host, LimitKind, Limits, RecordRef, RunOutcome, Sandbox,
    ScriptErrorKind, ScriptKind, ScriptSource,
};

use super::host::MockHost;
use super::record::MockRecord;
use super::tables::{Column, Row, Table, Tables, column, reference};

/// sys_ids of the fixture.
pub(crate) mod ids {
    pub(crate) const ABEL: &str = "a0000000000000000000000000000001";
    pub(crate) const BETH: &str = "b0000000000000000000000000000001";
    pub(crate) const JOE: &str = "c0000000000000000000000000000001";
    pub(crate) const INCIDENT_A: &str = "10000000000000000000000000000001";
    pub(crate) const INCIDENT_B: &str = "10000000000000000000000000000002";
    pub(crate) const INCIDENT_C: &str = "10000000000000000000000000000003";
    pub(crate) const DEPARTMENT: &str = "d0000000000000000000000000000001";
}

const STATES: &[(&str, &str)] = &[("1", "New"), ("2", "In Progress"), ("7", "Closed")];

fn tables() -> Vec<Table> {
    use ElementKind::{Boolean, Duration, Journal, List, Number, Temporal, Text};
    let system = |mut columns: Vec<Column>| {
        columns.extend([
            column("sys_id", Text),
            column("sys_class_name", Text),
            column("sys_created_on", Temporal),
            column("sys_updated_on", Temporal),
            column("sys_mod_count", Number),
        ]);
        columns
    };
    let table = |name, parent, display, columns| Table { name, parent, display, columns };
    vec![
        table(
            "task",
            "",
            "number",
            system(vec![
                column("number", Text),
                column("short_description", Text),
                column("description", Text),
                column("active", Boolean),
                column("priority", Number),
                Column { choices: STATES, ..column("state", Number) },
                reference("assigned_to", "sys_user"),
                column("opened_at", Temporal),
                column("work_notes", Journal),
                column("comments", Journal),
                column("watch_list", List),
                column("reassignment_count", Number),
                column("business_duration", Duration),
            ]),
        ),
        table(
            "incident",
            "task",
            "",
            vec![column("category", Text), reference("caller_id", "sys_user")],
        ),
        table("problem", "task", "", vec![column("known_error", Boolean)]),
        table(
            "sys_user",
            "",
            "name",
            system(vec![
                column("user_name", Text),
                column("name", Text),
                column("active", Boolean),
                reference("manager", "sys_user"),
                reference("department", "cmn_department"),
            ]),
        ),
        table("cmn_department", "", "name", system(vec![column("name", Text)])),
        table("u_loop", "", "next", system(vec![column("next", Text), column("replace", Text)])),
        table(
            "sysevent",
            "",
            "name",
            system(vec![
                column("name", Text),
                column("parm1", Text),
                column("parm2", Text),
                column("table", Text),
                column("instance", Text),
                column("queue", Text),
                column("user_name", Text),
            ]),
        ),
        table(
            "u_stamp",
            "",
            "at",
            system(vec![column("at", Temporal), reference("loop", "u_loop")]),
        ),
    ]
}

/// A sandbox with the fixture's host.
pub(crate) struct Fixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) host: Rc<MockHost>,
}

impl Fixture {
    /// Users abel, beth and joe; incidents A, B and C; abel acts.
    pub(crate) fn new() -> Self {
        let host = MockHost::new(Tables { defs: tables(), rows: Vec::new() });
        let fixture = Self { sandbox: Sandbox::new().unwrap(), host };
        fixture.row("cmn_department", &[("sys_id", ids::DEPARTMENT), ("name", "IT")]);
        for (sys_id, user_name, name) in [
            (ids::ABEL, "abel", "Abel Tuter"),
            (ids::BETH, "beth", "Beth Anglin"),
            (ids::JOE, "joe", "Joe Employee"),
        ] {
            fixture.row(
                "sys_user",
                &[("sys_id", sys_id), ("user_name", user_name), ("name", name), ("active", "1")],
            );
        }
        fixture.set(ids::JOE, "manager", ids::BETH);
        fixture.set(ids::BETH, "department", ids::DEPARTMENT);
        fixture.row(
            "incident",
            &[
                ("sys_id", ids::INCIDENT_A),
                ("number", "INC0000001"),
                ("active", "1"),
                ("priority", "1"),
                ("state", "1"),
                ("category", "network"),
                ("assigned_to", ids::ABEL),
                ("caller_id", ids::JOE),
                ("short_description", "Email down"),
                ("watch_list", &format!("{},{}", ids::BETH, ids::JOE)),
                ("opened_at", "2024-03-01 10:00:00"),
                ("sys_mod_count", "0"),
            ],
        );
        fixture.row(
            "incident",
            &[
                ("sys_id", ids::INCIDENT_B),
                ("number", "INC0000002"),
                ("active", "1"),
                ("priority", "3"),
                ("state", "2"),
                ("short_description", "Printer jam"),
                ("sys_mod_count", "0"),
            ],
        );
        fixture.row(
            "incident",
            &[
                ("sys_id", ids::INCIDENT_C),
                ("number", "INC0000003"),
                ("active", "0"),
                ("priority", "1"),
                ("state", "7"),
                ("reassignment_count", "9"),
                ("sys_mod_count", "0"),
            ],
        );
        fixture
    }

    /// Stores a row as it is.
    pub(crate) fn row(&self, class: &str, values: &[(&str, &str)]) {
        let values: BTreeMap<String, String> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.host.tables.borrow_mut().rows.push(Row { class: class.to_owned(), values });
    }

    fn set(&self, sys_id: &str, name: &str, value: &str) {
        let mut tables = self.host.tables.borrow_mut();
        tables.row_mut(sys_id).unwrap().values.insert(name.to_owned(), value.to_owned());
    }

    /// A stored text.
    pub(crate) fn stored(&self, sys_id: &str, name: &str) -> Option<String> {
        self.host.tables.borrow().row(sys_id)?.values.get(name).cloned()
    }

    /// The record object on a row, as the engine would bind it.
    pub(crate) fn record(&self, table: &str, sys_id: &str) -> Rc<MockRecord> {
        MockRecord::on_row(&self.host, table, sys_id)
    }

    /// An empty record object.
    pub(crate) fn empty_record(&self, table: &str) -> Rc<MockRecord> {
        MockRecord::new(&self.host, table)
    }

    /// Runs a script with the given globals.
    pub(crate) fn run_with(&self, kind: ScriptKind, text: &str, bindings: &Bindings) -> RunOutcome {
        let source = ScriptSource {
            kind,
            table: "sys_script".into(),
            sys_id: "".into(),
            name: "test".into(),
            text: text.into(),
        };
        let host: Rc<dyn Host> = Rc::clone(&self.host) as Rc<dyn Host>;
        self.sandbox.run(&source, bindings, Limits::default(), &host)
    }

    /// Runs a background script that must succeed.
    pub(crate) fn run(&self, text: &str) -> Completion {
        self.run_with(ScriptKind::Background, text, &Bindings::default())
            .result
            .unwrap_or_else(|error| panic!("{error}\n{}\n{text}", error.stack))
    }

    /// Text of a script's value, with `gA`, `gB` and `gC` on the incidents.
    pub(crate) fn eval(&self, text: &str) -> String {
        let prelude = "function g(n) { var r = new GlideRecord('incident'); r.get('number', n); return r; }\
             var gA = g('INC0000001'), gB = g('INC0000002'), gC = g('INC0000003');";
        self.run(&format!("{prelude}\n{text}")).text
    }

    /// Text of a script's value with `current` bound.
    pub(crate) fn eval_on(&self, current: &Rc<MockRecord>, text: &str) -> String {
        let bindings =
            Bindings { current: Some(Rc::clone(current) as RecordRef), ..Bindings::default() };
        self.run_with(ScriptKind::BusinessRuleCondition, text, &bindings)
            .result
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
            .text
    }

    /// The message of a background script that must throw.
    pub(crate) fn error(&self, text: &str) -> String {
        let prelude = "var gA = new GlideRecord('incident'); gA.get('number', 'INC0000001');";
        let outcome = self.run_with(
            ScriptKind::Background,
            &format!("{prelude}\n{text}"),
            &Bindings::default(),
        );
        let error = outcome.result.expect_err(text);
        assert_eq!(error.kind, ScriptErrorKind::Runtime, "{error}");
        error.message
    }

    /// The limit that ends a background script.
    pub(crate) fn limit(&self, text: &str) -> LimitKind {
        match self.run_with(ScriptKind::Background, text, &Bindings::default()).result {
            Err(error) => match error.kind {
                ScriptErrorKind::Limit(limit) => limit,
                other => panic!("{other:?}: {error}"),
            },
            Ok(value) => panic!("it ran: {value:?}"),
        }
    }
}
